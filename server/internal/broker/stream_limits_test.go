package broker

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// A stream that is not read, or whose messages are not acknowledged, stops no other.
func TestStalledStreamStopsNoOther(t *testing.T) {
	for qos := range byte(3) {
		t.Run(fmt.Sprint("QoS ", qos), func(t *testing.T) {
			w := newWorld(t, func(c *Config) { c.MaxInflight, c.MaxQueuedMessages = 100, 100 })
			c := w.connect(packet.V50, "c")
			a, b := c.open(4), c.open(8)
			a.subscribe(qos, "a")
			b.subscribe(qos, "b")
			c.subscribe(qos, "c")
			for range 1000 {
				w.publish("a", "a", qos)
				if len(c.c.session.streams[0].queue.ring) < 16 {
					a.take() // and nothing is acknowledged
				}
			}
			for n := range 1000 {
				want := fmt.Sprint(n)
				w.publish("b", want, qos)
				w.publish("c", want, qos)
				for _, x := range []struct {
					take func() []packet.Packet
					send func(...packet.Packet)
				}{{b.take, b.send}, {c.take, c.send}} {
					got := messagesIn(x.take())
					require.Len(t, got, 1, "message %d", n)
					require.Equal(t, want, string(got[0].Payload))
					switch qos {
					case 1:
						x.send(&packet.Puback{PacketID: got[0].PacketID})
					case 2:
						x.send(&packet.Pubrec{PacketID: got[0].PacketID}, &packet.Pubcomp{PacketID: got[0].PacketID})
						x.take()
					}
				}
			}
			assert.LessOrEqual(t, c.c.session.streams[0].queue.n, 51)
		})
	}
}

// With one stream all of Receive Maximum is used.
func TestReceiveMaximumOverStreams(t *testing.T) {
	w := newWorld(t)
	c := w.connect(packet.V50, "c", uintProp(packet.ReceiveMaximum, 4))
	a, b := c.open(4), c.open(8)
	a.subscribe(1, "a")
	b.subscribe(1, "b")
	c.subscribe(1, "c")
	for range 4 {
		for _, name := range []string{"a", "b", "c"} {
			w.publish(name, name, 1)
		}
	}
	got := append(append(messagesIn(a.take()), messagesIn(b.take())...), messagesIn(c.take())...)
	assert.Len(t, got, 4)
	for range 3 {
		a.send(&packet.Puback{PacketID: got[0].PacketID})
		a.take()
		got = append(append(append(got[1:], messagesIn(a.take())...), messagesIn(b.take())...), messagesIn(c.take())...)
		assert.LessOrEqual(t, len(got), 4)
	}
}

func TestSlowStreamIsReset(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.QueuePolicy, c.MaxQueuedMessages = DropClient, 10 })
	c := w.connect(packet.V50, "c")
	a := c.open(4)
	a.subscribe(0, "t")
	a.out.room = 0
	for range 20 {
		w.publish("t", "x", 0)
	}
	a.take()
	var e *StreamError
	require.ErrorAs(t, a.err, &e)
	assert.Equal(t, packet.QuotaExceeded, e.Code)
	a.st.Closed()
	c.send(&packet.Pingreq{})
	expect[*packet.Pingresp](c)
}

func aliased(topic string, alias uint16) *packet.Publish {
	p := pub(topic, topic, 0, 0)
	p.Properties = packet.AppendUint16(nil, packet.TopicAlias, alias)
	return p
}

// What a client begins on many streams and does not complete is bounded, the one that goes
// beyond it is reset, and the others go on.
func TestIncompletePacketsOfStreams(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.MaxPacketSize = 1000 })
	c := w.connect(packet.V50, "c")
	whole := (&packet.Publish{Topic: []byte("t"), Payload: make([]byte, 900)}).AppendTo(nil, packet.V50)
	var lanes []*lane
	for i := range 4 {
		l := c.open(int64(4 + 4*i))
		require.NoError(t, l.st.Feed(whole[:890]))
		lanes = append(lanes, l)
	}
	much := c.open(100)
	var e *StreamError
	require.NoError(t, much.st.Feed(whole[:400]))
	require.ErrorAs(t, much.st.Feed(whole[400:890]), &e)
	assert.Equal(t, packet.QuotaExceeded, e.Code)
	much.st.Closed()
	for _, l := range lanes {
		require.NoError(t, l.st.Feed(whole[890:]))
	}
	c.send(&packet.Pingreq{})
	require.Len(t, c.take(), 1)
	assert.Zero(t, c.c.begun)
}

