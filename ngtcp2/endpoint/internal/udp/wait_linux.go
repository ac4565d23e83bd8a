//go:build linux

package udp

import (
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// waiter waits for a socket in a system call, without Go's poller: an epoll instance with
// the socket and an eventfd, which interrupts.
type waiter struct {
	mu     sync.Mutex // held while fds are in use
	socket int
	epoll  int
	closed atomic.Bool
	events [2]unix.EpollEvent // of a wait
	limit  unix.Timespec

	event *os.File
	raw   syscall.RawConn // of event; its callback keeps it open
	ring  func(fd uintptr)
}

var one uint64 = 1 // what is added to an eventfd; it is never read, and large enough for ever

func newWaiter(socket int) (*waiter, error) {
	ev, err := unix.Eventfd(0, unix.EFD_CLOEXEC) // blocking, for os.NewFile not to give it to the poller
	if err != nil {
		return nil, os.NewSyscallError("eventfd", err)
	}
	w := &waiter{socket: socket, event: os.NewFile(uintptr(ev), "eventfd"), ring: func(fd uintptr) {
		_, _, _ = unix.RawSyscall(unix.SYS_WRITE, fd, uintptr(unsafe.Pointer(&one)), unsafe.Sizeof(one))
	}}
	w.raw, err = w.event.SyscallConn()
	if err == nil {
		w.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	}
	if err != nil {
		_ = w.event.Close()
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	// Edge-triggered, so that nobody has to read what was written.
	for fd, events := range map[int]uint32{socket: unix.EPOLLIN, ev: unix.EPOLLIN | unix.EPOLLET} {
		if err := unix.EpollCtl(w.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)}); err != nil {
			w.close()
			return nil, os.NewSyscallError("epoll_ctl", err)
		}
	}
	return w, nil
}

// interrupt ends a wait, or the next one. Any goroutine.
func (w *waiter) interrupt() { _ = w.raw.Control(w.ring) }

// wait returns when the socket is readable, when it is interrupted, or after d; less than 0
// is for ever.
func (w *waiter) wait(d time.Duration) (readable bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed.Load() {
		return false, net.ErrClosed
	}
	var limit *unix.Timespec
	if d >= 0 {
		w.limit = unix.NsecToTimespec(int64(d))
		limit = &w.limit
	}
	n, _, e := unix.Syscall6(unix.SYS_EPOLL_PWAIT2, uintptr(w.epoll), uintptr(unsafe.Pointer(&w.events[0])), uintptr(len(w.events)),
		uintptr(unsafe.Pointer(limit)), 0, 0)
	switch {
	case w.closed.Load():
		return false, net.ErrClosed
	case e == 0:
		return slices.ContainsFunc(w.events[:n], func(e unix.EpollEvent) bool { return int(e.Fd) == w.socket }), nil
	case e == unix.EINTR:
		return false, nil
	}
	return false, os.NewSyscallError("epoll_pwait2", e)
}

// do calls f, which does not wait, while the socket is open.
func (w *waiter) do(f func(fd uintptr) bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed.Load() {
		return net.ErrClosed
	}
	f(0)
	return nil
}

func (w *waiter) close() {
	if w.closed.Swap(true) {
		return
	}
	w.interrupt()
	w.mu.Lock()
	defer w.mu.Unlock()
	_ = unix.Close(w.epoll)
	_ = w.event.Close()
}

// Block prepares for WaitBatch in place of ReadBatch. Go's poller has nothing to do with the
// socket then, nor has Go's scheduler: the reader keeps its thread and, if another is idle,
// for 10 ms its P. A datagram wakes that thread alone. Block is called before the first
// read; with an error nothing has changed.
func (s *Socket) Block() error {
	w, err := newWaiter(s.ready.fd)
	if err != nil {
		return err
	}
	if _, err := w.wait(0); err != nil { // Linux before 5.11
		w.close()
		return err
	}
	err = s.ready.close()
	s.ready.epoll, s.waiter = nil, w
	return err
}

// burst is the number of datagrams in a read from which on a wait begins with yield: there
// is a lot of traffic, and with less the next one would be late for nothing.
const burst = 8

// yield lets other threads have the CPU, if they want it: clients on the same machine, or
// other workers. Then there is more to read at once, and that costs much less for each
// datagram than to be woken by the first of them, ahead of those who send the next.
func yield() { _, _, _ = unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0) }

// WaitBatch is ReadBatch after Block. It returns after d too, of which less than 0 is for
// ever, and after Interrupt; then b may stay empty.
func (s *Socket) WaitBatch(b *Batch, d time.Duration) error {
	many := b.datagrams() >= burst
	err := s.PollBatch(b)
	if err != nil || !b.empty() || d == 0 {
		return err
	}
	if many {
		yield()
		if err = s.PollBatch(b); err != nil || !b.empty() {
			return err
		}
	}
	readable, err := s.waiter.wait(d)
	if err != nil || !readable {
		return err
	}
	return s.PollBatch(b)
}

// Interrupt ends WaitBatch, or the next one. Any goroutine.
func (s *Socket) Interrupt() { s.waiter.interrupt() }
