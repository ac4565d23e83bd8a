package endpoint

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/ngtcp2"
)

func TestTimerHeapOrdersAndMoves(t *testing.T) {
	var h timerHeap
	rng := rand.New(rand.NewPCG(1, 2))
	conns := make([]*Conn, 500)
	want := map[*Conn]ngtcp2.Timestamp{}
	for i := range conns {
		conns[i] = &Conn{}
		h.set(conns[i], ngtcp2.Timestamp(rng.IntN(1000)+1000))
		want[conns[i]] = conns[i].timer.at
	}
	for _, c := range conns[:200] { // earlier moves at once, later is left
		at := ngtcp2.Timestamp(rng.IntN(2000) + 1)
		h.set(c, at)
		want[c] = min(want[c], at)
	}
	for _, c := range conns[450:] {
		h.remove(c)
		h.remove(c)
		delete(want, c)
	}
	assert.Nil(t, h.pop(0))
	var got []ngtcp2.Timestamp
	for c := h.pop(5000); c != nil; c = h.pop(5000) {
		assert.Equal(t, want[c], c.timer.at)
		got = append(got, c.timer.at)
	}
	assert.Len(t, got, len(want))
	assert.True(t, slices.IsSorted(got))
	assert.Equal(t, ngtcp2.NoExpiry, h.next())
	h.set(conns[0], ngtcp2.NoExpiry)
	assert.Empty(t, h.conns, "no deadline, no entry")
}

func TestInboxHasOneEntryPerConnection(t *testing.T) {
	b := newInbox()
	conns := []*Conn{{}, {}, {}}
	var callers sync.WaitGroup
	for range 4 {
		callers.Go(func() {
			for range 1000 {
				for _, c := range conns {
					b.wake(c)
				}
			}
		})
	}
	callers.Wait()
	<-b.signal
	counts := map[*Conn]int{}
	b.drain(func(c *Conn) { counts[c]++ })
	assert.Equal(t, map[*Conn]int{conns[0]: 1, conns[1]: 1, conns[2]: 1}, counts)
	b.wake(conns[0])
	<-b.signal
	ran := false
	b.post(func() { ran = true })
	b.drain(func(c *Conn) { counts[c]++ })
	assert.Equal(t, 2, counts[conns[0]])
	assert.True(t, ran)
}

func TestWakeAllocatesNothing(t *testing.T) {
	b := newInbox()
	c := &Conn{}
	nothing := func(*Conn) {}
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		b.wake(c)
		b.drain(nothing)
	}))
}

func TestLimiter(t *testing.T) {
	l := newLimiter(10)
	now := ngtcp2.Timestamp(time.Hour)
	count := func() (n int) {
		for l.allow(now) {
			n++
		}
		return n
	}
	assert.Equal(t, 10, count(), "one second's worth at first")
	now = now.Add(300 * time.Millisecond)
	assert.Equal(t, 3, count())
	now = now.Add(time.Hour)
	assert.Equal(t, 10, count(), "no more than one second's worth is saved")
}

func TestLongType(t *testing.T) {
	v1, v2 := []byte{0, 0, 0, 1}, []byte{0x6b, 0x33, 0x43, 0xcf}
	pkt := func(first byte, v []byte) []byte { return append([]byte{first}, v...) }
	for i, first := range []byte{0xC0, 0xD0, 0xE0, 0xF0} {
		assert.EqualValues(t, i, longType(pkt(first, v1)))
		assert.EqualValues(t, (i+3)%4, longType(pkt(first, v2)), "Retry is 0 in version 2")
	}
	assert.EqualValues(t, typeNone, longType(pkt(0x40, v1)))
	assert.EqualValues(t, typeNone, longType([]byte{0xC0}))
}

func TestCountersHaveNames(t *testing.T) {
	seen := map[string]bool{}
	var s Stats
	for c := range s.All() {
		assert.NotEmpty(t, c.String())
		seen[c.String()] = true
	}
	assert.Len(t, seen, int(numCounters))
}

// wire is a server Core and a client Core, tied together without a network.
type wire struct {
	server, client *Core
	now            ngtcp2.Timestamp
	batch          Batch
	accepted       *Conn
	echoed         int
	closed         []error // of the server's connections
}

var wireServer, wireClient = netip.MustParseAddrPort("10.0.0.1:1"), netip.MustParseAddrPort("10.0.0.2:2")

