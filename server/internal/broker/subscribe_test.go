package broker

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
)

func TestSubscribeManyFilters(t *testing.T) { // MQTT-3.8.4-5, -6, MQTT-3.9.3-1, trap 5
	w := newWorld(t)
	s, p := w.connect(packet.V50, "s"), w.connect(packet.V50, "p")
	s.send(&packet.Subscribe{PacketID: 300, Subscriptions: []packet.Subscription{
		{Filter: "a", QoS: 0}, {Filter: "b/+", QoS: 1}, {Filter: "bad+", QoS: 1},
		{Filter: "$share/g/z", QoS: 1}, {Filter: "$share/g", QoS: 1}, {Filter: "c/#", QoS: 2}, {Filter: "", QoS: 0},
	}})
	ack := expect[*packet.Suback](s)
	assert.EqualValues(t, 300, ack.PacketID) // MQTT-3.8.4-2
	assert.Equal(t, []packet.ReasonCode{0, 1, packet.TopicFilterInvalid, 1, packet.TopicFilterInvalid, 2, packet.TopicFilterInvalid}, ack.ReasonCodes)
	for _, topic := range []string{"a", "b/x", "c", "c/d/e"} {
		p.send(pub(topic, topic, 0, 0))
		assert.Equal(t, []string{topic}, payloads(s.take()))
	}
	assert.EqualValues(t, 4, w.Stats().Subscriptions)

	s.send(&packet.Unsubscribe{PacketID: 301, Filters: []string{"c/#", "b/x", "a"}})
	un := expect[*packet.Unsuback](s)
	assert.EqualValues(t, 301, un.PacketID) // MQTT-3.10.4-5
	assert.Equal(t, []packet.ReasonCode{packet.Success, packet.NoSubscriptionExisted, packet.Success}, un.ReasonCodes)
	for _, topic := range []string{"a", "b/x", "c"} {
		p.send(pub(topic, topic, 0, 0))
	}
	assert.Equal(t, []string{"b/x"}, payloads(s.take()))
	proves(t, "MQTT-3.8.4-5", "MQTT-3.8.4-6", "MQTT-3.9.3-1", "MQTT-3.8.4-2", "MQTT-3.10.4-5", "MQTT-3.8.4-1",
		"MQTT-3.8.4-7", "MQTT-3.9.3-2", "MQTT-3.10.4-1", "MQTT-3.10.4-4", "MQTT-3.10.4-6", "MQTT-3.11.3-1",
		"MQTT-3.11.3-2", "MQTT-2.2.1-6")
}

func TestSubscribeFailureIn311(t *testing.T) { // MQTT-3.9.3-2
	w := newWorld(t)
	s := w.connect(packet.V311, "s")
	s.send(&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: "a#"}, {Filter: "$share/g"}, {Filter: "a", QoS: 1}}})
	assert.Equal(t, []packet.ReasonCode{0x80, 0x80, 1}, expect[*packet.Suback](s).ReasonCodes)
	s.send(&packet.Unsubscribe{PacketID: 2, Filters: []string{"x", "a"}}) // trap 4 for 5.0: TestSubscribeManyFilters
	assert.EqualValues(t, 2, expect[*packet.Unsuback](s).PacketID)
	proves(t, "MQTT-3.9.3-2 of 3.1.1", "MQTT-3.9.3-1 of 3.1.1", "MQTT-3.10.4-4 of 3.1.1", "MQTT-3.10.4-5 of 3.1.1")
}

func TestWildcardsAndDollar(t *testing.T) { // MQTT-4.7.2-1, trap 6
	w := newWorld(t)
	all, plus, sys, sport := w.connect(packet.V50, "all"), w.connect(packet.V50, "plus"), w.connect(packet.V50, "sys"), w.connect(packet.V50, "sport")
	all.subscribe(0, "#")
	plus.subscribe(0, "+/x")
	sys.subscribe(0, "$SYS/#")
	sport.subscribe(0, "sport/#")
	p := w.connect(packet.V50, "p")
	p.send(pub("$SYS/x", "1", 0, 0), pub("sport", "2", 0, 0), pub("sport/x", "3", 0, 0), pub("/x", "4", 0, 0))
	assert.Equal(t, []string{"2", "3", "4"}, payloads(all.take()))
	assert.Equal(t, []string{"3", "4"}, payloads(plus.take()))
	assert.Equal(t, []string{"1"}, payloads(sys.take()))
	assert.Equal(t, []string{"2", "3"}, payloads(sport.take()))
	proves(t, "MQTT-4.7.2-1", "MQTT-3.3.2-3")
}

