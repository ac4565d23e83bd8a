package broker

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// Datagrams says what QUIC datagrams (RFC 9221) are for: messages with QoS 0, a whole
// PUBLISH packet in each. Neither MQTT nor the ALPN "mqtt" knows them, so a server sends
// none to who has not asked. They are not repeated when they are lost, have no order, and
// wait for nothing that was lost on a stream.
type Datagrams uint8

const (
	// DatagramsOnRequest takes them from clients, and sends them to 5.0 clients whose
	// CONNECT has the User Property DatagramProperty with the value DatagramQoS0.
	DatagramsOnRequest Datagrams = iota
	// DatagramsAlways sends them to every client whose QUIC says that it takes them.
	DatagramsAlways
	// DatagramsOff neither takes nor sends them.
	DatagramsOff
	numDatagrams
)

// With this User Property in its CONNECT a client asks for messages with QoS 0 to be sent
// to it in datagrams.
const (
	DatagramProperty = "ngmq-datagrams"
	DatagramQoS0     = "qos0"
)

var datagramNames = [numDatagrams]string{"on-request", "always", "off"}

// String is "on-request", "always" or "off".
func (d Datagrams) String() string {
	if d < numDatagrams {
		return datagramNames[d]
	}
	return fmt.Sprintf("Datagrams(%d)", uint8(d))
}

// UnmarshalText reads what String gives.
func (d *Datagrams) UnmarshalText(text []byte) error {
	for i, name := range datagramNames {
		if name == string(text) {
			*d = Datagrams(i)
			return nil
		}
	}
	return fmt.Errorf("%q is not on-request, always or off", text)
}

// DatagramSink is a Sink of a connection that has datagrams too.
type DatagramSink interface {
	Sink
	// MaxDatagram is the length in bytes of the longest datagram that can be sent now; 0:
	// the peer takes none.
	MaxDatagram() int
	// Datagram sends a copy of p, no longer than that; false: too many wait already.
	Datagram(p []byte) bool
}

// DatagramStream is the id of what datagrams come on, see PublishEvent.
const DatagramStream int64 = -2

// Datagram takes a datagram of the client: a whole PUBLISH packet with QoS 0. Anything
// else is dropped and counted, and so is everything that comes before the CONNECT has been
// accepted, early (in early data, of which it may be a copy), or while the client has to
// wait (Pause). A Topic Alias is that of the control stream; a datagram sets none, for it
// may be lost. An error means what one of Feed does. Owner only; p is not kept.
func (c *Client) Datagram(p []byte, early bool) error {
	if c.session == nil || early || c.Pause() > 0 || !isPublish0(p) {
		c.b.count.datagramsDropped.Add(1)
		return nil
	}
	if c.datagrams == nil {
		c.datagrams = &Stream{c: c, id: DatagramStream, uni: true}
	}
	d := &c.datagrams.decoder
	d.Init(uint32(c.b.cfg.MaxPacketSize))
	d.SetVersion(c.version)
	err := c.take(c.datagrams, p, len(p))
	if err != nil {
		return c.datagramRefused(err)
	}
	c.b.count.datagramsIn.Add(1)
	return nil
}

// datagramRefused is nil for what is wrong with a datagram alone.
func (c *Client) datagramRefused(err error) error {
	c.b.count.datagramsDropped.Add(1)
	var wrong *StreamError
	if errors.As(err, &wrong) {
		return nil
	}
	return err
}

// DatagramLost counts a datagram of DatagramSink that has been lost. Any goroutine.
func (c *Client) DatagramLost() { c.b.count.datagramsLost.Add(1) }

// isPublish0 reports whether p is one packet, a PUBLISH with QoS 0, by its fixed header.
func isPublish0(p []byte) bool {
	if len(p) < 2 || p[0]&^retainBit != publishByte {
		return false
	}
	remaining, n := binary.Uvarint(p[1:]) // has the format of a Variable Byte Integer
	return n > 0 && uint64(len(p)-1-n) == remaining
}

// wantsDatagrams reports whether the client of a CONNECT is to get datagrams.
func (c *Client) wantsDatagrams(p *packet.Connect) bool {
	switch c.b.cfg.Datagrams {
	case DatagramsAlways:
		return true
	case DatagramsOnRequest:
		for key, value := range p.Properties.UserProperties() {
			if string(key) == DatagramProperty {
				return string(value) == DatagramQoS0
			}
		}
	}
	return false
}

// datagrams is what a Flush sends in datagrams.
type datagrams struct {
	to      DatagramSink // nil: nothing
	longest int          // in bytes
	sent    uint64
	large   uint64 // messages that did not fit
	full    uint64 // messages for which too many waited
}

// datagramsTo begins a Flush to s.
func (w *writer) datagramsTo(s Sink) {
	to, ok := s.(DatagramSink)
	if !ok {
		return
	}
	if w.datagrams.longest = to.MaxDatagram(); w.datagrams.longest > 0 {
		w.datagrams.to = to
	}
}

// datagram sends a message with QoS 0 in a datagram, without a Topic Alias. false: it
// belongs on the stream. Retained messages for a new subscription do: no later one makes
// up for one of them.
func (w *writer) datagram(o *outgoing, v packet.Version) bool {
	if w.datagrams.to == nil || o.qos > 0 || o.stored {
		return false
	}
	if o.size(v) > w.datagrams.longest {
		w.datagrams.large++
		return false
	}
	begin := len(w.buf)
	w.buf = append(o.appendHead(w.buf, v), o.m.Payload()...)
	sent := w.datagrams.to.Datagram(w.buf[begin:])
	if sent {
		w.datagrams.sent++
		w.bytes += len(w.buf) - begin
	} else {
		w.datagrams.full++
	}
	w.buf = w.buf[:begin]
	return sent
}

// count adds up at the end of a Flush.
func (d *datagrams) count(k *counters) {
	if d.sent > 0 {
		k.datagramsOut.Add(d.sent)
	}
	if d.large > 0 {
		k.datagramsTooLarge.Add(d.large)
	}
	if d.full > 0 {
		k.datagramsFull.Add(d.full)
	}
	*d = datagrams{}
}
