package endpoint

import "github.com/ngmq/ngmq/ngtcp2"

// halfOpen is what a server keeps of a client until the handshake is complete.
type halfOpen struct {
	proven bool                // a token has proven the client's address
	odcid  ngtcp2.ConnectionID // what the client called the server before a Retry; zero: see supersede
	until  ngtcp2.Timestamp    // the client is given up when it says nothing before
}

// silentFrom notes that something has come from the client. Half of HandshakeTimeout is
// longer than the longest pause of a client that sends again what was lost: after 1, 3
// and 7 s (RFC 9002 section 6.2).
func (h *halfOpen) silentFrom(c *Core) { h.until = c.now.Add(c.cfg.HandshakeTimeout / 2) }

// abandon ends a handshake whose client has fallen silent, without a packet: as often as
// not there never was a client, or it went on with another connection.
func (c *Core) abandon(conn *Conn) {
	c.stats.inc(ClosedHandshakeTimeout)
	conn.leave(ngtcp2.ErrHandshakeTimeout)
	c.forget(conn)
}

// supersede lets conn, whose client has answered a Retry, take the place of what a
// datagram has made here that came before the Retry took effect. If it comes only now
// it is led to conn, which knows it for useless. The token vouches for the DCID: it is
// the one that this address has used. Another connection's it must not take over.
func (c *Core) supersede(conn *Conn, val validation) {
	if !val.retried {
		return
	}
	old := c.table.lookup(val.odcid.Bytes())
	if old != nil && old.half != nil && old.initialDCID == val.odcid && old.Path() == conn.Path() {
		c.stats.inc(ClosedByPeer)
		old.leave(ngtcp2.ErrHandshakeTimeout)
		c.forget(old)
		old = nil
	}
	if old == nil {
		conn.half.odcid = val.odcid
		c.table.add(val.odcid, conn)
	}
}

// earlyWaits handles a datagram that begins with 0-RTT packets for a connection that is
// half open: it is kept while the ClientHello is incomplete.
func (c *Core) earlyWaits(conn *Conn, d *datagram) bool {
	c.readRun(d.buf) // may complete it
	if conn.half == nil || conn.nc.ReceivedClientHello() || d.path != conn.Path() {
		return false
	}
	c.keepEarly(conn.initialDCID, d)
	return true
}
