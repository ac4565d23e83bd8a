package conformance

import (
	"encoding/binary"
	"fmt"
	"unicode/utf8"
)

// packet is what was read: first byte and the bytes after the Remaining Length.
type packet struct {
	first byte
	body  []byte
}

func (p packet) String() string {
	return fmt.Sprintf("%s %02X [% X]", typeName(p.first), p.first, p.body)
}

func typeName(first byte) string {
	return [...]string{
		"type 0", "CONNECT", "CONNACK", "PUBLISH", "PUBACK", "PUBREC", "PUBREL", "PUBCOMP", "SUBSCRIBE",
		"SUBACK", "UNSUBSCRIBE", "UNSUBACK", "PINGREQ", "PINGRESP", "DISCONNECT", "AUTH",
	}[first>>4]
}

// cursor reads fields. It fails the test when the packet is not well-formed.
type cursor struct {
	t *T
	p packet
	b []byte // what is left
}

func (p packet) cursor(t *T) *cursor { return &cursor{t: t, p: p, b: p.body} }

func (c *cursor) take(n int) []byte {
	c.t.Helper()
	if len(c.b) < n {
		c.t.Fatalf("the server sent a packet that ends inside a field: %s", c.p)
	}
	b := c.b[:n]
	c.b = c.b[n:]
	return b
}

func (c *cursor) u8() byte    { return c.take(1)[0] }
func (c *cursor) u16() uint16 { return binary.BigEndian.Uint16(c.take(2)) }
func (c *cursor) u32() uint32 { return binary.BigEndian.Uint32(c.take(4)) }

func (c *cursor) binary() string { return string(c.take(int(c.u16()))) }

func (c *cursor) str() string {
	s := c.binary()
	if !utf8.ValidString(s) {
		c.t.Fatalf("the server sent a string that is not UTF-8: %s", c.p)
	}
	return s
}

func (c *cursor) vbi() (n int) {
	for shift := 0; shift < 28; shift += 7 {
		b := c.u8()
		n |= int(b&127) << shift
		if b < 128 {
			if b == 0 && shift > 0 {
				c.t.Fatalf("the server sent a variable byte integer that is too long: %s", c.p)
			}
			return n
		}
	}
	c.t.Fatalf("the server sent a variable byte integer of more than four bytes: %s", c.p)
	return 0
}

// end makes sure that nothing is left.
func (c *cursor) end() {
	if len(c.b) > 0 {
		c.t.Fatalf("the server sent a packet with bytes after its end: %s", c.p)
	}
}

// property is one property: number for integers, text for strings and binary data, key
// besides for user properties.
type property struct {
	id        byte
	number    uint32
	key, text string
}

type properties []property

func (c *cursor) properties() (list properties) {
	inner := &cursor{t: c.t, p: c.p, b: c.take(c.vbi())}
	for len(inner.b) > 0 {
		list = append(list, inner.property())
	}
	return list
}

func (c *cursor) property() property {
	p := property{id: c.u8()}
	switch p.id {
	case payloadFormat, requestProblemInfo, requestResponseInfo, maximumQoS, retainAvailable, wildcardAvailable, subIDAvailable, sharedAvailable:
		p.number = uint32(c.u8())
	case serverKeepAlive, receiveMaximum, topicAliasMaximum, topicAlias:
		p.number = uint32(c.u16())
	case messageExpiry, sessionExpiry, willDelay, maximumPacketSize:
		p.number = c.u32()
	case subscriptionID:
		p.number = uint32(c.vbi())
	case correlationData, authData:
		p.text = c.binary()
	case userProperty:
		p.key, p.text = c.str(), c.str()
	case contentType, responseTopic, assignedClientID, authMethod, responseInfo, serverReference, reasonString:
		p.text = c.str()
	default:
		c.t.Fatalf("the server sent an unknown property %02X: %s", p.id, c.p)
	}
	return p
}

// all gives the properties of one kind in their order.
func (list properties) all(id byte) (found properties) {
	for _, p := range list {
		if p.id == id {
			found = append(found, p)
		}
	}
	return found
}

func (list properties) has(id byte) bool { return len(list.all(id)) > 0 }

// number gives a property, or absent.
func (list properties) number(id byte, absent uint32) uint32 {
	if found := list.all(id); len(found) > 0 {
		return found[0].number
	}
	return absent
}

// text gives a property, "" when there is none.
func (list properties) text(id byte) string {
	if found := list.all(id); len(found) > 0 {
		return found[0].text
	}
	return ""
}

// pairs are the user properties as "key=value".
func (list properties) pairs() (pairs []string) {
	for _, p := range list.all(userProperty) {
		pairs = append(pairs, p.key+"="+p.text)
	}
	return pairs
}

type connack struct {
	flags, code byte
	props       properties
}

func (p packet) connack(t *T) (a connack) {
	t.Helper()
	c := p.cursor(t)
	a.flags, a.code = c.u8(), c.u8()
	if t.version == 5 {
		a.props = c.properties()
	}
	c.end()
	return a
}

type publish struct {
	dup, retain    bool
	qos            byte
	topic, payload string
	id             uint16
	props          properties
}

func (p packet) publish(t *T) (m publish) {
	t.Helper()
	c := p.cursor(t)
	m.dup, m.retain, m.qos = p.first&8 != 0, p.first&1 != 0, p.first>>1&3
	m.topic = c.str()
	if m.qos > 0 {
		m.id = c.u16()
	}
	if t.version == 5 {
		m.props = c.properties()
	}
	m.payload = string(c.b)
	return m
}

// ack is a PUBACK, PUBREC, PUBREL or PUBCOMP.
type ack struct {
	id    uint16
	code  byte
	props properties
}

func (p packet) ack(t *T) (a ack) {
	t.Helper()
	c := p.cursor(t)
	a.id = c.u16()
	if t.version == 5 && len(c.b) > 0 {
		a.code = c.u8()
	}
	if t.version == 5 && len(c.b) > 0 {
		a.props = c.properties()
	}
	c.end()
	return a
}

// suback is a SUBACK, or an UNSUBACK, which has no codes in 3.1.1.
type suback struct {
	id    uint16
	props properties
	codes []byte
}

func (p packet) suback(t *T) (a suback) {
	t.Helper()
	c := p.cursor(t)
	a.id = c.u16()
	if t.version == 5 {
		a.props = c.properties()
	}
	a.codes = c.b
	return a
}

// disconnect is a DISCONNECT or an AUTH.
type disconnect struct {
	code  byte
	props properties
}

func (p packet) disconnect(t *T) (d disconnect) {
	t.Helper()
	c := p.cursor(t)
	if len(c.b) > 0 {
		d.code = c.u8()
	}
	if len(c.b) > 0 {
		d.props = c.properties()
	}
	c.end()
	return d
}
