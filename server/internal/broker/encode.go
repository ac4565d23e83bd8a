package broker

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// Bits of the first byte of a PUBLISH (MQTT 5.0 section 3.3.1).
const (
	publishByte = byte(packet.PUBLISH) << 4
	dupBit      = 1 << 3
	qosShift    = 1
	retainBit   = 1 << 0
)

// expirySize is the size of a Message Expiry Interval property.
const expirySize = 5

// outgoing is a packet towards a client that Flush is about to write: a PUBLISH, or
// the PUBREL of a resumed session when m is nil.
type outgoing struct {
	delivery
	id      uint16
	dup     bool
	expiry  uint32 // seconds that are left; only when expires is set
	expires bool
	alias   uint16 // Topic Alias, 0 = none
	known   bool   // the client knows what alias means: no Topic Name
}

// setExpiry computes what is left of the Message Expiry Interval: the received value
// less the whole seconds spent here [MQTT-3.3.2-6].
func (o *outgoing) setExpiry(now int64) {
	if o.m.expires == 0 {
		return
	}
	left := max(o.m.expires-now, 0)
	seconds := (left + int64(time.Second) - 1) / int64(time.Second)
	o.expires, o.expiry = true, uint32(min(seconds, math.MaxUint32))
}

// propertiesSize is the length of the property block of a 5.0 PUBLISH.
func (d *delivery) propertiesSize() int {
	n := len(d.ids) + d.m.payload - d.m.props
	if d.m.expires != 0 {
		n += expirySize
	}
	return n
}

// propertiesSize counts the alias too.
func (o *outgoing) propertiesSize() int {
	n := o.delivery.propertiesSize()
	if o.alias != 0 {
		n += aliasSize
	}
	return n
}

// remaining is the Remaining Length of the PUBLISH without an alias.
func (d *delivery) remaining(v packet.Version) int {
	return d.remainingWith(v, d.m.topic, d.propertiesSize())
}

// remaining is the Remaining Length of the PUBLISH.
func (o *outgoing) remaining(v packet.Version) int {
	name := o.m.topic
	if o.known {
		name = 2
	}
	return o.remainingWith(v, name, o.propertiesSize())
}

// remainingWith is the Remaining Length for a Topic Name and properties of these sizes.
func (d *delivery) remainingWith(v packet.Version, name, props int) int {
	n := name + len(d.m.buf) - d.m.payload
	if d.qos > 0 {
		n += 2
	}
	if v == packet.V50 {
		n += packet.VariableByteIntegerSize(props) + props
	}
	return n
}

// size is the length of the PUBLISH on the wire.
func (d *delivery) size(v packet.Version) int {
	n := d.remaining(v)
	return 1 + packet.VariableByteIntegerSize(n) + n
}

// appendHead appends the PUBLISH without its payload.
func (o *outgoing) appendHead(dst []byte, v packet.Version) []byte {
	m := o.m
	first := publishByte | o.qos<<qosShift
	if o.dup {
		first |= dupBit
	}
	if o.retain && (v == packet.V50 || !o.live) { // [MQTT-3.3.1-9, 3.1.1]
		first |= retainBit
	}
	dst = packet.AppendVariableByteInteger(append(dst, first), o.remaining(v))
	if o.known {
		dst = append(dst, 0, 0)
	} else {
		dst = append(dst, m.buf[:m.topic]...)
	}
	if o.qos > 0 {
		dst = append(dst, byte(o.id>>8), byte(o.id))
	}
	if v != packet.V50 {
		return dst
	}
	if !o.expires && len(o.ids) == 0 && o.alias == 0 {
		return append(dst, m.buf[m.topic:m.payload]...)
	}
	dst = packet.AppendVariableByteInteger(dst, o.propertiesSize())
	if o.expires {
		dst = append(dst, byte(packet.MessageExpiryInterval))
		dst = binary.BigEndian.AppendUint32(dst, o.expiry)
	}
	if o.alias != 0 {
		dst = append(dst, byte(packet.TopicAlias), byte(o.alias>>8), byte(o.alias))
	}
	dst = append(dst, o.ids...)
	return append(dst, m.buf[m.props:m.payload]...)
}

// appendAck appends a PUBACK, PUBREC, PUBREL or PUBCOMP without properties.
func appendAck(dst []byte, t packet.Type, id uint16, code packet.ReasonCode) []byte {
	first := byte(t) << 4
	if t == packet.PUBREL {
		first |= 2
	}
	if code == packet.Success {
		return append(dst, first, 2, byte(id>>8), byte(id))
	}
	return append(dst, first, 3, byte(id>>8), byte(id), byte(code))
}