func TestOverlappingSubscriptions(t *testing.T) { // MQTT-3.3.4-2 -3 -4
	w := newWorld(t)
	s, p := w.connect(packet.V50, "s"), w.connect(packet.V50, "p")
	for i, filter := range []string{"a/#", "a/+", "a/b"} {
		s.send(&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: filter, QoS: byte(i)}},
			Properties: packet.AppendVarint(nil, packet.SubscriptionIdentifier, uint32(i*1000+1))})
	}
	assert.Len(t, s.take(), 3)
	s.subscribe(0, "+/b")
	for range 3 { // from the tree, then from the cache
		publishWith(p, pub("a/b", "x", 2, 1))
		got := expect[*packet.Publish](s)
		assert.EqualValues(t, 2, got.QoS)
		var ids []uint32
		for id := range got.Properties.SubscriptionIdentifiers() {
			ids = append(ids, id)
		}
		assert.ElementsMatch(t, []uint32{1, 1001, 2001}, ids)
		acknowledge(s, got)
	}
	publishWith(p, pub("a/c", "x", 2, 1))
	assert.EqualValues(t, 1, expect[*packet.Publish](s).QoS)
	publishWith(p, pub("b/b", "x", 2, 1))
	assert.False(t, expect[*packet.Publish](s).Properties.Has(packet.SubscriptionIdentifier))
	proves(t, "MQTT-3.3.4-2", "MQTT-3.3.4-3", "MQTT-3.3.4-4", "MQTT-3.3.5-1 of 3.1.1")
}

func TestManyOverlappingSubscriptions(t *testing.T) {
	w := newWorld(t)
	p := w.connect(packet.V50, "p")
	var subs []*peer
	for i := range 20 {
		s := w.connect(packet.V311, fmt.Sprint("s", i))
		s.subscribe(0, "a/#", "a/b", "+/b")
		subs = append(subs, s)
	}
	for range 3 {
		p.send(pub("a/b", "x", 0, 0))
		for _, s := range subs {
			expect[*packet.Publish](s)
		}
	}
}

func TestResubscribeReplaces(t *testing.T) { // MQTT-3.8.4-3
	w := newWorld(t)
	s, p := w.connect(packet.V50, "s"), w.connect(packet.V50, "p")
	s.subscribe(0, "t")
	publishWith(p, pub("t", "x", 2, 1))
	assert.EqualValues(t, 0, expect[*packet.Publish](s).QoS)
	s.subscribe(2, "t")
	publishWith(p, pub("t", "x", 2, 1))
	assert.EqualValues(t, 2, expect[*packet.Publish](s).QoS)
	assert.EqualValues(t, 1, w.Stats().Subscriptions)
	proves(t, "MQTT-3.8.4-3")
}

func TestNoLocal(t *testing.T) { // MQTT-3.8.3-3
	w := newWorld(t)
	a, b := w.connect(packet.V50, "a"), w.connect(packet.V50, "b")
	a.send(&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: "t", QoS: 2, NoLocal: true}}})
	expect[*packet.Suback](a)
	for range 3 {
		a.send(pub("t", "own", 0, 0))
		b.send(pub("t", "other", 0, 0))
		assert.Equal(t, []string{"other"}, payloads(a.take()))
	}
	a.subscribe(0, "#") // this one does not mind, but has a lower QoS
	a.send(pub("t", "own", 1, 1))
	got := a.take()
	require.Len(t, got, 2)
	assert.EqualValues(t, 0, got[1].(*packet.Publish).QoS)
	publishWith(b, pub("t", "other", 1, 1))
	assert.EqualValues(t, 1, expect[*packet.Publish](a).QoS)
	proves(t, "MQTT-3.8.3-3")
}

func TestRetainAsPublished(t *testing.T) { // MQTT-3.3.1-12, -13
	w := newWorld(t)
	s, p := w.connect(packet.V50, "s"), w.connect(packet.V50, "p")
	for _, rap := range []bool{false, true} {
		s.send(&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: "t", RetainAsPublished: rap, RetainHandling: 2}}})
		expect[*packet.Suback](s)
		p.send(retained("t", "x", 0, 0))
		assert.Equal(t, rap, expect[*packet.Publish](s).Retain)
		p.send(pub("t", "x", 0, 0))
		assert.False(t, expect[*packet.Publish](s).Retain)
	}
	proves(t, "MQTT-3.3.1-12", "MQTT-3.3.1-13")
}

func TestSubscriptionLimits(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.MaxSubscriptions, c.MaxTopicLength, c.MaxTopicLevels = 2, 20, 3 })
	s := w.connect(packet.V50, "s")
	s.send(&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{
		{Filter: "a"}, {Filter: "b"}, {Filter: "c"}, {Filter: "a"}, {Filter: "123456789012345678901"}, {Filter: "1/2/3/4"},
	}})
	assert.Equal(t, []packet.ReasonCode{0, 0, packet.QuotaExceeded, 0, packet.TopicFilterInvalid, packet.TopicFilterInvalid}, expect[*packet.Suback](s).ReasonCodes)

	s.send(pub("1/2/3/4", "x", 1, 1), pub("123456789012345678901", "x", 2, 2), pub("1/2/3/4", "x", 0, 0))
	got := s.take()
	require.Len(t, got, 2)
	assert.Equal(t, packet.TopicNameInvalid, got[0].(*packet.Puback).ReasonCode)
	assert.Equal(t, packet.TopicNameInvalid, got[1].(*packet.Pubrec).ReasonCode)
	s.send(pub("a", "again", 2, 2)) // MQTT-4.3.3-9
	assert.Equal(t, packet.Success, s.take()[0].(*packet.Pubrec).ReasonCode)
	proves(t, "MQTT-4.3.3-9")
}

