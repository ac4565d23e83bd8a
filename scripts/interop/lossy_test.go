package interop

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// fivePercent of the datagrams of each direction are lost, doubled, and delivered late: a bad path.
var fivePercent = Damage{Drop: 0.05, Duplicate: 0.05, Reorder: 0.05}

// TestLossyPath: through the proxy every QoS 1 and QoS 2 message arrives, QoS 2 exactly once.
func TestLossyPath(t *testing.T) {
	for _, s := range quicStacks() {
		for qos := byte(1); qos <= 2; qos++ {
			proves(t, s.name, fmt.Sprintf("QoS %d over a bad path", qos), func(t *testing.T) {
				lossy(t, s.via(startProxy(t, s.addr).Addr()), qos)
			})
		}
	}
	for _, s := range quicStacks() {
		proves(t, s.name, "reconnects over a bad path", func(t *testing.T) {
			lossyReconnects(t, s.via(startProxy(t, s.addr).Addr()))
		})
	}
}

func lossy(t *testing.T, s stack, qos byte) {
	const publishers, perPublisher = 5, 60
	topic := unique("interop/lossy")
	sub := s.open(t, options{})
	subscribe(t, sub, topic+"/+", qos)
	pubs := make([]client, publishers)
	for i := range pubs {
		pubs[i] = s.open(t, options{})
	}
	each(t, publishers, func(i int) error {
		for n := range perPublisher {
			m := message{topic: fmt.Sprintf("%s/%d", topic, i), payload: strconv.Itoa(n), qos: qos}
			if err := pubs[i].publish(within(t, 2*patience), m); err != nil {
				return fmt.Errorf("message %d: %w", n, err)
			}
		}
		return nil
	})
	seen := map[string]int{}
	for len(seen) < publishers*perPublisher {
		m := next(t, sub)
		seen[m.topic+" "+m.payload]++
	}
	if qos == 2 {
		nothingMore(t, sub)
		for key, times := range seen {
			assert.Equal(t, 1, times, key)
		}
	}
}

// lossyReconnects: a persistent session lives through connections that break, and loses nothing.
func lossyReconnects(t *testing.T, s stack) {
	const rounds, perRound = 5, 10
	topic := unique("interop/reconnects")
	o := options{id: unique("reconnects"), persistent: true}
	sub, _ := s.openSession(t, o)
	subscribe(t, sub, topic, 1)
	pub := s.open(t, options{})
	seen := map[string]bool{}
	for round := range rounds {
		sub.drop()
		for n := range perRound {
			publish(t, pub, message{topic: topic, payload: fmt.Sprintf("%d/%d", round, n), qos: 1})
		}
		var present bool
		sub, present = s.openSession(t, o)
		require.True(t, present, "round %d: the session was kept", round)
		for len(seen) < (round+1)*perRound {
			seen[next(t, sub).payload] = true
		}
	}
}

// TestRebinding: a connection lives on when a NAT in between changes the client's port.
func TestRebinding(t *testing.T) {
	for _, s := range quicStacks() {
		proves(t, s.name, "NAT rebinding", func(t *testing.T) { caseRebinding(t, s) })
	}
}

func caseRebinding(t *testing.T, s stack) {
	path := startPath(t, s.addr)
	topic := unique("interop/rebinding")
	c := s.via(path.Addr()).open(t, options{})
	subscribe(t, c, topic, 2)
	for n := range 5 {
		m := message{topic: topic, payload: fmt.Sprint(n), qos: 2}
		publish(t, c, m)
		assert.Equal(t, m, next(t, c))
		path.Rebind()
	}
	nothingMore(t, c)
}

// startPath is a proxy that does no damage until the test ends.
func startPath(t *testing.T, target string) *Proxy {
	t.Helper()
	proxy, err := StartProxy(target, Damage{}, 0)
	require.NoError(t, err)
	t.Cleanup(proxy.Close)
	return proxy
}

// startProxy is a bad path to target. It prints the seed, which INTEROP_SEED repeats.
func startProxy(t *testing.T, target string) *Proxy {
	t.Helper()
	seed := rand.Uint64()
	if text := os.Getenv("INTEROP_SEED"); text != "" {
		var err error
		seed, err = strconv.ParseUint(text, 10, 64)
		require.NoError(t, err)
	}
	proxy, err := StartProxy(target, fivePercent, seed)
	require.NoError(t, err)
	t.Logf("proxy seed: INTEROP_SEED=%d", seed)
	t.Cleanup(func() {
		proxy.Close()
		t.Logf("proxy: %s", &proxy.Stats)
	})
	return proxy
}
