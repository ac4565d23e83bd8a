package sim

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/ngmq/ngmq/ngtcp2"
)

// rushed is what became of a megabyte.
type rushed struct {
	share float64 // of the link's rate that was used
	lost  float64 // of the packets sent
}

// rush uploads a megabyte over a new connection, some times, and gives the mean: where
// packets are lost by chance, one upload may be lucky.
func rush(t *testing.T, link Link, cc ngtcp2.CongestionControl) (r rushed) {
	const n, times = 1 << 20, 4
	for seed := range uint64(times) {
		w := newWorld(t, 270+seed, link, settings(func(s *ngtcp2.Settings) { s.CCAlgo = cc }))
		client, server := w.upload(n)
		start := w.Now()
		w.arrived(client, server, 10*time.Minute)
		i := client.conn.Info()
		r.share += n / w.Now().Sub(start).Seconds() / float64(link.Rate) / times
		r.lost += float64(i.PktLost) / float64(i.PktSent) / times
	}
	return r
}

// When to choose which congestion control: on a path that loses packets though it is not
// full, Cubic leaves most of it unused and BBR does not. On a slow path with a queue shorter
// than a round trip, BBR loses many packets until it knows the rate, and Cubic few.
func TestCongestionControlsOnPaths(t *testing.T) {
	lossy := func(p float64) Link { l := wide; l.Loss = p; return l }
	for _, path := range []struct {
		name    string
		link    Link
		compare func(t *testing.T, cubic, bbr rushed)
	}{
		{"10 Mbit/s, 40 ms", wide, func(t *testing.T, cubic, bbr rushed) {
			assert.Greater(t, cubic.share, 0.75)
			assert.Greater(t, bbr.share, 0.75)
			assert.Less(t, bbr.lost, 0.05)
		}},
		{"1 % lost", lossy(0.01), func(t *testing.T, cubic, bbr rushed) { assert.Greater(t, bbr.share, max(0.7, cubic.share)) }},
		{"5 % lost", lossy(0.05), func(t *testing.T, cubic, bbr rushed) { assert.Greater(t, bbr.share, 2.5*cubic.share) }},
		{"10 % lost", lossy(0.1), func(t *testing.T, cubic, bbr rushed) { assert.Greater(t, bbr.share, 2*cubic.share) }},
		{"2 Mbit/s, 300 ms, queue of 30 KB", Link{Delay: 150 * ms, Rate: 250_000, Queue: 30 << 10},
			func(t *testing.T, cubic, _ rushed) { assert.Less(t, cubic.lost, 0.2) }},
		{"50 kbit/s, 600 ms, queue of 10 KB", Link{Delay: 300 * ms, Rate: 6_250, Queue: 10 << 10},
			func(t *testing.T, cubic, _ rushed) { assert.Less(t, cubic.lost, 0.4) }},
	} {
		t.Run(path.name, func(t *testing.T) {
			cubic, bbr := rush(t, path.link, ngtcp2.CCCubic), rush(t, path.link, ngtcp2.CCBBR)
			t.Logf("share used, packets lost: Cubic %.0f %%, %.0f %%; BBR %.0f %%, %.0f %%", 100*cubic.share, 100*cubic.lost, 100*bbr.share, 100*bbr.lost)
			path.compare(t, cubic, bbr)
		})
	}
}

// BBR keeps a long queue short that Cubic fills: every message waits in it.
func TestBBRKeepsQueuesShort(t *testing.T) {
	rtt := map[ngtcp2.CongestionControl]time.Duration{}
	for _, cc := range []ngtcp2.CongestionControl{ngtcp2.CCCubic, ngtcp2.CCBBR} {
		w := newWorld(t, 271, Link{Delay: 20 * ms, Rate: 1_250_000, Queue: 1 << 20}, settings(func(s *ngtcp2.Settings) { s.CCAlgo = cc }))
		var peers []*peer
		for range 4 {
			p := w.connect()
			p.send(t, 8<<20)
			peers = append(peers, p)
		}
		w.Pass(10 * time.Second)
		rtt[cc] = peers[0].conn.Info().SmoothedRTT
	}
	t.Logf("round trip with four busy connections: Cubic %v, BBR %v", rtt[ngtcp2.CCCubic], rtt[ngtcp2.CCBBR])
	assert.Less(t, rtt[ngtcp2.CCBBR], rtt[ngtcp2.CCCubic]/2)
}
