package endpoint

import (
	"errors"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"time"

	"github.com/ngmq/ngmq/ngtcp2"
	"github.com/ngmq/ngmq/ngtcp2/endpoint/internal/udp"
)

const (
	// clientSlots is the size of a batch in messages where nothing is listened
	// on: 256 KiB.
	clientSlots = 4
	// forwardQueue bounds the datagrams that wait in a worker's inbox.
	forwardQueue = 512
	// retrySend is how long a worker waits after a full send buffer; a buffer
	// of 7 MiB drains in 6 ms at 10 Gbit/s.
	retrySend = time.Millisecond
	// lateTimers bounds how long timers wait for datagrams that are read first: well
	// below the least PTO, which has a max_ack_delay of 25 ms (RFC 9002 6.2).
	lateTimers = 10 * time.Millisecond
	// burstSize is the number of bytes in a turn from which on the pause that
	// follows (pacing) is kept exactly when it is no longer than shortPause: the
	// runtime wakes a sleeper up to a millisecond late.
	burstSize  = 32 << 10
	shortPause = 200 * time.Microsecond
	// yieldInterval is how often a reader that waits in system calls lets Go's scheduler in:
	// before that takes the P of a goroutine which has had it for 10 ms.
	yieldInterval = 5 * time.Millisecond
	// drainTime bounds how long a worker that ends answers for closed
	// connections: a lost CONNECTION_CLOSE is repeated when the peer sends
	// again, which takes it a round trip.
	drainTime = 250 * time.Millisecond
	// shutdownPoll is how often a worker that has nothing left to do looks whether the
	// others need it still, to forward what comes to its sockets.
	shutdownPoll = 5 * time.Millisecond
)

// worker drives a Core with sockets and the clock. A turn is made by the
// goroutine that has something for it, so that a datagram is processed where it
// was read: worker.read with a batch; worker.run with a forwarded datagram, the
// inbox or the timer.
type worker struct {
	peers   []*worker
	forward chan *Batch     // datagrams that other workers received
	quit    <-chan struct{} // closed: end at once
	timer   *time.Timer

	mu          sync.Mutex // held during a turn, for everything below
	core        *Core
	armed       ngtcp2.Timestamp // what timer is set to
	drainBy     ngtcp2.Timestamp // set by the first turn after Shutdown without live connections
	ended       bool
	backlog     bool             // the last read was cut short by a full batch: another follows
	busy        bool             // one goroutine, driver, makes turns without waiting between them
	driver      *udp.Socket      // its socket; nil: run
	resume      ngtcp2.Timestamp // end of the pause after a burst
	sockets     []*udp.Socket    // Dial appends through the inbox
	retiring    []retiring
	closeSocket func(*udp.Socket)

	yielded ngtcp2.Timestamp // when the reader that waits in system calls did so last; its alone
}

func newWorker(core *Core, quit <-chan struct{}) *worker {
	w := &worker{
		core: core, forward: make(chan *Batch, forwardQueue),
		quit: quit, timer: time.NewTimer(time.Hour), armed: ngtcp2.NoExpiry,
	}
	w.timer.Stop()
	core.closeLocal = w.closeLocal
	if core.peers > 1 {
		core.forward = w.forwardTo
	}
	return w
}

// turn is one round of the event loop: take what arrived (b may be nil), run what
// is due, write what is dirty, set the timer. The reader of socket by makes it, or
// run (nil). It reports whether the caller is to make another at once.
func (w *worker) turn(b *Batch, by *udp.Socket) (again bool) {
	more, forwarded := false, by == nil
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		return false
	}
	w.core.inbox.attend()
	now := ngtcp2.Now()
	if b != nil {
		w.core.receive(b, now, forwarded)
		w.core.Unreachable(b.Errors, now)
	}
	if b != nil && !forwarded {
		w.backlog = b.Full()
		more = w.backlog
	}
	w.core.HandleInbox(now)
	w.expire(now)
	buf, runs := w.core.Poll(now)
	more = w.paced(now, runs) || more
	w.send(buf, runs)
	w.retire(now)
	w.ended = w.finished(now)
	more = w.core.inbox.leave() || more
	if w.ended {
		w.core.inbox.token() // for run to return
		return false
	}
	return w.drive(more || w.core.Busy() && !w.core.Held(), by)
}

