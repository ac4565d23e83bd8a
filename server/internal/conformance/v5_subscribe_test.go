package conformance

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	code "github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/server"
)

// Chapters 3.8 to 3.12 of MQTT 5.0: SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ.

func init() {
	mqtt5(subscribeFlags, "MQTT-3.8.1-1")
	mqtt5(filterNotUTF8, "MQTT-3.8.3-1")
	mqtt5(subscribeToNothing, "MQTT-3.8.3-2")
	mqtt5(noLocal, "MQTT-3.8.3-3")
	mqtt5(noLocalShared, "MQTT-3.8.3-4")
	mqtt5(subscriptionOptions, "MQTT-3.8.3-5")
	mqtt5(subackAnswers, "MQTT-3.8.4-1", "MQTT-3.8.4-2", "MQTT-3.8.4-6", "MQTT-3.9.3-1")
	mqtt5(subscriptionReplaced, "MQTT-3.8.4-3")
	mqtt5(replacingLosesNothing, "MQTT-3.8.4-4")
	mqtt5(severalFilters, "MQTT-3.8.4-5")
	mqtt5(subackCodes, "MQTT-3.8.4-7", "MQTT-3.9.3-2")
	mqtt5(deliveryQoS, "MQTT-3.8.4-8")
	mqtt5(subackFits, "MQTT-3.9.2-1", "MQTT-3.9.2-2")
	mqtt5(unsubscribeFlags, "MQTT-3.10.1-1")
	mqtt5(unsubscribeNotUTF8, "MQTT-3.10.3-1")
	mqtt5(unsubscribeFromNothing, "MQTT-3.10.3-2")
	mqtt5(unsubscribeLiterally, "MQTT-3.10.4-1")
	mqtt5(nothingAfterUnsubscribe, "MQTT-3.10.4-2")
	mqtt5(deliveryAfterUnsubscribe, "MQTT-3.10.4-3")
	mqtt5(unsubackAnswers, "MQTT-3.10.4-4", "MQTT-3.10.4-5", "MQTT-3.10.4-6", "MQTT-3.11.3-1", "MQTT-3.11.3-2")
	mqtt5(unsubackFits, "MQTT-3.11.2-1", "MQTT-3.11.2-2")
	mqtt5(pingAnswered, "MQTT-3.12.4-1")
}

func subscribeFlags(t *T) {
	for flags := range byte(16) {
		if flags != 2 {
			p := subscribePacket(t.version, 1, nil, filter("a", 0))
			p[0] = SUBSCRIBE&0xF0 | flags
			t.refuses(p, 0x81)
		}
	}
}

func filterNotUTF8(t *T) {
	for _, bad := range append(notUTF8, "\x00") {
		t.refuses(subscribePacket(t.version, 1, nil, filter(t.topic("x"), 0), filter(t.topic(bad), 0)), 0x81)
	}
}

func subscribeToNothing(t *T) {
	t.refuses(subscribePacket(t.version, 1, nil), 0x82)
	t.refuses(subscribePacket(t.version, 1, [][]byte{prop(subscriptionID, vbi(1))}), 0x82)
	t.refuses(subscribePacket(t.version, 1, nil, str("a")), 0x81)
	t.refuses(subscribePacket(t.version, 1, nil, filter("a", 0), str("b")), 0x81)
	t.refuses(subscribePacket(t.version, 1, nil, filter("a", 0), raw(0)), 0x81)
	t.refuses(subscribePacket(t.version, 1, [][]byte{prop(subscriptionID, vbi(0))}, filter("a", 0)), 0x82)
}

func noLocal(t *T) {
	c, other := t.connect("a", expiry(60)), t.connect("b")
	c.subscribe(t.topic("x"), 2|4)
	for flags := byte(0); flags <= 4; flags += 2 {
		c.publish(t.topic("x"), "own", flags)
		other.publish(t.topic("x"), "other", flags)
		c.receive(t.topic("x"), "other")
	}
	c.nothing()
	c.subscribe(t.topic("#"), 1) // this one is for local messages too
	c.publish(t.topic("x"), "both", 4)
	assert.EqualValues(t, 1, c.receive(t.topic("x"), "both").qos)
	c.unsubscribe(t.topic("#"))
	c.disconnect()
	c = t.connect("a", expiry(60), resume) // the same client on another connection
	c.publish(t.topic("x"), "own", 2)
	c.nothing()
	c.subscribe(t.topic("x"), 2) // and now without
	c.publish(t.topic("x"), "own", 2)
	c.receive(t.topic("x"), "own")
}