// What the data streams of a client leave is bounded, however often it opens and closes
// them, or comes again, and reads nothing.
func TestWhatStreamsLeaveIsBounded(t *testing.T) {
	const most = 100
	w := newWorld(t, func(c *Config) { c.MaxQueuedMessages = most })
	leave := map[string]func(c *peer, l *lane) *peer{
		"stream":     func(c *peer, l *lane) *peer { l.st.Closed(); return c },
		"connection": func(c *peer, _ *lane) *peer { c.lose(); return w.connect(packet.V50, c.t.Name(), resume, expiry(100)) },
		"takeover": func(c *peer, _ *lane) *peer {
			next := w.connect(packet.V50, c.t.Name(), resume, expiry(100))
			c.lose()
			return next
		},
	}
	for name, gone := range leave {
		t.Run(name, func(t *testing.T) {
			w.t = t
			c := w.connect(packet.V50, t.Name(), expiry(100), uintProp(packet.ReceiveMaximum, 1))
			for round := range 20 {
				l := c.open(int64(4 + 4*round))
				l.subscribe(1, "t/"+name)
				for range 2 * most {
					w.publish("t/"+name, "x", 1)
				}
				c.out.room = 0
				s := c.c.session
				c = gone(c, l)
				assert.LessOrEqual(t, s.queue.n, 2*most)
			}
		})
	}
}

func TestAliasesOfStreams(t *testing.T) {
	w := newWorld(t)
	s := w.connect(packet.V50, "s")
	s.subscribe(0, "#")
	c := w.connect(packet.V50, "c", uintProp(packet.TopicAliasMaximum, 10))
	a, b := c.open(4), c.open(8)
	c.send(aliased("control", 1))
	a.send(aliased("a", 1), aliased("a2", 2))
	b.send(aliased("", 1))
	a.send(aliased("", 1))
	require.NoError(t, b.err)
	var topics []string
	for _, m := range messagesIn(s.take()) {
		topics = append(topics, string(m.Topic))
	}
	assert.Equal(t, []string{"control", "a", "a2", "control", "a"}, topics)
	b.send(aliased("", 2))
	var e *StreamError
	require.ErrorAs(t, b.err, &e, "an alias of another data stream")

	a.subscribe(0, "long/topic")
	for range 5 {
		w.publish("long/topic", "x", 0)
	}
	for _, m := range messagesIn(a.take()) {
		assert.Equal(t, "long/topic", string(m.Topic))
	}
	long := strings.Repeat("x", 60_000)
	for id := int64(12); e == nil || e.Code != packet.QuotaExceeded; id += 4 {
		require.Less(t, id, int64(100))
		l := c.open(id)
		for alias := range uint16(16) {
			l.send(aliased(fmt.Sprint(long, id, alias), alias+1))
		}
		if l.err != nil {
			require.ErrorAs(t, l.err, &e)
		}
	}
	c.open(1000).st.Closed()
	assert.LessOrEqual(t, c.c.aliasBytes, maxStreamAliases)
	s.take()
}

func TestKeepAliveCountsDataStreams(t *testing.T) {
	w := newWorld(t)
	c := w.connect(packet.V50, "c", keepAlive(10))
	a := c.open(4)
	for range 10 {
		w.advance(9 * time.Second)
		a.send(pub("t", "x", 0, 0))
	}
	require.NoError(t, a.err)
	assert.False(t, c.tr.closed)
	w.advance(16 * time.Second)
	assert.True(t, c.tr.closed)
	assert.Equal(t, packet.KeepAliveTimeout, c.tr.code)
}

