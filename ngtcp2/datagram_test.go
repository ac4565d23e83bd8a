package ngtcp2

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func withDatagrams(p *TransportParams) { p.MaxDatagramFrameSize = 65535 }

func datagramPair(t testing.TB) *pair {
	p := connect(t, options{sparam: withDatagrams, cparam: withDatagrams})
	p.runFor(time.Second)
	return p
}

func (s *side) datagram(id uint64, data []byte) error {
	b := NewBuffer(len(data))
	copy(b.Bytes(), data)
	return s.conn.QueueDatagram(id, b, 0, len(data))
}

// all returns the events of a type.
func (s *side) all(typ EventType) (found []rec) {
	for _, r := range s.events {
		if r.Type == typ {
			found = append(found, r)
		}
	}
	return found
}

func TestDatagramBothWays(t *testing.T) {
	p := datagramPair(t)
	for _, way := range [][2]*side{{p.c, p.s}, {p.s, p.c}} {
		from, to := way[0], way[1]
		require.NoError(t, from.datagram(7, []byte("hello")))
		require.NoError(t, from.datagram(8, nil))
		p.run(func() bool { return len(from.all(EventDatagramAcked)) == 2 })
		got := to.all(EventDatagram)
		require.Len(t, got, 2)
		assert.Equal(t, "hello", string(got[0].Data))
		assert.Zero(t, got[0].Flags)
		assert.Empty(t, got[1].Data)
		acked := from.all(EventDatagramAcked)
		assert.ElementsMatch(t, []uint64{7, 8}, []uint64{acked[0].A, acked[1].A})
		assert.False(t, from.has(EventDatagramLost))
	}
}

// Datagrams of the largest size fill packets; streams go on beside them.
func TestDatagramsAndStreams(t *testing.T) {
	p := datagramPair(t)
	id := p.c.open()
	data := make([]byte, 100_000)
	p.c.write(id, data, true)
	size := p.c.conn.MaxDatagramSize()
	require.Greater(t, size, 1100)
	const n = 100
	for i := range n {
		require.NoError(t, p.c.datagram(uint64(i), bytes.Repeat([]byte{byte(i)}, size-i)))
	}
	p.run(func() bool { return p.s.fin[id] && len(p.c.all(EventDatagramAcked)) == n })
	assert.Len(t, p.s.data[id], len(data))
	for i, r := range p.s.all(EventDatagram) {
		assert.Equal(t, bytes.Repeat([]byte{byte(i)}, size-i), r.Data)
	}
}

// Several small datagrams and stream data share one packet.
func TestDatagramsSharePacket(t *testing.T) {
	p := datagramPair(t)
	id, before := p.c.open(), p.c.conn.Info().PktSent
	for i := range 20 {
		require.NoError(t, p.c.datagram(uint64(i), []byte("0123456789")))
	}
	p.c.write(id, []byte("x"), false)
	p.flush(p.c)
	assert.Equal(t, before+1, p.c.conn.Info().PktSent)
	p.run(func() bool { return len(p.s.all(EventDatagram)) == 20 && len(p.s.data[id]) == 1 })
}

// A lost datagram is reported, and not sent again.
func TestDatagramLost(t *testing.T) {
	p := datagramPair(t)
	p.link = func(*side, dgram) []dgram { return nil }
	require.NoError(t, p.c.datagram(1, []byte("lost")))
	p.flush(p.c)
	p.link = nil
	for i := range 5 { // later packets are acknowledged: the first is lost
		require.NoError(t, p.c.datagram(uint64(2+i), []byte("kept")))
		p.flush(p.c)
	}
	p.run(func() bool { return p.c.has(EventDatagramLost) && len(p.c.all(EventDatagramAcked)) == 5 })
	lost := p.c.all(EventDatagramLost)
	require.Len(t, lost, 1)
	assert.Equal(t, uint64(1), lost[0].A)
	p.runFor(time.Second)
	for _, r := range p.s.all(EventDatagram) {
		assert.Equal(t, "kept", string(r.Data))
	}
}

