package broker

import (
	"bytes"
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// lane is the far end of a data stream of a peer.
type lane struct {
	p       *peer
	st      *Stream
	out     sink
	decoder packet.Decoder
	err     error // of Feed or Flush
}

// open opens a data stream.
func (p *peer) open(id int64) *lane { return p.lane(p.c.OpenStream(id, id%4 == 2)) }

func (p *peer) lane(st *Stream) *lane {
	l := &lane{p: p, st: st}
	l.out.room = math.MaxInt
	l.decoder.Init(0)
	l.decoder.SetVersion(p.v)
	return l
}

func (l *lane) send(packets ...packet.Packet) {
	for _, q := range packets {
		if l.err == nil {
			l.err = l.st.Feed(q.AppendTo(nil, l.p.v))
		}
	}
}

// take flushes and gives what has come on the stream since the last take.
func (l *lane) take() (got []packet.Packet) {
	l.p.t.Helper()
	l.p.pump()
	if err := l.st.Flush(&l.out); err != nil {
		l.err = err
	}
	l.decoder.Feed(bytes.Clone(l.out.Next(l.out.Len())))
	for {
		q, err := l.decoder.Next()
		require.NoError(l.p.t, err)
		if q == nil {
			return got
		}
		got = append(got, keep(q))
	}
}

func (l *lane) none() {
	l.p.t.Helper()
	got := l.take()
	assert.Empty(l.p.t, got, "%s", names(got))
}

func (l *lane) subscribe(qos byte, filter string) {
	l.p.t.Helper()
	l.send(&packet.Subscribe{PacketID: 5, Subscriptions: []packet.Subscription{{Filter: filter, QoS: qos}}})
	got := l.take()
	require.NotEmpty(l.p.t, got)
	ack, ok := got[0].(*packet.Suback)
	require.True(l.p.t, ok, "%s", names(got))
	require.Equal(l.p.t, []packet.ReasonCode{packet.ReasonCode(qos)}, ack.ReasonCodes)
}

// messagesIn are the PUBLISH packets in got.
func messagesIn(got []packet.Packet) (list []*packet.Publish) {
	for _, q := range got {
		if m, ok := q.(*packet.Publish); ok {
			list = append(list, m)
		}
	}
	return list
}

func (w *world) publish(topic, payload string, qos byte) {
	require.NoError(w.t, w.Publish(Publication{Topic: topic, Payload: []byte(payload), QoS: qos}))
}

func resumed(w *world, id string) *peer {
	return w.connect(packet.V50, id, resume, expiry(1000))
}

func TestAnswersAndDeliveriesKeepTheirStream(t *testing.T) {
	eachVersion(t, func(t *testing.T, v packet.Version) {
		w := newWorld(t)
		c := w.connect(v, "c")
		a, b := c.open(4), c.open(8)
		a.subscribe(2, "t")
		b.send(pub("t", "x", 2, 7), &packet.Pingreq{})
		got := b.take()
		require.Len(t, got, 2)
		assert.Equal(t, &packet.Pubrec{PacketID: 7}, got[0])
		assert.IsType(t, &packet.Pingresp{}, got[1])
		assert.Equal(t, []string{"x"}, payloads(a.take()))
		c.none()
	})
}

// The identifiers that the broker gives out are those of the session, those of the client
// those of a stream.
func TestPacketIdentifiersOfStreams(t *testing.T) {
	w := newWorld(t)
	c := w.connect(packet.V50, "c")
	a, b := c.open(4), c.open(8)
	a.subscribe(1, "a")
	b.subscribe(1, "b")
	w.publish("a", "1", 1)
	w.publish("b", "2", 1)
	fromA, fromB := messagesIn(a.take()), messagesIn(b.take())
	require.Len(t, fromA, 1)
	require.Len(t, fromB, 1)
	assert.NotEqual(t, fromA[0].PacketID, fromB[0].PacketID)

	c.subscribe(2, "in")
	a.send(pub("in", "a", 2, 9))
	b.send(pub("in", "b", 2, 9))
	assert.Equal(t, []string{"a", "b"}, payloads(c.take()), "the same identifier on two streams is two messages")
	b.send(pub("in", "b", 2, 9), &packet.Pubrel{PacketID: 9})
	a.send(pub("in", "a", 2, 9), &packet.Pubrel{PacketID: 9}, &packet.Pubrel{PacketID: 9})
	c.none()
	var codes []packet.ReasonCode
	for _, q := range append(b.take(), a.take()...) {
		if q, ok := q.(*packet.Pubcomp); ok {
			codes = append(codes, q.ReasonCode)
		}
	}
	assert.Equal(t, []packet.ReasonCode{packet.Success, packet.Success, packet.PacketIdentifierNotFound}, codes)
}

func TestInbound(t *testing.T) {
	var in inbound
	in.add(4, 1)
	assert.True(t, in.known(4, 1, false))
	assert.False(t, in.known(8, 1, false), "another message")
	assert.False(t, in.known(controlID, 1, false))
	in.add(8, 1)
	in.add(controlID, 1)
	in.orphan(4)
	assert.False(t, in.known(4, 1, false), "a new stream may have the identifier of an old one")
	assert.True(t, in.known(12, 1, true), "sent again: the one of the stream that is gone")
	assert.Equal(t, 3, in.len())
	assert.True(t, in.done(12, 1))
	assert.True(t, in.done(8, 1))
	assert.True(t, in.done(16, 1), "of any other stream")
	assert.False(t, in.done(16, 1))
	assert.Zero(t, in.len())

	in.add(4, 7)
	in.add(8, 7)
	in.orphanAll()
	in.add(4, 8)
	assert.False(t, in.known(4, 7, false), "stream 4 of the next connection")
	assert.True(t, in.done(4, 8))
	assert.True(t, in.known(controlID, 7, true))
	assert.True(t, in.known(controlID, 7, true))
	assert.True(t, in.done(controlID, 7))
	assert.True(t, in.done(controlID, 7), "each of the two has its PUBREL")
	assert.False(t, in.done(controlID, 7))
	in.add(4, 9)
	assert.False(t, in.evict(), "the stream lives")
	in.orphan(4)
	assert.True(t, in.evict())
	assert.Zero(t, in.len())
	assert.Empty(t, in.data)
}

// A client that never sends the PUBRELs of streams that it has closed takes no more
// memory than Receive Maximum, and is not stopped by them.
func TestOrphansOfTheInbound(t *testing.T) {
	for _, v := range []packet.Version{packet.V311, packet.V50} {
		w := newWorld(t, func(c *Config) { c.ReceiveMaximum = 10 })
		c := w.connect(v, "c")
		for n := range int64(20) {
			l := c.open(4 * (n + 1))
			for id := range uint16(5) {
				l.send(pub("t", "x", 2, id+1))
			}
			require.NoError(t, l.err)
			l.st.Closed()
		}
		assert.LessOrEqual(t, c.c.session.in.len(), 10)
		l := c.open(400)
		for id := range uint16(11) {
			l.send(pub("t", "x", 2, id+1))
		}
		require.Error(t, l.err)
		assert.Equal(t, packet.ReceiveMaximumExceeded, CloseCode(l.err), "one more than Receive Maximum, on all streams")
	}
}

// What a client must not do on a data stream costs that stream alone.
func TestStreamErrors(t *testing.T) {
	w := newWorld(t)
	c := w.connect(packet.V50, "c")
	cases := map[packet.ReasonCode][]byte{
		packet.MalformedPacket: {0, 0},
		packet.ProtocolError:   (&packet.Connect{ClientID: "x"}).AppendTo(nil, packet.V50),
	}
	id := int64(4)
	for code, bytes := range cases {
		var e *StreamError
		require.ErrorAs(t, c.open(id).st.Feed(bytes), &e)
		assert.Equal(t, code, e.Code)
		id += 4
	}
	uni := c.open(6)
	uni.send(pub("t", "x", 1, 3))
	assert.EqualValues(t, 3, expect[*packet.Puback](c).PacketID, "the answer is on the control stream")
	uni.send(&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: "t"}}})
	var e *StreamError
	require.ErrorAs(t, uni.err, &e)
	c.send(&packet.Pingreq{})
	expect[*packet.Pingresp](c)
	assert.NoError(t, c.err)
}

