package sim

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/ngtcp2"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
)

func datagramsBoth(s, c *endpoint.Config) { s.MaxDatagram, c.MaxDatagram = 65535, 65535 }

// connectWatched completes a handshake between two watchers.
func (e *earlyWorld) connectWatched() (client, server *watcher) {
	e.t.Helper()
	w := e.begin(nil, func(*endpoint.Conn) {})
	n := len(e.servers)
	e.until(patience, func() bool { return w.completed == 1 && len(e.servers) > n })
	return w, e.last()
}

// Every datagram is acknowledged or lost; of the lost ones few arrive.
func TestDatagrams(t *testing.T) {
	e := newEarlyWorld(t, 90, Link{Delay: 10 * ms, Loss: 0.1, Reorder: 0.05}, allowEarly, datagramsBoth)
	c, s := e.connectWatched()
	for _, way := range [][2]*watcher{{c, s}, {s, c}} {
		from, to := way[0], way[1]
		const n = 300
		sent := 0
		for round := 0; sent < n; round++ {
			for range 10 {
				require.NoError(t, from.conn.SendDatagram(fmt.Appendf(nil, "%d", sent), uint64(sent)))
				sent++
			}
			e.Pass(10 * ms)
		}
		e.until(time.Minute, func() bool { return len(from.acked)+len(from.lost) >= n })
		e.Pass(time.Second)
		assert.NotEmpty(t, from.lost)
		assert.Greater(t, len(from.acked), n/2)
		got := map[string]bool{}
		for _, d := range to.got {
			assert.False(t, got[d], "twice")
			got[d] = true
		}
		for _, id := range from.acked {
			assert.True(t, got[fmt.Sprint(id)])
		}
		assert.Less(t, len(to.got), n)
		assert.Zero(t, to.gotEarly)
	}
}

func TestDatagramErrors(t *testing.T) {
	e := newEarlyWorld(t, 91, Link{Delay: 10 * ms}, allowEarly, func(s, _ *endpoint.Config) { s.MaxDatagram = 103 })
	c, s := e.connectWatched()
	assert.ErrorIs(t, s.conn.SendDatagram(nil, 1), ngtcp2.ErrDatagramOff)
	assert.Zero(t, s.conn.MaxDatagramSize())
	assert.Equal(t, 100, c.conn.MaxDatagramSize())
	for _, n := range []int{101, 70_000} {
		assert.ErrorIs(t, c.conn.SendDatagram(make([]byte, n), 1), ngtcp2.ErrDatagramTooLarge)
	}
	for i := range ngtcp2.MaxQueuedDatagrams {
		require.NoError(t, c.conn.SendDatagram(make([]byte, 100), uint64(i)))
	}
	assert.ErrorIs(t, c.conn.SendDatagram(nil, 1), ngtcp2.ErrDatagramQueueFull)
	assert.Equal(t, ngtcp2.MaxQueuedDatagrams, c.conn.QueuedDatagrams())
	e.until(10*time.Second, func() bool { return len(c.acked) == ngtcp2.MaxQueuedDatagrams })
	assert.Len(t, s.got, ngtcp2.MaxQueuedDatagrams)
	assert.Zero(t, c.conn.QueuedDatagrams())
	require.NoError(t, c.conn.SendDatagram(nil, 1), "an empty one is one")
	c.conn.Close(0, "")
	assert.ErrorIs(t, c.conn.SendDatagram(nil, 1), endpoint.ErrClosed)
	e.until(time.Second, func() bool { return c.closed && s.closed })
	assert.ErrorIs(t, c.conn.SendDatagram(nil, 1), endpoint.ErrClosed)
	assert.Zero(t, c.conn.MaxDatagramSize()+c.conn.QueuedDatagrams())
}

// A handler that does not care for datagrams gets none.
func TestDatagramsWithoutHandler(t *testing.T) {
	e := newEarlyWorld(t, 92, Link{Delay: 10 * ms}, allowEarly, datagramsBoth)
	e.wrap = nil
	w := e.begin(nil, func(*endpoint.Conn) {})
	e.until(time.Second, func() bool { return w.completed == 1 })
	require.NoError(t, w.conn.SendDatagram([]byte("hello"), 5))
	e.until(time.Second, func() bool { return len(w.acked) == 1 })
}

// Datagrams go out in the turn in which they are queued, also out of OnFlush.
func TestDatagramsEarlyAcceptedAndRejected(t *testing.T) {
	session := oldSession(t, datagramsBoth)
	e := newEarlyWorld(t, 93, Link{Delay: 10 * ms}, allowEarly, datagramsBoth)
	send := func(c *endpoint.Conn) {
		for i := range 5 {
			require.NoError(t, c.SendDatagram([]byte("early"), uint64(i)))
		}
	}
	w := e.begin(session, send)
	e.until(time.Second, func() bool { return e.last() != nil && e.last().gotEarly == 5 })
	assert.False(t, w.conn.HandshakeCompleted())
	e.until(time.Second, func() bool { return len(w.acked) == 5 })
	assert.Empty(t, w.lost)

	r := newEarlyWorld(t, 94, Link{Delay: 10 * ms}, allowEarly, datagramsBoth, func(s, _ *endpoint.Config) { s.EarlyData = false })
	w = r.begin(session, send)
	r.until(time.Second, func() bool { return w.completed == 1 })
	assert.Equal(t, []uint64{0, 1, 2, 3, 4}, w.lost)
	require.NoError(t, w.conn.SendDatagram([]byte("late"), 9))
	r.until(time.Second, func() bool { return len(w.acked) == 1 })
	assert.Equal(t, []string{"late"}, r.last().got)
	assert.Equal(t, []uint64{9}, w.acked)
}
