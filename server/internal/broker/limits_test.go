package broker

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// hookedStore calls functions between a step of the store and what the broker does
// next, so that a test decides a race.
type hookedStore struct {
	RetainedStore
	stored, matched func()
	walks, visits   int
}

func (h *hookedStore) Store(m *Message, limits RetainedLimits) (*Message, bool) {
	old, ok := h.RetainedStore.Store(m, limits)
	if fn := h.stored; fn != nil {
		h.stored = nil
		fn()
	}
	return old, ok
}

func (h *hookedStore) Match(filter string) RetainedWalk {
	h.walks++
	return &hookedWalk{h.RetainedStore.Match(filter), h}
}

type hookedWalk struct {
	RetainedWalk
	h *hookedStore
}

func (w *hookedWalk) Next(limit int) ([]*Message, int, bool) {
	found, left, more := w.RetainedWalk.Next(limit)
	w.h.visits += limit - left
	if fn := w.h.matched; fn != nil {
		w.h.matched = nil
		fn()
	}
	return found, left, more
}

func newHookedWorld(t *testing.T, change ...func(*Config)) (*world, *hookedStore) {
	h := &hookedStore{RetainedStore: NewMemoryRetained()}
	return newWorld(t, append(change, func(c *Config) { c.Retained = h })...), h
}

// One packet with the same filter very often costs one walk through the store.
func TestRepeatedFilterInOneSubscribe(t *testing.T) {
	w, store := newHookedWorld(t)
	p, s := w.connect(packet.V50, "p"), w.connect(packet.V50, "s")
	p.send(retained("a", "1", 0, 0))
	many := &packet.Subscribe{PacketID: 1}
	for range 1000 {
		many.Subscriptions = append(many.Subscriptions, packet.Subscription{Filter: "#"})
	}
	s.send(many)
	assert.Equal(t, []string{"1"}, payloads(s.take()))
	assert.Equal(t, 1, store.walks)

	// The Retain Handling of the first counts as if it had come alone, MQTT-3.3.1-10.
	s.send(&packet.Subscribe{PacketID: 2, Subscriptions: []packet.Subscription{
		{Filter: "a", RetainHandling: 1}, {Filter: "a", RetainHandling: 1, QoS: 1}, {Filter: "a", RetainHandling: 2},
	}})
	assert.Equal(t, []string{"1"}, payloads(s.take()))
	assert.Equal(t, 2, store.walks)
}

// A client that does not read can subscribe as often as it likes: what waits for it is
// limited, also when retained messages are replaced meanwhile.
func TestRetainedForSlowReaderIsLimited(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.MaxQueuedMessages, c.MaxQueuedBytes = 100, 1000 })
	p, s := w.connect(packet.V50, "p"), w.connect(packet.V50, "s")
	s.out.room = 0
	for i := range 50 {
		p.send(retained("a", fmt.Sprintf("%600d", i), 0, 0))
		s.send(&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: "#"}}})
	}
	assert.LessOrEqual(t, s.c.session.queue.bytes, 1000+700)
	assert.NotZero(t, w.Stats().Dropped[DropQueueFull])
	s.out.room = math.MaxInt
	got := payloads(s.take())
	assert.Len(t, got, 2, "the first as it came, what is retained now once for all that was asked")
	assert.Equal(t, fmt.Sprintf("%600d", 49), got[len(got)-1])
}

// One SUBSCRIBE with many filters, each of which looks at every topic of the store,
// costs nothing in Feed and little in each Flush.
func TestRetainedWorkIsLimited(t *testing.T) {
	const topics, filters = 5000, 20
	w, store := newHookedWorld(t)
	p, s := w.connect(packet.V50, "p"), w.connect(packet.V50, "s")
	for i := range topics {
		require.NoError(t, w.Publish(Publication{Topic: fmt.Sprint(i), Payload: []byte("x"), Retain: true}))
	}
	p.send(retained("7/x3", "found", 0, 0))
	many := &packet.Subscribe{PacketID: 1}
	for i := range filters {
		many.Subscriptions = append(many.Subscriptions, packet.Subscription{Filter: fmt.Sprint("+/x", i)})
	}
	s.send(many)
	assert.Zero(t, store.visits)
	turns, most := 0, 0
	for more := true; more; more = s.c.woken.Load() {
		before := store.visits
		s.c.Flush(&s.out)
		turns, most = turns+1, max(most, store.visits-before)
	}
	assert.GreaterOrEqual(t, store.visits, topics*filters)
	assert.LessOrEqual(t, most, retainedVisits)
	assert.LessOrEqual(t, turns, 2+topics*filters/retainedVisits)
	got := s.take()
	assert.IsType(t, &packet.Suback{}, got[0])
	assert.Equal(t, []string{"found"}, payloads(got))
	assert.Nil(t, s.c.session.retained.Load())
}

