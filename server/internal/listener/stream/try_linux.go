package stream

import (
	"errors"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// attempt is a write that does not wait.
type attempt struct {
	vec net.Buffers
	n   int
	err error
	run func(fd uintptr) bool // of RawConn.Write; made once
}

func (a *attempt) init() {
	a.run = func(fd uintptr) bool {
		for a.err = syscall.EINTR; a.err == syscall.EINTR; {
			if len(a.vec) == 1 {
				a.n, a.err = unix.Write(int(fd), a.vec[0])
			} else {
				a.n, a.err = unix.Writev(int(fd), a.vec)
			}
		}
		return true
	}
}

// write gives how many bytes of vec the system has taken, 0 when it would have to wait.
func (a *attempt) write(to syscall.RawConn, vec net.Buffers) (n int, err error) {
	a.vec = vec
	err = to.Write(a.run)
	a.vec = nil
	switch {
	case err != nil:
		return 0, err
	case errors.Is(a.err, syscall.EAGAIN):
		return 0, nil
	case a.err != nil:
		return 0, a.err
	}
	return a.n, nil
}
