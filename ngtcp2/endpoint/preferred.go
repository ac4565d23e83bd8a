package endpoint

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/ngmq/ngmq/ngtcp2"
	"github.com/ngmq/ngmq/ngtcp2/endpoint/internal/udp"
)

// preferredAddrs are what a server announces; nil = nothing.
type preferredAddrs struct{ v4, v6 netip.AddrPort }

// parsePreferred reads Config.PreferredAddrs.
func parsePreferred(list []string) (*preferredAddrs, error) {
	if len(list) == 0 {
		return nil, nil
	}
	p := &preferredAddrs{}
	for _, text := range list {
		a, err := netip.ParseAddrPort(text)
		if err != nil || a.Addr().IsUnspecified() || a.Addr().Zone() != "" {
			return nil, fmt.Errorf("%q: use ip:port with an address of this host", text)
		}
		to := p.of(a)
		if to.IsValid() {
			return nil, errors.New("use one IPv4 and one IPv6 address at most")
		}
		*to = netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
	}
	return p, nil
}

// of is the place of an address of a's family.
func (p *preferredAddrs) of(a netip.AddrPort) *netip.AddrPort {
	if a.Addr().Unmap().Is4() {
		return &p.v4
	}
	return &p.v6
}

// preferAddr announces the preferred address to a client that came elsewhere, with
// a CID of its own (RFC 9000 section 9.6), which it returns.
func (c *Core) preferAddr(params *ngtcp2.TransportParams, local netip.AddrPort) (id ngtcp2.ConnectionID, ok bool) {
	p := c.cfg.preferred
	if p == nil || local == p.v4 || local == p.v6 {
		return id, false
	}
	id = c.newCID()
	token, err := ngtcp2.GenerateStatelessResetToken(c.cfg.ResetSecret, id)
	if err != nil {
		return id, false
	}
	params.PreferredAddr = &ngtcp2.PreferredAddr{CID: id, IPv4: p.v4, IPv6: p.v6, StatelessResetToken: token}
	return id, true
}

// listenPreferred listens on Config.PreferredAddrs, as far as a socket for any
// address does not do so already.
func (e *Endpoint) listenPreferred() error {
	p := e.cfg.preferred
	if p == nil {
		return nil
	}
	for _, a := range []*netip.AddrPort{&p.v4, &p.v6} {
		if !a.IsValid() || e.listensOn(*a) {
			continue
		}
		if err := e.listenOn(a.String()); err != nil {
			return fmt.Errorf("endpoint: Config.PreferredAddrs: %s: %w", a, err)
		}
		*a = e.addrs[len(e.addrs)-1].(interface{ AddrPort() netip.AddrPort }).AddrPort()
	}
	return nil
}

func (e *Endpoint) listensOn(a netip.AddrPort) bool {
	for _, s := range e.workers[0].sockets {
		if reaches(s, a) {
			return true
		}
	}
	return false
}

// reaches reports whether s gets datagrams to a.
func reaches(s *udp.Socket, a netip.AddrPort) bool {
	at := s.LocalAddr()
	return at == a || at.Port() == a.Port() && at.Addr().IsUnspecified() && (a.Addr().Is4() || s.DualStack())
}