// OnConn echoes (Handler).
func (w *wire) OnConn(c *Conn) ConnHandler {
	w.accepted = c
	return &echoer{w: w}
}

type echoer struct {
	silentHandler
	w *wire
}

func (e *echoer) OnClosed(err error) { e.w.closed = append(e.w.closed, err) }

func (*echoer) OnStreamData(s *Stream, data []byte, _ bool) {
	s.Consume(len(data))
	_, _ = s.Write(data)
}

// counter counts what comes back.
type counter struct {
	silentHandler
	w *wire
}

func (c counter) OnStreamData(s *Stream, data []byte, _ bool) {
	s.Consume(len(data))
	c.w.echoed += len(data)
}

func newWire(t testing.TB) *wire {
	t.Helper()
	return newWireOf(t, Config{})
}

// newWireOf is newWire with a server's Config.
func newWireOf(t testing.TB, cfg Config) *wire {
	t.Helper()
	w := &wire{now: ngtcp2.Timestamp(time.Hour)}
	var err error
	never := func(p *ngtcp2.TransportParams) { p.MaxIdleTimeout = 0 } // a fuzzer's clock runs for hours
	cfg.TLS, cfg.Addrs, cfg.Handler, cfg.Params = serverTLS(t), []string{"10.0.0.1:1"}, w, never
	w.server, err = NewCore(cfg)
	require.NoError(t, err)
	t.Cleanup(w.server.Free)
	w.client, err = NewCore(Config{Params: never})
	require.NoError(t, err)
	t.Cleanup(w.client.Free)
	return w
}

// connect completes a handshake and opens a stream.
func (w *wire) connect(t testing.TB) (*Conn, *Stream) {
	t.Helper()
	var ended bool
	conn, err := w.client.Connect(ngtcp2.Path{Local: wireClient, Remote: wireServer},
		DialConfig{TLS: clientTLS(t), ServerName: "localhost", Handler: counter{w: w}}, w.now, func(err error) {
			require.NoError(t, err)
			ended = true
		})
	require.NoError(t, err)
	for !ended || w.accepted == nil {
		w.step(10 * time.Millisecond)
	}
	s, err := conn.OpenStream()
	require.NoError(t, err)
	return conn, s
}

// step carries what both have to say and lets d pass.
func (w *wire) step(d time.Duration) {
	w.carry(w.client, w.server, wireClient, wireServer)
	w.carry(w.server, w.client, wireServer, wireClient)
	w.now = w.now.Add(d)
	w.client.HandleExpiry(w.now)
	w.server.HandleExpiry(w.now)
}

func (w *wire) carry(from, to *Core, src, dst netip.AddrPort) {
	for from.Busy() {
		buf, runs := from.Poll(w.now)
		b := &w.batch
		b.Buf, b.Msgs = append(b.Buf[:0], buf[:from.tx.used]...), b.Msgs[:0]
		for _, r := range runs {
			b.Msgs = append(b.Msgs, Message{Local: dst, Remote: src, Off: uint32(r.Off), Len: uint32(r.Len), Stride: uint32(r.SegmentSize), ECN: r.ECN})
		}
		from.Sent(nil)
		to.Receive(b, w.now)
	}
}

// What an idle connection keeps: no block of the send queue, no slice of
// chunks, and not much of Go's heap.
func TestIdleConnectionHoldsNoBuffers(t *testing.T) {
	w := newWire(t)
	conn, s := w.connect(t)
	for range 20 {
		_, _ = s.Write(make([]byte, 20_000))
		w.step(10 * time.Millisecond)
	}
	for range 100 {
		w.step(10 * time.Millisecond)
	}
	for _, c := range []*Conn{conn, w.accepted} {
		assert.Zero(t, c.buffered)
		assert.True(t, c.first.tail.IsZero())
		assert.Nil(t, c.pending)
		assert.Nil(t, c.others)
		assert.False(t, c.dirty)
	}
}

