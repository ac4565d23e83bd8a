package broker

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// publishN sends n messages, with payloads from 0 on.
func publishN(p *peer, topic string, qos byte, n int) {
	for i := range n {
		p.send(pub(topic, fmt.Sprint(i), qos, uint16(i+1)))
	}
	p.take()
}

func TestShareTakesTurns(t *testing.T) {
	eachVersion(t, func(t *testing.T, v packet.Version) {
		w := newWorld(t)
		p, other := w.connect(packet.V50, "p"), w.connect(v, "other")
		other.subscribe(1, "$share/h/a/#")
		var members []*peer
		for i := range 3 {
			m := w.connect(v, fmt.Sprint("m", i))
			m.subscribe(1, "$share/g/a/+")
			members = append(members, m)
		}
		publishN(p, "a/b", 1, 30)
		seen := map[string]int{}
		for _, m := range members {
			got := payloads(m.take())
			assert.Len(t, got, 10)
			for _, s := range got {
				seen[s]++
			}
		}
		assert.Len(t, seen, 30, "each message goes to one member")
		assert.Len(t, payloads(other.take()), 30, "each group gets all of them")
	})
}

func TestShareQoSAndIdentifier(t *testing.T) { // MQTT-4.8.2-3
	w := newWorld(t)
	p, m := w.connect(packet.V50, "p"), w.connect(packet.V50, "m")
	m.send(&packet.Subscribe{PacketID: 1, Properties: packet.AppendVarint(nil, packet.SubscriptionIdentifier, 7),
		Subscriptions: []packet.Subscription{{Filter: "$share/g/a", QoS: 1, RetainAsPublished: true}}})
	m.send(&packet.Subscribe{PacketID: 1, Properties: packet.AppendVarint(nil, packet.SubscriptionIdentifier, 8),
		Subscriptions: []packet.Subscription{{Filter: "a", QoS: 2}}})
	m.take()
	p.send(retained("a", "x", 2, 1))
	got := m.take()
	require.Len(t, got, 2, "one for itself and one for the group: %s", names(got))
	for _, q := range got {
		q := q.(*packet.Publish)
		id, _ := q.Properties.Uint(packet.SubscriptionIdentifier)
		assert.Equal(t, map[uint32]byte{7: 1, 8: 2}[id], q.QoS)
		assert.Equal(t, id == 7, q.Retain)
	}
	proves(t, "MQTT-4.8.2-3")
}

func TestShareGetsNoRetained(t *testing.T) {
	w := newWorld(t)
	w.connect(packet.V50, "p").send(retained("a", "x", 0, 0))
	m := w.connect(packet.V50, "m")
	assert.Empty(t, m.subscribe(0, "$share/g/a"))
	m.lose()
}

func TestShareInvalid(t *testing.T) { // MQTT-4.8.2-1, MQTT-4.8.2-2, MQTT-3.8.3-4
	w := newWorld(t)
	m := w.connect(packet.V50, "m")
	m.send(&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{
		{Filter: "$share//a"}, {Filter: "$share/g"}, {Filter: "$share/g/"}, {Filter: "$share/+/a"}, {Filter: "$share/g/a#"}}})
	for _, code := range expect[*packet.Suback](m).ReasonCodes {
		assert.Equal(t, packet.TopicFilterInvalid, code)
	}
	m.raw((&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: "$share/g/a", NoLocal: true}}}).AppendTo(nil, packet.V50))
	m.closes(packet.ProtocolError)
	proves(t, "MQTT-4.8.2-1", "MQTT-4.8.2-2", "MQTT-3.8.3-4")
}

func TestShareUnsubscribe(t *testing.T) {
	w := newWorld(t)
	p, a, b := w.connect(packet.V50, "p"), w.connect(packet.V50, "a"), w.connect(packet.V50, "b")
	a.subscribe(0, "$share/g/t")
	a.subscribe(0, "$share/g/t") // replaced, not a second share
	b.subscribe(0, "$share/g/t")
	publishN(p, "t", 0, 4)
	assert.Len(t, payloads(a.take()), 2)
	assert.Len(t, payloads(b.take()), 2)
	a.send(&packet.Unsubscribe{PacketID: 1, Filters: []string{"$share/g/t", "t"}})
	assert.Equal(t, []packet.ReasonCode{packet.Success, packet.NoSubscriptionExisted}, expect[*packet.Unsuback](a).ReasonCodes)
	publishN(p, "t", 0, 4)
	a.none()
	assert.Len(t, payloads(b.take()), 4)
	b.lose()
	p.send(pub("t", "x", 1, 1))
	assert.Equal(t, packet.NoMatchingSubscribers, expect[*packet.Puback](p).ReasonCode)
	assert.Empty(t, w.shares.groups)
	assert.Zero(t, w.shares.tree.Len())
	assert.Zero(t, w.Stats().Subscriptions)
}

// Members that are away get nothing while another one is connected. When all are away
// messages wait, spread over them.
func TestShareOfflineMembers(t *testing.T) {
	w := newWorld(t)
	p := w.connect(packet.V50, "p")
	var members []*peer
	for i := range 3 {
		m := w.connect(packet.V50, fmt.Sprint("m", i), resume, expiry(100))
		m.subscribe(1, "$share/g/t")
		members = append(members, m)
	}
	members[0].lose()
	members[2].lose()
	publishN(p, "t", 1, 6)
	assert.Len(t, payloads(members[1].take()), 6)
	members[1].lose()
	publishN(p, "t", 0, 2) // QoS 0 does not wait
	publishN(p, "t", 1, 6)
	for i := range members {
		m := w.connect(packet.V50, fmt.Sprint("m", i), resume, expiry(100))
		got := payloads(m.take())
		if i == 1 { // six more that it has not acknowledged
			got = got[6:]
		}
		assert.Len(t, got, 2)
		m.lose()
	}
	m := w.connect(packet.V50, "m2", resume, expiry(100))
	m.take()
	publishN(p, "t", 1, 3)
	assert.Len(t, payloads(m.take()), 3, "back in turn")
}

