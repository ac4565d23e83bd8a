package stream

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// Keep alive probes of TCP, as Go has them: they are sent to a peer that has been silent for
// keepAliveIdle seconds, every keepAliveInterval seconds, and it is gone when keepAliveCount
// of them have no answer.
const (
	keepAliveIdle     = 15
	keepAliveInterval = 15
	keepAliveCount    = 9
)

// listenConfig sets the options of a listening socket, which on Linux are those of its
// connections too: that saves system calls for each of them.
func listenConfig() *net.ListenConfig {
	cfg := &net.ListenConfig{
		KeepAlive: -1, // not once more for each connection
		Control: func(_, _ string, raw syscall.RawConn) (err error) {
			if e := raw.Control(func(fd uintptr) { err = setOptions(int(fd)) }); e != nil {
				return e
			}
			return err
		},
	}
	cfg.SetMultipathTCP(false)
	return cfg
}

func setOptions(fd int) error {
	for _, o := range [...]struct{ level, name, value int }{
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
		{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, keepAliveIdle},
		{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, keepAliveInterval},
		{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, keepAliveCount},
	} {
		if err := unix.SetsockoptInt(fd, o.level, o.name, o.value); err != nil {
			return err
		}
	}
	return nil
}
