package conformance

import (
	"fmt"
	"sync/atomic"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	code "github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/server"
)

// The payload of CONNECT, and the return codes of CONNACK in chapters 3.1 and 3.2 of
// MQTT 3.1.1; MQTT 3.1, which has another name.

func init() {
	mqtt311(userNameField, "MQTT-3.1.2-18", "MQTT-3.1.2-19")
	mqtt311(passwordField, "MQTT-3.1.2-20", "MQTT-3.1.2-21")
	mqtt311(payloadFields, "MQTT-3.1.3-1")
	mqtt311(clientIDFirst, "MQTT-3.1.3-3")
	mqtt311(returnCodes, "MQTT-3.2.2-4", "MQTT-3.2.2-5", "MQTT-3.2.2-6")
	mqtt311(keptSession, "MQTT-3.1.2-4", "MQTT-3.1.2-5", "MQTT-3.1.4-3", "MQTT-3.2.2-2")
	mqtt311(droppedSession, "MQTT-3.1.2-6", "MQTT-3.2.2-1")
	mqtt311(sessionEndsWithConnection, "MQTT-3.1.2-6", "MQTT-4.1.0-2")
	mqtt5(sessionEndsWithConnection, "MQTT-4.1.0-2")
	mqtt311(version31, "MQTT-3.1.2-1")
}

// raw311 is a CONNECT with flags that say nothing about the payload that follows.
func (t *T) raw311(flags byte, payload ...[]byte) []byte {
	return pkt(CONNECT, str("MQTT"), raw(4, flags, 0, 0), cat(payload...))
}

// knows starts a server that wants exactly this user name and password; nil is none.
func (t *T) knows(user string, password []byte) {
	t.serve(server.Config{Handlers: server.Handlers{Connect: func(e *server.ConnectEvent) error {
		if !e.HasUsername || e.Client.Username != user || (e.Password == nil) != (password == nil) || string(e.Password) != string(password) {
			return server.Refuse(code.BadUserNameOrPassword, "")
		}
		return nil
	}}})
}

func (t *T) badCredentials(p []byte) {
	t.Helper()
	c := t.dial()
	c.write(p)
	c.connackRefused(0x04)
}

func userNameField(t *T) {
	id := str(t.id("a"))
	for _, p := range [][]byte{t.raw311(0x02, id, str("user")), t.raw311(0x82, id), t.raw311(0x82, id, raw(0)), t.raw311(0x82, id, raw(0, 5), []byte("user"))} {
		t.refusesConnect(p)
	}
	t.knows("user", nil)
	t.connect("a", username("user"))
	t.badCredentials(t.connectPacket("a"))
	t.badCredentials(t.connectPacket("a", username("")))
	t.badCredentials(t.connectPacket("a", username("user"), password("")))
}

func passwordField(t *T) {
	id := str(t.id("a"))
	for _, p := range [][]byte{
		t.raw311(0x82, id, str("user"), str("secret")), t.raw311(0xC2, id, str("user")), t.raw311(0xC2, id, str("user"), raw(0)),
		t.raw311(0xC2, id, str("user"), raw(0, 7), []byte("secret")), t.raw311(0xC2, id, str("user"), str("secret"), raw(0)),
	} {
		t.refusesConnect(p)
	}
	t.knows("user", []byte("\x00secret\xFF"))
	t.connect("a", username("user"), password("\x00secret\xFF"))
	t.badCredentials(t.connectPacket("a", username("user")))
	t.badCredentials(t.connectPacket("a", username("user"), password("")))
}

func payloadFields(t *T) {
	t.knows("user", []byte("secret"))
	credentials := []option{username("user"), password("secret")}
	watch := t.connect("watch", credentials...)
	watch.subscribe("topic", 0)
	c := t.dial()
	c.write(t.raw311(0xC4, str("id"), str("topic"), str("payload"), str("user"), str("secret")))
	assert.Equal(t, connack{}, c.expect(CONNACK).connack(t))
	c.close()
	watch.receive("topic", "payload")
	assert.EqualValues(t, 1, t.connect("", append(credentials, withID("id"), resume)...).answer.flags)
	t.badCredentials(t.raw311(0xC6, str("id"), str("topic"), str("payload"), str("secret"), str("user")))
	t.badCredentials(t.raw311(0xC6, str("id"), str("user"), str("secret"), str("topic"), str("payload")))
}