// A session that is resumed gets the retained messages that its old connection has not
// got: each once, and none twice that came as it was published.
func TestRetainedAfterResume(t *testing.T) {
	const topics = 3000
	w := newWorld(t)
	s := w.connect(packet.V50, "s", expiry(60))
	for i := range topics {
		require.NoError(t, w.Publish(Publication{Topic: fmt.Sprint("t/", i), Payload: fmt.Append(nil, i), QoS: 1, Retain: true}))
	}
	s.send(&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: "t/+"}, {Filter: "gone/#"}}})
	s.c.Flush(&s.out) // a part of them
	s.lose()
	require.NoError(t, w.Publish(Publication{Topic: "t/new", QoS: 1, Payload: []byte("new"), Retain: true}))
	again := w.connect(packet.V50, "s", resume, expiry(60))
	got := append(payloads(s.take()), payloads(again.take())...)
	assert.Len(t, got, topics, "QoS 0: the new one came while the client was away")
	slices.Sort(got)
	assert.Len(t, slices.Compact(got), topics)

	again.subscribe(0, "t/1")
	again.send(&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: "t/#"}, {Filter: "t/2"}}})
	again.send(&packet.Unsubscribe{PacketID: 2, Filters: []string{"t/#"}})
	again.c.session.unsubscribeAll()
	assert.Empty(t, payloads(again.take()))
}

// Messages that a client has got and does not acknowledge hold no more memory than
// those that wait.
func TestUnacknowledgedBytesAreLimited(t *testing.T) {
	for _, qos := range []byte{1, 2} {
		w := newWorld(t, func(c *Config) { c.MaxQueuedBytes = 1000 })
		s, p := w.connect(packet.V50, "s"), w.connect(packet.V50, "p")
		s.subscribe(qos, "t")
		var got []packet.Packet
		for range 10 {
			publishWith(p, pub("t", string(make([]byte, 400)), qos, 1))
			got = append(got, s.take()...)
		}
		require.Len(t, got, 2, "in flight")
		id := got[0].(*packet.Publish).PacketID
		if qos == 1 {
			s.send(&packet.Puback{PacketID: id})
		} else {
			s.send(&packet.Pubrec{PacketID: id})
		}
		assert.Len(t, payloads(s.take()), 1, "an acknowledgement makes room for one")
		assert.EqualValues(t, 6, w.Stats().Dropped[DropQueueFull])
		s.bye()
		s = w.connect(packet.V50, "s2")
		s.subscribe(qos, "t")
		publishWith(p, pub("t", string(make([]byte, 5000)), qos, 1))
		assert.Len(t, s.take(), 1, "one message is always sent")
	}
}

// Messages whose time has passed do not keep others out of a full queue.
func TestExpiredMessagesMakeRoom(t *testing.T) { // MQTT-3.3.2-5
	w := newWorld(t, func(c *Config) { c.MaxQueuedMessages = 5 })
	s := w.connect(packet.V50, "s", expiry(0xFFFFFFFF))
	s.subscribe(1, "t")
	s.lose()
	p := w.connect(packet.V50, "p")
	send := func(payload string, seconds uint32) {
		m := pub("t", payload, 1, 1)
		if seconds > 0 {
			m.Properties = packet.AppendUint32(nil, packet.MessageExpiryInterval, seconds)
		}
		publishWith(p, m)
	}
	send("for ever", 0)
	for range 4 {
		send("short", 10)
	}
	send("dropped", 0)
	w.advance(11 * time.Second)
	for i := range 5 {
		send(fmt.Sprint(i), 0)
	}
	n := w.Stats()
	assert.EqualValues(t, 2, n.Dropped[DropQueueFull])
	assert.EqualValues(t, 4, n.Dropped[DropExpired])
	s = w.connect(packet.V50, "s", resume)
	assert.Equal(t, []string{"for ever", "0", "1", "2", "3"}, payloads(s.take()))
	proves(t, "MQTT-3.3.2-5")
}

