package endpoint

import (
	"slices"

	"github.com/ngmq/ngmq/ngtcp2"
)

const (
	// maxAhead is how many datagrams of a client wait for its ClientHello: those of an
	// initial congestion window (RFC 9002 section 7.2).
	maxAhead = 10
	// aheadSize bounds what waits on a worker, in bytes: 200 datagrams.
	aheadSize = 256 << 10
	// aheadCost is what a datagram that waits counts besides its bytes.
	aheadCost = 256
)

// ahead is what arrived before the ClientHello that it needs, because datagrams of a
// first flight overtook each other: 0-RTT packets (RFC 9001 section 5.7 lets a server
// keep some), and Initial packets without the beginning of the ClientHello, for which
// ngtcp2 keeps no connection before the client's address is proven. It is kept by the
// client's first DCID, whether there is a connection or not yet. Nothing here was
// authenticated: number, size and time are bounded, and what does not fit is dropped and
// counted (DropAhead).
type ahead struct {
	m     map[ngtcp2.ConnectionID]*attempt
	order []*attempt // by until
	size  int
}

// attempt is what came ahead of one ClientHello.
type attempt struct {
	dcid            ngtcp2.ConnectionID
	path            ngtcp2.Path
	until           ngtcp2.Timestamp // then it is given up
	buf             []byte
	initials, early []ngtcp2.Datagram // in buf: what begins with an Initial packet, and what does with 0-RTT
}

// next is when the oldest attempt is given up.
func (a *ahead) next() ngtcp2.Timestamp {
	if len(a.order) == 0 {
		return ngtcp2.NoExpiry
	}
	return a.order[0].until
}

// find is what waits for dcid on path, nil when that is nothing.
func (a *ahead) find(dcid ngtcp2.ConnectionID, path ngtcp2.Path) *attempt {
	if t := a.m[dcid]; t != nil && t.path == path {
		return t
	}
	return nil
}

// attempt finds or begins what waits for dcid on path, nil when another path has it.
func (a *ahead) attempt(dcid ngtcp2.ConnectionID, path ngtcp2.Path, until ngtcp2.Timestamp) *attempt {
	if a.m[dcid] != nil {
		return a.find(dcid, path)
	}
	if a.m == nil {
		a.m = make(map[ngtcp2.ConnectionID]*attempt)
	}
	t := &attempt{dcid: dcid, path: path, until: until}
	a.m[dcid] = t
	a.order = append(a.order, t)
	return t
}

func (t *attempt) len() int { return len(t.initials) + len(t.early) }

func (t *attempt) size() int { return len(t.buf) + t.len()*aheadCost }

// add keeps a copy of at.
func (a *ahead) add(t *attempt, base []byte, at ngtcp2.Datagram) {
	pkt := base[at.Off : at.Off+at.Len]
	list := &t.initials
	if longType(pkt) == typeEarly {
		list = &t.early
	}
	*list = append(*list, ngtcp2.Datagram{Off: uint32(len(t.buf)), Len: at.Len, ECN: at.ECN})
	t.buf = append(t.buf, pkt...)
	a.size += len(pkt) + aheadCost
}

// remove forgets t.
func (a *ahead) remove(t *attempt) {
	delete(a.m, t.dcid)
	a.size -= t.size()
	if i := slices.Index(a.order, t); i >= 0 {
		a.order = slices.Delete(a.order, i, i+1)
	}
}

// keepAhead keeps a datagram, or a part of one, until the ClientHello of dcid is
// complete. It reports whether there was room.
func (c *Core) keepAhead(dcid ngtcp2.ConnectionID, path ngtcp2.Path, base []byte, at ngtcp2.Datagram) bool {
	if c.ahead.size+int(at.Len)+aheadCost > aheadSize {
		return false
	}
	t := c.ahead.attempt(dcid, path, c.now.Add(sameFlight))
	if t == nil || t.len() >= maxAhead {
		return false
	}
	c.ahead.add(t, base, at)
	c.stats.inc(KeptAhead)
	return true
}

// keepEarly keeps a datagram with 0-RTT packets of dcid, or counts it as dropped.
func (c *Core) keepEarly(dcid ngtcp2.ConnectionID, d *datagram) {
	if !c.cfg.EarlyData || c.ending || !c.keepAhead(dcid, d.path, d.buf, d.at) {
		c.stats.inc(DropAhead)
	}
}

// strayEarly handles a datagram with 0-RTT packets that belongs to no connection yet.
// While clients have to prove their addresses it is of use only if it follows a Retry:
// a client sends such data again then, to the DCID that the Retry gave it.
func (c *Core) strayEarly(d *datagram, v ngtcp2.VersionCID) {
	dcid, err := ngtcp2.NewConnectionID(v.DCID)
	if err != nil || c.wantRetry() && !c.mine(v.DCID) {
		c.stats.inc(DropNotInitial)
		return
	}
	c.keepEarly(dcid, d)
}

