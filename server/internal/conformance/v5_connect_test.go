package conformance

import (
	"fmt"
	"strings"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	code "github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/server"
)

// Chapter 3.1 of MQTT 5.0: CONNECT, but for its will and its limits.

func init() {
	mqtt5(firstPacketIsConnect, "MQTT-3.1.0-1")
	mqtt5(secondConnect, "MQTT-3.1.0-2", "MQTT-3.2.0-2")
	mqtt5(protocolName, "MQTT-3.1.2-1")
	mqtt5(protocolVersion, "MQTT-3.1.2-2")
	mqtt5(reservedConnectFlag, "MQTT-3.1.2-3")
	mqtt5(cleanStartDropsSession, "MQTT-3.1.2-4", "MQTT-3.1.4-4", "MQTT-3.2.2-2")
	mqtt5(sessionContinues, "MQTT-3.1.2-5", "MQTT-3.1.2-23", "MQTT-3.1.4-4", "MQTT-3.2.2-3")
	mqtt5(newSessionWithoutCleanStart, "MQTT-3.1.2-6", "MQTT-3.2.2-3")
	mqtt5(userNameFlag, "MQTT-3.1.2-16", "MQTT-3.1.2-17")
	mqtt5(passwordFlag, "MQTT-3.1.2-18", "MQTT-3.1.2-19")
	mqtt5(keepAliveEnds, "MQTT-3.1.2-22", "MQTT-3.2.2-22")
	mqtt5(payloadOrder, "MQTT-3.1.3-1")
	mqtt5(sessionsBelongToIDs, "MQTT-3.1.3-2")
	mqtt5(clientIDPresent, "MQTT-3.1.3-3")
	mqtt5(clientIDNotUTF8, "MQTT-3.1.3-4")
	mqtt5(commonClientIDs, "MQTT-3.1.3-5")
	mqtt5(assignedID, "MQTT-3.1.3-6", "MQTT-3.1.3-7", "MQTT-3.2.2-16")
	mqtt5(clientIDRefused, "MQTT-3.1.3-8")
	mqtt5(userNameNotUTF8, "MQTT-3.1.3-12")
	mqtt5(malformedConnect, "MQTT-3.1.4-1")
	mqtt5(credentialsRefused, "MQTT-3.1.4-2")
	mqtt5(takeover, "MQTT-3.1.4-3")
	mqtt5(connackAccepts, "MQTT-3.1.4-5")
	mqtt5(nothingAfterRefusal, "MQTT-3.1.4-6")
}

func firstPacketIsConnect(t *T) {
	watch := t.connect("watch")
	watch.subscribe(t.topic("#"), 0)
	for _, p := range [][]byte{
		publishPacket(t.version, 0, 0, t.topic("x"), ""), subscribePacket(t.version, 1, nil, filter(t.topic("#"), 0)),
		unsubscribePacket(t.version, 1, "a"), pkt(PINGREQ), pkt(PINGRESP), pkt(DISCONNECT), pkt(PUBACK, u16(1)), pkt(PUBREL, u16(1)),
		pkt(CONNACK, raw(0, 0, 0)), pkt(AUTH),
	} {
		c := t.dial()
		c.tryWrite(p, t.connectPacket("late"))
		c.end()
	}
	watch.nothing()
}

func secondConnect(t *T) {
	c := t.connect("a")
	c.write(t.connectPacket("a"))
	c.refused(0x82)

	c = t.dial() // both in one go
	c.write(t.connectPacket("a"), t.connectPacket("b"))
	assert.Zero(t, c.expect(CONNACK).connack(t).code)
	c.refused(0x82)
}

// notServed expects that the server ends the connection, whatever format of CONNACK it
// takes to tell that it does not know the protocol.
func (c *client) notServed() {
	c.t.Helper()
	p, err := c.read()
	if err == nil {
		require.EqualValues(c.t, CONNACK, p.first, "%s", p)
		require.Zero(c.t, p.body[0])
		require.Contains(c.t, raw(0x01, 0x84), p.body[1], "%s", p)
		c.end()
	}
}

