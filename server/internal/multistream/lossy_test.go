//go:build !noquic

package multistream

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/server"
	"github.com/ngmq/ngmq/server/internal/mqtttest"
)

// badNetwork is a UDP proxy that loses, repeats and delays datagrams, so that they change
// places, by chance.
type badNetwork struct {
	in, out *net.UDPConn // towards the client, towards the server
	mu      sync.Mutex
	rand    *rand.Rand
	client  netip.AddrPort
	timers  sync.WaitGroup
}

func newBadNetwork(t *testing.T, to string, seed uint64) *badNetwork {
	t.Helper()
	n := &badNetwork{rand: rand.New(rand.NewPCG(seed, seed))}
	var err error
	n.in, err = net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	server, err := net.ResolveUDPAddr("udp", to)
	require.NoError(t, err)
	n.out, err = net.DialUDP("udp", nil, server)
	require.NoError(t, err)
	var ends sync.WaitGroup
	ends.Go(func() { n.forward(n.in, true) })
	ends.Go(func() { n.forward(n.out, false) })
	t.Cleanup(func() {
		n.in.Close()
		n.out.Close()
		ends.Wait()
		n.timers.Wait()
	})
	return n
}

// forward passes on what comes from one side: 5 in 100 datagrams are lost, 5 come twice
// and 10 come late.
func (n *badNetwork) forward(from *net.UDPConn, up bool) {
	buf := make([]byte, 64<<10)
	for {
		size, addr, err := from.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		n.mu.Lock()
		if up {
			n.client = addr
		}
		fate := n.rand.IntN(100)
		n.mu.Unlock()
		b := append([]byte(nil), buf[:size]...)
		switch {
		case fate < 5:
		case fate < 10:
			n.send(b, up)
			n.send(b, up)
		case fate < 20:
			n.timers.Add(1)
			time.AfterFunc(3*time.Millisecond, func() {
				defer n.timers.Done()
				n.send(b, up)
			})
		default:
			n.send(b, up)
		}
	}
}

func (n *badNetwork) send(b []byte, up bool) {
	if up {
		_, _ = n.out.Write(b)
		return
	}
	n.mu.Lock()
	to := n.client
	n.mu.Unlock()
	_, _ = n.in.WriteToUDPAddrPort(b, to)
}

// Over a network that loses, repeats and reorders, every stream keeps its order and every
// message comes once.
func TestLossReorderingDuplication(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{})
	eachQoS(t, func(t *testing.T, pub, sub byte) {
		t.Parallel()
		const streams, messages = 4, 25
		long := strings.Repeat("x", 1000) // each in a datagram of its own
		network := newBadNetwork(t, s.Addrs().QUIC[0].String(), uint64(10*pub+sub))
		l := dialTo(t, s, network.in.LocalAddr().String())
		c := &client{mqtttest.New(t, l.open(t, false, nil), packet.V50), t, l, packet.V50}
		c.Connect(lasting(t.Name()))
		var to [streams]*mqtttest.Client
		for i := range to {
			to[i] = c.stream()
			to[i].Subscribe(fmt.Sprint(t.Name(), "/", i), sub)
		}
		for i := range to {
			from := c.stream()
			for n := range messages {
				from.Send(message(fmt.Sprint(t.Name(), "/", i), fmt.Sprint(n, long), pub, uint16(n+1)))
			}
			defer acknowledged(t, from, pub, messages)
		}
		for _, data := range to {
			for n, got := range receive(t, data, messages) {
				assert.Equal(t, fmt.Sprint(n, long), string(got.Payload))
			}
		}
	})
}
