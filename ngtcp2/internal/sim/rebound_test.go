package sim

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/ngtcp2/endpoint"
)

// A client whose PATH_RESPONSEs are lost may have nothing in flight but those, and no room in
// its congestion window: it has to learn of their loss all the same.
func TestRebindingsOfConnectionUnderLoss(t *testing.T) {
	for seed := range uint64(12) {
		t.Run("", func(t *testing.T) {
			reboundUnderLoss(t, rebindings{seed: seed, link: Link{Delay: 10 * ms, Loss: 0.1}, every: 50 * ms, within: 10 * time.Second})
		})
	}
}

// A server that has sent three times what came from the client's new address, and whose
// congestion window is full, must send what was lost when it hears from there again. Where
// addresses change faster than a round trip takes, its probe timeout has doubled some times.
func TestRebindingsFasterThanRoundTrip(t *testing.T) {
	for seed := range uint64(12) {
		t.Run("", func(t *testing.T) {
			reboundUnderLoss(t, rebindings{seed: seed, link: Link{Delay: 50 * ms, Loss: 0.02}, every: 20 * ms, within: 100 * time.Second})
		})
	}
}

// rebindings are those of a connection on a bad link. Every so often, on average, the client
// sends something, which the server sends back, or gets a new port. When that is over, all
// is to arrive within the given time.
type rebindings struct {
	seed          uint64
	link          Link
	every, within time.Duration
}

func reboundUnderLoss(t *testing.T, b rebindings) {
	const bad = 20 * time.Second
	rnd := rand.New(rand.NewPCG(b.seed, 1))
	good := Link{Delay: b.link.Delay}
	w := newWorld(t, 1+b.seed, good, func(_, c *endpoint.Config) { c.KeepAlive = 2 * time.Second })
	w.newPeer = func() *peer { return &peer{echo: true} }
	client := w.connect()
	s, err := client.conn.OpenStream()
	require.NoError(t, err)
	w.Pass(time.Second)
	w.SetLink(w.client, w.server, b.link)
	asked := 0
	for end := w.Elapsed() + bad; w.Elapsed() < end; {
		w.Pass(time.Duration(rnd.ExpFloat64() * float64(b.every)))
		if rnd.IntN(4) == 0 {
			w.Rebind(w.client, fmt.Sprintf("10.0.0.2:%d", 10_000+rnd.IntN(50_000)))
			continue
		}
		n, err := s.Write(make([]byte, 1+rnd.IntN(400)))
		require.NoError(t, err)
		asked += n
	}
	w.SetLink(w.client, w.server, good)
	w.until(b.within, func() bool { return client.got == asked })
}
