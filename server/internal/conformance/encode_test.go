package conformance

import "encoding/binary"

// First bytes of the packets that have fixed flags.
const (
	CONNECT     = 0x10
	CONNACK     = 0x20
	PUBLISH     = 0x30
	PUBACK      = 0x40
	PUBREC      = 0x50
	PUBREL      = 0x62
	PUBCOMP     = 0x70
	SUBSCRIBE   = 0x82
	SUBACK      = 0x90
	UNSUBSCRIBE = 0xA2
	UNSUBACK    = 0xB0
	PINGREQ     = 0xC0
	PINGRESP    = 0xD0
	DISCONNECT  = 0xE0
	AUTH        = 0xF0
)

// Identifiers of properties (MQTT 5.0 section 2.2.2.2).
const (
	payloadFormat       = 0x01
	messageExpiry       = 0x02
	contentType         = 0x03
	responseTopic       = 0x08
	correlationData     = 0x09
	subscriptionID      = 0x0B
	sessionExpiry       = 0x11
	assignedClientID    = 0x12
	serverKeepAlive     = 0x13
	authMethod          = 0x15
	authData            = 0x16
	requestProblemInfo  = 0x17
	willDelay           = 0x18
	requestResponseInfo = 0x19
	responseInfo        = 0x1A
	serverReference     = 0x1C
	reasonString        = 0x1F
	receiveMaximum      = 0x21
	topicAliasMaximum   = 0x22
	topicAlias          = 0x23
	maximumQoS          = 0x24
	retainAvailable     = 0x25
	userProperty        = 0x26
	maximumPacketSize   = 0x27
	wildcardAvailable   = 0x28
	subIDAvailable      = 0x29
	sharedAvailable     = 0x2A
)

func raw(b ...byte) []byte { return b }

func cat(parts ...[]byte) (b []byte) {
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

func u16(n int) []byte { return binary.BigEndian.AppendUint16(nil, uint16(n)) }
func u32(n int) []byte { return binary.BigEndian.AppendUint32(nil, uint32(n)) }

// str is a string or binary data with its two byte length.
func str(s string) []byte { return append(u16(len(s)), s...) }

// vbi is a variable byte integer in its shortest form.
func vbi(n int) (b []byte) {
	for ; n > 127; n >>= 7 {
		b = append(b, byte(n&127|128))
	}
	return append(b, byte(n))
}

// pkt is a packet: first byte, Remaining Length, parts.
func pkt(first byte, parts ...[]byte) []byte {
	body := cat(parts...)
	return cat(raw(first), vbi(len(body)), body)
}

// props is a list of properties with its Property Length.
func props(list ...[]byte) []byte {
	b := cat(list...)
	return cat(vbi(len(b)), b)
}

// prop is one property; value is encoded by u16, str and so on.
func prop(id byte, value []byte) []byte { return append([]byte{id}, value...) }

// user is a User Property.
func user(key, value string) []byte { return prop(userProperty, cat(str(key), str(value))) }

// connect is a CONNECT packet.
type connect struct {
	version   byte // 3, 4 or 5
	flags     byte // Clean Start, user name and password
	keepAlive int
	props     [][]byte
	id        string
	will      *will
	username  string // with flag 0x80
	password  string // with flag 0x40
}

// will is the will of a CONNECT.
type will struct {
	topic, payload string
	qos            byte
	retain         bool
	props          [][]byte
}

func (c *connect) encode() []byte {
	name := "MQTT"
	if c.version == 3 {
		name = "MQIsdp"
	}
	flags := c.flags
	var tail []byte
	if w := c.will; w != nil {
		flags |= 0x04 | w.qos<<3
		if w.retain {
			flags |= 0x20
		}
		if c.version == 5 {
			tail = props(w.props...)
		}
		tail = cat(tail, str(w.topic), str(w.payload))
	}
	if flags&0x80 != 0 {
		tail = cat(tail, str(c.username))
	}
	if flags&0x40 != 0 {
		tail = cat(tail, str(c.password))
	}
	var list []byte
	if c.version == 5 {
		list = props(c.props...)
	}
	return pkt(CONNECT, str(name), raw(c.version, flags), u16(c.keepAlive), list, str(c.id), tail)
}

// option changes a CONNECT, which has Clean Start 1 and no keep alive otherwise.
type option func(*connect)

// resume is Clean Start 0 (3.1.1: CleanSession 0).
func resume(c *connect) { c.flags &^= 0x02 }

func keepAlive(seconds int) option { return func(c *connect) { c.keepAlive = seconds } }

// with adds properties to the CONNECT.
func with(list ...[]byte) option { return func(c *connect) { c.props = append(c.props, list...) } }

// expiry is a Session Expiry Interval in seconds; in 3.1.1, where there is none, a session
// that is kept has CleanSession 0.
func expiry(seconds int) option {
	return func(c *connect) {
		if c.version == 5 {
			with(prop(sessionExpiry, u32(seconds)))(c)
		} else if seconds > 0 {
			resume(c)
		}
	}
}

func withWill(w will) option { return func(c *connect) { c.will = &w } }

func username(s string) option {
	return func(c *connect) { c.username, c.flags = s, c.flags|0x80 }
}

func password(s string) option {
	return func(c *connect) { c.password, c.flags = s, c.flags|0x40 }
}

// withID sets the client identifier as it stands.
func withID(id string) option { return func(c *connect) { c.id = id } }

// publishPacket is a PUBLISH of a version; flags are DUP 8, QoS 2 and 4, RETAIN 1. id
// counts with QoS 1 and 2, list in 5.0.
func publishPacket(version, flags byte, id int, topic, payload string, list ...[]byte) []byte {
	b := str(topic)
	if flags&6 != 0 {
		b = append(b, u16(id)...)
	}
	if version == 5 {
		b = append(b, props(list...)...)
	}
	return pkt(PUBLISH|flags, b, []byte(payload))
}

// subscribePacket is a SUBSCRIBE; filters are made by filter.
func subscribePacket(version byte, id int, list [][]byte, filters ...[]byte) []byte {
	b := u16(id)
	if version == 5 {
		b = append(b, props(list...)...)
	}
	return pkt(SUBSCRIBE, b, cat(filters...))
}

// filter is a Topic Filter with its options: QoS, No Local 4, Retain As Published 8,
// Retain Handling 16 and 32.
func filter(name string, options byte) []byte { return append(str(name), options) }

// unsubscribePacket is an UNSUBSCRIBE.
func unsubscribePacket(version byte, id int, filters ...string) []byte {
	b := u16(id)
	if version == 5 {
		b = append(b, 0)
	}
	for _, f := range filters {
		b = append(b, str(f)...)
	}
	return pkt(UNSUBSCRIBE, b)
}