// A data stream that is closed takes its subscriptions along, and nothing else.
func TestStreamClosed(t *testing.T) {
	gone := 0
	w := newWorld(t, func(c *Config) {
		c.Handlers.Disconnect = func(*DisconnectEvent) { gone++ }
	})
	watch := w.connect(packet.V50, "watch")
	watch.subscribe(0, "will")
	c := w.connect(packet.V50, "c", withWill("will", 0, false, nil))
	l := c.open(4)
	l.subscribe(2, "t/+")
	w.publish("t/1", "acknowledged", 1)
	w.publish("t/1", "sent", 1)
	w.publish("t/2", "received", 2)
	sent := messagesIn(l.take())
	require.Len(t, sent, 3)
	l.send(&packet.Puback{PacketID: sent[0].PacketID}, &packet.Pubrec{PacketID: sent[2].PacketID})
	for qos := range byte(3) {
		w.publish("t/3", fmt.Sprint("waits ", qos), qos)
	}
	assert.EqualValues(t, 1, w.Stats().Streams)
	l.st.Closed()
	assert.Zero(t, w.Stats().Streams)
	got := c.take()
	m := messagesIn(got)
	require.Len(t, m, 3, "%s", names(got))
	assert.Equal(t, "sent", string(m[0].Payload))
	assert.True(t, m[0].Dup)
	assert.Equal(t, sent[1].PacketID, m[0].PacketID)
	assert.Equal(t, []string{"waits 1", "waits 2"}, payloads(got[len(got)-2:]))
	assert.Equal(t, &packet.Pubrel{PacketID: sent[2].PacketID}, got[1])
	assert.EqualValues(t, 1, w.Stats().Dropped[DropStreamClosed])
	w.publish("t/4", "nobody", 1)
	c.none()
	watch.none()
	assert.Zero(t, gone)
	assert.EqualValues(t, 1, w.Stats().Subscriptions)
	c.send(&packet.Pubcomp{PacketID: sent[2].PacketID})
	c.send(&packet.Puback{PacketID: m[0].PacketID})
	assert.Equal(t, 2, c.c.session.out.open)
}

