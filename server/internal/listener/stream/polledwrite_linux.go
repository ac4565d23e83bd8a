package stream

import (
	"errors"
	"net"

	"golang.org/x/sys/unix"
)

// takeDuty implements deferred.
func (c *polled) takeDuty() bool { return c.duty.take() }

// turn implements deferred.
func (c *polled) turn(r *round) { c.write(r) }

// goOn is write when there is room again.
func (c *polled) goOn(r *round) {
	if c.l.cfg.Broker.RunsHandlers() {
		go c.writeAlone()
	} else {
		c.write(r)
	}
}

// writeAlone is write on a goroutine of its own.
func (c *polled) writeAlone() {
	r := rounds.Get().(*round)
	c.write(r)
	r.finish()
	rounds.Put(r)
}

// write writes until there is nothing more, or no room. The caller has the duty, and keeps
// it after the end, or leaves it for when there is room.
func (c *polled) write(r *round) {
	for turns := 0; ; turns++ {
		if turns == mostTurns && r.w != nil {
			go c.writeAlone()
			return
		}
		last := c.closing.Load()
		done, err := c.flush()
		switch {
		case err != nil:
			c.broken(err, r)
			return
		case !done:
			return
		case last:
			unix.Shutdown(c.fd, unix.SHUT_WR)
			c.written.Store(true)
			c.input(r)
			return
		}
		if c.resting.CompareAndSwap(true, false) {
			c.input(r)
		}
		if c.duty.leave() {
			return
		}
	}
}

// broken ends a connection that cannot be written to. Nobody gets the duty any more.
func (c *polled) broken(err error, r *round) {
	c.returnBatch()
	c.fail(err)
	c.written.Store(true)
	c.input(r)
}

func (c *polled) returnBatch() {
	if c.out != nil {
		c.out.reset()
		batches.Put(c.out)
		c.out = nil
	}
}

// flush sends what the client has. It returns false when there is no room: whoever is told
// that there is has the duty then.
func (c *polled) flush() (done bool, err error) {
	defer c.l.guard(&err)
	if c.out == nil {
		c.out = batches.Get().(*batch)
	}
	for {
		if done, err := c.send(); !done || err != nil {
			return false, err
		}
		all := c.out.size > 0 && c.out.Room() > 0
		c.out.reset()
		if all {
			break
		}
		if c.client.Flush(c.out); c.out.size == 0 {
			break
		}
		c.out.now = c.out.vector(false)
	}
	c.returnBatch()
	return true, nil
}

// send writes what is left of c.out.
func (c *polled) send() (done bool, err error) {
	for len(c.out.now) > 0 {
		edges := c.edges.Load()
		part, _ := first(c.out.now)
		n, err := writeTo(c.fd, part)
		switch {
		case err == nil:
			advance(&c.out.now, n)
			c.progress(n)
		case !errors.Is(err, unix.EAGAIN):
			return false, err
		default:
			if c.leaveFull(edges) {
				return false, nil
			}
		}
	}
	c.progress(writeBytes)
	return true, nil
}

// leaveFull leaves the duty for when there is room, if there has been none since edges.
func (c *polled) leaveFull(edges uint32) bool {
	if c.budget <= 0 {
		c.budget = writeBytes
		c.setWriteDeadline()
	} else {
		c.w.expect(c)
	}
	c.full.Store(true)
	return c.edges.Load() == edges || !c.full.CompareAndSwap(true, false)
}

// setWriteDeadline bounds the wait for room.
func (c *polled) setWriteDeadline() {
	c.setDeadline(c.l.cfg.WriteTimeout)
	if c.closing.Load() { // its deadline must not be put off
		c.setDeadline(lingerTime)
	}
}

// progress ends the deadline when enough has been written.
func (c *polled) progress(n int) {
	if c.budget <= 0 {
		return
	}
	if c.budget -= n; c.budget <= 0 && !c.closing.Load() {
		c.deadline.Store(0)
		if c.closing.Load() {
			c.setDeadline(lingerTime)
		}
	}
}

func writeTo(fd int, vec net.Buffers) (n int, err error) {
	for {
		if len(vec) == 1 {
			n, err = unix.Write(fd, vec[0])
		} else {
			n, err = unix.Writev(fd, vec)
		}
		if err != unix.EINTR {
			return n, err
		}
	}
}
