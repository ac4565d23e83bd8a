package conformance

import (
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	code "github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/server"
)

// Chapters 3.8 to 3.10 of MQTT 3.1.1, where they differ from 5.0: SUBSCRIBE, SUBACK,
// UNSUBSCRIBE, UNSUBACK.

func init() {
	mqtt311(subscribeWithoutFilter, "MQTT-3.8.3-3")
	mqtt311(reservedSubscribeBits, "MQTT-3.8.3-4")
	mqtt311(subackInOrder, "MQTT-3.8.4-1", "MQTT-3.8.4-2", "MQTT-3.8.4-5", "MQTT-3.9.3-1")
	mqtt311(subscribedAgain, "MQTT-3.8.4-3")
	mqtt311(subscribingAgainLosesNothing, "MQTT-3.8.4-3")
	mqtt311(manyFilters, "MQTT-3.8.4-4")
	mqtt311(subackFailure, "MQTT-3.8.4-5", "MQTT-3.9.3-2")
	mqtt311(unsubscribeWithoutFilter, "MQTT-3.10.3-2")
	mqtt311(unsubscribeEqual, "MQTT-3.10.4-1")
	mqtt311(unsubscribeAnswers, "MQTT-3.10.4-4", "MQTT-3.10.4-5", "MQTT-3.10.4-6")
}

func subscribeWithoutFilter(t *T) {
	for _, p := range [][]byte{nil, raw(0), u16(1)} {
		t.refuses(pkt(SUBSCRIBE, p))
	}
	for _, tail := range [][]byte{str("a"), raw(0, 2, 'a'), cat(filter("a", 0), str("b")), cat(filter("a", 0), raw(0))} {
		t.refuses(pkt(SUBSCRIBE, u16(1), tail))
	}
}

func reservedSubscribeBits(t *T) {
	for n := 3; n < 256; n++ {
		if n > 8 && n < 0xF0 && n%16 > 3 {
			continue // enough of them
		}
		t.refuses(subscribePacket(t.version, 1, nil, filter("a", 1), filter("b", byte(n))))
	}
}

// subackInOrder asks for valid and invalid filters at once; the code of each stands in its
// place.
func subackInOrder(t *T) {
	c := t.connect("a")
	for id := 1; id < 10; id++ {
		var filters [][]byte
		want := u16(id * 1000)
		for i := range id {
			if i%4 == 3 {
				filters, want = append(filters, filter(t.topic("a/#/b"), 1)), append(want, 0x80)
			} else {
				filters, want = append(filters, filter(t.topic(fmt.Sprint(i)), byte(i%3))), append(want, byte(i%3))
			}
		}
		c.write(subscribePacket(t.version, id*1000, nil, filters...))
		assert.Equal(t, packet{SUBACK, want}, c.next())
	}
	c.nothing()
}

// subscribedAgain: one subscription, at the last QoS, and the retained messages each time.
func subscribedAgain(t *T) {
	c, publisher := t.connect("a"), t.connect("b")
	publisher.publish(t.topic("kept"), "kept", 5)
	for _, qos := range []byte{2, 0, 1, 1, 2} {
		c.subscribe(t.topic("+"), qos)
		m := c.receive(t.topic("kept"), "kept")
		assert.Equal(t, []any{true, qos}, []any{m.retain, m.qos})
		publisher.publish(t.topic("x"), "x", 4)
		assert.Equal(t, qos, c.receive(t.topic("x"), "x").qos)
		c.nothing()
	}
	c.unsubscribe(t.topic("+")) // there was one
	publisher.publish(t.topic("x"), "x", 4)
	c.nothing()
}

// subscribingAgainLosesNothing while messages arrive.
func subscribingAgainLosesNothing(t *T) {
	c, publisher := t.connect("a"), t.connect("b")
	c.subscribe(t.topic("+"), 1)
	const messages = 300
	var burst []byte
	for n := range messages {
		burst = append(burst, publishPacket(t.version, 2, n+1, t.topic("x"), fmt.Sprint(n))...)
	}
	publisher.write(burst)
	for id := 1; id <= 30; id++ {
		c.write(subscribePacket(t.version, id, nil, filter(t.topic("+"), 1)))
	}
	for n, answers := 0, 0; n < messages || answers < 30; {
		p := c.next()
		if p.first == SUBACK {
			answers++
			continue
		}
		m := p.publish(t)
		require.Equal(t, fmt.Sprint(n), m.payload)
		c.acknowledge(m)
		n++
	}
	for range messages {
		publisher.expect(PUBACK)
	}
	c.nothing()
}