func clientIDFirst(t *T) {
	for _, p := range [][]byte{nil, raw(0), raw(0, 2, 'a')} {
		t.refusesConnect(t.raw311(0x02, p))
		t.refusesConnect(t.raw311(0x00, p))
	}
	t.refusesConnect(t.raw311(0x82, str("user"))) // that was the identifier
	c := t.dial()
	c.write(t.raw311(0x02, raw(0, 0)))
	assert.Equal(t, connack{}, c.expect(CONNACK).connack(t))
}

// returnCodes has a handler refuse with every code that 5.0 has: those of the table
// arrive, and for what fits none of them the connection ends without a CONNACK.
func returnCodes(t *T) {
	known := map[code.ReasonCode]byte{
		code.UnsupportedProtocolVersion: 1, code.ClientIdentifierNotValid: 2, code.ServerUnavailable: 3, code.ServerBusy: 3,
		code.BadUserNameOrPassword: 4, code.NotAuthorized: 5,
	}
	var reason atomic.Uint32
	t.serve(server.Config{Handlers: server.Handlers{Connect: func(e *server.ConnectEvent) error {
		if e.HasUsername {
			return nil
		}
		return server.Refuse(code.ReasonCode(reason.Load()), "")
	}}})
	t.connect("a", resume, username("user")).disconnect()
	fitting := 0
	for _, b := range connackReasons[1:] {
		reason.Store(uint32(b))
		c := t.dial()
		c.write(t.connectPacket("a", resume))
		p, err := c.read()
		if err == nil {
			fitting++
			a := p.connack(t)
			require.Zero(t, a.flags, "%02X", b)
			require.True(t, a.code >= 1 && a.code <= 5, "%02X", a.code)
			if want, ok := known[code.ReasonCode(b)]; ok {
				require.Equal(t, want, a.code, "%02X", b)
			}
			c.end()
		} else {
			require.NotContains(t, known, code.ReasonCode(b))
		}
	}
	assert.Less(t, fitting, len(connackReasons)-1, "some fit none")
	assert.EqualValues(t, 1, t.connect("a", resume, username("user")).answer.flags)
}

// keptSession: subscriptions, QoS 1 and 2 messages that came meanwhile in their order, and
// QoS 2 messages that the client has not released.
func keptSession(t *T) {
	watch := t.connect("watch")
	watch.subscribe(t.topic("once"), 0)
	publisher := t.connect("publisher")
	c := t.connect("a", resume)
	assert.Equal(t, connack{}, c.answer)
	c.subscribe(t.topic("x"), 2)
	c.write(publishPacket(4, 4, 99, t.topic("once"), "first"))
	c.expectAck(PUBREC, 99)
	watch.receive(t.topic("once"), "first")
	for _, end := range []func(){c.disconnect, func() { c.close() }, func() { c.write(raw(0xFF, 0)); c.end() }} {
		end()
		for n := range 10 {
			publisher.publish(t.topic("x"), fmt.Sprint(n), byte(1+n%2)<<1)
		}
		c = t.connect("a", resume)
		assert.Equal(t, connack{flags: 1}, c.answer)
		for n := range 10 {
			m := c.receive(t.topic("x"), fmt.Sprint(n))
			assert.EqualValues(t, 1+n%2, m.qos)
			assert.False(t, m.retain)
		}
		c.write(publishPacket(4, 0xC, 99, t.topic("once"), "first"))
		c.expectAck(PUBREC, 99)
		watch.nothing()
	}
	c.write(pkt(PUBREL, u16(99)))
	c.expectAck(PUBCOMP, 99)
}

