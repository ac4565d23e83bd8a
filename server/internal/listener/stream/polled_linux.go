package stream

import (
	"errors"
	"io"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/server/internal/broker"
)

// polledEvents are what a connection asks for, once: changes alone are told.
const polledEvents = unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET

// mostReads is how often a connection is read from before others have their turn.
const mostReads = 2

// polled is a connection on an event loop. It implements broker.Transport.
type polled struct {
	l      *Listener
	w      *worker
	client *broker.Client
	remote netip.AddrPort
	fd     int
	number int32

	reading duty // to read, and to end the connection
	// Of who has it.
	heard  bool   // something has been read
	over   bool   // the socket is closed
	ended  bool   // nothing more is read for the client
	eof    bool   // the peer has ended
	thrown int    // bytes that were read after the end
	err    error  // of the end
	round  *round // during Feed

	duty   duty   // to write
	out    *batch // of who has it; nil while there is nothing to write
	budget int    // of who has it: bytes until the deadline of a write is put off

	full    atomic.Bool   // who had the duty to write has left it for when there is room
	edges   atomic.Uint32 // how often there has been
	hup     atomic.Bool   // the peer has ended: reads go on to the end
	resting atomic.Bool   // nothing is read, the client is ahead of its rates
	closing atomic.Bool   // flush once more, then end
	written atomic.Bool   // nothing is written any more
	late    atomic.Bool   // the deadline after closing is over
	failed  atomic.Pointer[error]

	deadline atomic.Int64 // of a write, or of the end; Unix time in nanoseconds, 0: none
	listed   bool         // in w.waiting; guarded by w.mu
}

// admitPolled starts a connection, unless there are too many already.
func (l *Listener) admitPolled(fd int, remote netip.AddrPort, r *round) {
	if l.cfg.Broker.Full() {
		l.refused(remote)
		unix.Close(fd)
		return
	}
	loop := l.cfg.Loop
	c := &polled{l: l, w: loop.workers[int(loop.next.Add(1))%len(loop.workers)], remote: remote, fd: fd}
	c.reading.take() // both duties, until all is set
	c.duty.take()
	c.client = l.cfg.Broker.NewClient(c)
	if !c.client.From(remote.Addr()) || !l.add(c) {
		unix.Close(fd)
		c.client.Closed(nil)
		return
	}
	c.number = c.w.number(c)
	if err := c.w.watch(fd, c.number, polledEvents); err != nil {
		c.fail(err)
		c.reading.take() // there is something to do
	}
	c.begin(r)
}

// begin leaves both duties, and does what has come up meanwhile.
func (c *polled) begin(r *round) {
	if !c.duty.leave() {
		c.write(r)
	}
	if !c.reading.leave() {
		c.attend(r)
	}
}

// Info implements broker.Transport.
func (c *polled) Info() broker.ConnInfo {
	local := addrPort(c.l.Addr())
	if local.Addr().IsUnspecified() {
		sa, _ := syscall.Getsockname(c.fd)
		local = addrPortOf(sa)
	}
	return broker.ConnInfo{Transport: c.l.transport, Listener: c.l.name, Remote: c.remote, Local: local}
}

// Wake implements broker.Transport.
func (c *polled) Wake() {
	if c.duty.take() {
		go c.writeAlone()
	}
}

// Defer implements broker.Deferrer.
func (c *polled) Defer(to broker.Transport) bool { return c.round.take(to) }

// Close implements broker.Transport.
func (c *polled) Close(packet.ReasonCode) {
	c.close()
	c.Wake()
}

func (c *polled) close() {
	if c.closing.CompareAndSwap(false, true) {
		c.setDeadline(lingerTime)
	}
}

func (c *polled) setDeadline(d time.Duration) {
	c.deadline.Store(time.Now().Add(d).UnixNano())
	c.w.expect(c)
}

// expired is what the worker calls when the deadline is over.
func (c *polled) expired(r *round) {
	switch {
	case c.full.CompareAndSwap(true, false):
		if at := c.deadline.Load(); at == 0 || at > time.Now().UnixNano() {
			c.goOn(r) // it has been written to at the last moment
			return
		}
		c.broken(os.ErrDeadlineExceeded, r)
	case c.closing.Load():
		c.late.Store(true)
		c.input(r)
	default:
		c.w.expect(c) // it is being written to
	}
}