func noLocalShared(t *T) {
	t.refuses(subscribePacket(t.version, 1, nil, filter("$share/group/"+t.topic("x"), 4)), 0x82)
	t.refuses(subscribePacket(t.version, 1, nil, filter(t.topic("y"), 4), filter("$share/group/"+t.topic("x"), 4|2)), 0x82)
}

func subscriptionOptions(t *T) {
	for _, options := range []byte{0x40, 0x80, 0xC0, 0x41, 0x82} {
		t.refuses(subscribePacket(t.version, 1, nil, filter("a", options)), 0x81)
		t.refuses(subscribePacket(t.version, 1, nil, filter("a", 0), filter("b", options)), 0x81)
	}
	for _, options := range []byte{0x03, 0x30, 0x33} { // QoS 3, Retain Handling 3
		t.refuses(subscribePacket(t.version, 1, nil, filter("a", options)), 0x81, 0x82)
	}
}

// subackAnswers asks for valid and invalid filters at once; the code of each stands in its
// place.
func subackAnswers(t *T) {
	c := t.connect("a")
	good := []byte{0, 1, 2}
	for id := 1; id < 10; id++ {
		var filters [][]byte
		for i := range id {
			if i%4 == 3 {
				filters = append(filters, filter(t.topic("a/#/b"), 0))
			} else {
				filters = append(filters, filter(t.topic(fmt.Sprint(i)), good[i%3]))
			}
		}
		c.write(subscribePacket(t.version, id*1000, nil, filters...))
		a := c.expect(SUBACK).suback(t)
		assert.EqualValues(t, id*1000, a.id)
		require.Len(t, a.codes, id)
		for i, code := range a.codes {
			if i%4 == 3 {
				assert.EqualValues(t, 0x8F, code)
			} else {
				assert.Equal(t, good[i%3], code)
			}
		}
	}
	c.nothing()
}

func subscriptionReplaced(t *T) {
	c, publisher := t.connect("a"), t.connect("b")
	c.subscribe(t.topic("x"), 2|8, prop(subscriptionID, vbi(1)))
	c.subscribe(t.topic("x"), 1, prop(subscriptionID, vbi(2)))
	publisher.publish(t.topic("x"), "x", 5)
	m := c.receive(t.topic("x"), "x")
	assert.EqualValues(t, 1, m.qos)
	assert.False(t, m.retain)
	assert.Equal(t, properties{{id: subscriptionID, number: 2}}, m.props)
	c.nothing()
	c.subscribe(t.topic("x"), 0|4|0x20)
	publisher.publish(t.topic("x"), "x", 4)
	assert.Empty(t, c.receive(t.topic("x"), "x").props)
	c.publish(t.topic("x"), "own", 4)
	c.nothing()
	c.unsubscribe(t.topic("x")) // there was one
	publisher.publish(t.topic("x"), "x", 4)
	c.nothing()
}

// replacingLosesNothing subscribes again and again to what is being published.
func replacingLosesNothing(t *T) {
	c, publisher := t.connect("a"), t.connect("b")
	publisher.publish(t.topic("kept"), "kept", 1)
	c.subscribe(t.topic("+"), 1|0x20)
	const messages = 300
	var burst []byte
	for n := range messages {
		burst = append(burst, publishPacket(t.version, 2, n+1, t.topic("x"), fmt.Sprint(n))...)
	}
	publisher.write(burst)
	const again = 20
	for n := range again {
		c.write(subscribePacket(t.version, n+1, nil, filter(t.topic("+"), 1|byte(n%2)*8)))
	}
	kept, next, acks := 0, 0, 0
	for next < messages || acks < again || kept == 0 {
		p := c.next()
		if p.first == SUBACK {
			acks++
			continue
		}
		m := p.publish(t)
		c.acknowledge(m)
		if m.payload == "kept" {
			assert.True(t, m.retain)
			kept++
		} else {
			require.Equal(t, fmt.Sprint(next), m.payload)
			next++
		}
	}
	for _, p := range c.fence() { // more of these may come
		require.Equal(t, "kept", p.publish(t).payload)
	}
	c.subscribe(t.topic("+"), 1)
	c.receive(t.topic("kept"), "kept")
}