// drive lets one goroutine at a time go on without waiting: two would only wait for each
// other, and take time from the process's other end of a connection. The one that stops
// sets the timer.
func (w *worker) drive(more bool, by *udp.Socket) bool {
	if w.busy && w.driver != by {
		return false
	}
	if w.busy, w.driver = more, by; !more {
		w.arm(w.deadline(), by)
	}
	return more
}

// paced reports whether the end of a pause between two bursts is so near that it
// is not slept for: runs are what is sent now.
func (w *worker) paced(now ngtcp2.Timestamp, runs []Transmit) bool {
	n := 0
	for i := range runs {
		n += runs[i].Len
	}
	if n >= burstSize {
		w.resume = w.core.Expiry()
	}
	return now < w.resume && w.resume <= now.Add(shortPause)
}

// expire runs the timers that are due. It puts them off while more datagrams are
// waiting in a socket, which may bring the acknowledgements that they wait for.
func (w *worker) expire(now ngtcp2.Timestamp) {
	if !w.backlog || w.core.Expiry().Add(lateTimers) < now {
		w.core.HandleExpiry(now)
	}
}

// run makes the turns that no datagram of an own socket brings, until the worker
// has ended.
func (w *worker) run() {
	for more := true; ; {
		b, ok := w.wait(more)
		more = w.turn(b, nil)
		if b != nil {
			forwardPool.Put(b)
		}
		if !ok {
			w.cut()
		}
		if w.over() {
			return
		}
	}
}

func (w *worker) over() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ended
}

// cut ends the worker, and what still closes gracefully with a CONNECTION_CLOSE,
// as far as the sockets take it.
func (w *worker) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
	w.core.Shutdown() // it may not have got here
	w.core.cutGraceful()
	for w.core.Busy() && !w.core.Held() {
		w.send(w.core.Poll(ngtcp2.Now()))
	}
}

// wait returns when there is something to do: a forwarded datagram, or other
// work. more: there is, so it only looks. ok is false when the worker is to end
// at once.
func (w *worker) wait(more bool) (b *Batch, ok bool) {
	if more {
		select {
		case b = <-w.forward:
		case <-w.quit:
			return nil, false
		default:
		}
		return b, true
	}
	select {
	case b = <-w.forward:
	case <-w.core.InboxSignal():
	case <-w.timer.C:
		w.fired()
	case <-w.quit:
		return nil, false
	}
	return b, true
}

// fired notes that the timer has to be set again, also to the same time.
func (w *worker) fired() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.armed = ngtcp2.NoExpiry
}

func (w *worker) deadline() ngtcp2.Timestamp {
	at := w.core.Expiry()
	if w.backlog {
		at = at.Add(lateTimers)
	}
	if w.core.Held() {
		at = min(at, ngtcp2.Now().Add(retrySend))
	}
	if w.backlog {
		at = max(at, ngtcp2.Now().Add(retrySend)) // the reader goes on at once
	}
	for _, r := range w.retiring {
		at = min(at, r.at)
	}
	if w.drainBy != 0 {
		at = min(at, w.drainBy)
	} else if w.core.ending && w.core.Live() == 0 {
		at = min(at, ngtcp2.Now().Add(shutdownPoll))
	}
	return at
}

// arm sets the timer, if nothing earlier is set: a deadline that moves away with
// every datagram costs one early turn, not a change of the timer each time, which may
// wake a thread. A reader that waits in a system call needs no timer.
func (w *worker) arm(at ngtcp2.Timestamp, by *udp.Socket) {
	if s := w.core.inbox.reader.Load(); s != nil {
		if by != s && at < w.armed {
			s.Interrupt()
		}
		w.armed = at
		return
	}
	if at >= w.armed {
		return
	}
	w.armed = at
	d := time.Duration(0)
	if now := ngtcp2.Now(); at > now {
		d = at.Sub(now)
	}
	w.timer.Reset(d)
}

