package conformance

import (
	"fmt"
	"strings"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	code "github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/server"
)

// Chapters 3.15 and 4.12 of MQTT 5.0: AUTH, enhanced authentication.

func init() {
	mqtt5(onlyAuthBeforeConnack, "MQTT-3.1.2-30")
	mqtt5(authFlags, "MQTT-3.15.1-1")
	mqtt5(authCodes, "MQTT-3.15.2-1", "MQTT-4.12.0-2", "MQTT-4.12.0-3")
	mqtt5(authFits, "MQTT-3.15.2-2", "MQTT-3.15.2-3")
	mqtt5(unknownMethod, "MQTT-4.12.0-1")
	mqtt5(authRefused, "MQTT-4.12.0-4")
	mqtt5(methodRepeated, "MQTT-4.12.0-5")
	mqtt5(noAuthUnasked, "MQTT-4.12.0-6", "MQTT-4.12.0-7")
	mqtt5(reauthentication, "MQTT-4.12.1-1")
	mqtt5(reauthenticationFails, "MQTT-4.12.1-2")
}

// parrot is a method of authentication: it asks for more, with what it was told, until it
// is told "good" or "bad".
type parrot struct{ name string }

func (p parrot) Method() string                     { return p.name }
func (parrot) Begin(*server.Client) server.Exchange { return &parrotExchange{} }

type parrotExchange struct{}

func (*parrotExchange) Next(data []byte) (reply []byte, done bool, err error) {
	switch string(data) {
	case "good":
		return []byte("welcome"), true, nil
	case "bad":
		return nil, false, &server.Error{Code: code.NotAuthorized, Reason: longReason, Properties: cat(longPairs...)}
	}
	return append([]byte("more "), data...), false, nil
}

func (*parrotExchange) User() string { return "user" }

// method is the Authentication Method with data, unless that is empty.
func method(name, data string) [][]byte {
	list := [][]byte{prop(authMethod, str(name))}
	if data != "" {
		list = append(list, prop(authData, str(data)))
	}
	return list
}

func auth(code byte, list ...[]byte) []byte { return pkt(AUTH, raw(code), props(list...)) }

// parrots starts a server with two methods, which serves clients without one too.
func (t *T) parrots() {
	methods := []server.Authenticator{parrot{"PARROT"}, parrot{"OTHER"}}
	t.serve(server.Config{AllowAnonymous: true, Authenticators: methods})
}

// begun is a client in the middle of its authentication.
func (t *T) begun(options ...option) *client {
	t.Helper()
	c := t.dial()
	c.write(t.connectPacket("a", append(options, with(method("PARROT", "")...))...))
	d := c.expect(AUTH).disconnect(t)
	require.EqualValues(t, 0x18, d.code)
	return c
}

func onlyAuthBeforeConnack(t *T) {
	t.parrots()
	watch := t.connect("watch", with(method("PARROT", "good")...))
	watch.subscribe(t.topic("#"), 0)
	for _, p := range [][]byte{
		publishPacket(t.version, 0, 0, t.topic("x"), "evil"), publishPacket(t.version, 2, 1, t.topic("x"), "evil"), subscribePacket(t.version, 1, nil, filter("a", 0)),
		unsubscribePacket(t.version, 1, "a"), pkt(PINGREQ), pkt(PUBACK, u16(1)), t.connectPacket("b"),
	} {
		c := t.begun()
		c.write(p, auth(0x18, method("PARROT", "good")...))
		p, err := c.read() // it may be told why
		if err == nil {
			assert.EqualValues(t, CONNACK, p.first)
			assert.Contains(t, raw(0x81, 0x82), p.connack(t).code)
			c.end()
		}
	}
	c := t.begun()
	c.write(pkt(DISCONNECT))
	c.end()
	watch.nothing()
}

func authFlags(t *T) {
	t.parrots()
	for flags := byte(1); flags < 16; flags++ {
		c := t.connect("a", with(method("PARROT", "good")...))
		p := auth(0x19, method("PARROT", "good")...)
		p[0] |= flags
		c.write(p)
		c.refused(0x81)
	}
}

// authCodes of clients, and those of the server on the way.
func authCodes(t *T) {
	t.parrots()
	for n := range 256 {
		c := t.begun()
		c.write(auth(byte(n), method("PARROT", "good")...))
		if n == 0x18 {
			assert.Zero(t, c.expect(CONNACK).connack(t).code)
			continue
		}
		if p, err := c.read(); err == nil {
			require.Contains(t, raw(0x81, 0x82), p.connack(t).code, "%02X", n)
			c.end()
		}
	}
	for n := range 256 {
		c := t.connect("a", with(method("PARROT", "good")...))
		c.write(auth(byte(n), method("PARROT", "more")...))
		if n != 0x19 {
			c.refused(0x81, 0x82)
			continue
		}
		assert.EqualValues(t, 0x18, c.expect(AUTH).disconnect(t).code)
		c.write(auth(0x18, method("PARROT", "more")...))
		assert.EqualValues(t, 0x18, c.expect(AUTH).disconnect(t).code)
		c.write(auth(0x18, method("PARROT", "good")...))
		assert.Zero(t, c.expect(AUTH).disconnect(t).code)
		c.ping()
	}
}