// mine reports whether dcid looks as if this worker had chosen it.
func (c *Core) mine(dcid []byte) bool {
	if len(dcid) != c.cidLen {
		return false
	}
	w, ok := c.workerOf(dcid)
	return ok && w == c.worker
}

// keepRest keeps the 0-RTT packets that came in one datagram with an Initial packet
// which did not complete the ClientHello: ngtcp2 has dropped them. They count twice for
// what may be sent to the client, so its address has to be proven.
func (c *Core) keepRest(conn *Conn, path ngtcp2.Path, base []byte, run []ngtcp2.Datagram) {
	if !conn.half.proven || !c.cfg.EarlyData || conn.nc.ReceivedClientHello() {
		return
	}
	for _, at := range run {
		rest := afterInitials(base[at.Off : at.Off+at.Len])
		if len(rest) == 0 || longType(rest) != typeEarly {
			continue
		}
		at.Off, at.Len = at.Off+at.Len-uint32(len(rest)), uint32(len(rest))
		c.keepAhead(conn.initialDCID, path, base, at)
	}
}

// readAhead gives conn what came ahead of its ClientHello: Initial packets at once, early
// data when the ClientHello is complete.
func (c *Core) readAhead(conn *Conn) {
	if conn.half == nil || len(c.ahead.m) == 0 {
		return
	}
	t := c.ahead.find(conn.initialDCID, *conn.path.Load())
	if t == nil {
		return
	}
	initials := t.initials
	c.ahead.size -= len(initials) * aheadCost
	t.initials = nil
	c.readWaiting(conn, t, initials)
	if conn.half == nil || conn.nc.ReceivedClientHello() {
		c.ahead.remove(t)
		c.readWaiting(conn, t, t.early)
	}
}

func (c *Core) readWaiting(conn *Conn, t *attempt, run []ngtcp2.Datagram) {
	if len(run) > 0 && conn.nc != nil {
		c.hasRead(conn, t.path, conn.nc.ReadPkts(t.path, t.buf, run, c.now))
	}
}

// expireAhead gives up what has waited too long. A client that there is no connection
// for is asked to send its ClientHello again: with a Retry.
func (c *Core) expireAhead() {
	for c.ahead.next() <= c.now {
		t := c.ahead.order[0]
		c.ahead.remove(t)
		c.stats.add(DropAhead, t.len())
		if len(t.initials) == 0 || c.ending || c.table.lookup(t.dcid.Bytes()) != nil {
			continue
		}
		d := datagram{buf: t.buf, at: t.initials[0], path: t.path}
		if h, err := ngtcp2.Accept(d.bytes()); err == nil {
			c.retry(&d, &h)
		}
	}
}

// Types of long header packets, in the numbers of version 1.
const (
	typeInitial = iota
	typeEarly
	typeHandshake
	typeRetry
	typeNone // not a long header
)

// longType is the type of a packet of version 1 or 2 (RFC 9000 section 17.2, RFC 9369
// section 3.2).
func longType(pkt []byte) byte {
	if len(pkt) < 5 || pkt[0]&0x80 == 0 {
		return typeNone
	}
	t := pkt[0] >> 4 & 3
	if pkt[1] == byte(ngtcp2.VersionV2>>24) {
		t = (t + 3) & 3
	}
	return t
}

// afterInitials is what follows the Initial packets that a datagram begins with, empty
// when that is nothing or the datagram is malformed.
func afterInitials(pkt []byte) []byte {
	for longType(pkt) == typeInitial {
		r := headerReader{rest: pkt[5:]}
		r.skip(uint64(r.byte())) // DCID
		r.skip(uint64(r.byte())) // SCID
		r.skip(r.varint())       // token
		r.skip(r.varint())       // packet number and payload
		pkt = r.rest
	}
	return pkt
}

// headerReader takes fields from the front of rest; what is too short leaves nothing.
type headerReader struct{ rest []byte }

func (r *headerReader) skip(n uint64) {
	r.rest = r.rest[min(n, uint64(len(r.rest))):]
}

func (r *headerReader) byte() byte {
	if len(r.rest) == 0 {
		return 0
	}
	b := r.rest[0]
	r.rest = r.rest[1:]
	return b
}

// varint takes a variable-length integer (RFC 9000 section 16).
func (r *headerReader) varint() uint64 {
	first := r.byte()
	n := uint64(first & 0x3f)
	for range 1<<(first>>6) - 1 {
		n = n<<8 | uint64(r.byte())
	}
	return n
}