func protocolName(t *T) {
	for _, name := range []string{"", "M", "MQT", "mqtt", "MQTt", "MQTT\x00", "MQTTX", "MQIsdp", "HTTP"} {
		c := t.dial()
		c.write(pkt(CONNECT, str(name), raw(5, 2, 0, 0), props(), str(t.id("a"))))
		c.notServed()
	}
}

func protocolVersion(t *T) {
	for _, version := range []byte{0, 1, 2, 6, 7, 127, 128, 0x85, 255} {
		c := t.dial()
		c.write(pkt(CONNECT, str("MQTT"), raw(version, 2, 0, 0), props(), str(t.id("a"))))
		if version == 6 {
			c.connackRefused(0x84)
		} else {
			c.notServed()
		}
	}
}

func reservedConnectFlag(t *T) {
	t.refusesConnect(t.connectPacket("a", func(c *connect) { c.flags |= 1 }), 0x81)
}

// stored leaves a session with a subscription for "x", a message that waits and a QoS 2
// message that the client has not released.
func (t *T) stored(name string) {
	c := t.connect(name, expiry(60))
	c.subscribe(t.topic("x"), 1)
	c.write(publishPacket(t.version, 4, 99, t.topic("once"), "first"))
	c.expectAck(PUBREC, 99)
	c.disconnect()
	t.connect(name+"publisher").publish(t.topic("x"), "waited", 2)
}

func cleanStartDropsSession(t *T) {
	t.stored("a")
	watch := t.connect("watch")
	watch.subscribe(t.topic("once"), 0)
	c := t.connect("a", expiry(60))
	assert.Zero(t, c.answer.flags)
	c.write(pkt(PUBREL, u16(99)))
	assert.Equal(t, ack{id: 99, code: 0x92}, c.expect(PUBCOMP).ack(t))
	watch.publish(t.topic("x"), "after", 2)
	c.nothing()
	c.write(publishPacket(t.version, 4, 99, t.topic("once"), "new"))
	c.expectAck(PUBREC, 99)
	watch.receive(t.topic("once"), "new")
	c.disconnect()

	c = t.connect("a", resume) // it was a session of its own
	assert.EqualValues(t, 1, c.answer.flags)
	c = t.connect("a") // and ends again
	assert.Zero(t, c.answer.flags)
}

func sessionContinues(t *T) {
	t.stored("a")
	watch := t.connect("watch")
	watch.subscribe(t.topic("once"), 0)
	c := t.connect("a", resume, expiry(60))
	assert.Equal(t, connack{flags: 1, props: c.answer.props}, c.answer)
	c.receive(t.topic("x"), "waited")
	watch.publish(t.topic("x"), "after", 2)
	c.receive(t.topic("x"), "after")
	c.write(publishPacket(t.version, 0xC, 99, t.topic("once"), "first"))
	c.expectAck(PUBREC, 99)
	c.write(pkt(PUBREL, u16(99)))
	assert.Equal(t, ack{id: 99}, c.expect(PUBCOMP).ack(t))
	watch.nothing()

	c.close() // lost without DISCONNECT
	c = t.connect("a", resume)
	assert.EqualValues(t, 1, c.answer.flags)
	c.publish(t.topic("x"), "still", 4)
	c.receive(t.topic("x"), "still")
	c.disconnect() // now without expiry
	assert.Zero(t, t.connect("a", resume).answer.flags)
}

func newSessionWithoutCleanStart(t *T) {
	c := t.connect("a", resume, expiry(60))
	assert.Equal(t, connack{props: c.answer.props}, c.answer)
	c.subscribe(t.topic("x"), 1)
	c.publish(t.topic("x"), "here", 4)
	c.receive(t.topic("x"), "here")
	c.disconnect()
	c = t.connect("a", resume)
	assert.EqualValues(t, 1, c.answer.flags)
}

// credentials starts a server that wants the user "user" with the password "secret".
func (t *T) credentials(more server.Config) {
	more.Handlers.Connect = func(e *server.ConnectEvent) error {
		if e.Client.Username != "user" || string(e.Password) != "secret" {
			return server.Refuse(code.BadUserNameOrPassword, "")
		}
		return nil
	}
	t.serve(more)
}