// send hands datagrams to their sockets. What a full socket does not take stays
// with the Core, which holds all connections back until it is sent.
func (w *worker) send(buf []byte, runs []Transmit) {
	if len(runs) == 0 {
		return
	}
	for len(runs) > 0 {
		n, s := w.sameSocket(runs)
		if s == nil {
			runs = runs[n:]
			continue
		}
		rest, err := s.WriteBatch(buf, runs[:n])
		w.core.stats.countGSO(s)
		w.core.Unreachable(s.SendErrors(), w.core.now)
		runs = runs[n-len(rest):]
		if errors.Is(err, udp.ErrBlocked) {
			w.core.stats.inc(SendBlocked)
			break
		}
		if err != nil {
			runs = runs[len(rest):]
		}
	}
	w.core.Sent(runs)
}

// sameSocket is the socket of the first run, and how many runs share it.
func (w *worker) sameSocket(runs []Transmit) (int, *udp.Socket) {
	if len(w.sockets) == 1 {
		return len(runs), w.sockets[0]
	}
	s, n := w.socketFor(runs[0].Local), 1
	for n < len(runs) && w.socketFor(runs[n].Local) == s {
		n++
	}
	return n, s
}

// socketFor finds the socket that is bound to local, or to its port on the
// unspecified address.
func (w *worker) socketFor(local netip.AddrPort) *udp.Socket {
	for _, s := range w.sockets {
		if at := s.LocalAddr(); at == local || at.Port() == local.Port() && at.Addr().IsUnspecified() {
			return s
		}
	}
	return nil
}

// read makes turns with what one socket receives, until it is closed. It is a
// goroutine of its own per socket.
func (w *worker) read(s *udp.Socket) {
	b := s.NewBatch()
	err := w.receive(s, b, false)
	for err == nil {
		err = w.receive(s, b, w.turn(b, s))
	}
	w.unblock(s)
	if w.turn(&Batch{}, s) { // no backlog
		w.handOver()
	}
	if !errors.Is(err, net.ErrClosed) {
		w.core.cfg.Logger.Error("endpoint: a socket failed", "local", s.LocalAddr(), "err", err)
	}
}

// receive reads what has come to s. It waits for something unless there is more to do.
func (w *worker) receive(s *udp.Socket, b *Batch, more bool) error {
	switch {
	case more:
		return s.PollBatch(b)
	case w.core.inbox.reader.Load() == s:
		w.yield()
		return s.WaitBatch(b, w.patience())
	}
	return s.ReadBatch(b)
}

// yield lets Go's scheduler in, every yieldInterval. The reader calls it without mu, which
// others would wait for all that time.
func (w *worker) yield() {
	now := ngtcp2.Now()
	if w.yielded.Add(yieldInterval) < now {
		w.yielded = now
		runtime.Gosched()
	}
}

// patience is how long a reader may wait in a system call, less than 0 for ever.
func (w *worker) patience() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.busy: // another goroutine makes the turns, and interrupts when it stops
		w.armed = ngtcp2.NoExpiry
		return -1
	case w.armed == ngtcp2.NoExpiry || w.ended:
		return -1
	}
	return max(0, w.armed.Sub(ngtcp2.Now()))
}

// unblock gives the inbox and the deadline to run, if the reader of s had them.
func (w *worker) unblock(s *udp.Socket) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.core.inbox.reader.CompareAndSwap(s, nil) {
		w.armed = ngtcp2.NoExpiry
	}
}

// handOver leaves what is to be done at once to run.
func (w *worker) handOver() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.busy = false
	w.core.inbox.ring()
}

var forwardPool = sync.Pool{New: func() any { return &Batch{Buf: make([]byte, udp.MaxDatagram)} }}

// forwardTo gives a datagram to another worker. It never waits.
func (w *worker) forwardTo(to int, m Message, pkt []byte) bool {
	b := forwardPool.Get().(*Batch)
	m.Off, m.Len, m.Stride = 0, uint32(copy(b.Buf, pkt)), uint32(len(pkt))
	b.Msgs = append(b.Msgs[:0], m)
	select {
	case w.peers[to].forward <- b:
		return true
	default:
		forwardPool.Put(b)
		return false
	}
}

// finished reports whether a worker that shuts down has nothing left to do: its own
// connections have ended, and those of other workers, whose packets may come here.
func (w *worker) finished(now ngtcp2.Timestamp) bool {
	if !w.core.ending || w.core.Live() > 0 || w.core.Busy() || w.core.shared.conns.Load() > 0 {
		return false
	}
	if w.drainBy == 0 {
		w.drainBy = now.Add(drainTime)
	}
	return w.core.Closing() == 0 || now >= w.drainBy
}
