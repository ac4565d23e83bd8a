package broker

import (
	"net/netip"
	"sync"
	"time"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// refusalSlots is how many connections above MaxConnectionsPerIP an address may have
// that wait to be told so: each is refused when its CONNECT comes. Further ones are
// closed at once.
const refusalSlots = 8

// addresses counts the connections of each address and holds all of them to their
// rates.
type addresses struct {
	mu      sync.Mutex
	all     bucket // CONNECT packets of everybody
	sources map[netip.Addr]*source
	sweepAt int64 // broker time from which sources that are idle are looked for
}

// source is one address, or IPv6 network, that clients come from.
type source struct {
	conns    int
	connects bucket
}

// network is what is counted as one address: an IPv4 address, or an IPv6 network of
// /64, which is what one customer gets at least (RFC 6177).
func network(addr netip.Addr) netip.Addr {
	addr = addr.Unmap()
	if !addr.Is6() {
		return addr
	}
	return netip.PrefixFrom(addr, 64).Masked().Addr()
}

// From tells the address that the connection comes from, as soon as it is known, and
// reports whether to serve it: false when there are far too many from there; then it
// is to be closed without a word. Of a connection without From nobody counts the
// address. Owner only, once, before Feed.
func (c *Client) From(addr netip.Addr) bool {
	cfg := &c.b.cfg
	if cfg.MaxConnectionsPerIP == 0 && cfg.MaxConnectRatePerIP == 0 || !addr.IsValid() {
		return true
	}
	c.from = network(addr)
	n := c.b.addresses.arrive(c.from, c.b.now())
	most := cfg.MaxConnectionsPerIP
	c.excess = most > 0 && n > most
	return most == 0 || n <= most+refusalSlots
}

// arrive counts one more connection and gives their number.
func (a *addresses) arrive(from netip.Addr, now int64) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sweep(now)
	s := a.sources[from]
	if s == nil {
		if a.sources == nil {
			a.sources = make(map[netip.Addr]*source)
		}
		s = new(source)
		a.sources[from] = s
	}
	s.conns++
	return s.conns
}

// leave counts one connection less.
func (a *addresses) leave(from netip.Addr, now int64) {
	if !from.IsValid() {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.sources[from]
	if s.conns--; s.idle(now) {
		delete(a.sources, from)
	}
}

// idle reports whether there is nothing to remember of s.
func (s *source) idle(now int64) bool { return s.conns == 0 && s.connects.fullAt <= now }

// sweep forgets the addresses whose connections are gone and whose buckets are full
// again, once a second. a.mu is held.
func (a *addresses) sweep(now int64) {
	if now < a.sweepAt {
		return
	}
	a.sweepAt = now + int64(time.Second)
	for from, s := range a.sources {
		if s.idle(now) {
			delete(a.sources, from)
		}
	}
}

// admitConnect holds the CONNECT packets of an address and of everybody to their rates.
// Those that are refused do not count.
func (b *Broker) admitConnect(from netip.Addr) error {
	each, all := int64(b.cfg.MaxConnectRatePerIP), int64(b.cfg.MaxConnectRate)
	if each == 0 && all == 0 {
		return nil
	}
	now, a := b.now(), &b.addresses
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := a.sources[from]; s != nil && each > 0 && !s.connects.allow(now, each) {
		return &Error{Code: packet.ConnectionRateExceeded, Reason: "too many connections per second from this address"}
	}
	if all > 0 && !a.all.allow(now, all) {
		return &Error{Code: packet.ConnectionRateExceeded, Reason: "too many connections per second"}
	}
	return nil
}
