package interop

import (
	"crypto/tls"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/crypto"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
)

const (
	shuffledConns = 12 // hardly any of them has all in order
	shuffledBytes = 3000
	// shuffledLimit is how long an echo in early data takes at most: two round trips of
	// 40 ms, with a Retry, and what is held back, on a machine that others load; half of the
	// time of a stall.
	shuffledLimit = 5 * time.Second
)

// TestQuicGoFirstFlightShuffled: a path that changes the order of datagrams, and loses none, costs
// clients with early data no timeout.
func TestQuicGoFirstFlightShuffled(t *testing.T) {
	require.NoError(t, makeCerts())
	for name, retry := range map[string]endpoint.RetryPolicy{"never": endpoint.RetryNever, "always": endpoint.RetryAlways} {
		t.Run(name, func(t *testing.T) {
			// A server that is kept waiting for the first datagram, for a tenth of a second,
			// sends a Retry whatever its policy: a busy machine may be as slow as that.
			retries := shuffled(t, retry)
			for i := 1; i < tries && retry == endpoint.RetryNever && retries > 0; i++ {
				retries = shuffled(t, retry)
			}
			assert.Equal(t, retry == endpoint.RetryAlways, retries > 0)
		})
	}
}

// shuffled makes connections over such a path and returns how many Retries they cost.
func shuffled(t *testing.T, retry endpoint.RetryPolicy) (retries int) {
	t.Helper()
	s := echoOurs(t, serverOptions{}, takeEarlyData,
		func(c *endpoint.Config, _ *crypto.Config) { c.Retry = retry })
	config := ticketFrom(t, s.addr())
	addr := path(t, s.addr(), Damage{Delay: 20 * time.Millisecond, Reorder: 0.5}).Addr()
	var slowest time.Duration
	for range shuffledConns {
		slowest = max(slowest, echoEarly(t, addr, config))
	}
	t.Logf("slowest of %d: %v", shuffledConns, slowest.Round(time.Millisecond))
	assert.Less(t, slowest, shuffledLimit)
	assert.Equal(t, shuffledConns, s.count(t, endpoint.EarlyDataAccepted))
	assert.NotZero(t, s.count(t, endpoint.KeptAhead))
	return s.count(t, endpoint.Retries)
}

// echoEarly is how long an echo of early data takes from the first datagram on.
func echoEarly(t *testing.T, addr string, config *tls.Config) time.Duration {
	t.Helper()
	start := time.Now()
	c, err := quic.DialAddrEarly(matrixContext(t), addr, config, quicGoConfig())
	require.NoError(t, err)
	defer c.CloseWithError(0, "")
	echoes(t, openStream(t, quicGoMux{c}), shuffledBytes)
	took := time.Since(start)
	<-c.HandshakeComplete()
	assert.True(t, c.ConnectionState().Used0RTT)
	echoes(t, openStream(t, quicGoMux{c}), 100) // the server's handshake is complete
	return took
}
