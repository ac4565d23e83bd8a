package sim

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/ngtcp2"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
)

func TestClose(t *testing.T) {
	w := newWorld(t, 30, Link{Delay: 10 * ms})
	p := w.connect()
	w.Pass(time.Second)
	p.conn.Close(9, "enough")
	w.until(time.Second, func() bool { return p.closed && w.accepted[0].closed })
	assert.NoError(t, p.closeErr)
	var ae *ngtcp2.ApplicationError
	require.ErrorAs(t, w.accepted[0].closeErr, &ae)
	assert.Equal(t, &ngtcp2.ApplicationError{Code: 9, Reason: "enough"}, ae)
	_, err := p.conn.OpenStream()
	assert.ErrorIs(t, err, endpoint.ErrClosed)
	assert.Equal(t, 1, w.client.Core.Closing())
	assert.Equal(t, 1, w.server.Core.Closing())
	assert.Zero(t, w.client.Core.Live()+w.server.Core.Live())
	w.Pass(10 * time.Second) // three PTOs are over
	assert.Zero(t, w.client.Core.Closing()+w.server.Core.Closing())
}

// A lost CONNECTION_CLOSE is repeated when the peer sends again, less and less
// often.
func testLostClose(t *testing.T) {
	w := newWorld(t, 31, Link{Delay: 200 * ms})
	p := w.connect()
	srv := w.accepted[0]
	w.Pass(time.Second)
	w.SetOneWay(w.server, w.client, Link{Loss: 1})
	before := w.LinkStats(w.server, w.client).Sent
	srv.conn.Close(3, "")
	s, err := p.conn.OpenStream()
	require.NoError(t, err)
	for range 8 { // within the three PTOs
		_, _ = s.Write(make([]byte, 10))
		p.conn.MarkDirty()
		w.Pass(60 * ms)
	}
	sent := w.LinkStats(w.server, w.client).Sent - before
	assert.GreaterOrEqual(t, sent, 3)
	assert.LessOrEqual(t, sent, 6, "1 + answers to the 1st, 2nd, 4th, 8th datagram")
	w.SetOneWay(w.server, w.client, Link{Delay: 200 * ms})
	for range 8 {
		_, _ = s.Write(make([]byte, 10))
		p.conn.MarkDirty()
		w.Pass(30 * ms)
	}
	w.until(time.Minute, func() bool { return p.closed })
	var ae *ngtcp2.ApplicationError
	if errors.As(p.closeErr, &ae) {
		assert.Equal(t, uint64(3), ae.Code)
	} else {
		assert.ErrorIs(t, p.closeErr, ngtcp2.ErrStatelessReset)
	}
}

// Data that comes in the same batch as CONNECTION_CLOSE is delivered first.
func TestDataBeforeClose(t *testing.T) {
	w := newWorld(t, 32, Link{Delay: 10 * ms})
	p := w.connect()
	w.Pass(time.Second)
	s, err := p.conn.OpenStream()
	require.NoError(t, err)
	_, _ = s.Write([]byte("last words"))
	w.client.Core.Poll(w.Now()) // the data is written, and not yet sent
	p.conn.Close(1, "")
	buf, runs := w.client.Core.Poll(w.Now())
	require.Len(t, runs, 2, "data, CONNECTION_CLOSE")
	for i := range runs {
		w.sendRun(w.client, buf, &runs[i])
	}
	w.client.Core.Sent(nil)
	srv := w.accepted[0]
	w.until(time.Second, func() bool { return srv.closed })
	assert.Equal(t, 10, srv.got)
}

// CloseAfterFlush: last data -> acknowledged -> FIN -> CONNECTION_CLOSE.
func TestCloseAfterFlush(t *testing.T) {
	for _, loss := range []float64{0, 0.05, 0.2} {
		w := newWorld(t, 33+uint64(loss*100), Link{Delay: 20 * ms, Loss: loss, Rate: 1_000_000})
		p := w.connect()
		srv := w.accepted[0]
		s, err := p.conn.OpenStream()
		require.NoError(t, err)
		_, _ = s.Write(make([]byte, 100<<10))
		p.conn.CloseAfterFlush(4, "bye")
		_, err = s.Write([]byte("too late"))
		assert.ErrorIs(t, err, endpoint.ErrClosed)
		w.until(time.Minute, func() bool { return p.closed })
		assert.NoError(t, p.closeErr)
		assert.Equal(t, 100<<10, srv.got, "loss %v", loss)
		if loss == 0 {
			w.until(time.Second, func() bool { return srv.closed })
			assert.Equal(t, 1, srv.fins)
			var ae *ngtcp2.ApplicationError
			require.ErrorAs(t, srv.closeErr, &ae)
			assert.Equal(t, uint64(4), ae.Code)
		}
	}
}

func TestCloseAfterFlushGivesUp(t *testing.T) {
	w := newWorld(t, 37, Link{Delay: 20 * ms})
	p := w.connect()
	s, err := p.conn.OpenStream()
	require.NoError(t, err)
	w.Remove(w.server)
	_, _ = s.Write([]byte("nobody hears"))
	start := w.Now()
	p.conn.CloseAfterFlush(0, "")
	w.until(time.Minute, func() bool { return p.closed })
	assert.InDelta(t, 3, w.Now().Sub(start).Seconds(), 0.1)
}

func TestShutdown(t *testing.T) {
	w := newWorld(t, 38, Link{Delay: 20 * ms})
	peers := []*peer{w.connect(), w.connect(), w.connect()}
	w.server.Core.Shutdown()
	late := w.dial()
	w.until(time.Second, func() bool { return all(peers, func(p *peer) bool { return p.closed }) })
	w.Pass(time.Second)
	stats := w.server.Core.Stats()
	assert.Equal(t, uint64(3), stats.Count(endpoint.ClosedLocally))
	assert.Positive(t, stats.Count(endpoint.DropShutdown))
	assert.False(t, late.ended)
}

// An endpoint whose peer has no state any more, or never had, gets rid of it.
func TestFree(t *testing.T) {
	w := newWorld(t, 39, Link{Delay: 20 * ms})
	p := w.connect()
	s, err := p.conn.OpenStream()
	require.NoError(t, err)
	_, _ = s.Write(make([]byte, 5000)) // still queued when the Core is freed
}
