package conformance

import (
	"bytes"
	"fmt"
)

// connect opens a connection and an MQTT session with a client identifier of this test:
// Clean Start 1 and no keep alive unless the options say otherwise.
func (t *T) connect(name string, options ...option) *client {
	t.Helper()
	c := t.tryConnect(name, options...)
	if c.answer.code != 0 {
		t.Fatalf("CONNACK 0x%02X", c.answer.code)
	}
	return c
}

// tryConnect is connect with any CONNACK: client.answer.
func (t *T) tryConnect(name string, options ...option) *client {
	t.Helper()
	c := t.dial()
	c.write(t.connectPacket(name, options...))
	c.answer = c.expect(CONNACK).connack(t)
	c.id = t.id(name)
	return c
}

// connectPacket is the CONNECT of connect.
func (t *T) connectPacket(name string, options ...option) []byte {
	p := connect{version: t.version, flags: 0x02, id: t.id(name)}
	for _, o := range options {
		o(&p)
	}
	return p.encode()
}

// connackRefused waits for a CONNACK with one of the codes, then for the end of the
// connection.
func (c *client) connackRefused(codes ...byte) {
	c.t.Helper()
	a := c.expect(CONNACK).connack(c.t)
	if bytes.IndexByte(codes, a.code) < 0 {
		c.t.Fatalf("CONNACK 0x%02X, not 0x% X", a.code, codes)
	}
	if a.flags != 0 { // [MQTT-3.2.2-6]
		c.t.Fatalf("refusing CONNACK with flags 0x%02X", a.flags)
	}
	c.end()
}

// refused waits for the end of the connection, which in 5.0 a DISCONNECT with one of the
// codes announces, and in 3.1.1 nothing.
func (c *client) refused(codes ...byte) {
	c.t.Helper()
	if c.t.version == 5 {
		d := c.expect(DISCONNECT).disconnect(c.t)
		if bytes.IndexByte(codes, d.code) < 0 {
			c.t.Fatalf("DISCONNECT 0x%02X, not 0x% X", d.code, codes)
		}
	}
	c.end()
}

// nextID is a packet identifier that the client has not used.
func (c *client) nextID() int {
	c.lastID++
	return c.lastID
}

// ping waits until the server has handled everything that was sent before. Messages for
// the client may come later all the same: see nothing.
func (c *client) ping() {
	c.t.Helper()
	c.write(raw(PINGREQ, 0))
	c.await(PINGRESP)
}

// subscribe subscribes to one filter with options (see filter) and properties, and waits
// for the SUBACK, which must grant the QoS.
func (c *client) subscribe(name string, options byte, list ...[]byte) {
	c.t.Helper()
	id := c.nextID()
	c.write(subscribePacket(c.t.version, id, list, filter(name, options)))
	a := c.await(SUBACK).suback(c.t)
	if int(a.id) != id || !bytes.Equal(a.codes, []byte{options & 3}) {
		c.t.Fatalf("SUBACK %d % X for SUBSCRIBE %d", a.id, a.codes, id)
	}
}

// unsubscribe takes subscriptions away and waits for the UNSUBACK.
func (c *client) unsubscribe(filters ...string) suback {
	c.t.Helper()
	id := c.nextID()
	c.write(unsubscribePacket(c.t.version, id, filters...))
	a := c.await(UNSUBACK).suback(c.t)
	if int(a.id) != id {
		c.t.Fatalf("UNSUBACK %d for UNSUBSCRIBE %d", a.id, id)
	}
	return a
}

// publish sends a message and does the sender's part of its QoS (flags: QoS<<1, RETAIN 1,
// DUP 8). When it returns the server has handed the message to all subscribers. What the
// client itself gets meanwhile can be read afterwards.
func (c *client) publish(topic, payload string, flags byte, list ...[]byte) {
	c.t.Helper()
	id := 0
	if flags&6 != 0 {
		id = c.nextID()
	}
	c.write(publishPacket(c.t.version, flags, id, topic, payload, list...))
	switch flags >> 1 & 3 {
	case 0:
		c.ping()
	case 1:
		c.expectAck(PUBACK, id)
	case 2:
		c.expectAck(PUBREC, id)
		c.write(pkt(PUBREL, u16(id)))
		c.expectAck(PUBCOMP, id)
	}
}

