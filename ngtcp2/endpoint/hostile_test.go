package endpoint

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/ngtcp2"
)

// flight is what a Core wants to send now, as datagrams.
func flight(c *Core, now ngtcp2.Timestamp) (list [][]byte) {
	for c.Busy() {
		buf, runs := c.Poll(now)
		for _, r := range runs {
			for off := 0; off < r.Len; off += r.SegmentSize {
				list = append(list, slices.Clone(buf[r.Off+off:r.Off+min(off+r.SegmentSize, r.Len)]))
			}
		}
		c.Sent(nil)
	}
	return list
}

// give hands one datagram to a Core.
func give(c *Core, pkt []byte, local, remote netip.AddrPort, now ngtcp2.Timestamp) {
	n := uint32(len(pkt))
	c.Receive(&Batch{Buf: slices.Clone(pkt), Msgs: []Message{{Local: local, Remote: remote, Len: n, Stride: n}}}, now)
}

// hello is a new client's first flight.
func (w *wire) hello(t testing.TB, alpn ...string) (*Conn, [][]byte) {
	t.Helper()
	conn, err := w.client.Connect(wirePath, DialConfig{TLS: clientTLS(t, alpn...), ServerName: "localhost",
		Handler: silentHandler{}}, w.now, func(error) {})
	require.NoError(t, err)
	return conn, flight(w.client, w.now)
}

// A ClientHello that takes two datagrams gets one Retry, and when its first packets
// are sent again after a loss, another one. However much is sent, the answers stay
// far below it.
func TestOneRetryPerHello(t *testing.T) {
	w := newWireOf(t, Config{Retry: RetryAlways})
	long := strings.Repeat("x", 200)
	_, hello := w.hello(t, "mqtt", long+"1", long+"2", long+"3", long+"4", long+"5")
	require.Len(t, hello, 2)
	retries := func() (n, bytes int) {
		for _, d := range hello {
			give(w.server, d, wireServer, wireClient, w.now)
		}
		for _, d := range flight(w.server, w.now) {
			n, bytes = n+1, bytes+len(d)
		}
		return n, bytes
	}
	n, bytes := retries()
	assert.Equal(t, 1, n)
	assert.Less(t, bytes, minInitial/2)
	s := w.server.Stats()
	assert.Equal(t, uint64(1), s.Count(DropRepeated))
	assert.Zero(t, s.Conns, "and no connection")

	w.now = w.now.Add(time.Second) // the Retry was lost
	n, _ = retries()
	assert.Equal(t, 1, n)
}

// A Retry token is for one address, some seconds, one server and one Connection ID.
func TestRetryTokenMisused(t *testing.T) {
	w := newWireOf(t, Config{Retry: RetryAlways})
	_, hello := w.hello(t)
	give(w.server, hello[0], wireServer, wireClient, w.now)
	retry := flight(w.server, w.now)
	require.Len(t, retry, 1)
	give(w.client, retry[0], wireClient, wireServer, w.now)
	second := flight(w.client, w.now)
	require.NotEmpty(t, second)

	give(w.server, second[0], wireServer, netip.MustParseAddrPort("10.0.0.3:2"), w.now)
	s := w.server.Stats()
	assert.Equal(t, uint64(1), s.Count(Refused), "another address: INVALID_TOKEN")
	give(w.server, second[0], wireServer, wireClient, w.now.Add(DefaultHandshakeTimeout+time.Second))
	s = w.server.Stats()
	assert.Equal(t, uint64(2), s.Count(Refused), "expired: INVALID_TOKEN")
	assert.Zero(t, s.Count(Accepted))

	other := newWireOf(t, Config{Retry: RetryAlways})
	give(other.server, second[0], wireServer, wireClient, w.now)
	s = other.server.Stats()
	assert.Equal(t, uint64(1), s.Count(Retries), "another server's: as if there were none")
	assert.Zero(t, s.Count(Accepted)+s.Count(Refused))

	fresh := newWireOf(t, Config{Retry: RetryAlways, TokenSecret: w.server.cfg.TokenSecret})
	give(fresh.server, second[0], wireServer, wireClient, w.now)
	s = fresh.server.Stats()
	assert.Equal(t, uint64(1), s.Count(Accepted), "a server with the same secret")
}