// manyFilters: one SUBACK, retained messages for each, and the last of equal filters.
func manyFilters(t *T) {
	c, publisher := t.connect("a"), t.connect("b")
	publisher.publish(t.topic("1"), "kept", 5)
	publisher.publish(t.topic("2"), "kept", 5)
	c.write(subscribePacket(t.version, 9, nil, filter(t.topic("0"), 0), filter("bad/#/filter", 0), filter(t.topic("1"), 1), filter(t.topic("2"), 1), filter(t.topic("3"), 2), filter(t.topic("3"), 0)))
	assert.Equal(t, packet{SUBACK, raw(0, 9, 0, 0x80, 1, 1, 2, 0)}, c.next())
	assert.ElementsMatch(t, []string{t.topic("1"), t.topic("2")}, []string{c.message().topic, c.message().topic})
	for i, qos := range []byte{0, 1, 1, 0} {
		publisher.publish(t.topic(fmt.Sprint(i)), "new", 4)
		assert.Equal(t, qos, c.receive(t.topic(fmt.Sprint(i)), "new").qos)
	}
	c.nothing()
}

// subackFailure has a handler refuse with every code that 5.0 has: 3.1.1 knows one.
func subackFailure(t *T) {
	var reason atomic.Uint32
	t.serve(server.Config{Handlers: server.Handlers{Subscribe: func(e *server.SubscribeEvent) error {
		if strings.HasSuffix(e.Filter, "refused") {
			return server.Refuse(code.ReasonCode(reason.Load()), "")
		}
		return nil
	}}})
	c := t.connect("a")
	for n := 1; n < 256; n++ {
		reason.Store(uint32(n))
		c.write(subscribePacket(t.version, n, nil, filter(t.topic("1"), 1), filter(t.topic("refused"), 2), filter(t.topic("2"), 2)))
		require.Equal(t, packet{SUBACK, raw(0, byte(n), 1, 0x80, 2)}, c.next(), "%02X", n)
	}
	c.publish(t.topic("refused"), "x", 2)
	c.nothing()
}

func unsubscribeWithoutFilter(t *T) {
	for _, p := range [][]byte{nil, raw(0), u16(1)} {
		t.refuses(pkt(UNSUBSCRIBE, p))
	}
	for _, tail := range [][]byte{raw(0), raw(0, 2, 'a'), cat(str("a"), raw(0)), cat(str("a"), raw(0, 9, 'b'))} {
		t.refuses(pkt(UNSUBSCRIBE, u16(1), tail))
	}
}

func unsubscribeEqual(t *T) {
	c, publisher := t.connect("a"), t.connect("b")
	c.subscribe(t.topic("a/+"), 0)
	c.subscribe(t.topic("a/b"), 0)
	for _, other := range []string{"a/#", "#", "+/+", "+/b", "A/b", "a/b/", "a/c", "/a/b", "a"} {
		c.unsubscribe(t.topic(other))
	}
	for _, name := range []string{"a/b", "a/+"} { // each is still there until it goes
		publisher.publish(t.topic("a/b"), name, 0)
		c.receive(t.topic("a/b"), name)
		if name == "a/b" {
			c.unsubscribe(t.topic(name))
		}
	}
	publisher.publish(t.topic("a/c"), "x", 0)
	c.receive(t.topic("a/c"), "x")
	c.unsubscribe(t.topic("a/+"))
	publisher.publish(t.topic("a/b"), "x", 0)
	c.nothing()
}

// unsubscribeAnswers: one UNSUBACK, without payload, whatever there was to delete.
func unsubscribeAnswers(t *T) {
	c, publisher := t.connect("a"), t.connect("b")
	for _, id := range []int{1, 0x0100, 0x00FF, 0xFFFE} {
		for _, name := range []string{"a", "c", "e/+", "stays"} {
			c.subscribe(t.topic(name), 0)
		}
		c.write(unsubscribePacket(t.version, id, t.topic("a"), t.topic("b"), t.topic("c"), t.topic("a"), t.topic("d"), t.topic("e/+")))
		assert.Equal(t, packet{UNSUBACK, u16(id)}, c.next())
		for _, name := range []string{"a", "c", "e/x", "stays"} {
			publisher.publish(t.topic(name), name, 0)
		}
		c.receive(t.topic("stays"), "stays")
		c.write(unsubscribePacket(t.version, id, t.topic("never there")))
		assert.Equal(t, packet{UNSUBACK, u16(id)}, c.next())
		c.nothing()
	}
}
