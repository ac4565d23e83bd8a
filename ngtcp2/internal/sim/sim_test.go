package sim

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/ngtcp2"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
)

const ms = time.Millisecond

func testHandshake(t *testing.T) {
	w := newWorld(t, 1, Link{Delay: 25 * ms})
	p := w.dial()
	w.until(time.Second, func() bool { return p.ended })
	require.NoError(t, p.dialErr)
	assert.Less(t, w.Elapsed(), 51*ms)
	assert.Equal(t, "mqtt", p.conn.TLS().ALPN)
	w.until(time.Second, func() bool { return len(w.accepted) == 1 })
	assert.Less(t, w.Elapsed(), 76*ms)
	stats := w.server.Core.Stats()
	assert.Zero(t, stats.Count(endpoint.Retries), "RetryNever")
}

// transfer sends n bytes and returns the time that it took.
func (w *world) transfer(n int, limit time.Duration) time.Duration {
	w.t.Helper()
	p := w.connect()
	srv := w.accepted[len(w.accepted)-1]
	srv.sum = sha256.New()
	start := w.Now()
	p.send(w.t, n)
	w.until(limit, func() bool { return srv.fins == 1 })
	assert.Equal(w.t, n, srv.got)
	assert.Equal(w.t, p.sum.Sum(nil), srv.sum.Sum(nil), "bytes changed on the way")
	return w.Now().Sub(start)
}

// The goodput of a long transfer on a link without loss is the link's rate, less
// slow start and headers.
func TestGoodputReachesTheRate(t *testing.T) {
	const rate = 1_250_000 // 10 Mbit/s
	w := newWorld(t, 2, Link{Delay: 20 * ms, Rate: rate, Queue: 100 << 10})
	const n = 5 << 20
	took := w.transfer(n, time.Minute)
	goodput := float64(n) / took.Seconds()
	t.Logf("goodput %.0f bytes/s of %d", goodput, rate)
	assert.Greater(t, goodput, 0.85*rate)
	assert.LessOrEqual(t, goodput, float64(rate))
}

// A receiver that offers window W gets at most W per round trip.
func TestGoodputIsLimitedByTheWindow(t *testing.T) {
	const window = 64 << 10
	w := newWorld(t, 3, Link{Delay: 50 * ms}, func(s, _ *endpoint.Config) { s.StreamWindow = window })
	const n = 2 << 20
	took := w.transfer(n, time.Minute)
	goodput := float64(n) / took.Seconds()
	theory := float64(window) / 0.1
	t.Logf("goodput %.0f bytes/s, window per round trip %.0f", goodput, theory)
	assert.LessOrEqual(t, goodput, 1.05*theory)
	assert.Greater(t, goodput, 0.4*theory) // credit comes back in halves of the window
}

func TestTransferSurvives(t *testing.T) {
	base := Link{Delay: 10 * ms, Rate: 2_500_000, Queue: 64 << 10}
	with := func(f func(*Link)) Link {
		l := base
		f(&l)
		return l
	}
	cases := []struct {
		name string
		link Link
	}{
		{"loss 1 %", with(func(l *Link) { l.Loss = 0.01 })},
		{"loss 5 % both ways", with(func(l *Link) { l.Loss = 0.05 })},
		{"loss 10 %", with(func(l *Link) { l.Loss = 0.10 })},
		{"reorder 20 %", with(func(l *Link) { l.Reorder = 0.2 })},
		{"duplicate 20 %", with(func(l *Link) { l.Duplicate = 0.2 })},
		{"corrupt 5 %", with(func(l *Link) { l.Corrupt = 0.05 })},
		{"jitter 30 ms", with(func(l *Link) { l.Jitter = 30 * ms })},
		{"queue of 8 packets", with(func(l *Link) { l.Queue = 8 * 1252 })},
		{"MTU 1300", with(func(l *Link) { l.MTU = 1300 })},
		{"everything", with(func(l *Link) {
			l.Loss, l.Reorder, l.Duplicate, l.Corrupt, l.Jitter = 0.03, 0.05, 0.05, 0.02, 10*ms
		})},
	}
	for i, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, uint64(100+i), c.link)
			took := w.transfer(512<<10, 5*time.Minute)
			t.Logf("%v, %+v", took, w.LinkStats(w.client, w.server))
		})
	}
}

func TestLossOverManySeeds(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := newWorld(t, 1000+seed, Link{Delay: 15 * ms, Loss: 0.1, Reorder: 0.1, Duplicate: 0.05})
			w.transfer(32<<10, 5*time.Minute)
		})
	}
}

