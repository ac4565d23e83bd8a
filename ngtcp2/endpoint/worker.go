package endpoint

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/ngmq/ngmq/ngtcp2"
	"github.com/ngmq/ngmq/ngtcp2/endpoint/internal/udp"
)

const (
	// batchesPerSocket go round between a socket's reader and its worker: one
	// is filled while the other is processed.
	batchesPerSocket = 2
	// clientSlots is the size of a batch in messages where nothing is listened
	// on: 256 KiB.
	clientSlots = 4
	// forwardQueue bounds the datagrams that wait in a worker's inbox.
	forwardQueue = 512
	// retrySend is how long a worker waits after a full send buffer; a buffer
	// of 7 MiB drains in 6 ms at 10 Gbit/s.
	retrySend = time.Millisecond
	// drainTime bounds how long a worker that ends answers for closed
	// connections: a lost CONNECTION_CLOSE is repeated when the peer sends
	// again, which takes it a round trip.
	drainTime = 250 * time.Millisecond
)

// received is a Batch on its way from a reader to its worker.
type received struct {
	*Batch
	free      chan received // where it goes back to; nil: to the pool
	forwarded bool
}

// worker drives a Core with sockets and the clock.
type worker struct {
	core    *Core
	peers   []*worker
	full    chan received
	forward chan received
	quit    <-chan struct{} // closed: end at once
	timer   *time.Timer
	armed   ngtcp2.Timestamp
	drainBy ngtcp2.Timestamp // set by the first turn after Shutdown without live connections

	sockets     []*udp.Socket // run's own; Dial appends through the inbox
	retiring    []retiring
	closeSocket func(*udp.Socket)
}

func newWorker(core *Core, quit <-chan struct{}) *worker {
	w := &worker{
		core: core,
		full: make(chan received), forward: make(chan received, forwardQueue),
		quit: quit, timer: time.NewTimer(time.Hour), armed: ngtcp2.NoExpiry,
	}
	w.timer.Stop()
	core.closeLocal = w.closeLocal
	if core.peers > 1 {
		core.forward = w.forwardTo
	}
	return w
}

// run is the event loop: take what arrived, run what is due, write what is
// dirty, and wait.
func (w *worker) run() {
	for {
		in, ok := w.wait()
		now := ngtcp2.Now()
		w.receive(in, now)
		w.core.HandleInbox(now)
		w.core.HandleExpiry(now)
		w.send(w.core.Poll(now))
		w.retire(now)
		if !ok {
			w.cut(now)
		}
		if !ok || w.finished(now) {
			return
		}
	}
}

// cut ends what still closes gracefully with a CONNECTION_CLOSE, as far as the
// sockets take it.
func (w *worker) cut(now ngtcp2.Timestamp) {
	w.core.cutGraceful()
	for w.core.Busy() && !w.core.Held() {
		w.send(w.core.Poll(now))
	}
}

// wait returns a batch, or nothing when there is other work; ok is false when
// the worker is to end at once.
func (w *worker) wait() (in received, ok bool) {
	if w.core.Busy() && !w.core.Held() {
		return w.poll()
	}
	w.arm(w.deadline())
	select {
	case in = <-w.full:
	case in = <-w.forward:
	case <-w.core.InboxSignal():
	case <-w.timer.C:
		w.armed = ngtcp2.NoExpiry
	case <-w.quit:
		return in, false
	}
	return in, true
}

// poll takes a batch if there is one: output goes on anyway.
func (w *worker) poll() (in received, ok bool) {
	select {
	case in = <-w.full:
	case in = <-w.forward:
	case <-w.quit:
		return in, false
	default:
	}
	return in, true
}

func (w *worker) deadline() ngtcp2.Timestamp {
	at := w.core.Expiry()
	if w.core.Held() {
		at = min(at, ngtcp2.Now().Add(retrySend))
	}
	for _, r := range w.retiring {
		at = min(at, r.at)
	}
	if w.drainBy != 0 {
		at = min(at, w.drainBy)
	}
	return at
}

// arm sets the timer, if it has to change.
func (w *worker) arm(at ngtcp2.Timestamp) {
	if at == w.armed {
		return
	}
	w.armed = at
	if at == ngtcp2.NoExpiry {
		w.timer.Stop()
		return
	}
	d := time.Duration(0)
	if now := ngtcp2.Now(); at > now {
		d = at.Sub(now)
	}
	w.timer.Reset(d)
}

// receive processes a batch and gives it back to its reader.
func (w *worker) receive(in received, now ngtcp2.Timestamp) {
	if in.Batch == nil {
		return
	}
	w.core.receive(in.Batch, now, in.forwarded)
	w.core.Unreachable(in.Errors, now)
	if in.free != nil {
		in.free <- in
	} else {
		forwardPool.Put(in.Batch)
	}
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

// read fills batches from one socket until it is closed. It is a goroutine of
// its own per socket.
func (w *worker) read(s *udp.Socket, stopped <-chan struct{}) {
	free := make(chan received, batchesPerSocket)
	for range batchesPerSocket {
		free <- received{Batch: s.NewBatch(), free: free}
	}
	for {
		var in received
		select {
		case in = <-free:
		case <-stopped:
			return
		}
		if err := s.ReadBatch(in.Batch); err != nil {
			if !errors.Is(err, net.ErrClosed) {
				w.core.cfg.Logger.Error("endpoint: a socket failed", "local", s.LocalAddr(), "err", err)
			}
			return
		}
		select {
		case w.full <- in:
		case <-stopped:
			return
		}
	}
}

var forwardPool = sync.Pool{New: func() any { return &Batch{Buf: make([]byte, udp.MaxDatagram)} }}

// forwardTo gives a datagram to another worker. It never waits.
func (w *worker) forwardTo(to int, m Message, pkt []byte) bool {
	b := forwardPool.Get().(*Batch)
	m.Off, m.Len, m.Stride = 0, uint32(copy(b.Buf, pkt)), uint32(len(pkt))
	b.Msgs = append(b.Msgs[:0], m)
	select {
	case w.peers[to].forward <- received{Batch: b, forwarded: true}:
		return true
	default:
		forwardPool.Put(b)
		return false
	}
}

// finished reports whether a worker that shuts down has nothing left to do.
func (w *worker) finished(now ngtcp2.Timestamp) bool {
	if !w.core.ending || w.core.Live() > 0 || w.core.Busy() {
		return false
	}
	if w.drainBy == 0 {
		w.drainBy = now.Add(drainTime)
	}
	return w.core.Closing() == 0 || now >= w.drainBy
}
