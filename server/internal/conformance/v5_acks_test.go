package conformance

import (
	"fmt"
	"slices"
	"strings"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	code "github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/server"
)

// Chapters 3.3.4 and 3.4 to 3.7 of MQTT 5.0: what a PUBLISH brings about, PUBACK, PUBREC,
// PUBREL, PUBCOMP.

func init() {
	mqtt5(answersByQoS, "MQTT-3.3.4-1")
	mqtt5(overlapHighestQoS, "MQTT-3.3.4-2")
	mqtt5(overlapIdentifiers, "MQTT-3.3.4-3", "MQTT-3.3.4-4", "MQTT-3.3.4-5")
	mqtt5(subscriptionIDFromClient, "MQTT-3.3.4-6")
	mqtt5(serverReceiveMaximum, "MQTT-3.3.4-7")
	mqtt5(clientReceiveMaximum, "MQTT-3.3.4-9", "MQTT-3.3.4-10")
	mqtt5(pubackCodes, "MQTT-3.4.2-1")
	mqtt5(pubrecCodes, "MQTT-3.5.2-1")
	mqtt5(pubrelFlags, "MQTT-3.6.1-1")
	mqtt5(pubrelCodes, "MQTT-3.6.2-1")
	mqtt5(pubcompCodes, "MQTT-3.7.2-1")
	mqtt5(pubackFits, "MQTT-3.4.2-2", "MQTT-3.4.2-3")
	mqtt5(pubrecFits, "MQTT-3.5.2-2", "MQTT-3.5.2-3")
	mqtt5(pubrelFits, "MQTT-3.6.2-2", "MQTT-3.6.2-3")
	mqtt5(pubcompFits, "MQTT-3.7.2-2", "MQTT-3.7.2-3")
}

func answersByQoS(t *T) {
	c := t.connect("a")
	c.write(publishPacket(t.version, 0, 0, t.topic("x"), ""), publishPacket(t.version, 2, 1, t.topic("x"), ""), publishPacket(t.version, 4, 2, t.topic("x"), ""), pkt(PINGREQ))
	c.expectAck(PUBACK, 1)
	c.expectAck(PUBREC, 2)
	c.expect(PINGRESP)
	c.write(pkt(PUBREL, u16(2)))
	c.expectAck(PUBCOMP, 2)
	c.nothing()
}

func overlapHighestQoS(t *T) {
	c, publisher := t.connect("a"), t.connect("b")
	c.subscribe(t.topic("+"), 1)
	c.subscribe(t.topic("x"), 2)
	c.subscribe(t.topic("#"), 0)
	for qos := range byte(3) {
		publisher.publish(t.topic("x"), "x", qos<<1)
		best := byte(0)
		for i, p := range c.fence() { // one copy or one for each
			m := p.publish(t)
			best = max(best, m.qos)
			assert.Equal(t, "x", m.payload)
			assert.Less(t, i, 3)
			if m.qos > 0 {
				c.write(pkt(map[byte]byte{1: PUBACK, 2: PUBREC}[m.qos], u16(int(m.id))))
			}
			if m.qos == 2 {
				c.await(PUBREL)
				c.write(pkt(PUBCOMP, u16(int(m.id))))
			}
		}
		assert.Equal(t, qos, best)
	}
}

// identifiers are the Subscription Identifiers of all copies of one message, sorted.
func (c *client) identifiers() (ids []int) {
	c.t.Helper()
	copies := c.fence()
	for _, p := range copies {
		list := p.publish(c.t).props.all(subscriptionID)
		for _, id := range list {
			ids = append(ids, int(id.number))
		}
		if len(copies) > 1 { // [MQTT-3.3.4-5]
			assert.LessOrEqual(c.t, len(list), 1)
		}
	}
	slices.Sort(ids)
	return ids
}

