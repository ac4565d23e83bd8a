package conformance

import (
	"bytes"
	"strings"
	"sync/atomic"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	code "github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/server"
)

// Chapter 3.2 of MQTT 5.0: CONNACK, and what it announces.

func init() {
	mqtt5(connackComesFirst, "MQTT-3.2.0-1")
	mqtt5(connackFlags, "MQTT-3.2.2-1")
	mqtt5(refusalHasNoSession, "MQTT-3.2.2-6", "MQTT-3.2.2-7")
	mqtt5(connackCodes, "MQTT-3.2.2-8")
	mqtt5(qosAnnounced, "MQTT-3.2.2-9")
	mqtt5(everyQoSSubscribed, "MQTT-3.2.2-10")
	mqtt5(serverMaximumPacketSize, "MQTT-3.2.2-15")
	mqtt5(aliasAboveMaximum, "MQTT-3.2.2-17", "MQTT-3.3.2-8", "MQTT-3.3.2-9")
	mqtt5(aliasWithoutMaximum, "MQTT-3.2.2-18")
	mqtt5(connackFits, "MQTT-3.2.2-19", "MQTT-3.2.2-20")
}

// connackComesFirst: for a session with messages, with requests right after the CONNECT,
// and while messages arrive.
func connackComesFirst(t *T) {
	t.stored("a")
	c := t.connect("a", resume, expiry(60)) // fails when another packet is the first
	c.receive(t.topic("x"), "waited")
	publisher := t.connect("b")
	for range 10 {
		var burst []byte
		for range 50 {
			burst = append(burst, publishPacket(t.version, 0, 0, t.topic("x"), "burst")...)
		}
		publisher.write(burst)
		c := t.dial()
		c.write(t.connectPacket("a", resume, expiry(60)), subscribePacket(t.version, 1, nil, filter(t.topic("x"), 1)), pkt(PINGREQ), burst)
		assert.EqualValues(t, 1, c.expect(CONNACK).connack(t).flags)
		c.await(SUBACK)
		c.await(PINGRESP)
	}
}

func connackFlags(t *T) {
	for _, o := range []option{resume, expiry(60), username("user"), withWill(will{topic: "topic", qos: 2, retain: true})} {
		assert.Zero(t, t.connect("a", o).answer.flags)
	}
	t.connect("b", expiry(60)).disconnect()
	assert.EqualValues(t, 1, t.connect("b", resume, expiry(60)).answer.flags)
}

func refusalHasNoSession(t *T) {
	t.credentials(server.Config{})
	c := t.connect("a", expiry(60), username("user"), password("secret"))
	c.disconnect()
	t.refusesConnect(t.connectPacket("a", resume, expiry(60)), 0x86) // looks at the flags, and for the end
	again := t.connect("a", resume, expiry(60), username("user"), password("secret"))
	assert.EqualValues(t, 1, again.answer.flags)
}

// connackReasons is table 3-1, Connect Reason Code values.
var connackReasons = raw(0, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x8C, 0x90, 0x95, 0x97, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9F)

// connackCodes has a handler refuse with every code there may be.
func connackCodes(t *T) {
	var wanted atomic.Uint32
	t.serve(server.Config{Handlers: server.Handlers{Connect: func(e *server.ConnectEvent) error {
		return server.Refuse(code.ReasonCode(wanted.Load()), "")
	}}})
	for n := range 256 {
		wanted.Store(uint32(n))
		c := t.tryConnect("a")
		require.Contains(t, connackReasons[1:], c.answer.code, "for %02X", n)
		if n >= 0x80 && bytes.IndexByte(connackReasons, byte(n)) > 0 {
			require.EqualValues(t, n, c.answer.code)
		}
		c.end()
	}
}

// qosAnnounced holds the server to its Maximum QoS: without one it takes QoS 2, with wills
// and subscriptions.
func qosAnnounced(t *T) {
	c := t.connect("a", withWill(will{topic: t.topic("x"), qos: 2}))
	require.False(t, c.answer.props.has(maximumQoS), "the tests of MQTT-3.2.2-11 and -12 are missing")
	c.subscribe(t.topic("x"), 2)
	c.publish(t.topic("x"), "x", 4)
	assert.EqualValues(t, 2, c.receive(t.topic("x"), "x").qos)
}

