package sim

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/ngtcp2"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
)

func testStreamLimit(t *testing.T) {
	w := newWorld(t, 20, Link{Delay: 10 * ms})
	p := w.connect()
	srv := w.accepted[0]
	open := func() (n int) {
		for {
			s, err := p.conn.OpenStream()
			if err != nil {
				assert.ErrorIs(t, err, ngtcp2.ErrStreamIDBlocked)
				return n
			}
			_, _ = s.Write([]byte("x"))
			_ = s.CloseWrite()
			n++
		}
	}
	assert.Equal(t, endpoint.DefaultMaxBidiStreams, open())
	for round := 1; round <= 3; round++ { // closed streams are replenished
		w.until(time.Second, func() bool { return p.finished == 64*round })
		w.Pass(100 * ms)
		assert.Equal(t, 64, open(), "round %d", round)
	}
	assert.Equal(t, 64*4, srv.fins+64-srv.fins%64)
	uni := 0
	for ; ; uni++ {
		if _, err := p.conn.OpenUniStream(); err != nil {
			break
		}
	}
	assert.Equal(t, endpoint.DefaultMaxUniStreams, uni)
}

// refuser turns every stream but the first down.
type refuser struct{ *peer }

func (r refuser) OnStreamOpen(s *endpoint.Stream) {
	r.peer.OnStreamOpen(s)
	if s.ID() != 0 {
		s.Refuse(7)
	}
}

func TestRefusedStreamsAreReplenishedAndCostNoCredit(t *testing.T) {
	w := newWorld(t, 21, Link{Delay: 10 * ms})
	refusing := false
	w.wrap = func(p *peer) endpoint.ConnHandler {
		refusing = true
		return refuser{p}
	}
	p := w.connect()
	require.True(t, refusing)
	first, err := p.conn.OpenStream()
	require.NoError(t, err)
	_, _ = first.Write([]byte("control"))
	block := make([]byte, 100<<10)
	const rounds = 30 // three times the connection's window
	for i := range rounds {
		for _, open := range []func() (*endpoint.Stream, error){p.conn.OpenStream, p.conn.OpenUniStream} {
			s, err := open()
			require.NoError(t, err, "round %d", i)
			_, _ = s.Write(block)
		}
		w.until(10*time.Second, func() bool { return p.finished == 2*(i+1) })
		w.Pass(50 * ms)
	}
	assert.Contains(t, p.resets, uint64(7), "bidirectional streams are reset from the other side")
	if ngtcp2.ReportsStopSending() {
		assert.Len(t, p.stops, 2*rounds)
	}
	assert.Equal(t, 7, w.accepted[0].got, "nothing of a refused stream is delivered")
	assert.False(t, p.closed)
}

// A slow reader holds its stream back and no other.
func testStreamCredit(t *testing.T) {
	w := newWorld(t, 22, Link{Delay: 10 * ms})
	w.newPeer = func() *peer { return &peer{hold: true} }
	p := w.connect()
	srv := w.accepted[0]
	p.send(t, 1<<20)
	w.Pass(10 * time.Second)
	assert.Equal(t, endpoint.DefaultStreamWindow, srv.got)
	stalled := srv.stream
	srv.hold = false
	other, err := p.conn.OpenStream()
	require.NoError(t, err)
	_, _ = other.Write(make([]byte, 5000))
	_ = other.CloseWrite()
	w.until(time.Second, func() bool { return srv.fins == 1 })
	stalled.Consume(endpoint.DefaultStreamWindow)
	w.until(10*time.Second, func() bool { return srv.fins == 2 })
	assert.Equal(t, 1<<20+5000, srv.got)
}

// Credit that a closed stream leaves unconsumed goes back to the connection.
func TestUnconsumedCreditReturnsWithTheStream(t *testing.T) {
	w := newWorld(t, 23, Link{Delay: 10 * ms})
	w.newPeer = func() *peer { return &peer{hold: true} }
	p := w.connect()
	for i := range 10 { // ten windows of the connection together
		p.send(t, 200<<10)
		w.until(10*time.Second, func() bool { return p.finished == i+1 })
	}
	assert.Equal(t, 10*200<<10, w.accepted[0].got)
}

func TestBufferedFollowsAcknowledgements(t *testing.T) {
	w := newWorld(t, 24, Link{Delay: 50 * ms})
	p := w.connect()
	s, err := p.conn.OpenStream()
	require.NoError(t, err)
	shared := ngtcp2.NewBuffer(3000)
	for i := range shared.Bytes() {
		shared.Bytes()[i] = byte(i)
	}
	_, _ = s.Write([]byte("head"))
	require.NoError(t, s.WriteBuffer(shared, 100, 2000))
	_, _ = s.Write([]byte("tail"))
	assert.ErrorIs(t, s.WriteBuffer(shared, 2000, 2000), ngtcp2.ErrInvalidArgument)
	assert.Equal(t, 2008, s.Buffered())
	start := w.Now()
	w.until(time.Second, func() bool { return s.Buffered() == 0 })
	assert.GreaterOrEqual(t, w.Now().Sub(start), 100*ms)
	assert.Equal(t, 2008, w.accepted[0].got)
	shared.Release() // the stream has dropped its own reference: newWorld checks the heap
}

func TestResetAndStop(t *testing.T) {
	w := newWorld(t, 25, Link{Delay: 10 * ms})
	p := w.connect()
	srv := w.accepted[0]
	s, err := p.conn.OpenStream()
	require.NoError(t, err)
	_, _ = s.Write([]byte("half a mess"))
	w.until(time.Second, func() bool { return srv.got > 0 })
	s.Reset(5)
	_, err = s.Write([]byte("more"))
	assert.ErrorIs(t, err, endpoint.ErrClosed)
	assert.Zero(t, s.Buffered())
	w.until(time.Second, func() bool { return len(srv.resets) == 1 })
	assert.Equal(t, []uint64{5}, srv.resets)
	srv.stream.StopReading(6) // too late to matter
	srv.stream.Reset(8)
	w.until(time.Second, func() bool { return len(p.resets) == 1 && p.finished == 1 && srv.finished == 1 })
	assert.Equal(t, []uint64{8}, p.resets)
	assert.False(t, p.closed)
}

func testRebindPort(t *testing.T) {
	w := newWorld(t, 26, Link{Delay: 10 * ms})
	w.newPeer = func() *peer { return &peer{echo: true} }
	p := w.connect()
	s, err := p.conn.OpenStream()
	require.NoError(t, err)
	w.Pass(time.Second)
	w.Rebind(w.client, "10.0.0.2:5555")
	_, _ = s.Write([]byte("from another port"))
	w.until(10*time.Second, func() bool { return p.got == 17 })
	w.Pass(10 * time.Second)
	assert.Equal(t, "10.0.0.2:5555", w.accepted[0].conn.RemoteAddr().String())
}