// abort ends the connection at once.
func (c *polled) abort() {
	unix.SetsockoptLinger(c.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	unix.Shutdown(c.fd, unix.SHUT_RDWR)
}

// ready implements source.
func (c *polled) ready(events uint32, r *round) {
	const gone = unix.EPOLLRDHUP | unix.EPOLLHUP | unix.EPOLLERR
	if events&gone != 0 {
		c.hup.Store(true)
	}
	if events&(unix.EPOLLOUT|gone) != 0 {
		c.edges.Add(1)
		if c.full.CompareAndSwap(true, false) {
			c.goOn(r)
		}
	}
	if events&(unix.EPOLLIN|gone) != 0 {
		c.input(r)
	}
}

// input has the connection read from, or ended.
func (c *polled) input(r *round) {
	if c.reading.take() {
		c.attend(r)
	}
}

// attend is serve, on a goroutine of its own where handlers might hold up a worker.
func (c *polled) attend(r *round) {
	if r.w != nil && c.l.cfg.Broker.RunsHandlers() {
		go c.serveAlone()
		return
	}
	c.serve(r)
}

// rounds are for goroutines of one connection.
var rounds = sync.Pool{New: func() any { return &round{buf: make([]byte, largeRead), most: mostDeferred} }}

// serveAlone is serve on a goroutine of its own.
func (c *polled) serveAlone() {
	r := rounds.Get().(*round)
	c.serve(r)
	r.finish()
	rounds.Put(r)
}

// What is to be done about a connection next.
type prospect int

const (
	idle prospect = iota // nothing before the next event
	more                 // the same once more
	gone                 // nothing, there is none any more
)

// serve reads until there is nothing to read. The caller has the duty to.
func (c *polled) serve(r *round) {
	for {
		switch c.step(r) {
		case gone:
			return
		case more:
			if r.w != nil {
				r.w.again = append(r.w.again, c)
				return
			}
			r.finish()
		default:
			if c.reading.leave() {
				return
			}
		}
	}
}

// step reads for a while, or does the next thing that the end needs.
func (c *polled) step(r *round) (next prospect) {
	defer c.guard(&next, r)
	if c.over {
		return gone
	}
	if !c.ended && (c.closing.Load() || c.failed.Load() != nil) {
		c.end(nil, r)
	}
	if !c.ended {
		c.round = r
		next = c.read(r)
		c.round = nil
	}
	if !c.ended || !c.written.Load() || !c.lingered(r) {
		return next
	}
	c.finish()
	return gone
}

// read feeds the client.
func (c *polled) read(r *round) prospect {
	if c.rests() {
		return idle
	}
	for range mostReads {
		space := c.client.Space()
		into := space
		if space == nil {
			into = r.buf
		}
		n, err := readFrom(c.fd, into)
		if errors.Is(err, unix.EAGAIN) {
			return idle
		}
		if err == nil && n == 0 {
			c.eof = true
			err = io.EOF
		}
		if err != nil || c.closing.Load() {
			c.end(err, r)
			return idle
		}
		if err := c.feed(into[:n], space != nil); err != nil {
			c.end(err, r)
			return idle
		}
		if c.rests() || n < len(into) && !c.hup.Load() {
			return idle
		}
	}
	return more
}

// feed hands input to the client, which may have lent the space for it.
func (c *polled) feed(b []byte, lent bool) error {
	if !c.heard {
		c.heard = true
		if hint := misdirected(b, speaksMQTT); hint != "" {
			return c.client.Fail(&broker.Error{Code: packet.ProtocolError, Reason: hint})
		}
	}
	if lent {
		return c.client.Filled(len(b))
	}
	return c.client.Feed(b)
}

// rests reports whether the client is ahead of its rates. Wake is called when it no longer
// is.
func (c *polled) rests() bool {
	if c.client.Pause() <= 0 {
		return false
	}
	c.resting.Store(true)
	return c.client.Pause() > 0 || !c.resting.CompareAndSwap(true, false)
}

// end ends reading for the client.
func (c *polled) end(err error, r *round) {
	c.ended, c.err = true, err
	c.close()
	if !r.take(c) {
		c.Wake()
	}
}

// lingered reports whether the wait for the peer's end is over.
func (c *polled) lingered(r *round) bool {
	for !c.eof && !c.late.Load() && c.failed.Load() == nil && c.thrown < lingerBytes {
		n, err := readFrom(c.fd, r.buf)
		if errors.Is(err, unix.EAGAIN) {
			return false
		}
		c.thrown += n
		c.eof = err != nil || n == 0
	}
	return true
}

// finish closes the socket.
func (c *polled) finish() {
	c.over = true
	c.l.remove(c)
	c.deadline.Store(0)
	c.w.forget(c.number)
	unix.Close(c.fd)
	defer c.l.done.Done()
	c.client.Closed(endCause(c.failed.Load(), c.err))
}

// guard, deferred, makes a panic cost this connection alone.
func (c *polled) guard(next *prospect, r *round) {
	v := recover()
	if v == nil {
		return
	}
	c.l.cfg.Broker.LogPanic("reader", v)
	*next = idle
	if !c.ended {
		c.end(errPanic, r)
	}
}

func (c *polled) fail(err error) { c.failed.CompareAndSwap(nil, &err) }

func readFrom(fd int, into []byte) (n int, err error) {
	for {
		if n, err = unix.Read(fd, into); err != unix.EINTR {
			return n, err
		}
	}
}