func overlapIdentifiers(t *T) {
	c, publisher := t.connect("a"), t.connect("b")
	c.subscribe(t.topic("+"), 0, prop(subscriptionID, vbi(1)))
	c.subscribe(t.topic("x"), 0, prop(subscriptionID, vbi(268435455)))
	c.subscribe(t.topic("#"), 0) // has none
	c.subscribe(t.topic("x/#"), 0, prop(subscriptionID, vbi(200)))
	c.subscribe(t.topic("x/y"), 0, prop(subscriptionID, vbi(4)))
	publisher.publish(t.topic("x"), "x", 0)
	assert.Equal(t, []int{1, 200, 268435455}, c.identifiers())
	publisher.publish(t.topic("x/y"), "x", 0)
	assert.Equal(t, []int{4, 200}, c.identifiers())
	publisher.publish(t.topic("a/b"), "x", 0)
	assert.Empty(t, c.identifiers())
	c.unsubscribe(t.topic("x/#"))
	c.subscribe(t.topic("+"), 0) // replaced by one without
	publisher.publish(t.topic("x"), "x", 0)
	assert.Equal(t, []int{268435455}, c.identifiers())
	c.subscribe(t.topic("x/+"), 0, prop(subscriptionID, vbi(4))) // the same twice
	publisher.publish(t.topic("x/y"), "x", 0)
	assert.Contains(t, [][]int{{4}, {4, 4}}, c.identifiers())
}

func subscriptionIDFromClient(t *T) {
	watch := t.watch()
	for _, flags := range []byte{0, 2, 4} {
		t.refuses(publishPacket(t.version, flags, 1, t.topic("x"), "x", prop(subscriptionID, vbi(1))), 0x82)
	}
	watch.nothing()
}

// serverReceiveMaximum: QoS 1 messages are acknowledged at once, QoS 2 messages count
// until PUBREL.
func serverReceiveMaximum(t *T) {
	const most = 5
	t.serve(server.Config{Limits: server.Limits{ReceiveMaximum: most}})
	c := t.connect("a")
	require.EqualValues(t, most, c.answer.props.number(receiveMaximum, 65535))
	for round := range 3 {
		for id := 1; id <= most; id++ {
			c.write(publishPacket(t.version, 4, id, t.topic("x"), "x"))
			c.expectAck(PUBREC, id)
			c.publish(t.topic("x"), fmt.Sprint(round), 0)
		}
		c.write(publishPacket(t.version, 0xC, 1, t.topic("x"), "x")) // the same again is not one more
		c.expectAck(PUBREC, 1)
		for id := 1; id <= most; id++ {
			c.write(pkt(PUBREL, u16(id)))
			c.expectAck(PUBCOMP, id)
		}
	}
	for id := 1; id <= most; id++ {
		c.write(publishPacket(t.version, 4, id, t.topic("x"), "x"))
		c.expectAck(PUBREC, id)
	}
	c.write(publishPacket(t.version, 4, most+1, t.topic("x"), "x"))
	c.refused(0x93)
}

// clientReceiveMaximum counts what is not acknowledged, while the server has many messages
// to send, and looks whether other packets pass.
func clientReceiveMaximum(t *T) {
	const most, messages = 3, 30
	c := t.connect("a", with(prop(receiveMaximum, u16(most))))
	c.subscribe(t.topic("x"), 2)
	publisher := t.connect("b")
	for n := range messages {
		publisher.publish(t.topic("x"), fmt.Sprint(n), byte(1+n%2)<<1)
	}
	var open []publish
	for range most {
		open = append(open, c.message())
	}
	c.ping() // the server has had a turn
	c.subscribe(t.topic("y"), 0)
	c.unsubscribe(t.topic("y"))
	c.write(publishPacket(t.version, 2, 1, t.topic("none"), ""))
	c.expectAck(PUBACK, 1)
	require.Empty(t, c.kept, "more than Receive Maximum")
	for n := range messages {
		require.Equal(t, fmt.Sprint(n), open[0].payload)
		if n == 5 { // a PUBREC that refuses ends its message
			c.write(pkt(PUBREC, u16(int(open[0].id)), raw(0x80)))
		} else {
			if open[0].qos == 2 { // PUBREC alone makes no room
				c.write(pkt(PUBREC, u16(int(open[0].id))))
				c.expectAck(PUBREL, int(open[0].id))
				c.ping()
				require.Empty(t, c.kept, "more than Receive Maximum")
				c.write(pkt(PUBCOMP, u16(int(open[0].id))))
			} else {
				c.acknowledge(open[0])
			}
		}
		open = open[1:]
		if n+most < messages {
			open = append(open, c.message())
		}
		c.ping()
		require.Empty(t, c.kept, "more than Receive Maximum")
	}
}

