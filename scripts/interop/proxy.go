package interop

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Damage is what a Proxy does to the datagrams of each direction; probabilities are 0..1 per datagram.
type Damage struct {
	Drop      float64
	Duplicate float64
	Reorder   float64       // the datagram is held back, so that later ones overtake it
	Hold      time.Duration // longest time that a reordered datagram is held back; 0 = 15 ms
}

// ProxyStats counts the datagrams of both directions.
type ProxyStats struct{ Relayed, Dropped, Duplicated, Reordered atomic.Int64 }

func (s *ProxyStats) String() string {
	return fmt.Sprintf("relayed %d, dropped %d, duplicated %d, reordered %d",
		s.Relayed.Load(), s.Dropped.Load(), s.Duplicated.Load(), s.Reordered.Load())
}

// Proxy relays UDP datagrams between any number of clients and one server and damages the traffic on
// the way. Every client address gets a socket of its own towards the server, as behind a NAT.
type Proxy struct {
	Stats ProxyStats

	front  *net.UDPConn
	target *net.UDPAddr
	damage Damage

	mu    sync.Mutex
	rng   *rand.Rand
	backs map[netip.AddrPort]*net.UDPConn
	done  bool
}

// StartProxy listens on an ephemeral port of 127.0.0.1 and relays to target until Close.
func StartProxy(target string, damage Damage, seed uint64) (*Proxy, error) {
	addr, err := net.ResolveUDPAddr("udp", target)
	if err != nil {
		return nil, err
	}
	front, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	if damage.Hold == 0 {
		damage.Hold = 15 * time.Millisecond
	}
	p := &Proxy{
		front: front, target: addr, damage: damage,
		rng:   rand.New(rand.NewPCG(seed, seed)),
		backs: map[netip.AddrPort]*net.UDPConn{},
	}
	go p.readClients()
	return p, nil
}

// Addr is where clients connect to.
func (p *Proxy) Addr() string { return p.front.LocalAddr().String() }

// Close ends the proxy and all its sockets.
func (p *Proxy) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done = true
	p.front.Close()
	for _, back := range p.backs {
		back.Close()
	}
}

// Rebind gives every client a new port towards the server, as a NAT does that has
// forgotten the old one.
func (p *Proxy) Rebind() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for client, back := range p.backs {
		back.Close()
		delete(p.backs, client)
	}
}

// Redirect leads all clients to another server, which has no state of their
// connections: to them the old one has restarted.
func (p *Proxy) Redirect(target string) error {
	addr, err := net.ResolveUDPAddr("udp", target)
	if err != nil {
		return err
	}
	p.mu.Lock()
	p.target = addr
	p.mu.Unlock()
	p.Rebind()
	return nil
}

func (p *Proxy) readClients() {
	buf := make([]byte, 65536)
	for {
		n, from, err := p.front.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		if back := p.back(from); back != nil {
			p.relay(buf[:n], func(b []byte) { back.Write(b) })
		}
	}
}

// back returns the socket towards the server that belongs to a client, opening it at first sight.
func (p *Proxy) back(client netip.AddrPort) *net.UDPConn {
	p.mu.Lock()
	defer p.mu.Unlock()
	if back := p.backs[client]; back != nil || p.done {
		return back
	}
	back, err := net.DialUDP("udp", nil, p.target)
	if err != nil {
		return nil
	}
	p.backs[client] = back
	go p.readServer(back, client)
	return back
}

func (p *Proxy) readServer(back *net.UDPConn, client netip.AddrPort) {
	buf := make([]byte, 65536)
	for {
		n, err := back.Read(buf)
		if err != nil {
			return
		}
		p.relay(buf[:n], func(b []byte) { p.front.WriteToUDPAddrPort(b, client) })
	}
}

// relay decides the fate of one datagram and sends it zero, one or two times, now or later.
func (p *Proxy) relay(datagram []byte, send func([]byte)) {
	p.mu.Lock()
	drop := p.rng.Float64() < p.damage.Drop
	twice := p.rng.Float64() < p.damage.Duplicate
	late := p.rng.Float64() < p.damage.Reorder
	hold := time.Duration(p.rng.Int64N(int64(p.damage.Hold)))
	p.mu.Unlock()
	if drop {
		p.Stats.Dropped.Add(1)
		return
	}
	p.Stats.Relayed.Add(1)
	if late {
		p.Stats.Reordered.Add(1)
		kept := append([]byte(nil), datagram...)
		time.AfterFunc(hold, func() { send(kept) })
	} else {
		send(datagram)
	}
	if twice {
		p.Stats.Duplicated.Add(1)
		send(datagram)
	}
}
