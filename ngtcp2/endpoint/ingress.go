package endpoint

import (
	"errors"

	"github.com/ngmq/ngmq/ngtcp2"
)

// datagram is one received UDP payload on its way through the accept policy.
type datagram struct {
	buf       []byte // of the batch
	at        ngtcp2.Datagram
	path      ngtcp2.Path
	msg       *Message
	forwarded bool // came from another worker, so it is not forwarded again
}

func (d *datagram) bytes() []byte { return d.buf[d.at.Off : d.at.Off+d.at.Len] }

// Receive processes a batch in order. Datagrams of one connection that follow
// each other go into one ReadPkts call. b may be reused afterwards.
func (c *Core) Receive(b *Batch, now ngtcp2.Timestamp) {
	c.receive(b, now, false)
}

func (c *Core) receive(b *Batch, now ngtcp2.Timestamp, forwarded bool) {
	c.now = now
	c.stats.add(DropTruncated, b.Truncated)
	for i := range b.Msgs {
		m, d := &b.Msgs[i], &c.datagram
		*d = datagram{buf: b.Buf, msg: m, forwarded: forwarded,
			path: ngtcp2.Path{Local: m.Local, Remote: m.Remote}}
		for k := range m.Count() {
			d.at.Off, d.at.Len = m.Segment(k)
			d.at.ECN = ngtcp2.ECN(m.ECN)
			c.route(d)
		}
		c.stats.add(DatagramsReceived, m.Count())
		c.stats.add(BytesReceived, int(m.Len))
		if m.Count() > 1 {
			c.stats.inc(GROMessages)
			c.stats.add(GRODatagrams, m.Count())
		}
	}
	c.readRun(b.Buf)
}

// route finds out whose datagram it is.
func (c *Core) route(d *datagram) {
	pkt := d.bytes()
	if c.continuesRun(d, pkt) {
		c.run = append(c.run, d.at)
		return
	}
	v, err := ngtcp2.DecodeVersionCID(pkt, c.cidLen)
	if errors.Is(err, ngtcp2.ErrVersionNegotiation) {
		c.negotiateVersion(d, v)
		return
	}
	if err != nil {
		c.stats.inc(DropMalformed)
		return
	}
	conn := c.table.lookup(v.DCID)
	if conn == nil && len(c.run) > 0 { // the run may be what makes it known
		c.readRun(d.buf)
		conn = c.table.lookup(v.DCID)
	}
	if conn == nil && v.SCID == nil {
		conn = c.table.resetFor(pkt)
	}
	if conn == nil {
		c.unknown(d, v)
		return
	}
	if conn.half != nil && longType(pkt) == typeEarly && c.earlyWaits(conn, d) {
		return
	}
	if conn != c.runConn || d.path != c.runPath || len(c.run) == cap(c.run) {
		c.readRun(d.buf)
		c.runConn, c.runPath = conn, d.path
	}
	c.runCID = append(c.runCID[:0], v.DCID...)
	c.run = append(c.run, d.at)
}

// continuesRun reports whether pkt has a short header and the path and Connection
// ID of the datagram before it, as most have: there is no need to look it up.
func (c *Core) continuesRun(d *datagram, pkt []byte) bool {
	return len(c.run) > 0 && len(c.run) < cap(c.run) && len(pkt) > c.cidLen && pkt[0]&0x80 == 0 &&
		string(pkt[1:1+c.cidLen]) == string(c.runCID) && d.path == c.runPath
}

// readRun gives the collected datagrams to their connection.
func (c *Core) readRun(base []byte) {
	if len(c.run) == 0 {
		return
	}
	conn, run := c.runConn, c.run
	c.run, c.runConn = c.run[:0], nil
	if conn.nc == nil {
		c.answerClosing(conn, c.runPath, len(run))
		return
	}
	c.read(conn, c.runPath, base, run)
}

// read gives a run to a live connection. Events come before the error: data may
// have arrived together with the peer's CONNECTION_CLOSE.
//
// noHello: it is a client's first datagram, and does not begin its ClientHello.
func (c *Core) read(conn *Conn, path ngtcp2.Path, base []byte, run []ngtcp2.Datagram) (noHello bool) {
	err := conn.nc.ReadPkts(path, base, run, c.now)
	if conn.half == nil {
		c.hasRead(conn, path, err)
		return false
	}
	noHello = noBeginning(conn.nc, err)
	conn.half.silentFrom(c)
	if err == nil {
		c.keepRest(conn, path, base, run)
	}
	c.hasRead(conn, path, err)
	c.readAhead(conn)
	return noHello
}

// hasRead deals with what ReadPkts brought.
func (c *Core) hasRead(conn *Conn, path ngtcp2.Path, err error) {
	c.drain(conn)
	if err != nil {
		c.fail(conn, err)
		return
	}
	if path != *conn.path.Load() {
		conn.followPath()
		conn.provePath()
	}
	c.markDirty(conn)
}

// unknown handles a datagram whose DCID is in no table here.
func (c *Core) unknown(d *datagram, v ngtcp2.VersionCID) {
	short := v.SCID == nil
	owner, ours := c.owner(d, v.DCID)
	if owner >= 0 {
		c.forwardTo(owner, d)
		return
	}
	switch {
	case c.cfg.TLS == nil, short && !ours:
		c.stats.inc(DropUnknownCID)
	case short:
		c.resetStateless(d, v.DCID)
	default:
		c.accept(d, v)
	}
}

// owner is the worker whose number is in dcid, -1 when it is this one or none.
// An Initial or 0-RTT packet is never forwarded: its DCID may be the client's own
// random choice. ours is false when dcid belongs to another server of the same load balancer,
// which must not be reset: its connection may live there, and with a shared ResetSecret
// the reset would be believed.
func (c *Core) owner(d *datagram, dcid []byte) (worker int, ours bool) {
	if t := longType(d.bytes()); len(dcid) != c.cidLen || t == typeInitial || t == typeEarly {
		return -1, true
	}
	w, known := c.workerOf(dcid)
	if known && w != c.worker && c.forward != nil && !d.forwarded {
		return w, true
	}
	return -1, known || c.lb == nil
}

func (c *Core) forwardTo(worker int, d *datagram) {
	if c.forward(worker, *d.msg, d.bytes()) {
		c.stats.inc(Forwarded)
	} else {
		c.stats.inc(DropForwardFull)
	}
}
