package ngtcp2

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestStreamEcho(t *testing.T) {
	p := connect(t, options{})
	id := p.c.open()
	p.c.write(id, []byte("hello"), true)
	p.run(func() bool { return p.s.fin[id] })
	assert.True(t, p.s.has(EventStreamOpen))
	assert.Equal(t, "hello", string(p.s.data[id]))

	p.s.write(id, p.s.data[id], true)
	p.run(func() bool { return p.c.fin[id] && p.s.has(EventStreamClose) })
	assert.Equal(t, "hello", string(p.c.data[id]))
	ack, ok := p.s.find(EventStreamAcked)
	require.True(t, ok)
	assert.Equal(t, id, ack.StreamID)
	assert.Equal(t, uint64(5), ack.A)
	closed, _ := p.s.find(EventStreamClose)
	assert.Zero(t, closed.Flags&FlagHasCode)
	_, known := p.s.conn.StreamInfo(id)
	assert.False(t, known)
}

// rough is a link that loses, duplicates and reorders.
func rough(seed uint64) func(*side, dgram) []dgram {
	r := rand.New(rand.NewPCG(seed, 0))
	return func(_ *side, d dgram) []dgram {
		switch n := r.IntN(100); {
		case n < 5:
			return nil
		case n < 10:
			late := d
			late.at = late.at.Add(time.Millisecond)
			return []dgram{d, late}
		case n < 20:
			d.at = d.at.Add(time.Duration(r.IntN(20)) * time.Millisecond)
		}
		return []dgram{d}
	}
}

func TestTransferOverRoughLink(t *testing.T) {
	data := make([]byte, 1<<20)
	for i := range data {
		data[i] = byte(i * 7 >> 3)
	}
	for seed := uint64(1); seed <= 3; seed++ {
		p := newPair(t, options{})
		p.link = rough(seed)
		p.handshake()
		id := p.c.open()
		p.c.write(id, data, true)
		p.run(func() bool { return p.s.fin[id] })
		require.True(t, bytes.Equal(data, p.s.data[id]), "seed %d", seed)
		p.run(func() bool { i, ok := p.c.conn.StreamInfo(id); return !ok || i.Unacked == 0 })
		p.s.write(id, data, true)
		p.run(func() bool { return p.c.fin[id] })
		require.True(t, bytes.Equal(data, p.c.data[id]), "seed %d", seed)
		assert.Positive(t, p.c.conn.Info().PktLost)
	}
}

func TestResetBothDirections(t *testing.T) {
	p := connect(t, options{})
	p.c.hold, p.s.hold = true, true
	big := make([]byte, 2*testWindow)
	check := func(from, to *side, id int64) {
		t.Helper()
		from.events, to.events = nil, nil
		require.NoError(t, from.conn.ShutdownStreamWrite(id, 7))
		p.run(func() bool { return to.has(EventStreamReset) })
		r, _ := to.find(EventStreamReset)
		assert.Equal(t, uint64(7), r.A)
		assert.Equal(t, id, r.StreamID)
		assert.GreaterOrEqual(t, r.B, uint64(len(to.data[id])))
		info, ok := from.conn.StreamInfo(id)
		assert.True(t, !ok || info.Queued == 0)
	}
	id := p.c.open()
	p.c.write(id, big, false)
	p.run(func() bool { return len(p.s.data[id]) > 1000 })
	check(p.c, p.s, id)
	p.s.write(id, []byte("x"), false)
	p.run(func() bool { return len(p.c.data[id]) == 1 })
	check(p.s, p.c, id)
	p.run(func() bool { return p.c.has(EventStreamClose) && p.s.has(EventStreamClose) })
	r, _ := p.c.find(EventStreamClose)
	assert.Equal(t, FlagHasCode, r.Flags&FlagHasCode)
	assert.Equal(t, uint64(7), r.A)
}

