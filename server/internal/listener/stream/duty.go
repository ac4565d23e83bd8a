package stream

import (
	"sync/atomic"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/server/internal/broker"
)

// duty says who writes to a connection: at most one goroutine at a time, and nobody while
// there is nothing to write. The zero value is a connection to which nobody writes.
type duty struct{ state atomic.Uint32 }

const (
	dutyFree  = iota // nobody writes
	dutyTaken        // somebody writes, or is going to
	dutyAgain        // the same, and there is more since
)

// take gives the caller the duty, unless somebody has it, who then looks again.
func (d *duty) take() bool {
	for {
		switch {
		case d.state.CompareAndSwap(dutyFree, dutyTaken):
			return true
		case d.state.CompareAndSwap(dutyTaken, dutyAgain), d.state.Load() == dutyAgain:
			return false
		}
	}
}

// leave ends the caller's duty. It returns false when there is more to write: the caller
// has it still.
func (d *duty) leave() bool {
	if d.state.CompareAndSwap(dutyTaken, dutyFree) {
		return true
	}
	d.state.Store(dutyTaken)
	return false
}

const (
	// mostTurns is how often a reader asks one connection for more to write, and how often
	// it writes to one for which others have more meanwhile. A client for which there is
	// always more gets a goroutine.
	mostTurns = 4
)

// Wake implements broker.Transport.
func (c *conn) Wake() {
	if c.duty.take() {
		go c.write()
	}
}

// Defer implements broker.Deferrer: the reader writes what the packets that it has read
// mean for others, if that goes without waiting. A goroutine for each of them would cost
// more than the write.
func (c *conn) Defer(to broker.Transport) bool { return c.round.take(to) }

// takeDuty implements deferred.
func (c *conn) takeDuty() bool { return c.duty.take() }

// turn implements deferred; when what can be written without waiting is not enough, a
// goroutine takes over.
func (c *conn) turn(*round) {
	for range mostTurns {
		done, err := c.flushNow()
		switch {
		case err != nil:
			c.broken(err)
			return
		case !done:
			go c.write()
			return
		case c.duty.leave():
			return
		}
	}
	go c.write()
}

// write writes until there is nothing more. It has the duty, and keeps it after the end.
func (c *conn) write() {
	for {
		last, err := c.flushAll()
		switch {
		case err != nil:
			c.broken(err)
			return
		case last:
			close(c.written)
			return
		case c.duty.leave():
			return
		}
	}
}

// broken ends a connection that cannot be written to. Nobody gets the duty any more.
func (c *conn) broken(err error) {
	if c.out != nil {
		c.out.reset()
		c.returnBatch()
	}
	c.fail(err)
	close(c.written)
}

// flushNow sends what the client has. It returns false when it would have to wait, or when
// there is something rare to send.
func (c *conn) flushNow() (done bool, err error) {
	defer c.l.guard(&err)
	if c.closing.Load() || c.ws != nil && c.ws.ping.Load() != nil {
		return false, nil
	}
	return c.drain(false)
}

// flushAll sends what the client has, and after Close the end.
func (c *conn) flushAll() (last bool, err error) {
	defer c.l.guard(&err)
	last = c.closing.Load()
	if c.out != nil { // the rest of a frame
		_, err = c.send(true)
	}
	if err == nil {
		err = c.answerPing()
	}
	if err == nil {
		_, err = c.drain(true)
	}
	if err == nil && last {
		c.closeWrite()
	}
	c.endWriteDeadline()
	return last, err
}

// guard, deferred, makes an error of a panic: a bug costs one connection, not the one whose
// reader writes.
func (l *Listener) guard(err *error) {
	if v := recover(); v != nil {
		l.cfg.Broker.LogPanic("writer", v)
		*err = errPanic
	}
}

var errPanic = &broker.Error{Code: packet.UnspecifiedError, Reason: "internal error"}