// On a lost connection, and when another one takes over, everything is the control
// stream's of the next one: subscriptions, what waits, what is in flight.
func TestStreamsComeHome(t *testing.T) {
	ends := map[string]func(*peer){"lost": (*peer).lose, "taken over": func(*peer) {}}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			c := w.connect(packet.V50, "c", expiry(1000))
			a, b := c.open(4), c.open(8)
			a.subscribe(2, "t/a")
			b.subscribe(1, "t/b")
			b.subscribe(1, "t/both")
			a.subscribe(2, "t/both")
			w.publish("t/a", "in flight", 2)
			w.publish("t/b", "also", 1)
			require.Len(t, messagesIn(a.take()), 1)
			require.Len(t, messagesIn(b.take()), 1)
			w.publish("t/a", "waits", 1)
			end(c)
			assert.EqualValues(t, map[string]int{"taken over": 2}[name], w.Stats().Streams)
			if name == "lost" {
				w.publish("t/b", "later", 1)
			}
			c = resumed(w, "c")
			got := messagesIn(c.take())
			want := []string{"in flight", "also", "waits"}
			if name == "lost" {
				want = append(want, "later")
			}
			var texts []string
			for i, m := range got {
				texts = append(texts, string(m.Payload))
				assert.Equal(t, i < 2, m.Dup)
			}
			assert.Equal(t, want, texts)
			w.publish("t/both", "one copy", 2)
			both := messagesIn(c.take())
			require.Len(t, both, 1)
			assert.EqualValues(t, 2, both[0].QoS, "the better subscription stays")
			assert.EqualValues(t, 3, w.Stats().Subscriptions)

			a = c.open(4)
			a.subscribe(1, "t/a")
			w.publish("t/a", "moved", 1)
			assert.Equal(t, []string{"moved"}, payloads(a.take()))
			c.none()
			assert.EqualValues(t, 3, w.Stats().Subscriptions)
			c.send(&packet.Unsubscribe{PacketID: 1, Filters: []string{"t/a", "t/b", "t/both", "t/c"}})
			assert.Equal(t, []packet.ReasonCode{0, 0, 0, packet.NoSubscriptionExisted}, expect[*packet.Unsuback](c).ReasonCodes)
			assert.Zero(t, w.Stats().Subscriptions)
			assert.Zero(t, w.subs.Len())
			assert.Zero(t, c.c.session.filters)
			assert.Zero(t, c.c.session.cost)
		})
	}
}