func TestStopSending(t *testing.T) {
	p := connect(t, options{})
	p.s.hold = true
	id := p.c.open()
	p.c.write(id, make([]byte, 2*testWindow), false)
	p.run(func() bool { return len(p.s.data[id]) == testWindow })
	info, ok := p.c.conn.StreamInfo(id)
	require.True(t, ok)
	require.Positive(t, info.Queued)

	require.NoError(t, p.s.conn.ShutdownStreamRead(id, 9))
	p.run(func() bool { return p.s.has(EventStreamReset) })
	if ReportsStopSending() {
		r, ok := p.c.find(EventStopSending)
		require.True(t, ok)
		assert.Equal(t, uint64(9), r.A)
		info, ok = p.c.conn.StreamInfo(id)
		require.True(t, ok)
		assert.Zero(t, info.Queued, "what was queued is released")
	} else {
		p.c.write(id, []byte("more"), false)
		p.run(func() bool { return p.c.has(EventStopSending) })
	}
	p.c.write(id, []byte("more"), false) // released at once, no error
	p.runFor(time.Second)
	require.NoError(t, p.c.err)

	// The other direction, and with ShutdownStream.
	id = p.c.open()
	p.c.write(id, []byte("a"), false)
	p.run(func() bool { return len(p.s.data[id]) == 1 })
	p.s.write(id, make([]byte, 100), false)
	p.run(func() bool { return len(p.c.data[id]) == 100 })
	p.c.events, p.s.events = nil, nil
	require.NoError(t, p.c.conn.ShutdownStream(id, 11))
	p.run(func() bool {
		return p.s.has(EventStopSending) == ReportsStopSending() && p.s.has(EventStreamReset) && p.s.has(EventStreamClose)
	})
	r, _ := p.s.find(EventStreamReset)
	assert.Equal(t, uint64(11), r.A)
}

func TestFlowControlStall(t *testing.T) {
	p := connect(t, options{})
	p.s.hold = true
	a, b := p.c.open(), p.c.open()
	p.c.write(a, make([]byte, 2*testWindow), true)
	p.c.write(b, make([]byte, testWindow), true)
	p.run(func() bool { return len(p.s.data[a]) == testWindow && len(p.s.data[b]) == testWindow })
	p.runFor(5 * time.Second)
	assert.Len(t, p.s.data[a], testWindow, "the stream's credit is used up")

	// Both windows are empty now: stream credit alone does not help. (ngtcp2
	// announces credit in steps of a part of the window.)
	require.NoError(t, p.s.conn.ExtendMaxStreamOffset(a, testWindow))
	p.runFor(5 * time.Second)
	assert.Len(t, p.s.data[a], testWindow)
	assert.Zero(t, p.c.conn.MaxDataLeft())
	assert.True(t, p.c.has(EventMaxStreamData))
	require.NoError(t, p.s.conn.ExtendMaxOffset(testWindow*3/4))
	p.run(func() bool { return len(p.s.data[a]) == testWindow*7/4 })
	p.runFor(time.Second)
	assert.Len(t, p.s.data[a], testWindow*7/4)

	require.NoError(t, p.s.conn.ExtendMaxOffset(testWindow))
	p.run(func() bool { return p.s.fin[a] })
	assert.Len(t, p.s.data[a], 2*testWindow)
	assert.NoError(t, p.s.conn.ExtendMaxStreamOffset(400, 1))
	assert.NoError(t, p.s.conn.Consume(400, 1), "the connection's window grows all the same")
	assert.ErrorIs(t, p.s.conn.ExtendMaxStreamOffset(3, 1), ErrInvalidArgument, "a stream that only sends")
}

// A FIN without data needs no credit and is not held up by streams that wait for
// the connection's.
func TestFinPassesBlockedStreams(t *testing.T) {
	p := connect(t, options{sparam: func(tp *TransportParams) { tp.InitialMaxData = 10000 }})
	p.s.hold = true
	a, b := p.c.open(), p.c.open()
	p.c.write(a, make([]byte, 20000), false)
	p.c.write(b, nil, true)
	p.run(func() bool { return len(p.s.data[a]) == 10000 && p.s.fin[b] })
	require.NoError(t, p.s.conn.Consume(a, 10000)) // all of the connection's window
	p.run(func() bool { return len(p.s.data[a]) == 20000 })
}

