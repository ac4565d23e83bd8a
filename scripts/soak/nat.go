package main

import (
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

const (
	maxDatagram   = 64 << 10 // bytes
	socketBuffer  = 4 << 20  // bytes, as much as the system grants
	mappingExpiry = 30 * time.Second
)

// nat relays datagrams between clients and a server as a bad network with a NAT does: it
// loses and swaps some, and gives clients other addresses. Its methods may be called from any
// goroutine.
type nat struct {
	front  *net.UDPConn
	server netip.AddrPort
	loss   float64 // the probability, in each direction
	relays sync.WaitGroup

	lost, swapped, relayed, rebound atomic.Int64

	mu       sync.Mutex
	mappings map[netip.AddrPort]*mapping
	ended    bool
}

// mapping is one client's.
type mapping struct {
	client netip.AddrPort
	back   *net.UDPConn
	used   time.Time
	held   []byte // waits for the next datagram to overtake it
}

// swapping is the probability that a datagram is held back, beside that of loss.
const swapping = 0.005

func newNAT(server string, loss float64) (*nat, error) {
	to, err := netip.ParseAddrPort(server)
	if err != nil {
		return nil, err
	}
	front, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	n := &nat{front: front, server: to, loss: loss, mappings: make(map[netip.AddrPort]*mapping)}
	enlarge(front)
	n.relays.Go(n.fromClients)
	return n, nil
}

// enlarge asks for larger buffers; the system may grant less.
func enlarge(c *net.UDPConn) {
	_ = c.SetReadBuffer(socketBuffer)
	_ = c.SetWriteBuffer(socketBuffer)
}

func (n *nat) addr() string { return n.front.LocalAddr().String() }

func (n *nat) fromClients() {
	buf := make([]byte, maxDatagram)
	for {
		size, from, err := n.front.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		if n.loses() {
			continue
		}
		n.mu.Lock()
		if m := n.mapping(from); m != nil {
			n.pass(m, buf[:size])
		}
		n.mu.Unlock()
	}
}

func (n *nat) loses() bool {
	if rand.Float64() < n.loss {
		n.lost.Add(1)
		return true
	}
	n.relayed.Add(1)
	return false
}

// pass sends a datagram to the server, or later. n.mu is held.
func (n *nat) pass(m *mapping, p []byte) {
	if m.held == nil && n.loss > 0 && rand.Float64() < swapping {
		m.held = append([]byte(nil), p...)
		n.swapped.Add(1)
		return
	}
	_, _ = m.back.Write(p) // a refused datagram is a lost one
	if m.held != nil {
		_, _ = m.back.Write(m.held)
		m.held = nil
	}
}

// mapping is that of a client, made at first sight. n.mu is held.
func (n *nat) mapping(client netip.AddrPort) *mapping {
	m := n.mappings[client]
	if m == nil {
		m = &mapping{client: client}
		if n.ended || !n.open(m) {
			return nil
		}
		n.mappings[client] = m
	}
	m.used = time.Now()
	return m
}

// open gives a mapping an address towards the server. n.mu is held.
func (n *nat) open(m *mapping) bool {
	back, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(n.server))
	if err != nil {
		return false
	}
	enlarge(back)
	if m.back != nil {
		m.back.Close()
	}
	m.back = back
	n.relays.Go(func() { n.fromServer(back, m.client) })
	return true
}

func (n *nat) fromServer(back *net.UDPConn, client netip.AddrPort) {
	buf := make([]byte, maxDatagram)
	for {
		size, err := back.Read(buf)
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // ECONNREFUSED, while the server is restarted
			continue
		}
		if !n.loses() {
			_, _ = n.front.WriteToUDPAddrPort(buf[:size], client)
		}
	}
}

// rebind gives some mapping another address, as when a NAT restarts, and forgets those that
// nobody uses.
func (n *nat) rebind() {
	n.mu.Lock()
	defer n.mu.Unlock()
	rebound := false
	for client, m := range n.mappings { // in an order that differs
		switch {
		case time.Since(m.used) > mappingExpiry:
			m.back.Close()
			delete(n.mappings, client)
		case !rebound && time.Since(m.used) < time.Second:
			if rebound = n.open(m); rebound {
				n.rebound.Add(1)
			}
		}
	}
}

// close ends the relay.
func (n *nat) close() {
	n.mu.Lock()
	n.ended = true
	n.front.Close()
	for _, m := range n.mappings {
		m.back.Close()
	}
	n.mu.Unlock()
	n.relays.Wait()
}