func severalFilters(t *T) {
	c, publisher := t.connect("a"), t.connect("b")
	publisher.publish(t.topic("2"), "kept", 5)
	c.write(subscribePacket(t.version, 1, [][]byte{prop(subscriptionID, vbi(7))},
		filter(t.topic("0"), 0), filter("bad/#/filter", 0), filter(t.topic("1"), 1), filter(t.topic("2"), 2|0x20), filter(t.topic("1"), 0), filter(t.topic("2"), 2|8)))
	assert.Equal(t, raw(0, 0x8F, 1, 2, 0, 2), c.expect(SUBACK).suback(t).codes)
	c.receive(t.topic("2"), "kept")
	for i, qos := range []byte{0, 0, 2} {
		topic := t.topic(fmt.Sprint(i))
		publisher.publish(topic, "new", 5)
		m := c.receive(topic, "new")
		assert.Equal(t, qos, m.qos)
		assert.Equal(t, i == 2, m.retain)
		assert.EqualValues(t, 7, m.props.number(subscriptionID, 0))
	}
	c.nothing()
}

// subackReasons is table 3-8, Subscribe Reason Codes.
var subackReasons = raw(0, 1, 2, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2)

func subackCodes(t *T) {
	var wanted atomic.Uint32
	t.serve(server.Config{Handlers: server.Handlers{Subscribe: func(e *server.SubscribeEvent) error {
		return server.Refuse(code.ReasonCode(wanted.Load()), "")
	}}})
	c := t.connect("a")
	for n := range 256 {
		wanted.Store(uint32(n))
		c.write(subscribePacket(t.version, 1, nil, filter("a", 2), filter("b", 0)))
		codes := c.expect(SUBACK).suback(t).codes
		require.Len(t, codes, 2)
		for _, got := range codes {
			require.Contains(t, subackReasons[3:], got)
			if n >= 0x80 && slices.Contains(subackReasons, byte(n)) {
				require.EqualValues(t, n, got)
			}
		}
	}
	c.publish("a", "x", 2)
	c.ping()
	assert.Empty(t, c.kept)
}

func deliveryQoS(t *T) {
	publisher := t.connect("publisher")
	for granted := range byte(3) {
		c := t.connect(fmt.Sprint("c", granted))
		c.subscribe(t.topic("x"), granted)
		for qos := range byte(3) {
			publisher.publish(t.topic("x"), "x", qos<<1)
			assert.Equal(t, min(qos, granted), c.receive(t.topic("x"), "x").qos)
		}
		c.nothing()
	}
}

func subackFits(t *T) {
	t.serve(server.Config{Handlers: server.Handlers{Subscribe: func(e *server.SubscribeEvent) error {
		return &server.Error{Code: code.NotAuthorized, Reason: longReason, Properties: cat(longPairs...)}
	}}})
	whole := len(pkt(SUBACK, u16(1), props(prop(reasonString, str(longReason)), cat(longPairs...)), raw(0x87)))
	for size := 30; size < whole+3; size++ {
		c := t.connect(fmt.Sprint("c", size), with(prop(maximumPacketSize, u32(size))))
		c.write(subscribePacket(t.version, 1, nil, filter("a", 0)))
		p := c.expect(SUBACK)
		require.LessOrEqual(t, len(pkt(p.first, p.body)), size)
		require.Equal(t, raw(0x87), p.suback(t).codes)
	}
}

func unsubscribeFlags(t *T) {
	for flags := range byte(16) {
		if flags != 2 {
			p := unsubscribePacket(t.version, 1, "a")
			p[0] = UNSUBSCRIBE&0xF0 | flags
			t.refuses(p, 0x81)
		}
	}
}

func unsubscribeNotUTF8(t *T) {
	for _, bad := range append(notUTF8, "\x00") {
		t.refuses(unsubscribePacket(t.version, 1, t.topic("x"), t.topic(bad)), 0x81)
	}
}

func unsubscribeFromNothing(t *T) {
	t.refuses(unsubscribePacket(t.version, 1), 0x82)
	t.refuses(pkt(UNSUBSCRIBE, u16(1), props(user("key", "value"))), 0x82)
	t.refuses(pkt(UNSUBSCRIBE, u16(1), props(), raw(0)), 0x81)
	t.refuses(pkt(UNSUBSCRIBE, u16(1), props(), raw(0, 2, 'a')), 0x81)
}

