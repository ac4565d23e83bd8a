package broker

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// lazyWorld has what would be done in the background wait in the list that is returned.
func lazyWorld(t *testing.T, change func(*Config)) (w *world, later *[]func() error) {
	w, later = newWorld(t, change), new([]func() error)
	w.later = func(_ string, f func() error) { *later = append(*later, f) }
	return w, later
}

func (l *lane) subscribeMany(filter string, n int) {
	l.p.t.Helper()
	s := &packet.Subscribe{PacketID: 5}
	for i := range n {
		s.Subscriptions = append(s.Subscriptions, packet.Subscription{Filter: fmt.Sprintf(filter, i), QoS: 1})
	}
	l.send(s)
	got := l.take()
	require.Len(l.p.t, got, 1, "%s", names(got))
	for _, code := range got[0].(*packet.Suback).ReasonCodes {
		require.EqualValues(l.p.t, 1, code)
	}
}

// A stream that closes with many subscriptions does not keep its worker from others: a slice
// of them is removed at once, the rest in the background. To nobody is anything sent meanwhile.
func TestStreamOfManySubscriptionsEndsInSlices(t *testing.T) {
	const count = 3*sweepSlice + 7
	for name, filter := range map[string]string{"plain": "t/%d", "shared": "$share/g/t/%d"} {
		t.Run(name, func(t *testing.T) {
			w, later := lazyWorld(t, func(c *Config) { c.MaxSubscriptions = count })
			c := w.connect(packet.V50, "c", expiry(1000))
			l := c.open(4)
			l.subscribeMany(filter, count)
			l.st.Closed()
			left := func() int { return int(w.Stats().Subscriptions) }
			require.Equal(t, count-sweepSlice, left())
			for i := range count {
				w.publish(fmt.Sprintf("t/%d", i), "x", 1)
			}
			c.none()
			assert.Zero(t, w.Stats().Dropped[DropStreamClosed])

			next := c.open(8)
			next.subscribeMany(filter, 2*sweepSlice) // more than there is room for yet: it is made
			assert.Equal(t, count, left())
			w.publish("t/3", "x", 1)
			assert.Equal(t, []string{"x"}, payloads(next.take()))
			require.Len(t, *later, 1)
			require.NoError(t, (*later)[0]())
			assert.Equal(t, 2*sweepSlice, left())
			w.publish("t/3", "y", 1)
			assert.Equal(t, []string{"y"}, payloads(next.take()))

			next.st.Closed()
			require.Len(t, *later, 2)
			c.bye() // what is left goes in the background still
			require.NoError(t, (*later)[1]())
			w.connect(packet.V50, "c").none() // Clean Start
			assert.Zero(t, left())
			w.publish("t/3", "z", 1)
			assert.Empty(t, w.shares.groups)
		})
	}
}

// The same when a flow that has kept them begins anew.
func TestFlowOfManySubscriptionsEndsInSlices(t *testing.T) {
	const count = 3*sweepSlice + 7
	w, later := lazyWorld(t, func(c *Config) { c.MaxSubscriptions = count })
	w.flows = true
	c := w.connect(packet.V50, "c", expiry(1000))
	l := c.flow(4, Flow{ID: 2, KeepSubscriptions: true})
	l.subscribeMany("t/%d", count)
	l.st.Closed()
	l = c.flow(8, Flow{ID: 2, KeepSubscriptions: true, Clean: true})
	require.Len(t, *later, 1)
	w.publish("t/3", "x", 1)
	c.none()
	l.none()
	l.subscribe(1, "t/3")
	assert.EqualValues(t, count-sweepSlice+1, w.Stats().Subscriptions, "there is room")
	require.NoError(t, (*later)[0]())
	assert.EqualValues(t, 1, w.Stats().Subscriptions)
	w.publish("t/3", "y", 1)
	assert.Equal(t, []string{"y"}, payloads(l.take()))
}

// The subscriptions of a stream of the server go home when it ends: what comes until they are
// there is the control stream's.
func TestStreamOfTheServerLosesNothing(t *testing.T) {
	w := newWorld(t)
	c := w.connect(packet.V50, "c")
	l := c.open(4)
	l.subscribe(1, "t")
	l.st.server = true
	_, o := c.c.session.dissolve(c.c, l.st)
	w.publish("t", "x", 1)
	assert.Equal(t, []string{"x"}, payloads(c.take()))
	c.c.session.takeHome(o)
	w.publish("t", "y", 1)
	assert.Equal(t, []string{"y"}, payloads(c.take()))
}

// A message of a group goes to another member when the one whose turn it is has closed its
// stream, before that has left the group.
func TestSharedMessagesPassStreamsThatEnd(t *testing.T) {
	w, later := lazyWorld(t, func(*Config) {})
	gone, stays := w.connect(packet.V50, "gone"), w.connect(packet.V50, "stays")
	l := gone.open(4)
	l.subscribeMany("$share/g/t/%d", 3*sweepSlice)
	for i := range 3 * sweepSlice {
		stays.subscribe(1, fmt.Sprintf("$share/g/t/%d", i))
	}
	l.st.Closed()
	for range 4 {
		for i := range 3 * sweepSlice {
			w.publish(fmt.Sprintf("t/%d", i), "x", 0)
		}
		assert.Len(t, payloads(stays.take()), 3*sweepSlice)
	}
	gone.none()
	require.NoError(t, (*later)[0]())
	assert.EqualValues(t, 3*sweepSlice, w.Stats().Subscriptions)
	assert.Empty(t, gone.c.session.memberships)
}
