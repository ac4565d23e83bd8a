package mqtttest

import (
	"net"
	"net/netip"
	"sync"
	"testing"
)

// NAT is a UDP relay for one client whose outer address changes when a test says so, as a
// NAT's does whose mapping has been lost. Its methods may be called from any goroutine.
type NAT struct {
	inner  *net.UDPConn
	server netip.AddrPort
	relays sync.WaitGroup

	mu     sync.Mutex
	outer  *net.UDPConn
	client netip.AddrPort
}

// NewNAT makes a relay to server, which ends with the test.
func NewNAT(tb testing.TB, server netip.AddrPort) *NAT {
	tb.Helper()
	inner, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		tb.Fatal(err)
	}
	n := &NAT{inner: inner, server: server}
	n.Rebind(tb, netip.AddrFrom4([4]byte{127, 0, 0, 1}))
	n.relays.Go(n.out)
	tb.Cleanup(func() {
		n.inner.Close()
		n.mu.Lock()
		n.outer.Close()
		n.mu.Unlock()
		n.relays.Wait()
	})
	return n
}

// Addr is where the client sends to.
func (n *NAT) Addr() string { return n.inner.LocalAddr().String() }

// Rebind gives the client another port at ip and returns its new outer address.
func (n *NAT) Rebind(tb testing.TB, ip netip.Addr) netip.AddrPort {
	tb.Helper()
	c, err := net.DialUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(ip, 0)), net.UDPAddrFromAddrPort(n.server))
	if err != nil {
		tb.Fatal(err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.outer != nil {
		n.outer.Close()
	}
	n.outer = c
	n.relays.Go(func() { n.in(c) })
	return c.LocalAddr().(*net.UDPAddr).AddrPort()
}

// Outer is the client's outer address.
func (n *NAT) Outer() netip.AddrPort {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.outer.LocalAddr().(*net.UDPAddr).AddrPort()
}

func (n *NAT) out() {
	buf := make([]byte, 65536)
	for {
		k, from, err := n.inner.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		n.mu.Lock()
		n.client = from
		n.outer.Write(buf[:k])
		n.mu.Unlock()
	}
}

func (n *NAT) in(c *net.UDPConn) {
	buf := make([]byte, 65536)
	for {
		k, err := c.Read(buf)
		if err != nil {
			return
		}
		n.mu.Lock()
		to := n.client
		n.mu.Unlock()
		n.inner.WriteToUDPAddrPort(buf[:k], to)
	}
}
