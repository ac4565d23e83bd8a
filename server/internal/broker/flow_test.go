package broker

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// flowing is a world whose clients have flows, with one of them.
func flowing(t *testing.T) (*world, *peer) {
	w := newWorld(t)
	w.flows = true
	return w, w.connect(packet.V50, "c", expiry(1000))
}

// flow opens a stream for a flow.
func (p *peer) flow(id int64, f Flow) *lane {
	p.t.Helper()
	l := p.open(id)
	require.NoError(p.t, l.st.Join(f))
	return l
}

// ends are the ways in which a flow loses its stream; they give the connection after that.
var ends = map[string]func(w *world, c *peer, l *lane) *peer{
	"stream closed": func(_ *world, c *peer, l *lane) *peer { l.st.Closed(); return c },
	"lost":          func(w *world, c *peer, _ *lane) *peer { c.lose(); return resumed(w, "c") },
	"taken over":    func(w *world, _ *peer, _ *lane) *peer { return resumed(w, "c") },
}

// Subscriptions outlive the stream of a flow that keeps them. Meanwhile their messages are
// on the control stream.
func TestFlowKeepsSubscriptions(t *testing.T) {
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			w, c := flowing(t)
			keep := Flow{ID: 2, KeepSubscriptions: true}
			l := c.flow(4, keep)
			l.subscribe(1, "t")
			l.subscribe(1, "$share/g/s")
			w.publish("t", "first", 1)
			l.send(&packet.Puback{PacketID: messagesIn(l.take())[0].PacketID})
			for i := range 3 {
				c = end(w, c, l)
				c.take()
				w.publish("t", "meanwhile", 1)
				w.publish("s", "shared", 1)
				assert.Equal(t, []string{"meanwhile", "shared"}, payloads(c.take()))
				l = c.flow(int64(8+4*i), keep)
				w.publish("t", "again", 1)
				w.publish("s", "again", 1)
				assert.Len(t, messagesIn(l.take()), 2)
				c.none()
			}
			assert.EqualValues(t, 2, w.Stats().Subscriptions)
			l.subscribe(1, "t") // replaces
			c.send(&packet.Unsubscribe{PacketID: 1, Filters: []string{"t", "$share/g/s"}})
			assert.Equal(t, []packet.ReasonCode{0, 0}, expect[*packet.Unsuback](c).ReasonCodes)
			assert.Zero(t, w.Stats().Subscriptions)
			c.send(&packet.Disconnect{Properties: packet.AppendUint32(nil, packet.SessionExpiryInterval, 0)})
			c.lose()
			assert.Zero(t, w.subs.Len())
			assert.Zero(t, w.Stats().Sessions)
		})
	}
}

// A flow that keeps no subscriptions loses them with its stream, or leaves them to the
// control stream of the next connection, as any data stream does.
func TestFlowKeepsNothing(t *testing.T) {
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			w, c := flowing(t)
			l := c.flow(4, Flow{ID: 2, KeepQoS: true})
			l.subscribe(1, "t")
			c = end(w, c, l)
			l = c.flow(8, Flow{ID: 2, NeedsState: true})
			w.publish("t", "x", 1)
			l.none()
			if name == "stream closed" {
				c.none()
			} else {
				assert.Equal(t, []string{"x"}, payloads(c.take()))
			}
			l.st.Closed()
			assert.Equal(t, ErrNoFlow, c.open(12).st.Join(Flow{ID: 2, NeedsState: true}), "nothing was to be kept")
			assert.Empty(t, c.c.session.flows.list)
		})
	}
}

