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
		t.Run("", func(t *testing.T) { reboundUnderLoss(t, seed) })
	}
}

func reboundUnderLoss(t *testing.T, seed uint64) {
	const bad = 20 * time.Second
	rnd := rand.New(rand.NewPCG(seed, 1))
	link := Link{Delay: 10 * ms}
	w := newWorld(t, 1+seed, link, func(_, c *endpoint.Config) { c.KeepAlive = 2 * time.Second })
	w.newPeer = func() *peer { return &peer{echo: true} }
	client := w.connect()
	s, err := client.conn.OpenStream()
	require.NoError(t, err)
	w.Pass(time.Second)
	link.Loss = 0.1
	w.SetLink(w.client, w.server, link)
	asked := 0
	for end := w.Elapsed() + bad; w.Elapsed() < end; {
		w.Pass(time.Duration(rnd.ExpFloat64() * float64(50*ms)))
		if rnd.IntN(4) == 0 {
			w.Rebind(w.client, fmt.Sprintf("10.0.0.2:%d", 10_000+rnd.IntN(50_000)))
			continue
		}
		n, err := s.Write(make([]byte, 1+rnd.IntN(400)))
		require.NoError(t, err)
		asked += n
	}
	link.Loss = 0
	w.SetLink(w.client, w.server, link)
	w.until(10*time.Second, func() bool { return client.got == asked })
}