// authFits: the server has no Reason String or User Property in AUTH.
func authFits(t *T) {
	t.parrots()
	least := len(auth(0x18, method("PARROT", "more ")...))
	for size := least; size < least+150; size += 3 {
		c := t.dial()
		c.write(t.connectPacket("a", with(prop(maximumPacketSize, u32(size))), with(method("PARROT", "")...)))
		p := c.next()
		require.EqualValues(t, AUTH, p.first)
		require.LessOrEqual(t, len(pkt(p.first, p.body)), size)
	}
	c := t.dial() // one that fits no more
	c.write(t.connectPacket("a", with(prop(maximumPacketSize, u32(least+10))), with(method("PARROT", strings.Repeat("x", 100))...)))
	if p, err := c.read(); err == nil {
		assert.EqualValues(t, CONNACK, p.first)
		assert.GreaterOrEqual(t, p.connack(t).code, byte(0x80))
		c.end()
	}
}

func unknownMethod(t *T) {
	t.parrots()
	for _, name := range []string{"", "parrot", "PARROT ", "SCRAM-SHA-256", "PLAIN"} {
		t.refusesConnect(t.connectPacket("a", with(method(name, "good")...)), 0x8C, 0x87)
	}
	t.serve(server.Config{}) // a server without any
	t.refusesConnect(t.connectPacket("a", with(method("PARROT", "good")...)), 0x8C, 0x87)
}

func authRefused(t *T) {
	t.parrots()
	t.refusesConnect(t.connectPacket("a", with(method("PARROT", "bad")...)), 0x87)
	c := t.begun()
	c.write(auth(0x18, method("PARROT", "bad")...), auth(0x18, method("PARROT", "good")...))
	c.connackRefused(0x87)
	c = t.begun()
	c.write(auth(0x18, method("PARROT", "more")...))
	c.expect(AUTH)
	c.write(auth(0x18, method("PARROT", "bad")...))
	c.connackRefused(0x87)
}

// methodRepeated looks at what the server sends, and sends other methods itself.
func methodRepeated(t *T) {
	t.parrots()
	c := t.dial()
	c.write(t.connectPacket("a", with(method("PARROT", "one")...)))
	for _, data := range []string{"two", "three", "good"} {
		d := c.expect(AUTH).disconnect(t)
		assert.Equal(t, "PARROT", d.props.text(authMethod))
		assert.True(t, strings.HasPrefix(d.props.text(authData), "more "))
		c.write(auth(0x18, method("PARROT", data)...))
	}
	a := c.expect(CONNACK).connack(t)
	assert.Zero(t, a.code)
	assert.Equal(t, "PARROT", a.props.text(authMethod))
	assert.Equal(t, "welcome", a.props.text(authData))
	for _, list := range [][][]byte{method("OTHER", "good"), method("parrot", "good"), {prop(authData, str("good"))}, nil} {
		c := t.begun()
		c.write(auth(0x18, list...))
		if p, err := c.read(); err == nil {
			assert.GreaterOrEqual(t, p.connack(t).code, byte(0x80))
			c.end()
		}
	}
}

func noAuthUnasked(t *T) {
	t.parrots()
	c := t.connect("a")
	assert.False(t, c.answer.props.has(authMethod) || c.answer.props.has(authData))
	c.nothing()
	for i, p := range [][]byte{pkt(AUTH), auth(0x18, method("PARROT", "good")...), auth(0x19, method("PARROT", "good")...)} {
		c := t.connect(fmt.Sprint("b", i))
		c.write(p)
		c.refused(0x82)
	}
	t.refusesConnect(t.connectPacket("a", with(prop(authData, str("good")))), 0x82)
}

func reauthentication(t *T) {
	t.parrots()
	c := t.connect("a", with(method("PARROT", "good")...))
	for range 2 {
		c.write(auth(0x19, method("PARROT", "more")...))
		d := c.expect(AUTH).disconnect(t)
		assert.EqualValues(t, 0x18, d.code)
		assert.Equal(t, "PARROT", d.props.text(authMethod))
		c.subscribe(t.topic("x"), 1) // business goes on meanwhile
		c.publish(t.topic("x"), "x", 2)
		c.receive(t.topic("x"), "x")
		c.write(auth(0x18, method("PARROT", "good")...))
		d = c.expect(AUTH).disconnect(t)
		assert.Zero(t, d.code)
		assert.Equal(t, "PARROT", d.props.text(authMethod))
	}
	c.write(auth(0x19, method("OTHER", "good")...))
	c.refused(0x82, 0x87, 0x8C)
}

func reauthenticationFails(t *T) {
	t.parrots()
	c := t.connect("a", with(method("PARROT", "good")...))
	c.write(auth(0x19, method("PARROT", "bad")...))
	c.refused(0x87)
	c = t.connect("a", with(method("PARROT", "good")...))
	c.write(auth(0x19, method("PARROT", "more")...))
	c.expect(AUTH)
	c.write(auth(0x18, method("PARROT", "bad")...), pkt(PINGREQ))
	c.refused(0x87)
}
