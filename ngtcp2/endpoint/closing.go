package endpoint

import (
	"errors"

	"github.com/ngmq/ngmq/ngtcp2"
)

// closing is the state of a connection that is about to end or has ended. It is
// made when a close is asked for, so that live connections do not carry it.
type closing struct {
	graceful bool // waiting for acknowledgements until graceBy
	graceBy  ngtcp2.Timestamp
	finSent  bool
	close    ngtcp2.ConnectionError // what this side sends
	cause    error                  // for OnClosed; nil = this side's own wish

	// After the end:
	packet   []byte // stored CONNECTION_CLOSE; nil when draining
	path     ngtcp2.Path
	received uint64 // datagrams since
	answerAt uint64 // next count to answer at: 1, 2, 4, 8, ...
	until    ngtcp2.Timestamp
	cids     []ngtcp2.ConnectionID
}

// closePTOs is how many probe timeouts closing and draining last (RFC 9000
// section 10.2).
const closePTOs = 3

// beginClose asks for the end of conn at the next flush. The first request
// counts; a later one can only cut a graceful close short.
func (conn *Conn) beginClose(cl closing) {
	switch {
	case conn.nc == nil:
		return
	case conn.closing == nil:
		conn.closing = &cl
	case conn.closing.graceful && !cl.graceful:
		conn.closing.graceful = false
		conn.closing.close, conn.closing.cause = cl.close, cl.cause
	}
	conn.core.markDirty(conn) // the flush sets the timer
}

// stepGraceful moves a graceful close on: everything acknowledged -> FIN on
// every stream -> CONNECTION_CLOSE. The FIN never shares a frame with data.
func (conn *Conn) stepGraceful() {
	cl := conn.closing
	if cl == nil || !cl.graceful {
		return
	}
	late := conn.core.now >= cl.graceBy
	if !late && conn.buffered > 0 {
		return
	}
	if !late && !cl.finSent {
		cl.finSent = true
		if conn.finishStreams() {
			conn.core.markDirty(conn) // FINs go out first
			return
		}
	}
	cl.graceful = false
}

// fail ends conn because a call for it failed.
func (c *Core) fail(conn *Conn, err error) {
	if conn.nc == nil {
		return
	}
	var e *ngtcp2.Error
	class := ngtcp2.Fatal
	if errors.As(err, &e) {
		class = e.Class
		if d := conn.attempt(); d != nil && e.Code == ngtcp2.CodeRecvVersionNegotiation {
			c.negotiated(conn, d)
			return
		}
	}
	cause := conn.nc.CloseError()
	switch {
	case class == ngtcp2.Transitional:
		c.markDirty(conn)
	case class == ngtcp2.Fatal:
		conn.beginClose(closing{close: ngtcp2.CloseFor(err), cause: err})
	case errors.Is(err, ngtcp2.ErrDraining):
		c.stats.inc(closeCounter(cause))
		c.stats.countClose(cause)
		c.enterClosing(conn, closing{cause: cause})
	default:
		if cause == nil {
			cause = err
		}
		c.stats.inc(closeCounter(cause))
		conn.leave(cause)
		c.forget(conn)
	}
}

// closeCounter counts ends by reason.
func closeCounter(cause error) Counter {
	switch {
	case cause == nil:
		return ClosedLocally
	case errors.Is(cause, ngtcp2.ErrIdleTimeout):
		return ClosedIdle
	case errors.Is(cause, ngtcp2.ErrHandshakeTimeout):
		return ClosedHandshakeTimeout
	case errors.Is(cause, ngtcp2.ErrStatelessReset):
		return ClosedStatelessReset
	}
	var te *ngtcp2.TransportError
	var ae *ngtcp2.ApplicationError
	if errors.As(cause, &te) || errors.As(cause, &ae) {
		return ClosedByPeer
	}
	return ClosedByError
}

// end writes CONNECTION_CLOSE and enters the closing period. The send buffer
// has room (Poll).
func (c *Core) end(conn *Conn) {
	cl := *conn.closing
	n, path, err := conn.nc.WriteConnectionClose(c.tx.space(), cl.close, c.now)
	if err == nil && n > 0 {
		cl.packet = append([]byte(nil), c.tx.space()[:n]...)
		cl.path = path
		c.send(Transmit{Local: path.Local, Remote: path.Remote, Len: n, SegmentSize: n})
		c.stats.inc(closeClass(CloseSentNoError, cl.close.Kind, cl.close.Code))
	}
	c.stats.inc(closeCounter(cl.cause))
	c.enterClosing(conn, cl)
}

// enterClosing starts the closing (with a stored packet) or draining period:
// everything but CIDs and packet is freed.
func (c *Core) enterClosing(conn *Conn, cl closing) {
	cl.until = c.now.Add(closePTOs * conn.nc.PTO())
	cl.answerAt = 1
	conn.closing = &cl
	conn.leave(cl.cause)
	if c.closed >= maxClosing {
		c.forget(conn)
		return
	}
	c.closed++
	conn.lingering = true
	c.rearm(conn)
}

// answerClosing answers datagrams for a connection that this side has closed:
// the first, second, fourth, ... gets the stored packet again.
func (c *Core) answerClosing(conn *Conn, path ngtcp2.Path, n int) {
	cl := conn.closing
	if cl == nil || cl.packet == nil || path != cl.path {
		return
	}
	cl.received += uint64(n)
	if cl.received < cl.answerAt || len(c.tx.space()) < len(cl.packet) {
		return
	}
	for cl.answerAt <= cl.received {
		cl.answerAt *= 2
	}
	copy(c.tx.space(), cl.packet)
	c.send(Transmit{Local: path.Local, Remote: path.Remote, Len: len(cl.packet), SegmentSize: len(cl.packet)})
}

// leave frees what a live connection holds and tells the application. Its CIDs
// stay in the table until forget.
func (conn *Conn) leave(cause error) {
	if conn.nc == nil {
		return
	}
	c := conn.core
	if conn.closing == nil {
		conn.closing = &closing{}
	}
	if conn.closing.cids == nil {
		conn.closing.cids = conn.nc.SCIDs()
	}
	conn.releaseStreams()
	c.table.removeTokens(conn)
	c.stats.addConn(conn.nc)
	conn.nc.Free()
	conn.nc = nil
	c.endRecord(conn.recordID)
	c.live.Add(-1)
	c.shared.conns.Add(-1)
	conn.settleHandshake()
	conn.migration.finish(ErrClosed)
	if conn.dial != nil {
		conn.dial.end(cause)
		conn.dial = nil
	}
	if h := conn.handler; h != nil {
		conn.handler, conn.datagramHandler = nil, nil
		h.OnClosed(cause)
	}
}

// giveUp ends a dial without a packet.
func (c *Core) giveUp(conn *Conn, cause error) {
	c.stats.inc(ClosedByError)
	conn.leave(cause)
	c.forget(conn)
}

// settleHandshake ends the count of conn as half open.
func (conn *Conn) settleHandshake() {
	if conn.handshaking && conn.server {
		conn.core.shared.handshakes.Add(-1)
	}
	conn.handshaking = false
	if h := conn.half; h != nil {
		conn.half = nil
		conn.core.table.remove(h.odcid, conn)
	}
}

// forget removes a connection that has left from table and timers.
func (c *Core) forget(conn *Conn) {
	if conn.lingering {
		conn.lingering = false
		c.closed--
	}
	for _, id := range conn.closing.cids {
		c.table.remove(id, conn)
	}
	c.table.remove(conn.initialDCID, conn)
	c.timers.remove(conn)
	conn.migration.end(c)
	conn.closing.cids, conn.closing.packet = nil, nil
}
