package broker

import (
	"log/slog"
	"net/netip"
)

// MovedEvent tells that a client has another address than before: over QUIC a NAT may give
// it one, it may migrate, or go to a preferred address of the server (RFC 9000 section 9).
// It has shown that it is there.
type MovedEvent struct {
	Client *ClientInfo // with the new addresses in Conn; a new one, earlier ones stay as they are
	From   ConnInfo    // the connection before
}

// Moved tells that the network connection has other addresses, at which the peer has shown
// to be. The session does not notice. The connection counts for the limits of its new
// address, and stays if there are too many. Owner only, before Closed.
func (c *Client) Moved(local, remote netip.AddrPort) {
	c.recount(remote.Addr())
	if c.conn == nil { // Transport.Info will tell
		return
	}
	from := *c.conn
	if c.info == nil {
		c.conn = from.at(local, remote)
		return
	}
	info := *c.info
	info.Conn = *from.at(local, remote)
	c.setInfo(&info)
	if !c.accepted || c.closing.Load() {
		return
	}
	c.b.count.moves.Add(1)
	c.b.cfg.Logger.LogAttrs(c.b.ctx, slog.LevelDebug, "client moved", slog.String("client", info.ID),
		slog.Any("remote", remote), slog.Any("from", from.Remote), slog.Any("local", local))
	c.b.callMoved(MovedEvent{&info, from})
}

// at is i with other addresses.
func (i ConnInfo) at(local, remote netip.AddrPort) *ConnInfo {
	i.Local, i.Remote = local, remote
	return &i
}

// setInfo replaces what handlers see of the client, for its will too.
func (c *Client) setInfo(info *ClientInfo) {
	c.conn = &info.Conn
	s := c.session
	if s == nil {
		c.info = info
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c.info = info
	if s.client == c && s.will != nil {
		s.will.info = info
	}
}

// recount lets the connection count for another address.
func (c *Client) recount(addr netip.Addr) {
	to := network(addr)
	if !c.from.IsValid() || to == c.from {
		return
	}
	now := c.b.now()
	c.b.addresses.arrive(to, now)
	c.b.addresses.leave(c.from, now)
	c.from = to
}

func (b *Broker) callMoved(ev MovedEvent) {
	if b.cfg.Handlers.Moved != nil {
		_ = b.Protect("moved handler", func() error { b.cfg.Handlers.Moved(&ev); return nil })
	}
}