func TestThousandConnections(t *testing.T) {
	const conns = 1000
	w := newWorld(t, 5, Link{Delay: 10 * ms, Rate: 12_500_000, Loss: 0.01})
	w.newPeer = func() *peer { return &peer{echo: true} }
	peers := make([]*peer, conns)
	for i := range peers {
		peers[i] = w.dial()
	}
	w.until(patience, func() bool { return len(w.accepted) == conns && all(peers, func(p *peer) bool { return p.ended }) })
	for _, p := range peers {
		require.NoError(t, p.dialErr)
		p.send(t, 3000)
	}
	w.until(time.Minute, func() bool { return all(peers, func(p *peer) bool { return p.fins == 1 }) })
	for _, p := range peers {
		require.Equal(t, 3000, p.got)
		p.conn.Close(0, "")
	}
	// Some CONNECTION_CLOSE are lost; those servers notice by the idle timeout.
	w.until(3*time.Minute, func() bool { return all(w.accepted, func(p *peer) bool { return p.closed }) })
	w.until(time.Minute, func() bool { return w.server.Core.Closing() == 0 && w.client.Core.Closing() == 0 })
	assert.Zero(t, w.server.Core.Live())
}

func all(peers []*peer, f func(*peer) bool) bool {
	for _, p := range peers {
		if !f(p) {
			return false
		}
	}
	return true
}

func testIdleTimeout(t *testing.T) {
	w := newWorld(t, 6, Link{Delay: 10 * ms}, func(s, _ *endpoint.Config) { s.IdleTimeout = 20 * time.Second })
	p := w.connect()
	assert.Equal(t, 20*time.Second, p.conn.IdleTimeout())
	start := w.Now()
	w.until(time.Minute, func() bool { return p.closed && w.accepted[0].closed })
	assert.InDelta(t, 20, w.Now().Sub(start).Seconds(), 0.5)
	assert.ErrorIs(t, p.closeErr, ngtcp2.ErrIdleTimeout)
	assert.ErrorIs(t, w.accepted[0].closeErr, ngtcp2.ErrIdleTimeout)
	stats := w.server.Core.Stats()
	assert.Equal(t, uint64(1), stats.Count(endpoint.ClosedIdle))
}

func testKeepAlive(t *testing.T) {
	w := newWorld(t, 7, Link{Delay: 10 * ms}, func(s, c *endpoint.Config) {
		s.IdleTimeout, c.KeepAlive = 20*time.Second, 9*time.Second
	})
	p := w.connect()
	w.Pass(5 * time.Minute)
	assert.False(t, p.closed)
	assert.Equal(t, 1, w.server.Core.Live())
}

func TestHandshakeTimeout(t *testing.T) {
	t.Run("server gone", func(t *testing.T) {
		w := newWorld(t, 8, Link{Loss: 1})
		p := w.dial()
		w.until(time.Minute, func() bool { return p.ended })
		assert.ErrorIs(t, p.dialErr, ngtcp2.ErrHandshakeTimeout)
		assert.InDelta(t, 10, w.Elapsed().Seconds(), 0.5)
		assert.False(t, p.closed, "OnClosed is for connections that were open")
	})
	t.Run("client gone", func(t *testing.T) {
		w := newWorld(t, 9, Link{Delay: 10 * ms}, func(_, c *endpoint.Config) { c.HandshakeTimeout = 20 * time.Second })
		w.SetOneWay(w.server, w.client, Link{Loss: 1})
		p := w.dial()
		w.until(time.Minute, func() bool { return p.ended && w.server.Core.Live() == 0 })
		stats := w.server.Core.Stats()
		assert.Empty(t, w.accepted)
		assert.Positive(t, stats.Count(endpoint.ClosedHandshakeTimeout))
		assert.Zero(t, stats.Handshakes)
		assert.Zero(t, stats.Conns)
	})
}

func testRetry(t *testing.T) {
	w := newWorld(t, 10, Link{Delay: 25 * ms}, func(s, _ *endpoint.Config) { s.Retry = endpoint.RetryAlways })
	p := w.dial()
	w.until(time.Second, func() bool { return p.ended })
	require.NoError(t, p.dialErr)
	assert.InDelta(t, 0.1, w.Elapsed().Seconds(), 0.01, "one round trip more")
	stats := w.server.Core.Stats()
	assert.Equal(t, uint64(1), stats.Count(endpoint.Retries))
	assert.Equal(t, uint64(1), stats.Count(endpoint.Accepted))
	w.until(time.Second, func() bool { return len(w.accepted) == 1 })
}

// A token from an earlier connection spares the Retry; one that the server did
// not make counts as none.
func testNewToken(t *testing.T) {
	w := newWorld(t, 17, Link{Delay: 25 * ms}, func(s, _ *endpoint.Config) { s.Retry = endpoint.RetryAlways })
	var token []byte
	dial := func(use []byte) time.Duration {
		p, start := &peer{}, w.Now()
		_, err := w.Dial(w.client, w.server, endpoint.DialConfig{TLS: w.tls, ServerName: "localhost", Handler: p,
			Token: use, OnToken: func(b []byte) { token = b }}, func(err error) { p.ended, p.dialErr = true, err })
		require.NoError(t, err)
		w.until(time.Second, func() bool { return p.ended })
		require.NoError(t, p.dialErr)
		took := w.Now().Sub(start)
		w.Pass(time.Second)
		return took
	}
	assert.InDelta(t, 0.1, dial(nil).Seconds(), 0.01)
	require.NotEmpty(t, token)
	good := token
	assert.InDelta(t, 0.05, dial(good).Seconds(), 0.01)
	forged := append([]byte(nil), good...)
	forged[len(forged)-1] ^= 1
	assert.InDelta(t, 0.1, dial(forged).Seconds(), 0.01)
	stats := w.server.Core.Stats()
	assert.Equal(t, uint64(2), stats.Count(endpoint.Retries))
}