func userNameFlag(t *T) {
	field := func(flags byte, tail ...[]byte) []byte {
		return pkt(CONNECT, str("MQTT"), raw(5, flags, 0, 0), props(), str(t.id("a")), cat(tail...))
	}
	t.refusesConnect(field(0x02, str("user")), 0x81)
	t.refusesConnect(field(0x82), 0x81)
	t.refusesConnect(field(0xC2, str("user")), 0x81)
	t.refusesConnect(field(0x82, raw(0)), 0x81)
	t.refusesConnect(field(0x82, raw(0, 5), []byte("user")), 0x81)
	t.serve(server.Config{Handlers: server.Handlers{Connect: func(e *server.ConnectEvent) error {
		if !e.HasUsername || e.Client.Username != "user" || e.Password != nil {
			return server.Refuse(code.BadUserNameOrPassword, "")
		}
		return nil
	}}})
	t.connect("a", username("user"))
	t.refusesConnect(t.connectPacket("a"), 0x86)
	t.refusesConnect(t.connectPacket("a", password("user")), 0x86)
}

func passwordFlag(t *T) {
	field := func(flags byte, tail ...[]byte) []byte {
		return pkt(CONNECT, str("MQTT"), raw(5, flags, 0, 0), props(), str(t.id("a")), cat(tail...))
	}
	t.refusesConnect(field(0x82, str("user"), str("secret")), 0x81)
	t.refusesConnect(field(0x42), 0x81)
	t.refusesConnect(field(0xC2, str("user")), 0x81)
	t.refusesConnect(field(0xC2, str("user"), raw(0, 7), []byte("secret")), 0x81)
	t.serve(server.Config{Handlers: server.Handlers{Connect: func(e *server.ConnectEvent) error {
		if e.HasUsername || string(e.Password) != "\x00secret\xFF" {
			return server.Refuse(code.BadUserNameOrPassword, "")
		}
		return nil
	}}})
	t.connect("a", password("\x00secret\xFF")) // without a user name, and it is binary
	t.refusesConnect(t.connectPacket("a"), 0x86)
	t.refusesConnect(t.connectPacket("a", username("secret")), 0x86)
}

// keepAliveEnds measures one and a half intervals, from the last packet: of a second, or
// longer ones where the machine is too busy for those.
func keepAliveEnds(t *T) {
	watch := t.connect("watch")
	watch.subscribe(t.topic("will"), 0)
	off, long := t.connect("off"), t.connect("long", keepAlive(65535))
	var c *client
	var last time.Time
	var interval time.Duration
	for attempt, alive := 0, false; !alive; attempt++ {
		require.Less(t, attempt, 10, "this machine is too busy")
		begin, seconds := time.Now(), 1+attempt/2
		interval = time.Duration(seconds) * time.Second
		c = t.connect("a", keepAlive(seconds), withWill(will{topic: t.topic("will"), payload: fmt.Sprint(attempt)}))
		assert.False(t, c.answer.props.has(serverKeepAlive))
		if last, alive = c.keptAlive(begin, interval); !alive {
			c.close()
			watch.receive(t.topic("will"), fmt.Sprint(attempt))
		}
	}
	c.refused(0x8D)
	took := time.Since(last)
	assert.Greater(t, took, interval*14/10)
	assert.Less(t, took, patience)
	watch.message()
	off.ping()
	long.ping()
}

// keptAlive pings for twice the keep alive, which is interval, and gives the time of the
// last ping. last is the time of the packet before. false: it was not done in time.
func (c *client) keptAlive(last time.Time, interval time.Duration) (time.Time, bool) {
	for range 4 {
		time.Sleep(interval / 2) // the pace of a client that is alive
		before := last
		last = time.Now()
		c.tryWrite(raw(PINGREQ, 0))
		p, err := c.read()
		if time.Since(before) > interval*14/10 {
			return last, false
		}
		require.NoError(c.t, err)
		require.Equal(c.t, packet{PINGRESP, []byte{}}, p)
	}
	return last, true
}