// Retained messages come on the stream that has subscribed, each once, though the
// connection is lost in the middle.
func TestRetainedOnStreams(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.MaxQueuedMessages = 320 })
	for n := range 1000 {
		require.NoError(t, w.Publish(Publication{Topic: fmt.Sprint("t/", n), Payload: []byte("x"), QoS: 1, Retain: true}))
	}
	c := w.connect(packet.V50, "c", expiry(1000), uintProp(packet.ReceiveMaximum, 65535))
	a := c.open(4)
	a.out.room = 2000
	seen := map[string]int{}
	note := func(got []packet.Packet) {
		for _, m := range messagesIn(got) {
			assert.True(t, m.Retain)
			seen[string(m.Topic)]++
		}
	}
	a.send(&packet.Subscribe{PacketID: 5, Subscriptions: []packet.Subscription{{Filter: "t/+", QoS: 1}}})
	note(a.take())
	assert.Greater(t, len(seen), 10)
	assert.Less(t, len(seen), 1000)
	before := len(seen)
	c.lose()
	c = w.connect(packet.V50, "c", resume, expiry(1000), uintProp(packet.ReceiveMaximum, 65535))
	for len(seen) < 1000 {
		got := c.take()
		require.NotEmpty(t, got)
		note(got)
		for _, m := range messagesIn(got) {
			c.send(&packet.Puback{PacketID: m.PacketID})
		}
	}
	total := 0
	for _, n := range seen {
		total += n
	}
	assert.Equal(t, 1000+before, total, "those in flight have come again")
}

// The search for retained messages goes on on a data stream too, when a turn finds none.
func TestRetainedOnStreamAfterManyOthers(t *testing.T) {
	w := newWorld(t)
	for n := range 3 * retainedVisits {
		require.NoError(t, w.Publish(Publication{Topic: fmt.Sprint("a/", n, "/no"), Payload: []byte("x"), Retain: true}))
	}
	require.NoError(t, w.Publish(Publication{Topic: "z/1/yes", Payload: []byte("x"), Retain: true}))
	c := w.connect(packet.V50, "c")
	a := c.open(4)
	a.send(&packet.Subscribe{PacketID: 5, Subscriptions: []packet.Subscription{{Filter: "+/+/yes"}}})
	var got []*packet.Publish
	for range 5 { // turns
		got = append(got, messagesIn(a.take())...)
	}
	assert.Len(t, got, 1)
}

// A client that comes again and again before its retained messages were sent leaves no more
// work than it has filters.
func TestRetainedWorkIsBounded(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.MaxQueuedMessages = 10 })
	c := w.connect(packet.V50, "c", expiry(1000), uintProp(packet.ReceiveMaximum, 1))
	c.subscribe(1, "t")
	for range 10 { // nothing is acknowledged, so there is no room for retained messages
		w.publish("t", "x", 1)
	}
	for range 20 {
		l := c.open(4)
		l.send(&packet.Subscribe{PacketID: 5, Subscriptions: []packet.Subscription{{Filter: "r/+", QoS: 1}}})
		c.lose()
		c = w.connect(packet.V50, "c", resume, expiry(1000), uintProp(packet.ReceiveMaximum, 1))
	}
	n := 0
	for k := c.c.session.retained.Load(); k != nil; k = k.next {
		n++
	}
	assert.LessOrEqual(t, n, 2)
}

// A client that ends its session leaves nothing of its streams.
func TestStreamsOfASessionThatEnds(t *testing.T) {
	w := newWorld(t)
	c := w.connect(packet.V50, "c")
	for id := int64(4); id < 40; id += 4 {
		l := c.open(id)
		l.subscribe(1, "#")
		l.send(pub("t", "x", 2, 1))
	}
	c.bye()
	assert.Zero(t, w.subs.Len())
	assert.Zero(t, w.Stats().Subscriptions)
	assert.Zero(t, w.Stats().OfflineBytes)
}

// Messages to a data stream cost no memory either.
func TestDeliveryToStreamDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		return
	}
	w := newWorld(t)
	c := w.connect(packet.V50, "c")
	from := w.connect(packet.V50, "from")
	a := c.open(4)
	a.subscribe(0, "t")
	p := pub("t", "payload", 0, 0).AppendTo(nil, packet.V50)
	send := func() {
		if from.c.Feed(p) != nil || c.c.session == nil {
			panic("feed")
		}
		c.c.Flush(&c.out)
		if a.st.Flush(&a.out) != nil || a.out.Len() == 0 {
			panic("nothing came")
		}
		a.out.Reset()
	}
	send()
	assert.Zero(t, testing.AllocsPerRun(100, send))
}
