package sim

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/crypto"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
)

const (
	// lossyConns is how many handshakes TestLossyHandshakes makes of each kind.
	lossyConns = 250
	// unhurried is longer than any of them takes: some lose a dozen round trips, and every one doubles the wait.
	unhurried = 10 * time.Hour
)

// Every handshake ends and every byte comes back however many datagrams are lost: with a ClientHello of one datagram,
// and with a server that asks for another one with a post-quantum key share (HelloRetryRequest), which takes two.
func TestLossyHandshakes(t *testing.T) {
	for _, kind := range []struct{ name, groups string }{
		{"one round trip", crypto.DefaultGroups},
		{"HelloRetryRequest", "X25519MLKEM768"},
	} {
		t.Run(kind.name, func(t *testing.T) {
			change := func(s, c *endpoint.Config) {
				s.HandshakeTimeout, c.HandshakeTimeout = unhurried, unhurried
				s.IdleTimeout, c.IdleTimeout = unhurried, unhurried
				s.TLS = newTLS(t, crypto.Server, func(cfg *crypto.Config) { cfg.Groups = kind.groups })
			}
			w := newWorld(t, 2000, Link{Delay: 5 * ms, Loss: 0.3}, change)
			w.newPeer = func() *peer { return &peer{echo: true} }
			took := w.lossyExchanges()
			slices.Sort(took)
			share := func(percent int) time.Duration { return took[(len(took)-1)*percent/100] }
			t.Logf("median %v, 9 of 10 %v, 97 of 100 %v, longest %v", share(50), share(90), share(97), share(100))
			// Half of the first round trips succeed; probes follow after 1, 3, 7 s and so on.
			assert.Less(t, share(50), 3500*ms)
			assert.Less(t, share(90), 16*time.Second)
			assert.Less(t, share(97), 64*time.Second)
		})
	}
}

// lossyExchanges opens lossyConns connections at once, each of which has some bytes come back, and says
// when.
func (w *world) lossyExchanges() []time.Duration {
	var took []time.Duration
	peers := make([]*peer, lossyConns)
	for i := range peers {
		peers[i] = w.dial()
	}
	sending := make([]bool, lossyConns)
	w.until(unhurried, func() bool {
		for i, p := range peers {
			switch {
			case p == nil || !p.ended:
			case !sending[i]:
				require.NoError(w.t, p.dialErr)
				p.send(w.t, 1000)
				sending[i] = true
			case p.got == 1000:
				took = append(took, w.Elapsed())
				p.conn.Close(0, "")
				peers[i] = nil
			}
		}
		return len(took) == lossyConns
	})
	return took
}

// A first Initial that was changed on the way leaves nothing behind: the server answers to the Source Connection ID of
// the first one that is authentic, the client's probe (RFC 9000 section 5.2.2).
func TestFirstInitialIsChanged(t *testing.T) {
	w := newWorld(t, 2001, Link{Delay: 5 * ms})
	p := w.dial()
	w.turn(w.client)
	require.Len(t, w.queue, 1)
	first := w.queue[0].data
	scid := 1 + 4 + 1 + int(first[5]) + 1 // after the first byte, the version, and the Destination Connection ID with its length
	first[scid+2] ^= 0x55
	w.until(patience, func() bool { return p.ended && len(w.accepted) == 1 })
	require.NoError(t, p.dialErr)
	assert.InDelta(t, 1, w.Elapsed().Seconds(), 0.1, "the first probe")
}
