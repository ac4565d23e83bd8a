package endpoint

import (
	"github.com/ngmq/ngmq/ngtcp2"
	"github.com/ngmq/ngmq/ngtcp2/endpoint/internal/udp"
)

// txQueue holds written datagrams until the driver has sent them.
type txQueue struct {
	buf  []byte
	used int
	runs []Transmit
	head int  // runs before it are sent
	held bool // the driver could not send everything
}

// space is the free end of the buffer.
func (q *txQueue) space() []byte { return q.buf[q.used:] }

func (q *txQueue) pending() []Transmit { return q.runs[q.head:] }

// send queues the bytes just written at the front of tx.space.
func (c *Core) send(t Transmit) {
	t.Off = c.tx.used
	c.tx.used += t.Len
	n := 1
	if t.SegmentSize > 0 {
		n = (t.Len + t.SegmentSize - 1) / t.SegmentSize
	}
	c.stats.add(DatagramsSent, n)
	c.stats.add(BytesSent, t.Len)
	c.tx.runs = udp.Coalesce(c.tx.runs, t)
}

// Busy reports whether Poll has something to do now.
func (c *Core) Busy() bool { return c.dirty.head != nil || len(c.tx.pending()) > 0 }

// Held reports whether datagrams wait that the driver could not send.
func (c *Core) Held() bool { return c.tx.held }

// Poll flushes dirty connections, each for one run of packets and in turn, until
// the send buffer is full, and returns the datagrams: the driver sends runs,
// whose bytes are in buf, and reports with Sent. While an earlier result is
// unsent, Poll writes nothing: a blocked socket holds all connections alike.
func (c *Core) Poll(now ngtcp2.Timestamp) (buf []byte, runs []Transmit) {
	c.now = now
	for !c.tx.held && c.flushRound() {
	}
	return c.tx.buf, c.tx.pending()
}

// flushRound flushes every connection that is dirty now, as far as there is
// room, and reports whether another round would do more: what is dirty after a
// round without output (pacing, a handler that marks it) waits for a later time.
func (c *Core) flushRound() bool {
	used, last := c.tx.used, c.dirty.tail
	for c.dirty.head != nil && len(c.tx.space()) >= txRoom {
		conn := c.dirty.pop()
		conn.dirty = false
		c.flush(conn)
		if conn == last {
			return c.tx.used > used
		}
	}
	return false
}

// Sent reports how far the driver came: rest is the tail of Poll's runs that is
// not sent, its first one possibly shortened.
func (c *Core) Sent(rest []Transmit) {
	c.tx.held = len(rest) > 0
	c.tx.head = len(c.tx.runs) - len(rest)
	if !c.tx.held {
		c.tx.used, c.tx.head, c.tx.runs = 0, 0, c.tx.runs[:0]
	}
}

// flush lets the application fill streams, then writes one run of packets.
func (c *Core) flush(conn *Conn) {
	if conn.nc == nil {
		return
	}
	if conn.closing == nil || conn.closing.graceful {
		if !c.write(conn) {
			return
		}
		conn.stepGraceful()
	}
	switch {
	case conn.closing == nil || conn.closing.graceful:
	case len(c.tx.space()) < replyMax:
		c.markDirty(conn) // no room for CONNECTION_CLOSE in this turn
	default:
		c.end(conn)
	}
}

// flushApp lets the application move its output into streams.
func (conn *Conn) flushApp() {
	if h := conn.app(); h != nil {
		h.OnFlush()
	}
}

// write writes one run; false means that the connection has failed.
func (c *Core) write(conn *Conn) bool {
	conn.beginEarly()
	conn.flushApp()
	if conn.migration != nil && conn.migration.wanted != nil {
		if c.startMigration(conn); conn.nc == nil || conn.closing != nil && !conn.closing.graceful {
			return conn.nc != nil
		}
	}
	dst := c.tx.space()
	w, err := conn.nc.WritePkts(dst[:min(len(dst), udp.MaxRunBytes)], conn.pending, c.now)
	conn.dropPending()
	conn.pinged()
	if w.N > 0 {
		c.send(Transmit{Local: w.Path.Local, Remote: w.Path.Remote, Len: w.N,
			SegmentSize: w.SegmentSize, ECN: uint8(w.ECN)})
	}
	c.drain(conn)
	if err != nil {
		c.fail(conn, err)
		return false
	}
	if w.More || len(conn.pending) > 0 {
		c.markDirty(conn)
	}
	c.rearm(conn)
	return true
}