func unsubscribeLiterally(t *T) {
	c, publisher := t.connect("a"), t.connect("b")
	c.subscribe(t.topic("a/+"), 0)
	c.subscribe(t.topic("a/b"), 0)
	for _, other := range []string{"a/#", "#", "+/+", "A/b", "a/b/", "a/c", "/a/b", "a"} {
		assert.Equal(t, raw(0x11), c.unsubscribe(t.topic(other)).codes, other)
	}
	assert.Equal(t, raw(0), c.unsubscribe(t.topic("a/b")).codes)
	publisher.publish(t.topic("a/b"), "x", 0)
	c.receive(t.topic("a/b"), "x")
	assert.Equal(t, raw(0), c.unsubscribe(t.topic("a/+")).codes)
	publisher.publish(t.topic("a/b"), "x", 0)
	c.nothing()
}

func nothingAfterUnsubscribe(t *T) {
	c, publisher := t.connect("a", expiry(60)), t.connect("b")
	publisher.publish(t.topic("kept"), "x", 1)
	c.subscribe(t.topic("#"), 2)
	c.subscribe(t.topic("x"), 1)
	c.receive(t.topic("kept"), "x")
	c.unsubscribe(t.topic("#"))
	publisher.publish(t.topic("y"), "x", 4)
	publisher.publish(t.topic("x"), "x", 4)
	assert.EqualValues(t, 1, c.receive(t.topic("x"), "x").qos) // the other one is not touched
	c.unsubscribe(t.topic("x"))
	publisher.publish(t.topic("x"), "x", 4)
	c.nothing()
	c.disconnect()
	publisher.publish(t.topic("x"), "x", 4)
	t.connect("a", resume).nothing()
}

func deliveryAfterUnsubscribe(t *T) {
	c, publisher := t.connect("a", expiry(60)), t.connect("b")
	c.subscribe(t.topic("x"), 2)
	publisher.publish(t.topic("x"), "one", 2)
	publisher.publish(t.topic("x"), "two", 4)
	publisher.publish(t.topic("x"), "three", 4)
	one, two, three := c.message(), c.message(), c.message()
	c.write(pkt(PUBREC, u16(int(three.id))))
	c.expectAck(PUBREL, int(three.id))
	c.unsubscribe(t.topic("x"))
	c.acknowledge(two)
	c.disconnect()
	c = t.connect("a", resume) // what is not finished is sent again
	one.dup = true
	assert.Equal(t, one, c.message())
	c.acknowledge(one)
	c.expectAck(PUBREL, int(three.id))
	c.write(pkt(PUBCOMP, u16(int(three.id))))
	c.nothing()
}

func unsubackAnswers(t *T) {
	c := t.connect("a")
	for id := 100; id < 105; id++ {
		for _, name := range []string{"a", "c", "e/+"} {
			c.subscribe(t.topic(name), 1)
		}
		c.write(unsubscribePacket(t.version, id, t.topic("a"), t.topic("b"), t.topic("c"), t.topic("a"), t.topic("d"), t.topic("e/+")))
		a := c.expect(UNSUBACK).suback(t)
		assert.EqualValues(t, id, a.id)
		assert.Equal(t, raw(0, 0x11, 0, 0x11, 0x11, 0), a.codes)
	}
	c.write(unsubscribePacket(t.version, 1, t.topic("bad/#/filter")))
	assert.Contains(t, raw(0x11, 0x8F), c.expect(UNSUBACK).suback(t).codes[0])
	c.nothing()
}

// unsubackFits: the server has no more to say in an UNSUBACK than its codes.
func unsubackFits(t *T) {
	for filters := 1; filters < 60; filters++ {
		const most = 40
		c := t.connect(fmt.Sprint("c", filters), with(prop(maximumPacketSize, u32(most))))
		c.write(unsubscribePacket(t.version, 1, strings.Split(strings.Repeat("a,", filters-1)+"a", ",")...))
		if size := len(pkt(UNSUBACK, u16(1), props(), make([]byte, filters))); size <= most {
			assert.Len(t, c.expect(UNSUBACK).suback(t).codes, filters)
		} else {
			c.refused(0x95, 0x80, 0x83)
		}
	}
}

func pingAnswered(t *T) {
	c := t.connect("a")
	for range 5 {
		c.write(raw(PINGREQ, 0, PINGREQ, 0))
		for range 2 {
			assert.Equal(t, packet{PINGRESP, []byte{}}, c.next())
		}
	}
	t.refuses(raw(PINGREQ, 1, 0), 0x81)
}