// A retained message that is replaced before its timer has been set leaves nothing
// behind.
func TestRetainedReplacedAtOnce(t *testing.T) {
	w, store := newHookedWorld(t)
	p := w.connect(packet.V50, "p")
	store.stored = func() { assert.NoError(t, w.Publish(Publication{Topic: "a", Payload: []byte("2"), Retain: true})) }
	m := retained("a", "1", 0, 0)
	m.Properties = packet.AppendUint32(nil, packet.MessageExpiryInterval, 0xFFFFFFFF)
	p.send(m)
	assert.Empty(t, w.expiries.byMessage)
	s := w.connect(packet.V50, "s")
	assert.Equal(t, []string{"2"}, payloads(s.subscribe(0, "a")))
}

// A message that is replaced while a subscriber collects retained messages does not
// come after its successor.
func TestRetainedReplacedWhileSubscribing(t *testing.T) { // MQTT-4.6.0-5
	w, store := newHookedWorld(t)
	p, s := w.connect(packet.V50, "p"), w.connect(packet.V50, "s")
	p.send(retained("a", "1", 0, 0), retained("b", "1", 0, 0))
	store.matched = func() { p.send(retained("a", "2", 0, 0)) }
	got := payloads(s.subscribe(0, "a"))
	assert.Equal(t, "2", got[len(got)-1])
	assert.Equal(t, []string{"1"}, payloads(s.subscribe(0, "b")))
	proves(t, "MQTT-4.6.0-5")
}

// A handler that swallows a QoS 2 message is called once, and the flow of packets is
// that of an accepted message.
func TestDroppedQoS2(t *testing.T) { // MQTT-4.3.3-10, MQTT-3.3.5-2 of 3.1.1
	for _, cause := range []error{ErrDrop, Refuse(packet.NotAuthorized, "")} {
		eachVersion(t, func(t *testing.T, v packet.Version) {
			if v == packet.V50 && cause != ErrDrop {
				return // told with PUBREC; there is no PUBREL
			}
			w, calls := newWorld(t), 0
			require.NoError(t, w.HandlePublish("#", func(*PublishEvent) error { calls++; return cause }))
			p := w.connect(v, "p")
			for range 2 {
				p.send(pub("t", "x", 2, 7))
				assert.Equal(t, packet.Success, expect[*packet.Pubrec](p).ReasonCode)
			}
			assert.Equal(t, 1, calls)
			p.send(&packet.Pubrel{PacketID: 7})
			assert.Equal(t, packet.Success, expect[*packet.Pubcomp](p).ReasonCode)
		})
	}
}

// A CONNECT that cannot be answered takes nothing from the client that is connected
// and leaves no will.
func TestConnackTooLargeTakesNothing(t *testing.T) {
	w := newWorld(t)
	s := w.connect(packet.V50, "s")
	s.subscribe(0, "#")
	p := w.dial(packet.V50)
	c := &packet.Connect{ClientID: "s", CleanStart: true, Properties: packet.AppendUint32(nil, packet.MaximumPacketSize, 5)}
	withWill("w", 0, false, nil)(c)
	p.send(c)
	assert.Equal(t, packet.PacketTooLarge, CloseCode(p.err))
	p.none()
	p.lose()
	assert.NoError(t, w.Publish(Publication{Topic: "t", Payload: []byte("1")}))
	assert.Equal(t, []string{"1"}, payloads(s.take()))
	assert.False(t, s.tr.closed)
}

// The longest Duration means for ever.
func TestPublishLongestExpiry(t *testing.T) {
	w := newWorld(t)
	s := w.connect(packet.V50, "s")
	s.subscribe(0, "t")
	require.NoError(t, w.Publish(Publication{Topic: "t", Expiry: 1<<63 - 1}))
	n, _ := expect[*packet.Publish](s).Properties.Uint(packet.MessageExpiryInterval)
	assert.EqualValues(t, 0xFFFFFFFF, n)
}

