package stream

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// roundAccepts is how many connections of a listener are accepted in a round.
const roundAccepts = 16

// acceptor is a listener on an event loop.
type acceptor struct {
	l      *Listener
	w      *worker
	number int32
	accept func(fd int) (int, syscall.Sockaddr, error)

	mu    sync.Mutex // held while it accepts
	fd    int        // -1: no more
	pause time.Duration
}

// serveLoop is Serve with an event loop.
func (l *Listener) serveLoop(ctx context.Context) error {
	raw, err := l.listener.(syscall.Conn).SyscallConn()
	if err != nil {
		return err
	}
	var served error
	err = raw.Control(func(fd uintptr) { served = l.acceptOn(ctx, int(fd)) })
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return errors.Join(err, served)
}

// acceptOn lets the loop accept connections until Close.
func (l *Listener) acceptOn(ctx context.Context, fd int) error {
	w := l.cfg.Loop.workers[0]
	a := &acceptor{l: l, w: w, fd: fd, accept: accept4, pause: minAcceptPause}
	a.number = w.number(a)
	defer w.forget(a.number)
	if err := w.watch(fd, a.number, unix.EPOLLIN); err != nil {
		return err
	}
	select {
	case <-l.stop:
	case <-ctx.Done():
	}
	a.end()
	return nil
}

// end waits until nothing is accepted any more.
func (a *acceptor) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.unwatch()
	a.fd = -1
}

func (a *acceptor) unwatch() {
	unix.EpollCtl(a.w.epoll, unix.EPOLL_CTL_DEL, a.fd, nil)
}

// accept4 is that of package syscall: the one of package unix makes one more system call,
// to learn the protocol.
func accept4(fd int) (int, syscall.Sockaddr, error) {
	return syscall.Accept4(fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
}

// ready implements source.
func (a *acceptor) ready(_ uint32, r *round) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for n := 0; a.fd >= 0 && n < roundAccepts; n++ {
		fd, from, err := a.accept(a.fd)
		switch {
		case err == nil:
			a.pause = minAcceptPause
			a.l.admitPolled(fd, addrPortOf(from), r)
		case errors.Is(err, unix.EAGAIN):
			return
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.ECONNABORTED):
		default:
			a.rest(err)
			return
		}
	}
}

// rest accepts nothing for a while.
func (a *acceptor) rest(err error) {
	a.l.acceptFailed(err, a.pause)
	a.unwatch()
	time.AfterFunc(a.pause, a.resume)
	a.pause = min(2*a.pause, maxAcceptPause)
}

func (a *acceptor) resume() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.fd < 0 {
		return
	}
	if err := a.w.watch(a.fd, a.number, unix.EPOLLIN); err != nil {
		a.l.acceptFailed(err, a.pause)
		time.AfterFunc(a.pause, a.resume)
	}
}

// addrPortOf is the address in a sockaddr; of a Unix socket there is none.
func addrPortOf(sa syscall.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *syscall.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *syscall.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr).Unmap().WithZone(zoneName(sa.ZoneId)), uint16(sa.Port))
	}
	return netip.AddrPort{}
}

// zoneName is the name of an interface.
func zoneName(id uint32) string {
	if id == 0 {
		return ""
	}
	if i, err := net.InterfaceByIndex(int(id)); err == nil {
		return i.Name
	}
	return strconv.FormatUint(uint64(id), 10)
}