// What a session has that ends goes to another member: what has waited, and QoS 1 in
// flight, but not QoS 2 in flight, nor what was for the session itself.
func TestShareSessionEnds(t *testing.T) { // MQTT-4.8.2-4, MQTT-4.8.2-5
	w := newWorld(t)
	p := w.connect(packet.V50, "p")
	a := w.connect(packet.V50, "a", resume, expiry(10), uintProp(packet.ReceiveMaximum, 2))
	a.subscribe(2, "$share/g/t")
	a.subscribe(2, "own")
	p.send(pub("t", "1", 1, 1), pub("t", "2", 2, 2), pub("t", "3", 1, 3), pub("own", "4", 1, 4), pub("t", "5", 2, 5), pub("t", "6", 0, 0))
	p.take()
	assert.Equal(t, []string{"1", "2"}, payloads(a.take()))
	a.lose()
	b := w.connect(packet.V50, "b")
	b.subscribe(2, "$share/g/t")
	b.none()

	a = w.connect(packet.V50, "a", resume, expiry(10), uintProp(packet.ReceiveMaximum, 2))
	assert.Equal(t, []string{"1", "2"}, payloads(a.take()), "what is in flight stays with the session")
	a.lose()
	w.advance(11e9)
	assert.Equal(t, []string{"1", "3", "5"}, payloads(b.take()))
	proves(t, "MQTT-4.8.2-4", "MQTT-4.8.2-5")
}

func TestShareSessionEndsAlone(t *testing.T) {
	w := newWorld(t)
	p := w.connect(packet.V50, "p")
	a := w.connect(packet.V50, "a")
	a.subscribe(1, "$share/g/t")
	publishN(p, "t", 1, 3)
	a.lose()
	assert.EqualValues(t, 3, w.Stats().Dropped[DropSessionEnded])
}

// A refused message is not offered to others.
func TestShareRefused(t *testing.T) { // MQTT-4.8.2-6
	w := newWorld(t)
	p, a, b := w.connect(packet.V50, "p"), w.connect(packet.V50, "a"), w.connect(packet.V50, "b")
	a.subscribe(2, "$share/g/t")
	p.send(pub("t", "1", 1, 1), pub("t", "2", 2, 2))
	b.subscribe(2, "$share/g/t")
	got := a.take()
	require.Len(t, got, 2)
	a.send(&packet.Puback{PacketID: got[0].(*packet.Publish).PacketID, ReasonCode: packet.UnspecifiedError},
		&packet.Pubrec{PacketID: got[1].(*packet.Publish).PacketID, ReasonCode: packet.UnspecifiedError})
	a.lose()
	b.none()
	proves(t, "MQTT-4.8.2-6")
}

// A member whose queue is full is passed over.
func TestShareFullMember(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.MaxQueuedMessages = 2 })
	p, slow, quick := w.connect(packet.V50, "p"), w.connect(packet.V50, "slow"), w.connect(packet.V50, "quick")
	slow.subscribe(0, "$share/g/t")
	quick.subscribe(0, "$share/g/t")
	n := 0
	for i := range 20 {
		p.send(pub("t", fmt.Sprint(i), 0, 0))
		n += len(payloads(quick.take()))
	}
	assert.Equal(t, 18, n)
	assert.Len(t, payloads(slow.take()), 2)
	assert.Zero(t, w.Stats().Dropped[DropQueueFull])
}

func TestShareTakeoverWithCleanStart(t *testing.T) {
	w := newWorld(t)
	p := w.connect(packet.V50, "p")
	a := w.connect(packet.V50, "a", expiry(10), uintProp(packet.ReceiveMaximum, 1))
	a.subscribe(1, "$share/g/t")
	publishN(p, "t", 1, 3)
	b := w.connect(packet.V50, "b")
	b.subscribe(1, "$share/g/t")
	a2 := w.connect(packet.V50, "a")
	assert.Equal(t, []string{"0", "1", "2"}, payloads(b.take()))
	a2.none()
	publishN(p, "t", 1, 2)
	assert.Len(t, payloads(b.take()), 2, "the new session is no member")
}

func TestShareHandlerSeesFilter(t *testing.T) {
	var seen []string
	w := newWorld(t, func(c *Config) {
		c.Handlers.Subscribe = func(e *SubscribeEvent) error {
			seen = append(seen, e.Share+" "+e.Filter)
			return nil
		}
	})
	w.connect(packet.V50, "m").subscribe(0, "$share/g/a/b", "a/b")
	assert.Equal(t, []string{"g a/b", " a/b"}, seen)
}

func TestShareDoesNotAllocate(t *testing.T) {
	r := newRig(t, 3, packet.V50, 0)
	for _, c := range r.subs {
		require.NoError(t, c.Feed((&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: "$share/g/shared/#"}}}).AppendTo(nil, packet.V50)))
	}
	r.flush()
	frame := pub("shared/x", "hello", 0, 0).AppendTo(nil, packet.V50)
	once := func() {
		_ = r.pub.Feed(frame)
		r.flush()
	}
	for range 50 {
		once()
	}
	before := r.out.bytes
	allocs := testing.AllocsPerRun(200, once)
	assert.Greater(t, r.out.bytes, before)
	if !raceEnabled {
		assert.Zero(t, allocs)
	}
}