// A handler may use one buffer for all its replies.
func TestReplyIsCopied(t *testing.T) {
	var buf [1]byte
	w := newWorld(t, func(c *Config) {
		c.Handlers.Subscribe = func(e *SubscribeEvent) error {
			buf[0]++
			e.Reply(Publication{Topic: e.Filter, Payload: buf[:]})
			return nil
		}
	})
	s := w.connect(packet.V50, "s")
	got := s.subscribe(0, "a", "b")
	require.Len(t, got, 2)
	assert.True(t, bytes.Equal(got[0].(*packet.Publish).Payload, []byte{1}))
}

// Limits count what the trees of topics take, which is far more than their text when
// there are many levels.
func TestDeepTopicsAreLimited(t *testing.T) {
	deep := strings.Repeat("/a", 100)
	w := newWorld(t, func(c *Config) { c.MaxSubscriptions, c.MaxRetainedBytes = 100, 500_000 })
	p := w.connect(packet.V50, "p")
	s := &packet.Subscribe{PacketID: 1}
	for i := range 100 {
		s.Subscriptions = append(s.Subscriptions, packet.Subscription{Filter: fmt.Sprint(i, deep)})
		p.send(retained(fmt.Sprint(i, deep), "x", 0, 0))
	}
	assert.EqualValues(t, 16, w.Stats().Retained) // (500,000 - 16*208) / 300 / 101 levels
	p.send(s)
	codes := p.take()[0].(*packet.Suback).ReasonCodes
	assert.Equal(t, packet.GrantedQoS0, codes[12]) // 100 * 4,096 / (101*300 + 2*203)
	assert.Equal(t, packet.QuotaExceeded, codes[13])
	for i := range 16 {
		p.send(retained(fmt.Sprint(i, deep), "", 0, 0))
	}
	p.send(&packet.Unsubscribe{PacketID: 1, Filters: []string{"0" + deep}}, s)
	p.take()
	assert.EqualValues(t, 13, w.Stats().Subscriptions)
	for i := range 100 {
		p.send(retained(fmt.Sprint("flat", i), "x", 0, 0))
	}
	assert.EqualValues(t, 100, w.Stats().Retained)
}

// All sessions without a connection together keep no more than MaxOfflineBytes.
func TestOfflineBytesAreLimited(t *testing.T) {
	const size = 100 // with 5 for the topic and 1 for the properties
	w := newWorld(t, func(c *Config) { c.MaxOfflineBytes = 10 * size })
	p := w.connect(packet.V50, "p")
	var away []*peer
	for i := range 4 {
		s := w.connect(packet.V50, fmt.Sprint("s", i), expiry(100))
		s.subscribe(1, "t/1")
		away = append(away, s)
	}
	send := func(n int, expiry uint32) {
		for range n {
			m := pub("t/1", string(make([]byte, size-6)), 1, 1)
			if expiry > 0 {
				m.Properties = packet.AppendUint32(nil, packet.MessageExpiryInterval, expiry)
			}
			publishWith(p, m)
		}
	}
	send(1, 0) // in flight when the connections are lost
	for _, s := range away {
		require.Len(t, payloads(s.take()), 1)
		s.lose()
	}
	assert.EqualValues(t, 4*size, w.Stats().OfflineBytes)
	send(5, 10)
	n := w.Stats()
	assert.EqualValues(t, 10*size, n.OfflineBytes)
	assert.EqualValues(t, 5*4-6, n.Dropped[DropOfflineFull])

	w.advance(11 * time.Second) // what has expired makes room, at the latest when that is needed
	send(1, 0)
	assert.NotZero(t, w.Stats().Dropped[DropExpired])
	assert.LessOrEqual(t, w.Stats().OfflineBytes, int64(10*size))

	s := w.connect(packet.V50, "s0", resume, expiry(100)) // connected: no longer counted
	left := w.Stats().OfflineBytes
	assert.NotEmpty(t, payloads(s.take()))
	send(100, 0)
	assert.GreaterOrEqual(t, w.Stats().OfflineBytes, left)
	w.connect(packet.V50, "s1")
	w.advance(200 * time.Second)
	assert.Zero(t, w.Stats().OfflineBytes, "sessions that have ended give it back")
}