// withCodes gives an acknowledgement with every reason code there is: the server must take
// those of the table and end the connection for others. prepare makes what is acknowledged
// and gives its packet identifier; then is what the server does with a good code.
func (t *T) withCodes(first byte, table []byte, prepare func(c *client) int, then func(c *client, id int, code byte)) {
	t.Helper()
	for n := range 256 {
		value := byte(n)
		legal := slices.Contains(table, value)
		if !legal && value%5 != 3 && value > 0x20 && value < 0xF0 && !slices.Contains(connackReasons, value) {
			continue // enough of those that mean nothing at all
		}
		c := t.connect(fmt.Sprint("c", n))
		id := prepare(c)
		c.write(pkt(first, u16(id), raw(value)))
		if legal {
			then(c, id, value)
			c.nothing()
		} else {
			c.refused(0x81, 0x82)
		}
	}
}

var publishReasons = raw(0, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99)

// delivered has the server send a message with a QoS and gives its packet identifier.
func delivered(qos byte) func(*client) int {
	return func(c *client) int {
		c.subscribe(c.t.topic(c.id), qos)
		c.publish(c.t.topic(c.id), "x", qos<<1)
		return int(c.message().id)
	}
}

// refuseAll starts a server that refuses every message, with the code that its payload
// begins with.
func (t *T) refuseAll(reason string, list ...[]byte) {
	t.serve(server.Config{})
	require.NoError(t, t.host.HandlePublish("#", func(e *server.PublishEvent) error {
		return &server.Error{Code: code.ReasonCode(e.Payload[0]), Reason: reason, Properties: cat(list...)}
	}))
}

// refusedCodes makes sure that the server's answers to PUBLISH have codes of the table,
// whatever a handler says.
func refusedCodes(t *T, answer, flags byte) {
	t.refuseAll("")
	c := t.connect("refused")
	for n := 1; n < 256; n++ {
		c.write(publishPacket(t.version, flags, n, t.topic("x"), string([]byte{byte(n)})))
		a := c.expect(answer).ack(t)
		require.EqualValues(t, n, a.id)
		require.Contains(t, publishReasons, a.code)
		require.GreaterOrEqual(t, a.code, byte(0x80))
		if slices.Contains(publishReasons, byte(n)) && n >= 0x80 {
			require.EqualValues(t, n, a.code)
		}
	}
}

func pubackCodes(t *T) {
	t.withCodes(PUBACK, publishReasons, delivered(1), func(*client, int, byte) {})
	c := t.connect("a")
	c.write(publishPacket(t.version, 2, 1, t.topic("nobody"), ""))
	assert.Contains(t, raw(0, 0x10), c.expect(PUBACK).ack(t).code)
	refusedCodes(t, PUBACK, 2)
}

func pubrecCodes(t *T) {
	t.withCodes(PUBREC, publishReasons, delivered(2), func(c *client, id int, code byte) {
		if code < 0x80 {
			c.expectAck(PUBREL, id)
		}
	})
	c := t.connect("a")
	c.write(publishPacket(t.version, 4, 1, t.topic("nobody"), ""))
	assert.Contains(t, raw(0, 0x10), c.expect(PUBREC).ack(t).code)
	refusedCodes(t, PUBREC, 4)
}