// What a flow that keeps it has in flight waits for its next stream.
func TestFlowKeepsQoS(t *testing.T) {
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			w, c := flowing(t)
			l := c.flow(4, Flow{ID: 2, KeepQoS: true, KeepSubscriptions: true})
			l.subscribe(2, "t")
			for n := range 4 {
				w.publish("t", fmt.Sprint(n), byte(1+n/2))
			}
			sent := messagesIn(l.take())
			require.Len(t, sent, 4)
			l.send(&packet.Puback{PacketID: sent[0].PacketID}, &packet.Pubrec{PacketID: sent[3].PacketID})
			l.take()
			w.publish("t", "waits", 1)
			c = end(w, c, l)
			assert.Equal(t, []string{"waits"}, payloads(c.take()))
			c.send(&packet.Puback{PacketID: sent[2].PacketID}) // of QoS 2: nothing to it
			c.none()
			l = c.flow(8, Flow{ID: 2, KeepQoS: true, KeepSubscriptions: true, NeedsState: true})
			got := l.take()
			require.Len(t, got, 3, "%s", names(got))
			for i, m := range messagesIn(got) {
				assert.True(t, m.Dup)
				assert.Equal(t, sent[1+i].PacketID, m.PacketID)
				assert.Equal(t, sent[1+i].Payload, m.Payload)
			}
			assert.Equal(t, &packet.Pubrel{PacketID: sent[3].PacketID}, got[2])
			c.none()
			l.send(&packet.Puback{PacketID: sent[1].PacketID}, &packet.Pubcomp{PacketID: sent[3].PacketID}, &packet.Pubrec{PacketID: sent[2].PacketID})
			l.take()
			l.send(&packet.Pubcomp{PacketID: sent[2].PacketID})
			assert.Zero(t, l.st.open)
			assert.Zero(t, l.st.bytes)
			assert.Equal(t, 1, c.c.session.out.open, "what has waited")
		})
	}
}

// Without subscriptions to keep, the messages have a stream all the same.
func TestFlowKeepsQoSAlone(t *testing.T) {
	w, c := flowing(t)
	l := c.flow(4, Flow{ID: 2, KeepQoS: true})
	l.subscribe(1, "t")
	w.publish("t", "x", 1)
	l.take()
	l.st.Closed()
	c.none()
	assert.Zero(t, w.Stats().Subscriptions)
	l = c.flow(8, Flow{ID: 2, KeepQoS: true})
	assert.Equal(t, []string{"x"}, payloads(l.take()))
	l.subscribe(1, "t")
	w.publish("t", "y", 1)
	assert.Equal(t, []string{"y"}, payloads(l.take()))
}

// A connection without flows gets everything on its control stream.
func TestFlowsComeHome(t *testing.T) {
	w, c := flowing(t)
	l := c.flow(4, Flow{ID: 2, KeepQoS: true, KeepSubscriptions: true})
	l.subscribe(1, "t")
	w.publish("t", "x", 1)
	l.take()
	c.lose()
	w.flows = false
	c = resumed(w, "c")
	assert.Equal(t, []string{"x"}, payloads(c.take()))
	w.publish("t", "y", 1)
	assert.Equal(t, []string{"y"}, payloads(c.take()))
}

// Receive Maximum holds for what is sent again too.
func TestFlowWaitsForReceiveMaximum(t *testing.T) {
	w, c := flowing(t)
	l := c.flow(4, Flow{ID: 2, KeepQoS: true, KeepSubscriptions: true})
	l.subscribe(1, "t")
	w.publish("t", "1", 1)
	w.publish("t", "2", 1)
	require.Len(t, l.take(), 2)
	c.lose()
	c = w.connect(packet.V50, "c", expiry(1000), resume, uintProp(packet.ReceiveMaximum, 1))
	l = c.flow(4, Flow{ID: 2, KeepQoS: true, KeepSubscriptions: true})
	first := messagesIn(l.take())
	require.Len(t, first, 1)
	l.send(&packet.Puback{PacketID: first[0].PacketID})
	assert.Equal(t, []string{"2"}, payloads(l.take()))
}

func TestFlowExpires(t *testing.T) {
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			w, c := flowing(t)
			keep := Flow{ID: 2, KeepQoS: true, KeepSubscriptions: true, Expiry: 10 * time.Second}
			l := c.flow(4, keep)
			l.subscribe(1, "t")
			w.publish("t", "x", 1)
			l.take()
			w.advance(20 * time.Second) // it is open
			c = end(w, c, l)
			w.advance(9 * time.Second)
			c.none()
			require.NoError(t, c.open(8).st.Join(Flow{ID: 4, KeepQoS: true}))
			w.advance(time.Second)
			assert.Equal(t, []string{"x"}, payloads(c.take()), "goes on on the control stream")
			w.publish("t", "nobody", 1)
			c.none()
			assert.Zero(t, w.Stats().Subscriptions)
			assert.Equal(t, ErrNoFlow, c.open(12).st.Join(Flow{ID: 2, NeedsState: true}))
		})
	}
}

