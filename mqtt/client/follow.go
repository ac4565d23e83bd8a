package client

import (
	"context"
	"net"
	"net/netip"
	"time"
)

// settleTime is how long addresses and routes have to be quiet: a change of the network
// comes as several events.
const settleTime = 100 * time.Millisecond

// follow moves the connection to where the system routes from, whenever the network
// changes, until the connection ends.
func (l *link) follow() {
	q, ok := l.nc.(quicTransport)
	if !ok {
		return
	}
	changes, stop, err := watchNetwork()
	if err != nil {
		l.c.opts.Logger.Warn("mqtt client: FollowNetwork does not work", "error", err)
		return
	}
	defer stop()
	for {
		select {
		case <-l.done:
			return
		case <-changes:
		}
		l.settle(changes)
		ctx, cancel := context.WithTimeout(context.Background(), l.c.opts.ConnectTimeout)
		l.moveTo(ctx, q, routed(l.nc.RemoteAddr()), present)
		cancel()
	}
}

// settle waits until nothing changes for a moment.
func (l *link) settle(changes <-chan struct{}) {
	timer := time.NewTimer(settleTime)
	defer timer.Stop()
	for {
		select {
		case <-changes:
			timer.Reset(settleTime)
		case <-timer.C:
			return
		case <-l.done:
			return
		}
	}
}

// moveTo moves to a local address that is not the present one. has says whether this host
// still has an address.
func (l *link) moveTo(ctx context.Context, q quicTransport, to netip.Addr, has func(netip.Addr) bool) {
	from := addrOf(l.nc.LocalAddr())
	if !to.IsValid() || to == from {
		return
	}
	err := q.rebind(ctx, netip.AddrPortFrom(to, 0), !has(from))
	l.c.opts.Logger.Info("mqtt client: the network has changed", "from", from, "to", to, "error", err)
}

func addrOf(a net.Addr) netip.Addr {
	if u, ok := a.(*net.UDPAddr); ok {
		return u.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// routed is the local address that packets to remote leave from; invalid when there is no
// route.
func routed(remote net.Addr) netip.Addr {
	nc, err := net.Dial("udp", remote.String()) // sends nothing
	if err != nil {
		return netip.Addr{}
	}
	defer nc.Close()
	return addrOf(nc.LocalAddr())
}

// present reports whether this host has an address.
func present(a netip.Addr) bool {
	list, err := net.InterfaceAddrs()
	for _, other := range list {
		if p, e := netip.ParsePrefix(other.String()); e == nil && p.Addr().Unmap() == a {
			return true
		}
	}
	return err != nil
}
