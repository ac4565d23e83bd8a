package stream

import (
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ngmq/ngmq/server/internal/broker"
)

const (
	// roundEvents is for how many connections a worker takes events at a time.
	roundEvents = 64
	// roundRead is the read buffer of a worker, in bytes.
	roundRead = 64 << 10
	// expiryTick is how often a worker looks for connections that are late, while there
	// are any that may be.
	expiryTick = 200 * time.Millisecond
)

// Loop serves plain connections with event loops: a few workers, each with an epoll
// instance, in place of a goroutine for each connection. Its methods may be called from
// any goroutine.
type Loop struct {
	workers []*worker
	next    atomic.Uint32 // who gets the next connection
	ended   sync.WaitGroup
}

// NewLoop starts the workers: one less than there are processors for Go (GOMAXPROCS), for
// a worker that waits keeps its processor for a while. The caller calls Close. With one
// processor, and on other systems than Linux, the result is nil: Config.Loop without a loop.
func NewLoop(b *broker.Broker) (*Loop, error) {
	n := runtime.GOMAXPROCS(0) - 1
	if n == 0 {
		return nil, nil
	}
	return startLoop(b, n)
}

// startLoop starts n workers.
func startLoop(b *broker.Broker, n int) (*Loop, error) {
	l := &Loop{}
	for range n {
		w, err := newWorker(b)
		if err != nil {
			l.Close()
			return nil, err
		}
		l.workers = append(l.workers, w)
		l.ended.Go(w.run)
	}
	return l, nil
}

// Close ends the workers. The listeners and their connections are gone, see Listener.Wait.
func (l *Loop) Close() {
	if l == nil {
		return
	}
	for _, w := range l.workers {
		w.end()
	}
	l.ended.Wait()
}

// worker is one event loop.
type worker struct {
	b     *broker.Broker
	epoll int
	bell  int // eventfd: ends the wait

	// Of the worker's goroutine.
	round  round
	again  []*polled // those that have more to read
	events [roundEvents]unix.EpollEvent
	found  [roundEvents]source

	sleeping atomic.Bool // it waits, or is about to

	mu      sync.Mutex
	sources []source  // by the number that their events have
	free    []int32   // numbers that nobody has
	waiting []*polled // those with a deadline, and some that have none any more
	look    int64     // when to look at them
	ended   bool
}

// source is what has events.
type source interface {
	// ready handles them, on the worker that r belongs to.
	ready(events uint32, r *round)
}

func newWorker(b *broker.Broker) (w *worker, err error) {
	w = &worker{b: b, epoll: -1, bell: -1}
	buf := make([]byte, roundRead)
	w.round = round{w: w, buf: buf, most: mostLoopDeferred}
	if w.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, err
	}
	if w.bell, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err == nil {
		err = w.watch(w.bell, w.number(bell(w.bell)), unix.EPOLLIN)
	}
	if err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

func (w *worker) close() {
	unix.Close(w.epoll)
	if w.bell >= 0 {
		unix.Close(w.bell)
	}
}

// bell is the eventfd of a worker.
type bell int

// ready implements source.
func (b bell) ready(uint32, *round) {
	var count [8]byte
	unix.Read(int(b), count[:])
}

// ring ends the wait of a worker.
func (w *worker) ring() {
	if w.sleeping.Load() {
		unix.Write(w.bell, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	}
}

// number gives a source the number of its events.
func (w *worker) number(s source) int32 {
	w.mu.Lock()
	defer w.mu.Unlock()
	if last := len(w.free) - 1; last >= 0 {
		n := w.free[last]
		w.free = w.free[:last]
		w.sources[n] = s
		return n
	}
	w.sources = append(w.sources, s)
	return int32(len(w.sources) - 1)
}

// forget gives a number back.
func (w *worker) forget(n int32) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sources[n] = nil
	w.free = append(w.free, n)
}

func (w *worker) watch(fd int, number int32, events uint32) error {
	return unix.EpollCtl(w.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: events, Fd: number})
}

func (w *worker) end() {
	w.mu.Lock()
	w.ended = true
	w.mu.Unlock()
	w.ring()
}

func (w *worker) run() {
	defer w.close()
	for {
		n, ended := w.wait()
		if ended {
			return
		}
		w.find(n)
		w.expire()
		for i := range n {
			if s := w.found[i]; s != nil {
				w.found[i] = nil
				s.ready(w.events[i].Events, &w.round)
			}
		}
		w.goOn()
		w.round.finish()
	}
}

// wait gives the number of events.
func (w *worker) wait() (n int, ended bool) {
	w.sleeping.Store(true)
	timeout, ended := w.timeout()
	if ended {
		return 0, true
	}
	if timeout != 0 {
		runtime.Gosched() // what has become ready needs no other processor
	}
	n, err := unix.EpollWait(w.epoll, w.events[:], timeout)
	w.sleeping.Store(false)
	if err != nil && !errors.Is(err, unix.EINTR) {
		panic(err)
	}
	return max(n, 0), false
}

// timeout is for how long to wait, in milliseconds.
func (w *worker) timeout() (ms int, ended bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case len(w.again) > 0:
		return 0, w.ended
	case len(w.waiting) > 0:
		return int(expiryTick / time.Millisecond), w.ended
	}
	return -1, w.ended
}

// find looks up the sources of n events.
func (w *worker) find(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range n {
		w.found[i] = w.sources[w.events[i].Fd]
	}
}

// goOn gives those a turn that had more to read.
func (w *worker) goOn() {
	again := w.again
	w.again = nil
	for _, c := range again {
		c.attend(&w.round)
	}
}

// expect has the worker look for the deadline of a connection.
func (w *worker) expect(c *polled) {
	w.mu.Lock()
	first := len(w.waiting) == 0
	if !c.listed {
		c.listed = true
		w.waiting = append(w.waiting, c)
	}
	w.mu.Unlock()
	if first {
		w.ring()
	}
}

// expire ends the wait of those that are late.
func (w *worker) expire() {
	for _, c := range w.late() {
		c.expired(&w.round)
	}
}

// late takes those off the list whose time is over, and those that have no deadline any
// more.
func (w *worker) late() (late []*polled) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.waiting) == 0 {
		return nil
	}
	now := time.Now().UnixNano()
	if now < w.look {
		return nil
	}
	w.look = now + int64(expiryTick)
	still := w.waiting[:0]
	for _, c := range w.waiting {
		at := c.deadline.Load()
		if at > now {
			still = append(still, c)
			continue
		}
		c.listed = false
		if at != 0 {
			late = append(late, c)
		}
	}
	clear(w.waiting[len(still):])
	w.waiting = still
	return late
}