func payloadOrder(t *T) {
	t.credentials(server.Config{})
	watch := t.connect("watch", username("user"), password("secret"))
	watch.subscribe("topic", 0)
	c := t.dial()
	c.write(pkt(CONNECT, str("MQTT"), raw(5, 0xC6, 0, 0), props(prop(sessionExpiry, u32(60))),
		str("id"), props(prop(contentType, str("type"))), str("topic"), str("payload"), str("user"), str("secret")))
	assert.Zero(t, c.expect(CONNACK).connack(t).code)
	c.close()
	m := watch.receive("topic", "payload")
	assert.Equal(t, "type", m.props.text(contentType))
	again := t.connect("", withID("id"), resume, username("user"), password("secret"))
	assert.EqualValues(t, 1, again.answer.flags)
}

func sessionsBelongToIDs(t *T) {
	t.stored("a")
	for _, other := range []string{"A", "aa", "", " a", "b"} {
		assert.Zero(t, t.connect(other, resume).answer.flags, other)
	}
	c := t.connect("a", resume)
	assert.EqualValues(t, 1, c.answer.flags)
	c.receive(t.topic("x"), "waited")
}

func clientIDPresent(t *T) {
	t.refusesConnect(pkt(CONNECT, str("MQTT"), raw(5, 2, 0, 0), props()), 0x81)
	t.refusesConnect(pkt(CONNECT, str("MQTT"), raw(5, 2, 0, 0), props(), raw(0)), 0x81)
	t.refusesConnect(pkt(CONNECT, str("MQTT"), raw(5, 2, 0, 0), props(), raw(0, 2, 'a')), 0x81)
	t.connect("", withID(""))
}

func clientIDNotUTF8(t *T) {
	for _, bad := range append(notUTF8, "\x00") {
		t.refusesConnect(t.connectPacket("", withID(t.id(bad))), 0x81)
	}
	t.connect("\u00E4\uFEFF\U0001F600")
}

func commonClientIDs(t *T) {
	t.serve(server.Config{}) // the identifiers may be those of other tests
	const letters = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	for length := 1; length <= 23; length++ {
		begin := (length * length) % len(letters)
		t.connect("", withID((letters + letters)[begin:begin+length]))
	}
	for i := 0; i+23 <= len(letters); i += 13 {
		t.connect("", withID(letters[i:i+23]))
	}
}

func assignedID(t *T) {
	given := map[string]bool{}
	for range 10 {
		c := t.connect("", withID(""), expiry(60))
		id := c.answer.props.text(assignedClientID)
		require.NotEmpty(t, id)
		require.False(t, given[id], "%q is the identifier of another session", id)
		given[id] = true
		c.subscribe(t.topic("x"), 0)
		again := t.connect("", withID(id), resume)
		assert.EqualValues(t, 1, again.answer.flags)
		assert.False(t, again.answer.props.has(assignedClientID))
		c.refused(0x8E)
	}
	c := t.connect("", withID(""), resume)
	assert.Zero(t, c.answer.flags)
	assert.NotEmpty(t, c.answer.props.text(assignedClientID))
	assert.False(t, t.connect("own").answer.props.has(assignedClientID))
}

func clientIDRefused(t *T) {
	t.refusesConnect(t.connectPacket("", withID(strings.Repeat("x", 65535))), 0x85)
	t.serve(server.Config{Handlers: server.Handlers{Connect: func(e *server.ConnectEvent) error {
		if strings.HasPrefix(e.Client.ID, "bad") {
			return server.Refuse(code.ClientIdentifierNotValid, "")
		}
		return nil
	}}})
	t.refusesConnect(t.connectPacket("", withID("bad")), 0x85)
	t.connect("", withID("good"))
}

func userNameNotUTF8(t *T) {
	for _, bad := range append(notUTF8, "\x00") {
		t.refusesConnect(t.connectPacket("a", username("a"+bad)), 0x81)
	}
}