func TestTopicAlias(t *testing.T) { // MQTT-3.3.2-12, MQTT-3.3.2-7
	w := newWorld(t)
	s, p := w.connect(packet.V50, "s"), w.connect(packet.V50, "p", expiry(60))
	s.subscribe(0, "#")
	alias := func(topic string, n uint16) *packet.Publish {
		m := pub(topic, "x", 0, 0)
		m.Properties = packet.AppendUint16(nil, packet.TopicAlias, n)
		return m
	}
	for n := uint16(1); n <= 16; n++ {
		p.send(alias(fmt.Sprint("t", n), n))
		assert.Equal(t, fmt.Sprint("t", n), string(expect[*packet.Publish](s).Topic))
	}
	for n := uint16(1); n <= 16; n++ {
		p.send(alias("", n))
		got := expect[*packet.Publish](s)
		assert.Equal(t, fmt.Sprint("t", n), string(got.Topic))
		assert.False(t, got.Properties.Has(packet.TopicAlias)) // MQTT-3.1.2-27
	}
	p.send(alias("new", 3), alias("", 3))
	got := s.take()
	require.Len(t, got, 2)
	assert.Equal(t, "new", string(got[1].(*packet.Publish).Topic))
	p.lose()
	p = w.connect(packet.V50, "p", resume, expiry(60))
	p.send(alias("", 3))
	p.closes(packet.ProtocolError)
	proves(t, "MQTT-3.3.2-12", "MQTT-3.3.2-7", "MQTT-3.1.2-27")
}

func TestTopicAliasOff(t *testing.T) { // MQTT-3.2.2-18
	w := newWorld(t, func(c *Config) { c.TopicAliasMaximum = -1 })
	p, ack := w.tryConnect(packet.V50, "p")
	assert.False(t, ack.Properties.Has(packet.TopicAliasMaximum))
	m := pub("t", "x", 0, 0)
	m.Properties = packet.AppendUint16(nil, packet.TopicAlias, 1)
	p.send(m)
	p.closes(packet.TopicAliasInvalid)
	proves(t, "MQTT-3.2.2-18")
}

// The cache of routes never outlives a change, and topics used once do not fill it.
func TestRouteCache(t *testing.T) {
	w := newWorld(t)
	s, p := w.connect(packet.V50, "s"), w.connect(packet.V50, "p")
	s.subscribe(0, "t/#")
	for range 3 {
		p.send(pub("t/1", "x", 0, 0))
		expect[*packet.Publish](s)
	}
	s.send(&packet.Unsubscribe{PacketID: 1, Filters: []string{"t/#"}})
	s.take()
	p.send(pub("t/1", "x", 0, 0)) // MQTT-3.10.4-2
	s.none()
	s.subscribe(0, "t/1")
	p.send(pub("t/1", "x", 0, 0))
	expect[*packet.Publish](s)

	r := newRouter().(*router)
	for i := range 100_000 {
		r.receivers(w.Broker, fmt.Append(nil, "t/", i))
	}
	assert.Less(t, len(r.cache), 1000)
	for range 3 {
		for i := range maxCachedReceivers {
			r.receivers(w.Broker, fmt.Append(nil, "t/", i/2))
			r.receivers(w.Broker, fmt.Append(nil, "t/", i/2))
		}
	}
	assert.LessOrEqual(t, r.cached, maxCachedReceivers)
	proves(t, "MQTT-3.10.4-2")
}

// A subscription that was made with Retain As Published keeps to the rules of 3.1.1
// while the session belongs to a 3.x client.
func TestRetainAsPublishedResumedByOlderVersion(t *testing.T) { // MQTT-3.3.1-9 of 3.1.1
	for _, v := range []packet.Version{packet.V31, packet.V311} {
		w := newWorld(t)
		p, s := w.connect(packet.V50, "p"), w.connect(packet.V50, "s", expiry(60))
		s.send(&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: "t", QoS: 1, RetainAsPublished: true}}})
		s.lose()
		p.send(retained("t", "offline", 1, 1))
		s = w.connect(v, "s", resume)
		p.send(retained("t", "live", 0, 0))
		got := s.take()
		require.Equal(t, []string{"offline", "live"}, payloads(got))
		for _, q := range got {
			assert.False(t, q.(*packet.Publish).Retain)
		}
		for _, q := range s.subscribe(0, "t") {
			assert.True(t, q.(*packet.Publish).Retain)
		}
		s.lose()
		s = w.connect(packet.V50, "s", resume)
		assert.True(t, expect[*packet.Publish](s).Retain, "QoS 1, sent again")
	}
	proves(t, "MQTT-3.3.1-9 of 3.1.1")
}