// QoS 2 messages from the client, of which each stream has sent half, are delivered once
// though the client sends all of them again on the control stream.
func TestInboundComesHome(t *testing.T) {
	w := newWorld(t)
	s := w.connect(packet.V50, "s")
	s.subscribe(2, "t")
	c := w.connect(packet.V50, "c", expiry(1000))
	c.open(4).send(pub("t", "1", 2, 1), pub("t", "2", 2, 2))
	c.open(8).send(pub("t", "3", 2, 3))
	c.lose()
	c = resumed(w, "c")
	for id := uint16(1); id <= 4; id++ {
		again := pub("t", fmt.Sprint(id), 2, id)
		again.Dup = true
		c.send(again, &packet.Pubrel{PacketID: id})
	}
	for _, q := range c.take() {
		if q, ok := q.(*packet.Pubcomp); ok {
			assert.Equal(t, packet.Success, q.ReasonCode)
		}
	}
	assert.Equal(t, []string{"1", "2", "3", "4"}, payloads(s.take()))
	assert.Zero(t, c.c.session.in.len())
}

func TestSingleSubscription(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.SingleSubscription = true })
	c := w.connect(packet.V50, "c")
	a, b := c.open(4), c.open(8)
	a.subscribe(1, "t")
	b.subscribe(1, "t")
	w.publish("t", "1", 0)
	a.none()
	assert.Equal(t, []string{"1"}, payloads(b.take()))
	c.subscribe(1, "t")
	w.publish("t", "2", 0)
	b.none()
	assert.Equal(t, []string{"2"}, payloads(c.take()))
	a.subscribe(1, "t")
	w.publish("t", "3", 0)
	assert.Equal(t, []string{"3"}, payloads(a.take()))
	c.none()
	assert.EqualValues(t, 1, w.Stats().Subscriptions)
}

func TestSharedSubscriptionsOfStreams(t *testing.T) {
	w := newWorld(t)
	c := w.connect(packet.V50, "c", expiry(1000))
	a, b := c.open(4), c.open(8)
	a.subscribe(1, "$share/g/t")
	b.subscribe(1, "$share/g/t")
	for range 4 {
		w.publish("t", "x", 1)
	}
	assert.Len(t, messagesIn(a.take()), 2)
	assert.Len(t, messagesIn(b.take()), 2)
	a.st.Closed()
	assert.Len(t, messagesIn(c.take()), 2, "again, on the control stream")
	w.publish("t", "y", 1)
	assert.Equal(t, []string{"y"}, payloads(b.take()))
	c.lose()
	assert.EqualValues(t, 1, w.Stats().SharedSubscriptions)
	w.publish("t", "z", 1)
	c = resumed(w, "c")
	assert.Len(t, messagesIn(c.take()), 6)
	a = c.open(4)
	a.subscribe(1, "$share/g/t")
	w.publish("t", "moved", 1)
	assert.Equal(t, []string{"moved"}, payloads(a.take()))
	assert.EqualValues(t, 1, w.Stats().SharedSubscriptions)
	c.bye()
}