// malformedConnect: what breaks one rule about the format each.
func malformedConnect(t *T) {
	whole := t.connectPacket("a", with(user("key", "value")), withWill(will{topic: "topic", payload: "payload"}), username("user"), password("secret"))
	body := whole[2:]
	for n := range len(body) { // cut off everywhere
		c := t.dial()
		c.write(pkt(CONNECT, body[:n]))
		if n < len("..MQTT")+1 {
			c.end()
		} else {
			c.connackRefused(0x81)
		}
	}
	t.refusesConnect(pkt(CONNECT, body, raw(0)), 0x81)
	twice := func(p []byte) []byte { return t.connectPacket("a", with(p, p)) }
	for _, p := range [][]byte{
		twice(prop(sessionExpiry, u32(1))), twice(prop(receiveMaximum, u16(1))), twice(prop(maximumPacketSize, u32(1000))),
		twice(prop(topicAliasMaximum, u16(1))), twice(prop(requestProblemInfo, raw(1))), twice(prop(requestResponseInfo, raw(1))),
		t.connectPacket("a", with(prop(receiveMaximum, u16(0)))), t.connectPacket("a", with(prop(maximumPacketSize, u32(0)))),
		t.connectPacket("a", with(prop(requestProblemInfo, raw(2)))), t.connectPacket("a", with(prop(requestResponseInfo, raw(2)))),
		t.connectPacket("a", with(prop(authData, str("data")))),
	} {
		t.refusesConnect(p, 0x82)
	}
	for _, p := range [][]byte{prop(topicAlias, u16(1)), prop(serverKeepAlive, u16(1)), prop(0x7E, u16(1)), prop(reasonString, str("x"))} {
		t.refusesConnect(t.connectPacket("a", with(p)), 0x81, 0x82)
	}
	t.refusesConnect(t.connectPacket("a", withWill(will{topic: "a/#"})), 0x81, 0x90)
	t.refusesConnect(t.connectPacket("a", withWill(will{topic: ""})), 0x82, 0x90)
}

func credentialsRefused(t *T) {
	t.credentials(server.Config{})
	t.refusesConnect(t.connectPacket("a"), 0x86)
	t.refusesConnect(t.connectPacket("a", username("user"), password("wrong")), 0x86)
	c := t.connect("a", username("user"), password("secret"))
	t.refusesConnect(t.connectPacket("a"), 0x86)
	c.nothing() // nobody has taken its session
}

func takeover(t *T) {
	old := t.connect("a", expiry(60))
	old.subscribe(t.topic("x"), 1)
	for _, o := range []option{resume, func(*connect) {}} {
		c := t.connect("a", expiry(60), o)
		old.refused(0x8E)
		c.ping()
		old = c
	}
	for n := range 5 { // also while it is busy
		var burst []byte
		for i := range 200 {
			burst = append(burst, publishPacket(t.version, 0, 0, t.topic("none"), fmt.Sprint(n, i))...)
		}
		old.write(burst)
		c := t.connect("a", expiry(60), resume)
		old.refused(0x8E)
		old = c
	}
}

func connackAccepts(t *T) {
	c := t.dial()
	c.write(t.connectPacket("a"))
	assert.Zero(t, c.expect(CONNACK).connack(t).code)
	c = t.dial() // byte by byte
	for _, b := range t.connectPacket("b", keepAlive(100), expiry(1)) {
		c.write(raw(b))
	}
	assert.Zero(t, c.expect(CONNACK).connack(t).code)
}

func nothingAfterRefusal(t *T) {
	t.credentials(server.Config{})
	watch := t.connect("watch", username("user"), password("secret"))
	watch.subscribe(t.topic("#"), 0)
	c := t.dial()
	c.write(t.connectPacket("a"), publishPacket(t.version, 0, 0, t.topic("x"), "evil"), pkt(PINGREQ),
		t.connectPacket("a", username("user"), password("secret")), publishPacket(t.version, 0, 0, t.topic("x"), "evil"))
	c.connackRefused(0x86)
	watch.nothing()
}
