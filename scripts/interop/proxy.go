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
	Corrupt   float64 // one of its bytes is changed
	MaxRun    int     // at most so many datagrams of a client's direction are dropped or changed in a row; 0 = any number
	MaxTotal  int     // and at most so many in all; 0 = any number
	Spare     int     // so many first datagrams of a client reach the server as they are
	Duplicate float64
	Reorder   float64       // the datagram is held back, so that later ones overtake it
	Hold      time.Duration // longest time that a reordered datagram is held back; 0 = 15 ms
	Delay     time.Duration // of every datagram, in the order of arrival
	// Filter, when set, decides first which datagrams pass. It is called for one at a time.
	Filter func(toServer bool, datagram []byte) bool
}

// ProxyStats counts the datagrams of both directions. Those that a Filter stops are dropped.
type ProxyStats struct{ Relayed, Dropped, Corrupted, Duplicated, Reordered atomic.Int64 }

func (s *ProxyStats) String() string {
	return fmt.Sprintf("relayed %d, dropped %d, corrupted %d, duplicated %d, reordered %d",
		s.Relayed.Load(), s.Dropped.Load(), s.Corrupted.Load(), s.Duplicated.Load(), s.Reordered.Load())
}

// maxDelayed is how many datagrams of one direction wait for Damage.Delay at most; more are dropped,
// as by the queue of a router.
const maxDelayed = 4096

// flow is one direction of a client's datagrams.
type flow struct {
	client   netip.AddrPort
	toServer bool
}

// harm counts the datagrams of a flow: all of them, those dropped or changed, and those of the latest in a row.
type harm struct{ seen, total, run int }

// spares says whether the next datagram has to be left alone.
func (d *Damage) spares(way flow, h *harm) bool {
	return d.MaxRun > 0 && h.run >= d.MaxRun || d.MaxTotal > 0 && h.total >= d.MaxTotal || way.toServer && h.seen < d.Spare
}

func (h *harm) count(harmed bool) {
	h.seen++
	if !harmed {
		h.run = 0
		return
	}
	h.total++
	h.run++
}

// delayed is a datagram on its way.
type delayed struct {
	due  time.Time
	send func()
}

// Proxy relays UDP datagrams between any number of clients and one server and damages the traffic on
// the way. Every client address gets a socket of its own towards the server, as behind a NAT.
type Proxy struct {
	Stats ProxyStats

	front  *net.UDPConn
	target *net.UDPAddr
	damage Damage

	lines [2]chan delayed // with Delay: to the client, to the server
	ended chan struct{}

	mu    sync.Mutex
	rng   *rand.Rand
	flows map[flow]*harm
	host  byte // the sockets towards the server are bound to 127.0.0.host; 0 = the system's choice
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
		ended: make(chan struct{}),
		flows: map[flow]*harm{},
	}
	if damage.Delay > 0 {
		for i := range p.lines {
			p.lines[i] = make(chan delayed, maxDelayed)
			go p.deliver(p.lines[i])
		}
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
	if p.done {
		return
	}
	p.done = true
	close(p.ended)
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
	p.rebind()
}

// RebindAddr gives every client a new IPv4 address of the loopback network, and a new port, too.
func (p *Proxy) RebindAddr() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.host = max(p.host, 1) + 1
	p.rebind()
}

func (p *Proxy) rebind() {
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
			p.relay(flow{from, true}, buf[:n], func(b []byte) { back.Write(b) })
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
	var local *net.UDPAddr
	if p.host != 0 {
		local = &net.UDPAddr{IP: net.IPv4(127, 0, 0, p.host)}
	}
	back, err := net.DialUDP("udp", local, p.target)
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
		p.relay(flow{client, false}, buf[:n], func(b []byte) { p.front.WriteToUDPAddrPort(b, client) })
	}
}

// deliver sends the datagrams of one direction when they are due.
func (p *Proxy) deliver(line chan delayed) {
	for {
		select {
		case d := <-line:
			select {
			case <-time.After(time.Until(d.due)):
				d.send()
			case <-p.ended:
				return
			}
		case <-p.ended:
			return
		}
	}
}

// fate is what becomes of one datagram.
type fate struct {
	drop, corrupt, twice, late bool
	hold                       time.Duration
	at                         int // the byte that is changed
}

func (p *Proxy) decide(way flow, datagram []byte) fate {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.damage.Filter != nil && !p.damage.Filter(way.toServer, datagram) {
		return fate{drop: true}
	}
	f := fate{
		drop:    p.rng.Float64() < p.damage.Drop,
		corrupt: p.rng.Float64() < p.damage.Corrupt,
		twice:   p.rng.Float64() < p.damage.Duplicate,
		late:    p.rng.Float64() < p.damage.Reorder,
		hold:    time.Duration(p.rng.Int64N(int64(p.damage.Hold))),
		at:      p.rng.IntN(max(len(datagram), 1)),
	}
	h := p.flows[way]
	if h == nil {
		h = &harm{}
		p.flows[way] = h
	}
	if p.damage.spares(way, h) {
		f.drop, f.corrupt = false, false
	}
	h.count(f.drop || f.corrupt)
	return f
}

// relay decides the fate of one datagram and sends it zero, one or two times, now or later.
func (p *Proxy) relay(way flow, datagram []byte, send func([]byte)) {
	f := p.decide(way, datagram)
	if f.drop {
		p.Stats.Dropped.Add(1)
		return
	}
	if f.corrupt && len(datagram) > 0 {
		p.Stats.Corrupted.Add(1)
		datagram[f.at] ^= 0x55
	}
	p.Stats.Relayed.Add(1)
	p.pass(way, f, datagram, send)
	if f.twice {
		p.Stats.Duplicated.Add(1)
		p.pass(way, fate{}, datagram, send)
	}
}

// pass sends a datagram now, or keeps a copy of it for later.
func (p *Proxy) pass(way flow, f fate, datagram []byte, send func([]byte)) {
	if !f.late && p.damage.Delay == 0 {
		send(datagram)
		return
	}
	kept := append([]byte(nil), datagram...)
	if f.late {
		p.Stats.Reordered.Add(1)
		time.AfterFunc(p.damage.Delay+f.hold, func() { send(kept) })
		return
	}
	line := p.lines[0]
	if way.toServer {
		line = p.lines[1]
	}
	select {
	case line <- delayed{time.Now().Add(p.damage.Delay), func() { send(kept) }}:
	default:
		p.Stats.Dropped.Add(1)
	}
}
