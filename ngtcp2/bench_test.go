package ngtcp2

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// loop is the bare data path between two Conns, without what the harness keeps.
type loop struct {
	p      *pair
	run    []Datagram
	chunks []StreamChunk
	read   uint64
}

func newLoop(t testing.TB) *loop {
	p := connect(t, options{})
	p.runFor(time.Second)
	return &loop{p: p, run: make([]Datagram, 0, MaxReadRun), chunks: make([]StreamChunk, 0, 8)}
}

// move writes all that from has to say and reads it on the other side.
func (l *loop) move(from, to *side) error {
	for more := true; more; {
		w, err := from.conn.WritePkts(from.dst, l.chunks, l.p.now)
		l.chunks = l.chunks[:0]
		if err != nil {
			return err
		}
		l.run = l.run[:0]
		for off := 0; off < w.N; off += w.SegmentSize {
			l.run = append(l.run, Datagram{Off: uint32(off), Len: uint32(min(w.SegmentSize, w.N-off)), ECN: w.ECN})
		}
		if err := l.deliver(to, from.dst); err != nil {
			return err
		}
		more = w.More
	}
	return nil
}

func (l *loop) deliver(to *side, base []byte) error {
	if err := to.conn.ReadPkts(to.path, base, l.run, l.p.now); err != nil {
		return err
	}
	for i := range to.ev.Len() {
		if ev := to.ev.At(i); ev.Type == EventStreamData {
			n := uint64(len(to.ev.Data(ev)))
			l.read += n
			if err := to.conn.Consume(ev.StreamID, n); err != nil {
				return err
			}
		}
	}
	return nil
}

// round carries what is queued from the client to the server, with acks.
func (l *loop) round() error {
	l.p.now = l.p.now.Add(time.Millisecond)
	for _, s := range []*side{l.p.c, l.p.s} {
		if s.conn.Expiry() <= l.p.now {
			if err := s.conn.HandleExpiry(l.p.now); err != nil {
				return err
			}
		}
	}
	if err := l.move(l.p.c, l.p.s); err != nil {
		return err
	}
	return l.move(l.p.s, l.p.c)
}

func (l *loop) queue(id int64, b Buffer, n uint32) {
	b.Retain()
	l.chunks = append(l.chunks, StreamChunk{StreamID: id, Buf: b, Len: n})
}

func TestDataPathAllocatesNothing(t *testing.T) {
	l := newLoop(t)
	id := l.p.c.open()
	b := NewBuffer(16 << 10)
	defer b.Release()
	var failed error
	allocs := testing.AllocsPerRun(200, func() {
		l.queue(id, b, 16<<10)
		if err := l.round(); err != nil {
			failed = err
		}
	})
	require.NoError(t, failed)
	assert.LessOrEqual(t, allocs, float64(dataPathAllocs))
	assert.Greater(t, l.read, uint64(1<<20))
}

func TestFirstDatagramAllocatesNothing(t *testing.T) {
	pkt := firstDatagram(t, options{})
	short := []byte{0x40, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}
	allocs := testing.AllocsPerRun(100, func() {
		_, _ = Accept(pkt)
		_, _ = DecodeVersionCID(pkt, 10)
		_, _ = DecodeVersionCID(short, 10)
		_, _ = DecodeVersionCID(pkt[:100], 10)
		_, _ = Accept(pkt[:100])
	})
	assert.LessOrEqual(t, allocs, float64(firstDatagramAllocs))
}

func BenchmarkHandshake(b *testing.B) {
	stls, ctls := serverTLS(b), clientTLS(b)
	b.ReportAllocs()
	for b.Loop() {
		p := connect(b, options{stls: stls, ctls: ctls})
		p.c.conn.Free()
		p.s.conn.Free()
	}
}

func BenchmarkBulk(b *testing.B) {
	const size = 64 << 10
	l := newLoop(b)
	id := l.p.c.open()
	buf := NewBuffer(size)
	defer buf.Release()
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		l.queue(id, buf, size)
		for want := l.read + size; l.read < want; {
			require.NoError(b, l.round())
		}
	}
}

func BenchmarkSmallWrite(b *testing.B) {
	l := newLoop(b)
	id := l.p.c.open()
	buf := NewBuffer(64)
	defer buf.Release()
	b.ReportAllocs()
	for b.Loop() {
		l.queue(id, buf, 64)
		if err := l.round(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkIdleHeap reports what an idle server connection holds in ngtcp2 and
// in this package (not in OpenSSL).
func BenchmarkIdleHeap(b *testing.B) {
	stls, ctls := serverTLS(b), clientTLS(b)
	var held, events int64
	for b.Loop() {
		start := HeapBytes()
		probe := NewEvents()
		events = HeapBytes() - start
		probe.Free()
		p := connect(b, options{stls: stls, ctls: ctls})
		p.runFor(time.Second)
		p.c.conn.Free()
		held += HeapBytes() - start - 2*events
		p.s.conn.Free()
		p.c.ev.Free()
		p.s.ev.Free()
	}
	b.ReportMetric(float64(held)/float64(b.N), "heapB/conn")
}