func testRetryUnderLoad(t *testing.T) {
	w := newWorld(t, 11, Link{Delay: 25 * ms}, func(s, _ *endpoint.Config) {
		s.Retry, s.MaxHandshakes = endpoint.RetryAuto, 20
	})
	peers := make([]*peer, 19)
	for i := range peers {
		peers[i] = w.dial()
	}
	w.until(time.Minute, func() bool { return all(peers, func(p *peer) bool { return p.ended }) })
	for _, p := range peers {
		assert.NoError(t, p.dialErr)
	}
	stats := w.server.Core.Stats()
	assert.Equal(t, uint64(8), stats.Count(endpoint.Retries), "those beyond half of MaxHandshakes")
}

func testStatelessReset(t *testing.T) {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret)
	var cfg endpoint.Config
	w := newWorld(t, 12, Link{Delay: 10 * ms}, func(s, _ *endpoint.Config) {
		s.ResetSecret = secret
		cfg = *s
	})
	p := w.connect()
	w.Pass(time.Second)
	// The server crashes and comes back without memory.
	w.Remove(w.server)
	w.server = w.Add(w.core(cfg), "10.0.0.1:14567")
	p.send(t, 2000)
	w.until(time.Minute, func() bool { return p.closed })
	assert.ErrorIs(t, p.closeErr, ngtcp2.ErrStatelessReset)
	stats := w.server.Core.Stats()
	assert.Positive(t, stats.Count(endpoint.StatelessResets))
}

func testVersionNegotiation(t *testing.T) {
	w := newWorld(t, 13, Link{Delay: ms})
	pkt := make([]byte, 1200)
	copy(pkt, []byte{0xC0, 0x1a, 0x2a, 0x3a, 0x4a, 40})
	for i := range 40 {
		pkt[6+i] = byte(i) // a DCID longer than versions 1 and 2 allow
	}
	pkt[46] = 4
	w.Send(w.client, w.server, pkt)
	w.Send(w.client, w.server, pkt[:1199])
	w.Pass(time.Second)
	stats := w.server.Core.Stats()
	assert.Equal(t, uint64(1), stats.Count(endpoint.VersionNegotiations), "only for datagrams of 1200 bytes")
	assert.Zero(t, stats.Count(endpoint.Accepted))
}

func testVersion2(t *testing.T) {
	w := newWorld(t, 14, Link{Delay: ms})
	p := &peer{}
	c, err := w.Dial(w.client, w.server, endpoint.DialConfig{TLS: w.tls, ServerName: "localhost", Handler: p,
		Version: ngtcp2.VersionV2}, func(err error) { p.ended, p.dialErr = true, err })
	require.NoError(t, err)
	w.until(time.Second, func() bool { return p.ended })
	require.NoError(t, p.dialErr)
	assert.Equal(t, ngtcp2.VersionV2, c.Version())
}

func TestRefused(t *testing.T) {
	w := newWorld(t, 15, Link{Delay: 10 * ms}, func(s, _ *endpoint.Config) { s.MaxConns = 2 })
	w.connect()
	first := w.connect()
	p := w.dial()
	w.until(time.Minute, func() bool { return p.ended })
	var te *ngtcp2.TransportError
	require.ErrorAs(t, p.dialErr, &te)
	assert.Equal(t, ngtcp2.ConnectionRefused, te.Code)
	first.conn.Close(0, "")
	w.Pass(time.Second)
	w.connect()
}

func TestAuthenticationFails(t *testing.T) {
	w := newWorld(t, 16, Link{Delay: 10 * ms})
	p := &peer{}
	_, err := w.Dial(w.client, w.server, endpoint.DialConfig{TLS: w.tls, ServerName: "example.org", Handler: p},
		func(err error) { p.ended, p.dialErr = true, err })
	require.NoError(t, err)
	w.until(time.Minute, func() bool { return p.ended })
	require.Error(t, p.dialErr)
	assert.Contains(t, p.dialErr.Error(), "TLS alert")
	w.Pass(time.Minute)
	assert.Zero(t, w.server.Core.Live())
	stats := w.server.Core.Stats()
	assert.Zero(t, stats.Handshakes)
	assert.Equal(t, uint64(1), stats.Count(endpoint.ClosedByPeer))
}