func TestManyStreams(t *testing.T) {
	const n = 500
	p := connect(t, options{sparam: func(tp *TransportParams) { tp.InitialMaxStreamsBidi = n }})
	ids := make([]int64, n)
	for i := range ids {
		ids[i] = p.c.open()
		p.c.write(ids[i], bytes.Repeat([]byte{byte(i)}, 100+i), true)
	}
	_, err := p.c.conn.OpenStreamBidi()
	assert.ErrorIs(t, err, ErrStreamIDBlocked)
	var e *Error
	require.ErrorAs(t, err, &e)
	assert.Equal(t, Transitional, e.Class)
	p.run(func() bool { return len(p.s.fin) == n })
	for i, id := range ids {
		assert.Equal(t, bytes.Repeat([]byte{byte(i)}, 100+i), p.s.data[id])
		p.s.write(id, []byte{1}, true)
	}
	p.run(func() bool { return len(p.c.fin) == n })
	p.c.events = nil
	p.s.conn.ExtendMaxStreamsBidi(n)
	p.run(func() bool { return p.c.has(EventMaxStreamsBidi) })
	p.c.open()
}

// Several small streams share one packet.
func TestStreamsSharePacket(t *testing.T) {
	p := connect(t, options{})
	p.runFor(time.Second)
	before := p.c.conn.Info().PktSent
	for range 20 {
		p.c.write(p.c.open(), []byte("0123456789"), false)
	}
	p.flush(p.c)
	assert.Equal(t, before+1, p.c.conn.Info().PktSent)
	p.run(func() bool { return len(p.s.data) == 20 })
}

// Streams with a lot to send take turns.
func TestRoundRobin(t *testing.T) {
	p := connect(t, options{})
	ids := []int64{p.c.open(), p.c.open(), p.c.open()}
	for _, id := range ids {
		p.c.write(id, make([]byte, testWindow/4), true)
	}
	p.run(func() bool { return len(p.s.data[ids[2]]) > 20000 })
	for _, id := range ids {
		assert.InDelta(t, 20000, len(p.s.data[id]), 6000, "stream %d", id)
	}
}

func TestUniStreams(t *testing.T) {
	p := connect(t, options{})
	id, err := p.s.conn.OpenStreamUni()
	require.NoError(t, err)
	assert.False(t, IsBidiStream(id))
	assert.True(t, p.s.conn.IsLocalStream(id))
	assert.False(t, p.c.conn.IsLocalStream(id))
	p.s.write(id, []byte("one way"), true)
	p.run(func() bool { return p.c.fin[id] })
	assert.Equal(t, "one way", string(p.c.data[id]))
	p.c.write(id, []byte("not allowed"), false)
	p.runFor(time.Second)
	assert.NoError(t, p.c.err)
	assert.Empty(t, p.s.data[id])
	p.s.events = nil
	p.c.conn.ExtendMaxStreamsUni(100)
	p.run(func() bool { return p.s.has(EventMaxStreamsUni) })
}

// Data that several packets of a run bring is one event; offsets have no gaps.
func TestDataEventsAreJoined(t *testing.T) {
	p := connect(t, options{})
	id := p.c.open()
	p.c.write(id, make([]byte, 100000), true)
	p.run(func() bool { return p.s.fin[id] })
	events, next, packets := 0, uint64(0), p.s.conn.Info().PktRecv
	for _, r := range p.s.events {
		if r.Type == EventStreamData {
			assert.Equal(t, next, r.A)
			next += uint64(len(r.Data))
			events++
		}
	}
	assert.Equal(t, uint64(100000), next)
	assert.Less(t, events, int(packets)/3)
}
