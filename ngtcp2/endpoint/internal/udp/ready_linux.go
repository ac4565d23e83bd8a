//go:build linux

package udp

import (
	"errors"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// readiness waits for a socket to become readable. Go's poller would watch the
// socket for writing too (EPOLLOUT, edge-triggered) and be woken by every datagram
// that has left it. So it watches an epoll instance, which is readable when the
// socket is, and which never tells of writing.
type readiness struct {
	epoll *os.File
	raw   syscall.RawConn // of epoll; its callback keeps fd open, since close waits for it
	fd    int             // the socket
}

func (r *readiness) open(fd int) error {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}
	err = unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, fd, &event)
	if err == nil {
		err = unix.SetNonblock(ep, true) // for os.NewFile to give it to the poller
	}
	if err != nil {
		_ = unix.Close(ep)
		return os.NewSyscallError("epoll_ctl", err)
	}
	r.epoll, r.fd = os.NewFile(uintptr(ep), "epoll"), fd
	r.raw, err = r.epoll.SyscallConn()
	return err
}

// close ends a wait and returns when no callback of raw runs.
func (r *readiness) close() error {
	if r.epoll == nil {
		return nil
	}
	return r.epoll.Close()
}

// detach takes the socket out of conn, which it closes, and out of Go's poller.
func detach(conn *net.UDPConn) (*os.File, error) {
	fd := -1
	raw, err := conn.SyscallConn()
	if err == nil {
		err = control(raw, func(old int) (err error) {
			fd, err = unix.FcntlInt(uintptr(old), unix.F_DUPFD_CLOEXEC, 0)
			return err
		})
	}
	if err = errors.Join(err, conn.Close()); fd < 0 {
		return nil, err
	}
	// Every call here has MSG_DONTWAIT; a blocking descriptor is one that
	// os.NewFile does not give to the poller.
	if err = errors.Join(err, unix.SetNonblock(fd, false)); err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), "udp"), nil
}