func pubrelFlags(t *T) {
	for flags := range byte(16) {
		if flags != 2 {
			c := t.connect("a")
			c.write(publishPacket(t.version, 4, 1, t.topic("x"), ""))
			c.expectAck(PUBREC, 1)
			c.write(pkt(PUBREL&0xF0|flags, u16(1)))
			c.refused(0x81)
		}
	}
}

func pubrelCodes(t *T) {
	begun := func(c *client) int {
		c.write(publishPacket(t.version, 4, 7, c.t.topic("none"), ""))
		c.expectAck(PUBREC, 7)
		return 7
	}
	t.withCodes(PUBREL, raw(0, 0x92), begun, func(c *client, id int, _ byte) { c.expectAck(PUBCOMP, id) })
	c := t.connect("a")
	id := delivered(2)(c)
	c.write(pkt(PUBREC, u16(id)))
	assert.Equal(t, ack{id: uint16(id)}, c.expect(PUBREL).ack(t))
	c.write(pkt(PUBREC, u16(id+1000)))
	assert.Equal(t, ack{id: uint16(id + 1000), code: 0x92}, c.expect(PUBREL).ack(t))
}

func pubcompCodes(t *T) {
	released := func(c *client) int {
		id := delivered(2)(c)
		c.write(pkt(PUBREC, u16(id)))
		c.expectAck(PUBREL, id)
		return id
	}
	t.withCodes(PUBCOMP, raw(0, 0x92), released, func(*client, int, byte) {})
	c := t.connect("a")
	c.publish(t.topic("none"), "", 4)
	c.write(pkt(PUBREL, u16(1)))
	assert.Equal(t, ack{id: 1, code: 0x92}, c.expect(PUBCOMP).ack(t))
}

// long is what answers have to leave out when it does not fit.
var (
	longReason = strings.Repeat("reason ", 8)
	longPairs  = [][]byte{user("key", strings.Repeat("value ", 8)), user("key", "2")}
)

// fits looks at an answer with a reason and user properties from clients with all Maximum
// Packet Sizes up to more than it needs. request draws it, for packet identifier 1. rich
// tells that the server has something to say besides the code.
func (t *T) fits(answer, code byte, rich bool, request func(c *client)) {
	t.Helper()
	least := pkt(answer, u16(1), raw(code))
	whole := pkt(answer, u16(1), raw(code), props(prop(reasonString, str(longReason)), cat(longPairs...)))
	if !rich {
		whole = least
	}
	for size := 24; size < len(whole)+3; size++ {
		c := t.connect(fmt.Sprint("c", size), with(prop(maximumPacketSize, u32(size))))
		request(c)
		p := c.expect(answer)
		require.LessOrEqual(t, len(pkt(p.first, p.body)), size)
		a := p.ack(t)
		require.Equal(t, code, a.code)
		if size >= len(whole) && rich {
			require.Equal(t, longReason, a.props.text(reasonString))
			require.Len(t, a.props.pairs(), 2)
		}
	}
}

func pubackFits(t *T) {
	t.refuseAll(longReason, longPairs...)
	t.fits(PUBACK, 0x87, true, func(c *client) { c.write(publishPacket(t.version, 2, 1, "x", "\x87")) })
}

func pubrecFits(t *T) {
	t.refuseAll(longReason, longPairs...)
	t.fits(PUBREC, 0x87, true, func(c *client) { c.write(publishPacket(t.version, 4, 1, "x", "\x87")) })
}

// pubrelFits: the server has no more to say in a PUBREL than its code.
func pubrelFits(t *T) {
	t.fits(PUBREL, 0x92, false, func(c *client) { c.write(pkt(PUBREC, u16(1))) })
}

func pubcompFits(t *T) {
	t.fits(PUBCOMP, 0x92, false, func(c *client) { c.write(pkt(PUBREL, u16(1))) })
}
