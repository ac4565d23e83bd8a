package ngtcp2

import (
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Every byte and block on the C heap is given back, however a connection ends.
func TestHeapReturns(t *testing.T) {
	const rounds = 1000
	stls, ctls := serverTLS(t), clientTLS(t)
	bytes, blocks := HeapBytes(), HeapBlocks()
	ends := []func(*pair){
		func(p *pair) {}, // freed before anything was sent
		func(p *pair) { p.flush(p.c) },
		func(p *pair) { p.run(func() bool { return p.s.conn != nil }) }, // mid handshake
		func(p *pair) { p.handshake() },
		func(p *pair) { // with data queued, sent and not acknowledged, received
			p.handshake()
			id := p.c.open()
			p.c.write(id, make([]byte, 2*testWindow), true)
			p.run(func() bool { return len(p.s.data[id]) > 1000 })
			p.s.write(id, make([]byte, 50000), false)
			p.flush(p.s)
			require.NotEqual(p.t, bytes, HeapBytes())
		},
		func(p *pair) { // in good order
			p.handshake()
			id := p.c.open()
			p.c.write(id, make([]byte, 1000), true)
			p.run(func() bool { return p.s.fin[id] })
			p.s.conn.ReleaseTLS()
			p.close(p.c, ApplicationClose(0, ""))
			p.run(func() bool { return p.s.err != nil })
		},
		func(p *pair) { // reset with data queued
			p.handshake()
			id := p.c.open()
			p.c.write(id, make([]byte, 2*testWindow), true)
			p.run(func() bool { return len(p.s.data[id]) > 1000 })
			require.NoError(p.t, p.c.conn.ShutdownStream(id, 1))
			p.flush(p.c)
		},
	}
	for i := range rounds {
		p := newPair(t, options{stls: stls, ctls: ctls})
		ends[i%len(ends)](p)
		p.c.conn.Free()
		if p.s.conn != nil {
			p.s.conn.Free()
		}
		releaseChunks(p.c.pending)
		releaseChunks(p.s.pending)
		p.c.pending, p.s.pending = nil, nil
		p.c.ev.Free()
		p.s.ev.Free()
	}
	assert.Equal(t, blocks, HeapBlocks())
	assert.Equal(t, bytes, HeapBytes())
}

// Memory for a queue is bounded by what is queued and given back by the acks.
func TestHeapFollowsQueue(t *testing.T) {
	p := connect(t, options{})
	id := p.c.open()
	blocks := int64(0)
	for i := range 20 {
		p.c.write(id, make([]byte, testWindow), false)
		p.runFor(time.Second)
		if i == 9 { // ngtcp2's pools have grown with its window
			blocks = HeapBlocks()
		}
	}
	assert.InDelta(t, blocks, HeapBlocks(), 10)
	info, ok := p.c.conn.StreamInfo(id)
	require.True(t, ok)
	assert.Zero(t, info.Queued+info.Unacked)
}

func TestBuffer(t *testing.T) {
	blocks := HeapBlocks()
	b := NewBuffer(100)
	require.Len(t, b.Bytes(), 100)
	copy(b.Bytes(), "shared")
	const holders = 8
	done := make(chan struct{})
	for range holders {
		b.Retain()
		go func() {
			defer func() { done <- struct{}{} }()
			if string(b.Bytes()[:6]) != "shared" {
				panic("bytes changed")
			}
			b.Release()
		}()
	}
	for range holders {
		<-done
	}
	assert.Equal(t, blocks+1, HeapBlocks())
	b.Release()
	assert.Equal(t, blocks, HeapBlocks())
	assert.True(t, Buffer{}.IsZero())
	assert.Nil(t, Buffer{}.Bytes())
	Buffer{}.Release()
	assert.Panics(t, func() { NewBuffer(-1) })
	NewBuffer(0).Release()
}

// One buffer on many streams is freed when the last one has been acknowledged.
func TestSharedBuffer(t *testing.T) {
	p := connect(t, options{})
	b := NewBuffer(1000)
	for i := range b.Bytes() {
		b.Bytes()[i] = byte(i)
	}
	want := append([]byte(nil), b.Bytes()...)
	blocks := HeapBlocks()
	ids := make([]int64, 20)
	for i := range ids {
		ids[i] = p.c.open()
		b.Retain()
		b.Retain() // two contiguous chunks, which are merged
		p.c.pending = append(p.c.pending, StreamChunk{StreamID: ids[i], Buf: b, Len: 400},
			StreamChunk{StreamID: ids[i], Buf: b, Off: 400, Len: 600, Fin: true})
	}
	b.Release()
	p.run(func() bool { return len(p.s.fin) == len(ids) })
	for _, id := range ids {
		assert.Equal(t, want, p.s.data[id])
		p.s.write(id, nil, true)
	}
	p.run(func() bool { return len(p.c.fin) == len(ids) })
	p.runFor(time.Second)
	assert.Less(t, HeapBlocks(), blocks+20)
}

// The event array gives memory back some calls after a huge one.
func TestEventsShrink(t *testing.T) {
	p := connect(t, options{sparam: func(tp *TransportParams) {
		tp.InitialMaxData, tp.InitialMaxStreamDataBidiRemote = 8<<20, 8<<20
	}})
	id := p.c.open()
	lost := false
	p.c.write(id, make([]byte, 6<<20), true)
	p.link = func(from *side, d dgram) []dgram { // hold one packet back: the rest comes at once
		if from == p.c && !lost && len(d.data) > 1000 {
			lost = true
			d.at = d.at.Add(2 * time.Second)
		}
		return []dgram{d}
	}
	small := HeapBytes()
	p.run(func() bool { return p.s.fin[id] })
	assert.Len(t, p.s.data[id], 6<<20)
	p.link = nil
	for range 600 {
		require.NoError(t, p.s.conn.HandleExpiry(p.now))
	}
	p.run(func() bool { i, ok := p.c.conn.StreamInfo(id); return !ok || i.Unacked == 0 })
	assert.Less(t, HeapBytes(), small+1<<20)
	assert.LessOrEqual(t, int(p.s.ev.c.arena_cap), 1<<20)
}

// Connections of different workers run in parallel and share buffers.
func TestParallelWorkers(t *testing.T) {
	stls, ctls := serverTLS(t), clientTLS(t)
	shared := NewBuffer(5000)
	workers := max(4, runtime.GOMAXPROCS(0))
	for range workers {
		shared.Retain()
		t.Run("worker", func(t *testing.T) {
			t.Parallel()
			p := connect(t, options{stls: stls, ctls: ctls})
			id := p.c.open()
			p.c.pending = append(p.c.pending, StreamChunk{StreamID: id, Buf: shared, Len: 5000, Fin: true})
			p.run(func() bool { return p.s.fin[id] })
			assert.Len(t, p.s.data[id], 5000)
		})
	}
	shared.Release()
}