// droppedSession: all parts of a state go, when a session begins anew and when it ends.
func droppedSession(t *T) {
	watch := t.connect("watch")
	watch.subscribe(t.topic("once"), 0)
	for _, first := range []option{resume, func(*connect) {}} {
		c := t.connect("a", first)
		c.subscribe(t.topic("x"), 2)
		watch.publish(t.topic("x"), "not acknowledged", 4)
		watch.publish(t.topic("x"), "released", 4)
		c.message()
		c.write(pkt(PUBREC, u16(int(c.message().id))))
		c.await(PUBREL)
		c.write(publishPacket(4, 4, 99, t.topic("once"), "first"))
		c.expectAck(PUBREC, 99)
		watch.receive(t.topic("once"), "first")
		c.disconnect()
		watch.publish(t.topic("x"), "waits", 2)

		c = t.connect("a")
		assert.Equal(t, connack{}, c.answer)
		watch.publish(t.topic("x"), "nobody listens", 2)
		c.nothing()
		c.write(publishPacket(4, 4, 99, t.topic("once"), "new")) // the identifier is free
		c.expectAck(PUBREC, 99)
		watch.receive(t.topic("once"), "new")
		c = t.connect("a", resume) // of this session nothing is left either: it ends with its connection
		assert.Equal(t, connack{}, c.answer)
		c.nothing()
		t.connect("a").disconnect()
	}
}

// sessionEndsWithConnection: also when another connection takes its place, which must not
// get what was meant for the first.
func sessionEndsWithConnection(t *T) {
	publisher := t.connect("b")
	for round := range 5 {
		first := t.connect("a")
		first.subscribe(t.topic("x"), 1)
		publisher.publish(t.topic("x"), "not acknowledged", 2)
		c := t.connect("a", resume)
		assert.Zero(t, c.answer.flags, "round %d", round)
		publisher.publish(t.topic("x"), "nobody listens", 2)
		c.nothing()
	}
}

// version31 runs tests with protocol name MQIsdp, level 3, where it is like 3.1.1.
func version31(t *T) {
	for _, name := range []string{"MQIsdp", "MQTT"} {
		for _, level := range []byte{0, 2, 4, 5, 3} {
			if level == 3 && name == "MQIsdp" || level > 3 && name == "MQTT" {
				continue
			}
			c := t.dial()
			c.write(pkt(CONNECT, str(name), raw(level, 2, 0, 0), str(t.id("a"))))
			c.connackRefused(0x01)
		}
	}
	for _, fn := range []func(*T){
		firstPacketIsConnect, secondConnect, droppedSession31, willSent31, willRetained, retainReplaces, emptyErasesRetained311,
		answersByQoS, qos1Sender, qos2Sender, qos2ReceiverOnce, resentInOrder, deliveryQoS, overlapHighestQoS, unsubscribeAnswers,
		everySubscriber, topicsInOrder, packetIDZero, pingAnswered, commonClientIDs,
	} {
		fn(newT(t.T, 3, t.transport))
	}
}

// droppedSession31: CONNACK has no Session Present in 3.1.
func droppedSession31(t *T) {
	c := t.connect("a", resume)
	c.subscribe(t.topic("x"), 1)
	c.disconnect()
	publisher := t.connect("b")
	publisher.publish(t.topic("x"), "waits", 2)
	c = t.connect("a", resume)
	assert.Equal(t, connack{}, c.answer)
	c.receive(t.topic("x"), "waits")
	c.disconnect()
	publisher.publish(t.topic("x"), "waits", 2)
	t.connect("a").nothing()
	c = t.dial() // an empty identifier is not allowed in 3.1
	c.write(t.connectPacket("", withID("")))
	c.connackRefused(0x02)
}

func willSent31(t *T) {
	watch := t.watch()
	t.mortal("a").close()
	watch.receive(t.topic("will"), "a")
	t.mortal("a").disconnect()
	t.connect("a").ping()
	watch.nothing()
}
