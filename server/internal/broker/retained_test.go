package broker

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
)

func TestRetained(t *testing.T) {
	eachVersion(t, func(t *testing.T, v packet.Version) {
		w := newWorld(t)
		p, s := w.connect(v, "p"), w.connect(v, "s")
		live := w.connect(v, "live")
		live.subscribe(0, "#")
		publishWith(p, retained("a/b", "1", 0, 0)) // MQTT-3.3.1-5
		publishWith(p, retained("a/b", "2", 1, 1))
		publishWith(p, retained("a/c", "3", 2, 2))
		publishWith(p, pub("a/b", "not retained", 1, 1)) // MQTT-3.3.1-8
		assert.Len(t, live.take(), 4)

		got := s.subscribe(1, "a/+", "none/#")
		assert.ElementsMatch(t, []string{"2", "3"}, payloads(got))
		for _, q := range got {
			m := q.(*packet.Publish)
			assert.True(t, m.Retain)
			assert.EqualValues(t, 1, m.QoS)
			acknowledge(s, m)
		}
		assert.ElementsMatch(t, []string{"2", "3"}, payloads(s.subscribe(0, "a/+")), "again on every SUBSCRIBE")

		publishWith(p, retained("a/b", "", 1, 1)) // MQTT-3.3.1-6, -7
		assert.Equal(t, []string{""}, payloads(live.take()))
		s.take()
		assert.Equal(t, []string{"3"}, payloads(s.subscribe(0, "a/#")))
		messages, bytes := w.cfg.Retained.Size()
		assert.EqualValues(t, 1, messages)
		assert.Positive(t, bytes)
		p.bye() // MQTT-3.1.2-7, 3.1.1: retained messages survive the session
		assert.Equal(t, []string{"3"}, payloads(s.subscribe(0, "a/c")))
	})
	proves(t, "MQTT-3.3.1-5", "MQTT-3.3.1-8", "MQTT-3.3.1-6", "MQTT-3.3.1-7", "MQTT-3.1.2-7 of 3.1.1",
		"MQTT-3.3.1-5 of 3.1.1", "MQTT-3.3.1-6 of 3.1.1", "MQTT-3.3.1-7 of 3.1.1", "MQTT-3.3.1-8 of 3.1.1",
		"MQTT-3.3.1-9 of 3.1.1", "MQTT-3.3.1-10 of 3.1.1", "MQTT-3.3.1-11 of 3.1.1", "MQTT-3.3.1-12 of 3.1.1",
		"MQTT-3.8.4-3 of 3.1.1")
}

func TestRetainHandling(t *testing.T) { // MQTT-3.3.1-9, -10, -11
	w := newWorld(t)
	p, s := w.connect(packet.V50, "p"), w.connect(packet.V50, "s")
	p.send(retained("t", "x", 0, 0))
	subscribe := func(handling byte) int {
		s.send(&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: "t", RetainHandling: handling}},
			Properties: packet.AppendVarint(nil, packet.SubscriptionIdentifier, 9)})
		got := s.take()
		require.IsType(t, &packet.Suback{}, got[0])
		for _, q := range got[1:] {
			id, _ := q.(*packet.Publish).Properties.Uint(packet.SubscriptionIdentifier)
			assert.EqualValues(t, 9, id)
		}
		return len(got) - 1
	}
	assert.Equal(t, 0, subscribe(2))
	assert.Equal(t, 0, subscribe(1), "it exists")
	assert.Equal(t, 1, subscribe(0))
	assert.Equal(t, 1, subscribe(0))
	s.send(&packet.Unsubscribe{PacketID: 1, Filters: []string{"t"}})
	s.take()
	assert.Equal(t, 1, subscribe(1), "it is new")
	proves(t, "MQTT-3.3.1-9", "MQTT-3.3.1-10", "MQTT-3.3.1-11")
}

func TestRetainedNotForOwnNoLocal(t *testing.T) {
	w := newWorld(t)
	p := w.connect(packet.V50, "p")
	p.send(retained("t", "x", 0, 0))
	p.send(&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: "t", NoLocal: true}}})
	expect[*packet.Suback](p)
}

func TestRetainedExpiry(t *testing.T) {
	w := newWorld(t)
	p, s := w.connect(packet.V50, "p"), w.connect(packet.V50, "s")
	expiring := func(topic string, seconds uint32) {
		m := retained(topic, topic, 0, 0)
		m.Properties = packet.AppendUint32(nil, packet.MessageExpiryInterval, seconds)
		p.send(m)
	}
	expiring("a", 10)
	expiring("b", 10)
	expiring("c", 20)
	expiring("d", 20)
	p.send(retained("b", "b for ever", 0, 0)) // replaced: its old timer must not remove the new one
	p.send(retained("d", "", 0, 0))
	assert.Len(t, w.expiries.byMessage, 2)
	w.advance(4 * time.Second)
	got := s.subscribe(0, "a")
	require.Len(t, got, 1)
	n, _ := got[0].(*packet.Publish).Properties.Uint(packet.MessageExpiryInterval)
	assert.EqualValues(t, 6, n)
	w.advance(7 * time.Second)
	assert.ElementsMatch(t, []string{"b for ever", "c"}, payloads(s.subscribe(0, "#")))
	assert.EqualValues(t, 2, w.Stats().Retained)
	for i := range 1000 { // replaced again and again leaves nothing behind
		expiring("c", uint32(1000+i))
	}
	assert.Len(t, w.expiries.byMessage, 1)
	w.advance(time.Hour)
	assert.Empty(t, w.expiries.byMessage)
	assert.EqualValues(t, 1, w.Stats().Retained)
}

func TestRetainedLimits(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.MaxRetainedMessages, c.MaxRetainedBytes = 2, 100+2*nodeSize })
	p, s := w.connect(packet.V50, "p"), w.connect(packet.V50, "s")
	p.send(retained("a", "1", 0, 0), retained("b", "2", 0, 0), retained("c", "3", 0, 0), retained("a", "4", 0, 0))
	assert.ElementsMatch(t, []string{"4", "2"}, payloads(s.subscribe(0, "#")))
	p.send(retained("a", string(make([]byte, 100)), 0, 0))
	assert.EqualValues(t, 2, w.Stats().Dropped[DropRetainedFull])
	s.take()
	// What does not fit still replaces what was there, MQTT-3.3.1-5.
	assert.ElementsMatch(t, []string{"2"}, payloads(s.subscribe(0, "#")))
	n := w.Stats()
	assert.EqualValues(t, 1, n.Retained)
	assert.EqualValues(t, 5, n.RetainedBytes) // 2+1 topic, 1 properties, 1 payload
}

// Retained messages are not cut off by the limit of the queue.
func TestRetainedMoreThanQueue(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.MaxQueuedMessages, c.MaxQueuedBytes = 10, 1000 })
	p, s := w.connect(packet.V50, "p"), w.connect(packet.V50, "s")
	for i := range 200 {
		p.send(retained(fmt.Sprint("t/", i), "0123456789", 0, 0))
	}
	assert.Len(t, s.subscribe(0, "#"), 200)
}