func TestDatagramTooLarge(t *testing.T) {
	p := datagramPair(t)
	size := p.c.conn.MaxDatagramSize()
	assert.ErrorIs(t, p.c.datagram(1, make([]byte, size+1)), ErrDatagramTooLarge)
	require.NoError(t, p.c.datagram(2, make([]byte, size)))
	p.run(func() bool { return p.s.has(EventDatagram) })

	small := connect(t, options{sparam: func(p *TransportParams) { p.MaxDatagramFrameSize = 103 }})
	assert.Equal(t, 100, small.c.conn.MaxDatagramSize(), "type and a length of two bytes")
	assert.ErrorIs(t, small.c.datagram(1, make([]byte, 101)), ErrDatagramTooLarge)
	require.NoError(t, small.c.datagram(2, make([]byte, 100)))
	small.run(func() bool { return small.s.has(EventDatagram) })
	assert.ErrorIs(t, small.s.datagram(1, nil), ErrDatagramOff)
}

func TestDatagramPeerWithoutSupport(t *testing.T) {
	p := newPair(t, options{})
	require.NoError(t, p.c.datagram(1, []byte("early")), "nothing is known of the peer yet")
	assert.Zero(t, p.c.conn.MaxDatagramSize())
	p.handshake()
	p.run(func() bool { return p.c.has(EventDatagramLost) })
	assert.ErrorIs(t, p.c.datagram(2, []byte("late")), ErrDatagramOff)
	assert.Zero(t, p.c.conn.MaxDatagramSize())
	assert.False(t, p.s.has(EventDatagram))
	id := p.c.open()
	p.c.write(id, []byte("x"), true)
	p.run(func() bool { return p.s.fin[id] })
}

// A datagram that waits for the handshake is sent with it.
func TestDatagramBeforeHandshake(t *testing.T) {
	p := newPair(t, options{sparam: withDatagrams, cparam: withDatagrams})
	require.NoError(t, p.c.datagram(1, []byte("early")))
	p.run(func() bool { return p.s.has(EventDatagram) })
}

func TestDatagramQueueIsBounded(t *testing.T) {
	p := datagramPair(t)
	blocks := HeapBlocks()
	for i := range MaxQueuedDatagrams {
		require.NoError(t, p.c.datagram(uint64(i), []byte("x")))
	}
	assert.ErrorIs(t, p.c.datagram(999, []byte("x")), ErrDatagramQueueFull)
	assert.ErrorIs(t, p.c.conn.QueueDatagram(1, NewBuffer(10), 5, 6), ErrInvalidArgument)
	assert.ErrorIs(t, p.c.conn.QueueDatagram(1, NewBuffer(10), -1, 6), ErrInvalidArgument)
	assert.ErrorIs(t, p.c.conn.QueueDatagram(1, Buffer{}, 0, 0), ErrInvalidArgument)
	assert.Equal(t, blocks+MaxQueuedDatagrams+1, HeapBlocks())
	p.run(func() bool { return len(p.s.all(EventDatagram)) == MaxQueuedDatagrams })
	assert.LessOrEqual(t, HeapBlocks(), blocks+20)

	// What is queued goes with the connection.
	require.NoError(t, p.c.datagram(1, []byte("x")))
	p.c.conn.Free()
	assert.ErrorIs(t, p.c.datagram(1, []byte("x")), ErrFreed)
	assert.Zero(t, p.c.conn.MaxDatagramSize())
}

func TestDatagramsAllocateNothing(t *testing.T) {
	p := datagramPair(t)
	l := &loop{p: p, run: make([]Datagram, 0, MaxReadRun)}
	b := NewBuffer(1000)
	defer b.Release()
	var failed error
	allocs := testing.AllocsPerRun(200, func() {
		b.Retain()
		if err := p.c.conn.QueueDatagram(1, b, 0, 1000); err != nil {
			failed = err
		}
		if err := l.round(); err != nil {
			failed = err
		}
	})
	require.NoError(t, failed)
	assert.LessOrEqual(t, allocs, float64(dataPathAllocs))
}