// Clean, and a code that says so, discard what is kept.
func TestFlowDiscarded(t *testing.T) {
	w, c := flowing(t)
	keep := Flow{ID: 2, KeepQoS: true, KeepSubscriptions: true}
	l := c.flow(4, keep)
	l.subscribe(1, "t")
	w.publish("t", "x", 1)
	l.take()
	l.st.Closed()
	l = c.flow(8, Flow{ID: 2, Clean: true})
	assert.Equal(t, []string{"x"}, payloads(c.take()))
	l.none()
	l.st.Closed()
	assert.Zero(t, w.Stats().Subscriptions)
	assert.Equal(t, ErrNoFlow, c.open(12).st.Join(Flow{ID: 2, NeedsState: true}))

	l = c.flow(16, keep)
	l.subscribe(1, "t")
	l.st.Discard()
	l.st.Closed()
	assert.Zero(t, w.Stats().Subscriptions)
	assert.Equal(t, ErrNoFlow, c.open(20).st.Join(Flow{ID: 2, NeedsState: true}))
}

// Streams of the client alone belong to flows too, and take nothing from them.
func TestFlowsOfTheClientAlone(t *testing.T) {
	w, c := flowing(t)
	keep := Flow{ID: 2, KeepQoS: true, KeepSubscriptions: true}
	uni := c.flow(2, keep)
	uni.st.Closed()
	l := c.flow(4, Flow{ID: 2, KeepSubscriptions: true, NeedsState: true})
	l.subscribe(1, "t")
	uni = c.flow(6, Flow{ID: 2, Clean: true})
	w.publish("t", "x", 1)
	assert.Equal(t, []string{"x"}, payloads(l.take()))
	uni.st.Closed()
	l.st.Closed()
	uni = c.flow(10, keep)
	w.publish("t", "y", 1)
	got := payloads(c.take())
	assert.Equal(t, []string{"x", "y"}, got)
	l = c.flow(8, keep)
	uni.st.Closed()
	w.publish("t", "z", 1)
	assert.Equal(t, []string{"z"}, payloads(l.take()))
}

// No more than maxFlows are kept; one that holds nothing makes room.
func TestFlowsAreLimited(t *testing.T) {
	w, c := flowing(t)
	for i := range 2 * maxFlows {
		c.flow(int64(4*i+4), Flow{ID: uint64(2*i + 2), KeepQoS: true}).st.Closed()
	}
	assert.Len(t, c.c.session.flows.list, maxFlows)
	for i := range maxFlows {
		l := c.flow(int64(4*i+4), Flow{ID: uint64(2*i + 10002), KeepSubscriptions: true})
		l.subscribe(0, fmt.Sprint("t/", i))
		l.st.Closed()
	}
	assert.Equal(t, ErrTooManyFlows, c.open(8).st.Join(Flow{ID: 2, KeepQoS: true}))
	assert.NoError(t, c.open(12).st.Join(Flow{ID: 2}))
	assert.EqualValues(t, maxFlows, w.Stats().Subscriptions)
	c.lose()
	w.advance(2000 * time.Second)
	assert.Zero(t, w.subs.Len())
	assert.Zero(t, w.Stats().Subscriptions)
}

// Retained messages that are still to come when the stream ends come on the next one.
func TestFlowKeepsRetained(t *testing.T) {
	w, c := flowing(t)
	for i := range 4 * retainedVisits {
		require.NoError(t, w.Publish(Publication{Topic: fmt.Sprint("r/", i), Payload: []byte("x"), Retain: true}))
	}
	keep := Flow{ID: 2, KeepSubscriptions: true}
	l := c.flow(4, keep)
	l.send(&packet.Subscribe{PacketID: 5, Subscriptions: []packet.Subscription{{Filter: "r/#"}}})
	l.out.room = 1
	require.NoError(t, l.st.Flush(&l.out))
	l.st.Closed()
	l = c.flow(8, keep)
	assert.NotEmpty(t, messagesIn(l.take()))
}

// The control stream does not wait for streams that are not there.
func TestFlowIsNotGreedy(t *testing.T) {
	w, c := flowing(t)
	l := c.flow(4, Flow{ID: 2, KeepSubscriptions: true})
	l.subscribe(1, "t")
	c.lose()
	c = w.connect(packet.V50, "c", expiry(1000), resume, uintProp(packet.ReceiveMaximum, 10))
	for n := range 10 {
		w.publish("t", fmt.Sprint(n), 1)
	}
	assert.Len(t, messagesIn(c.take()), 10)
}