// A server that restarts with its ResetSecret resets a client whose packets are as
// small as they get: keep-alives.
func TestRestartResetsSmallPackets(t *testing.T) {
	secret := []byte("0123456789abcdef")
	w := newWireOf(t, Config{ResetSecret: secret})
	conn, _ := w.connect(t)
	for range 100 {
		w.step(10 * time.Millisecond)
	}
	w.server = newWireOf(t, Config{ResetSecret: secret}).server
	conn.SetKeepAlive(50 * time.Millisecond)
	began, smallest := w.now, 1<<16
	for !conn.Closed() && w.now.Sub(began) < 10*time.Second {
		for _, d := range flight(w.client, w.now) {
			smallest = min(smallest, len(d))
			give(w.server, d, wireServer, wireClient, w.now)
		}
		for _, d := range flight(w.server, w.now) {
			give(w.client, d, wireClient, wireServer, w.now)
		}
		w.now = w.now.Add(10 * time.Millisecond)
		w.client.HandleExpiry(w.now)
	}
	assert.True(t, conn.Closed())
	assert.Less(t, w.now.Sub(began), 200*time.Millisecond)
	assert.Less(t, smallest, 40, "a small packet")
	assert.GreaterOrEqual(t, smallest, cidLen+22, "RFC 9000 section 10.3")
	s := w.client.Stats()
	assert.Equal(t, uint64(1), s.Count(ClosedStatelessReset))
}

// Two endpoints that both know nothing answer each other with ever smaller resets,
// and then no more (RFC 9000 section 10.3.3).
func TestResetsDoNotLoop(t *testing.T) {
	a, b := newWireOf(t, Config{}).server, newWireOf(t, Config{}).server
	now := ngtcp2.Timestamp(time.Hour)
	pkt := make([]byte, 60)
	pkt[0] = 0x40
	size, rounds := len(pkt), 0
	for ; pkt != nil; rounds++ {
		give(a, pkt, wireServer, wireClient, now)
		out := flight(a, now)
		if pkt = nil; len(out) > 0 {
			require.Len(t, out, 1)
			assert.Less(t, len(out[0]), size)
			pkt, size = out[0], len(out[0])
		}
		a, b = b, a
	}
	assert.Equal(t, resetMin, size)
	assert.LessOrEqual(t, rounds, resetMax-resetMin+2)
}

// A flood of packets for no connection gets a second's worth of resets.
func TestResetsAreRateLimited(t *testing.T) {
	w := newWireOf(t, Config{})
	pkt := make([]byte, 100)
	pkt[0] = 0x40
	sent := 0
	for i := range 3 * statelessResetRate {
		pkt[1], pkt[2] = byte(i), byte(i>>8)
		give(w.server, pkt, wireServer, wireClient, w.now)
		sent += len(flight(w.server, w.now))
	}
	assert.Equal(t, statelessResetRate, sent)
	s := w.server.Stats()
	assert.Equal(t, uint64(2*statelessResetRate), s.Count(DropRateLimited))
}

// A server that makes connections at once has no use for the second datagram of a
// ClientHello whose first one was lost or damaged. It sends one Retry, so that it gets
// all again: clients might go on with PINGs, which it cannot acknowledge.
func TestRetryWithoutBeginning(t *testing.T) {
	long := strings.Repeat("x", 200)
	for _, damage := range []bool{false, true} {
		w := newWireOf(t, Config{})
		conn, hello := w.hello(t, "mqtt", long+"1", long+"2", long+"3", long+"4", long+"5")
		require.Len(t, hello, 2)
		if damage {
			hello[0][minInitial-1] ^= 1
			give(w.server, hello[0], wireServer, wireClient, w.now)
			require.Empty(t, flight(w.server, w.now), "it is no packet")
		}
		give(w.server, hello[1], wireServer, wireClient, w.now)
		require.Empty(t, flight(w.server, w.now), "the first one may be behind it")
		w.now = w.server.Expiry()
		w.server.HandleExpiry(w.now)
		retry := flight(w.server, w.now)
		require.Len(t, retry, 1)
		s := w.server.Stats()
		assert.Zero(t, s.Conns)
		assert.Equal(t, uint64(1), s.Count(Retries))
		assert.Equal(t, uint64(1), s.Count(DropAhead))

		give(w.client, retry[0], wireClient, wireServer, w.now)
		for range 10 {
			w.step(time.Millisecond)
		}
		assert.True(t, conn.HandshakeCompleted(), "damaged: %v", damage)
	}
}