// expectAck waits for an acknowledgement that is no failure.
func (c *client) expectAck(first byte, id int) ack {
	c.t.Helper()
	a := c.await(first).ack(c.t)
	if int(a.id) != id || a.code >= 0x80 {
		c.t.Fatalf("%s %d 0x%02X, not for %d", typeName(first), a.id, a.code, id)
	}
	return a
}

// message gives the next packet, which must be a PUBLISH. It is not acknowledged.
func (c *client) message() publish {
	c.t.Helper()
	return c.expect(PUBLISH).publish(c.t)
}

// receive waits for a PUBLISH with this topic and payload and does the receiver's part
// of its QoS.
func (c *client) receive(topic, payload string) publish {
	c.t.Helper()
	m := c.message()
	if m.topic != topic || m.payload != payload {
		c.t.Fatalf("got %.80q %.80q, not %.80q %.80q", m.topic, m.payload, topic, payload)
	}
	c.acknowledge(m)
	return m
}

// acknowledge does the receiver's part of a QoS.
func (c *client) acknowledge(m publish) {
	c.t.Helper()
	switch m.qos {
	case 1:
		c.write(pkt(PUBACK, u16(int(m.id))))
	case 2:
		c.write(pkt(PUBREC, u16(int(m.id))))
		c.expectAck(PUBREL, int(m.id))
		c.write(pkt(PUBCOMP, u16(int(m.id))))
	}
}

// fence gives everything that the server has for the client: it sends a QoS 0 message to
// itself, which comes after all that was queued before, and reads until it is there.
func (c *client) fence() (before []packet) {
	c.t.Helper()
	if c.marker == "" {
		c.marker = fmt.Sprint("fence/", c.t.next()) // matches no filter of t.topic
		c.write(subscribePacket(c.t.version, 0xFFFF, nil, filter(c.marker, 0)))
	}
	c.fences++
	want := fmt.Sprint("fence ", c.fences)
	// The first PINGRESP tells that the server has had a turn to send what it had.
	c.write(raw(PINGREQ, 0), publishPacket(c.t.version, 0, 0, c.marker, want))
	for {
		p := c.next()
		switch {
		case p.first == PUBLISH && p.publish(c.t).topic == c.marker:
			if got := p.publish(c.t).payload; got != want {
				c.t.Fatalf("the marker is %q, not %q", got, want)
			}
			return before
		case p.first == SUBACK && p.suback(c.t).id == 0xFFFF, p.first == PINGRESP:
		default:
			before = append(before, p)
		}
	}
}

// nothing makes sure that the server has nothing for the client.
func (c *client) nothing() {
	c.t.Helper()
	if before := c.fence(); len(before) > 0 {
		c.t.Fatalf("got %s, not nothing", before)
	}
}

// disconnect ends the session in order.
func (c *client) disconnect() {
	c.t.Helper()
	c.write(raw(DISCONNECT, 0))
	c.end()
}

// refuses makes sure that the server ends the connection of a connected client that
// sends p: see client.refused.
func (t *T) refuses(p []byte, codes ...byte) {
	t.Helper()
	c := t.connect(fmt.Sprint("refused", t.next()))
	c.write(p)
	c.refused(codes...)
}

// refusesConnect makes sure that the server ends the connection of a client that begins
// with p. In 5.0 a CONNACK with one of the codes comes before.
func (t *T) refusesConnect(p []byte, codes ...byte) {
	t.Helper()
	c := t.dial()
	c.write(p)
	if t.version == 5 {
		c.connackRefused(codes...)
	} else {
		c.end()
	}
}