// A driver that could not send everything gets the rest again, and no
// connection writes meanwhile.
func TestBlockedDriverHoldsAllBack(t *testing.T) {
	w := newWire(t)
	_, s := w.connect(t)
	w.step(time.Second)
	_, _ = s.Write(make([]byte, 5000))
	_, runs := w.client.Poll(w.now)
	total := 0
	for _, r := range runs {
		total += r.Len
	}
	require.NotEmpty(t, runs)
	runs[0].Off, runs[0].Len = runs[0].Off+runs[0].SegmentSize, runs[0].Len-runs[0].SegmentSize
	w.client.Sent(runs)
	assert.True(t, w.client.Held())
	_, _ = s.Write(make([]byte, 5000))
	_, again := w.client.Poll(w.now)
	rest := 0
	for _, r := range again {
		rest += r.Len
	}
	assert.Equal(t, total-runs[0].SegmentSize, rest)
	w.client.Sent(nil)
	assert.False(t, w.client.Held())
	for range 100 { // the datagram that was left out counts as lost
		w.step(10 * time.Millisecond)
	}
	assert.Equal(t, 10_000, w.echoed)
}

// restless marks its connection in every flush.
type restless struct {
	silentHandler
	conn *Conn
	n    int
}

func (r *restless) OnFlush() { r.n++; r.conn.MarkDirty() }

func TestHandlerThatMarksItsConnectionCannotKeepPoll(t *testing.T) {
	w := newWire(t)
	conn, s := w.connect(t)
	r := &restless{conn: conn}
	conn.handler = r
	_, _ = s.Write([]byte("hello"))
	for i := range 3 { // returns, with the output, and goes on the next time
		_, runs := w.client.Poll(w.now)
		assert.Equal(t, i == 0, len(runs) > 0)
		assert.Positive(t, r.n)
		assert.True(t, w.client.Busy())
		w.client.Sent(nil)
		r.n = 0
	}
	conn.handler = silentHandler{}
}

// Garbage behind the header of an Initial leaves nothing, and so does an Initial
// that was changed on the way.
func TestForgedInitialLeavesNothing(t *testing.T) {
	w := newWire(t)
	good := initialOf(t, w)
	for at := 60; at < len(good); at += 97 {
		pkt := slices.Clone(good)
		pkt[at] ^= 1
		n := uint32(len(pkt))
		b := &Batch{Buf: pkt, Msgs: []Message{{Local: wireServer, Remote: wireClient, Len: n, Stride: n}}}
		w.server.Receive(b, w.now)
	}
	w.server.Poll(w.now)
	w.server.Sent(nil)
	s := w.server.Stats()
	assert.Positive(t, s.Count(Accepted))
	assert.Zero(t, s.Conns)
	assert.Zero(t, s.Handshakes)
	assert.Zero(t, w.server.Closing())
	assert.Empty(t, w.server.table.m)
}

// FuzzFirstDatagram: no datagram harms a Core.
func FuzzFirstDatagram(f *testing.F) {
	w := newWire(f)
	_, s := w.connect(f)
	accepted := w.accepted
	_, _ = s.Write([]byte("x"))
	buf, runs := w.client.Poll(w.now)
	f.Add(slices.Clone(buf[runs[0].Off : runs[0].Off+runs[0].Len]))
	w.client.Sent(nil)
	f.Add(initialOf(f, w))
	f.Add([]byte{})
	f.Add([]byte{0xC0, 0, 0, 0, 1})
	f.Add([]byte{0x40, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23})
	f.Fuzz(func(t *testing.T, pkt []byte) {
		w.now = w.now.Add(time.Millisecond)
		for _, padded := range [][]byte{pkt, append(slices.Clone(pkt), make([]byte, max(0, minInitial-len(pkt)))...)} {
			if len(padded) > 2048 {
				padded = padded[:2048]
			}
			n := uint32(len(padded))
			b := &Batch{Buf: padded, Msgs: []Message{{Local: wireServer, Remote: wireClient, Len: n, Stride: n}}}
			w.server.Receive(b, w.now)
			w.server.HandleExpiry(w.now)
			w.server.Poll(w.now)
			w.server.Sent(nil)
		}
		require.False(t, accepted.Closed(), "a forged datagram ended a connection: %v", w.closed)
	})
}

// initialOf is a client's first datagram.
func initialOf(t testing.TB, w *wire) []byte {
	t.Helper()
	_, err := w.client.Connect(ngtcp2.Path{Local: wireClient, Remote: wireServer},
		DialConfig{TLS: clientTLS(t), ServerName: "localhost", Handler: silentHandler{}}, w.now, func(error) {})
	require.NoError(t, err)
	buf, runs := w.client.Poll(w.now)
	pkt := slices.Clone(buf[runs[0].Off : runs[0].Off+runs[0].Len])
	w.client.Sent(nil)
	return pkt
}
