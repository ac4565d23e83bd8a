package broker

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// Message is an application message on its way to its receivers. It is shared by
// all of them and never changes. Messages are pooled and counted: who keeps one
// calls Retain, and Release when it lets go; the last Release recycles it.
//
// One buffer holds it in the layout of a 5.0 PUBLISH with QoS 0 after the fixed
// header, so that an encoding for any receiver is a few copies:
//
//	topic length | topic | property length | properties | payload
//
// The properties are those that are forwarded unchanged; Message Expiry Interval
// and Subscription Identifiers are put in per receiver.
type Message struct {
	refs     atomic.Int32
	attached atomic.Pointer[attached] // see Attach
	replaced atomic.Bool              // was in the retained store and is no longer
	number   uint64                   // in the order in which messages came to the retained store, 0 = did not
	buf      []byte
	topic    int   // end of the topic in buf
	props    int   // start of the properties
	payload  int   // start of the payload
	class    uint8 // of messages that it goes back to
	qos      byte
	retain   bool    // the publisher's RETAIN flag
	from     string  // client identifier of the publisher, empty for the program itself
	feeder   *Client // whose Feed is routing the message, else nil; of that goroutine
	arrived  int64   // Unix time in nanoseconds
	expires  int64   // Unix time in nanoseconds, 0 = never
}

// Messages are pooled by the size of their buffers: one that stays, retained or for a client
// that is away, must not hold much more than it needs. Larger ones than there are sizes of
// are rare and left to the garbage collector.
const (
	// smallMessage is the largest buffer that goes from any message to any other, in bytes.
	smallMessage = 4 << 10
	// headRoom is added to each size, in bytes: topic and properties of payloads of that size.
	headRoom = 1 << 10
)

// messageSizes are the sizes of larger buffers, in bytes.
var messageSizes = [...]int{6 << 10, 8 << 10, 12 << 10, 16 << 10, 24 << 10, 32 << 10, 48 << 10, 64 << 10,
	96 << 10, 128 << 10, 192 << 10, 256 << 10, 384 << 10, 512 << 10, 768 << 10, 1 << 20}

// messages are the pools: of small messages, then by messageSizes.
var messages [1 + len(messageSizes)]sync.Pool

// takeMessage gives a message whose buffer is empty and has room for size bytes.
func takeMessage(size int) *Message {
	class := 0
	if size > smallMessage {
		for class++; class <= len(messageSizes) && size > messageSizes[class-1]+headRoom; class++ {
		}
	}
	if class == len(messages) {
		return &Message{buf: make([]byte, 0, size)}
	}
	m, ok := messages[class].Get().(*Message)
	if !ok {
		m = &Message{class: uint8(class)}
	}
	if class > 0 {
		size = messageSizes[class-1] + headRoom
	}
	if cap(m.buf) < size {
		m.buf = make([]byte, 0, size)
	}
	return m
}

// Topic is the topic name. Valid while the caller holds a reference; read only, as
// are Properties and Payload.
func (m *Message) Topic() []byte { return m.buf[2:m.topic:m.topic] }

// Properties are the properties that are forwarded unchanged.
func (m *Message) Properties() packet.Properties {
	return packet.Properties(m.buf[m.props:m.payload:m.payload])
}

// Payload is the application message.
func (m *Message) Payload() []byte { return m.buf[m.payload:] }

// QoS is the publisher's: 0, 1 or 2.
func (m *Message) QoS() byte { return m.qos }

// Retained is the publisher's RETAIN flag.
func (m *Message) Retained() bool { return m.retain }

// From is the client identifier of the publisher, empty when the program itself
// published.
func (m *Message) From() string { return m.from }

// Expires is when the message is no longer worth delivering; the zero time: never.
func (m *Message) Expires() time.Time {
	if m.expires == 0 {
		return time.Time{}
	}
	return time.Unix(0, m.expires)
}

// Size is what the message is counted with in limits, in bytes: topic, properties,
// payload.
func (m *Message) Size() int { return len(m.buf) }

// Retain takes a reference. Any goroutine that holds one may call it.
func (m *Message) Retain() { m.refs.Add(1) }

// Release gives a reference back. The message must not be used afterwards.
func (m *Message) Release() {
	switch n := m.refs.Add(-1); {
	case n > 0:
	case n < 0:
		panic("broker: Message released more often than retained")
	default:
		m.recycle()
	}
}

func (m *Message) recycle() {
	m.detach()
	m.from = ""
	if cap(m.buf) <= messageSizes[len(messageSizes)-1]+headRoom {
		messages[m.class].Put(m)
	}
}

// newMessage makes a message with one reference from parts, which it copies. props
// may hold any PUBLISH or will properties.
func newMessage[T string | []byte](topic T, props packet.Properties, payload []byte) *Message {
	size := 2 + len(topic) + 4 + len(props) + len(payload)
	m := takeMessage(size)
	m.refs.Store(1)
	m.replaced.Store(false)
	m.feeder = nil
	m.number, m.qos, m.retain, m.from, m.arrived, m.expires = 0, 0, false, "", 0, 0
	b := binary.BigEndian.AppendUint16(m.buf[:0], uint16(len(topic)))
	b = append(b, topic...)
	m.topic = len(b)
	b = appendForwarded(b, props)
	m.payload = len(b)
	m.buf = append(b, payload...)
	m.props = m.topic + packet.VariableByteIntegerSize(propertyLength(m.buf[m.topic:]))
	return m
}

// appendForwarded appends the properties that are forwarded unchanged, with their
// length in front.
func appendForwarded(b []byte, props packet.Properties) []byte {
	if len(props) == 0 {
		return append(b, 0)
	}
	start := len(b)
	b = append(b, 0) // the length is nearly always below 128
	b = props.AppendExcept(b, packet.TopicAlias, packet.MessageExpiryInterval, packet.SubscriptionIdentifier, packet.WillDelayInterval)
	n := len(b) - start - 1
	if n < 128 {
		b[start] = byte(n)
		return b
	}
	more := packet.VariableByteIntegerSize(n) - 1
	b = append(b, 0, 0, 0)[:len(b)+more]
	copy(b[start+1+more:], b[start+1:start+1+n])
	packet.AppendVariableByteInteger(b[:start], n)
	return b
}

// propertyLength reads the length in front of a property block that this package
// has written.
func propertyLength(b []byte) (n int) {
	for i, c := range b {
		n |= int(c&0x7F) << (7 * i)
		if c < 0x80 {
			break
		}
	}
	return n
}
