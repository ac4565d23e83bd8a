package packet

import "encoding/binary"

// Publish carries a message, from client to server and from server to client (MQTT
// 5.0 section 3.3).
//
// Decoding refuses QoS 3 [MQTT-3.3.1-4], DUP with QoS 0 [MQTT-3.3.1-2] and a topic
// that is not UTF-8 [MQTT-3.3.2-1] (MalformedPacket), wildcards in the topic
// [MQTT-3.3.2-2] (TopicNameInvalid), packet identifier 0 [MQTT-2.2.1-3], an empty
// topic without Topic Alias [MQTT-4.7.3-1] (ProtocolError), Topic Alias 0
// [MQTT-3.3.2-8] (TopicAliasInvalid). The caller looks at: Subscription Identifier
// from a client [MQTT-3.3.4-6], Topic Alias above the maximum [MQTT-3.3.2-9],
// payload format.
type Publish struct {
	// Dup tells that this may be a resend [MQTT-3.3.1-1].
	Dup bool
	// QoS is 0, 1 or 2.
	QoS byte
	// Retain asks the server to store the message [MQTT-3.3.1-5].
	Retain bool
	// Topic name. Empty in 5.0 when a Topic Alias stands for it.
	Topic []byte
	// PacketID is 0 with QoS 0 [MQTT-2.2.1-2], else not 0.
	PacketID uint16
	// Properties, 5.0 only: Payload Format Indicator, Message Expiry Interval,
	// Topic Alias, Response Topic, Correlation Data, User Property, Subscription
	// Identifier (repeatable), Content Type.
	Properties Properties
	// Payload is the application message.
	Payload []byte
}

// PUBLISH flags (MQTT 5.0 section 3.3.1).
const (
	flagRetain = 1 << 0
	shiftQoS   = 1
	flagDup    = 1 << 3
)

// Type is PUBLISH.
func (*Publish) Type() Type { return PUBLISH }

// Size is the length on the wire, payload included.
func (p *Publish) Size(v Version) int { return packetSize(p.remaining(v)) }

func (p *Publish) remaining(v Version) int {
	n := stringSize(len(p.Topic)) + len(p.Payload)
	if p.QoS > 0 {
		n += 2
	}
	if v == V50 {
		n += p.Properties.size()
	}
	return n
}

// AppendTo appends the packet. It does not allocate when dst has the capacity.
func (p *Publish) AppendTo(dst []byte, v Version) []byte {
	return append(p.AppendHead(dst, v), p.Payload...)
}

// AppendHead appends the packet without its payload. The Remaining Length counts
// p.Payload, which has to follow on the wire; so a payload can be shared.
func (p *Publish) AppendHead(dst []byte, v Version) []byte {
	dst = appendHeader(dst, PUBLISH, p.flags(), p.remaining(v))
	dst = appendString(dst, p.Topic)
	if p.QoS > 0 {
		dst = append(dst, byte(p.PacketID>>8), byte(p.PacketID))
	}
	if v == V50 {
		dst = p.Properties.appendTo(dst)
	}
	return dst
}

func (p *Publish) flags() byte {
	f := p.QoS & 3 << shiftQoS
	if p.Dup {
		f |= flagDup
	}
	if p.Retain {
		f |= flagRetain
	}
	return f
}

func (p *Publish) longest() int { return len(p.Topic) }

// parse reads the packet after the fixed header into p. The slices of p point
// into b. The flags in first have been checked.
func (p *Publish) parse(first byte, b []byte, v Version) *Error {
	topic, n := readBinary(b)
	if n == 0 {
		return malformed(reasonShort)
	}
	if !plainTopic(topic) {
		if err := checkTopicName(topic); err != nil {
			return err
		}
	}
	b = b[n:]
	p.Topic = topic
	p.Dup, p.Retain = first&flagDup != 0, first&flagRetain != 0
	p.QoS, p.PacketID = first>>shiftQoS&3, 0
	if p.QoS > 0 {
		if len(b) < 2 {
			return malformed(reasonShort)
		}
		p.PacketID = binary.BigEndian.Uint16(b)
		if p.PacketID == 0 {
			return protocolError(reasonPacketID)
		}
		b = b[2:]
	}
	p.Properties = nil
	if v == V50 {
		props, n, err := readProperties(b, PUBLISH)
		if err != nil {
			return err
		}
		p.Properties, b = props, b[n:]
	}
	p.Payload = b
	if len(topic) == 0 {
		return p.checkAlias()
	}
	return nil
}

// checkAlias refuses a packet that names its topic neither by name nor by alias.
func (p *Publish) checkAlias() *Error {
	if p.Properties.Has(TopicAlias) {
		return nil
	}
	return protocolError("empty topic name without Topic Alias [MQTT-4.7.3-1]")
}