func everyQoSSubscribed(t *T) {
	c := t.connect("a")
	c.write(subscribePacket(t.version, 1, nil, filter(t.topic("0"), 0), filter(t.topic("1"), 1), filter(t.topic("2"), 2)))
	assert.Equal(t, raw(0, 1, 2), c.expect(SUBACK).suback(t).codes)
}

func serverMaximumPacketSize(t *T) {
	const most = 300
	t.serve(server.Config{Limits: server.Limits{MaxPacketSize: most}})
	exact := func(size int) []byte {
		empty := publishPacket(t.version, 0, 0, t.topic("x"), strings.Repeat("x", 200))
		p := publishPacket(t.version, 0, 0, t.topic("x"), strings.Repeat("x", 200+size-len(empty)))
		require.Len(t, p, size)
		return p
	}
	c := t.connect("a")
	require.EqualValues(t, most, c.answer.props.number(maximumPacketSize, 0))
	c.subscribe(t.topic("x"), 0)
	c.write(exact(most))
	c.message()
	c.write(exact(most + 1))
	c.refused(0x95)
	c = t.connect("a")
	c.write(raw(PUBLISH, 0xFF, 0xFF, 0xFF, 0x7F)) // the announcement is enough
	c.refused(0x95)
	c = t.connect("a")
	c.write(subscribePacket(t.version, 1, nil, filter(strings.Repeat("x", most), 0)))
	c.refused(0x95)
}

func aliasAboveMaximum(t *T) {
	c := t.connect("a")
	most := int(c.answer.props.number(topicAliasMaximum, 0))
	for _, alias := range []int{0, most + 1, 65535} {
		t.refuses(publishPacket(t.version, 0, 0, t.topic("x"), "", prop(topicAlias, u16(alias))), 0x94)
		t.refuses(publishPacket(t.version, 4, 1, "", "", prop(topicAlias, u16(alias))), 0x94)
	}
}

func aliasWithoutMaximum(t *T) {
	t.serve(server.Config{Limits: server.Limits{TopicAliasMaximum: -1}})
	watch := t.watch()
	require.Zero(t, watch.answer.props.number(topicAliasMaximum, 0))
	for _, alias := range []int{1, 2, 65535} {
		t.refuses(publishPacket(t.version, 0, 0, t.topic("x"), "", prop(topicAlias, u16(alias))), 0x94)
	}
	watch.nothing()
}

// connackFits has a handler refuse, or accept, with much to say.
func connackFits(t *T) {
	t.serve(server.Config{Handlers: server.Handlers{Connect: func(e *server.ConnectEvent) error {
		if e.HasUsername {
			return &server.Error{Code: code.NotAuthorized, Reason: longReason, Properties: cat(longPairs...)}
		}
		e.Answer = cat(longPairs...)
		return nil
	}}})
	whole := len(pkt(CONNACK, raw(0, 0x87), props(prop(reasonString, str(longReason)), cat(longPairs...))))
	for size := 1; size < whole+3; size++ {
		a := t.fittingConnack(size, username("user"))
		require.Equal(t, size >= 5, a != nil, "with at most %d bytes", size)
		if size >= whole {
			assert.Equal(t, longReason, a.props.text(reasonString))
			assert.Len(t, a.props.pairs(), 2)
		}
	}
	accepted := len(pkt(CONNACK, t.expectConnack().body))
	for size := 1; size < accepted+3; size++ {
		if a := t.fittingConnack(size); size >= accepted {
			assert.Len(t, a.props.pairs(), 2)
		}
	}
}

func (t *T) expectConnack() packet {
	c := t.dial()
	c.write(t.connectPacket("a"))
	return c.expect(CONNACK)
}

// fittingConnack connects with a Maximum Packet Size and gives the CONNACK, which must not
// be larger, or nil: no CONNACK fits.
func (t *T) fittingConnack(size int, options ...option) *connack {
	t.Helper()
	c := t.dial()
	c.write(t.connectPacket("a", append(options, with(prop(maximumPacketSize, u32(size))))...))
	p, err := c.read()
	if err != nil {
		return nil
	}
	require.EqualValues(t, CONNACK, p.first)
	require.LessOrEqual(t, len(pkt(p.first, p.body)), size)
	a := p.connack(t)
	return &a
}
