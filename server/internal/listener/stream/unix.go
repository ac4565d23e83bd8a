package stream

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"
)

// probeTimeout bounds the look whether somebody listens on a socket file: on this
// machine the answer comes at once.
const probeTimeout = time.Second

// ListenUnix opens a Unix socket at path and gives it a mode. The file of a server that
// is gone is removed; with one that lives the error is EADDRINUSE. Close removes the
// file. Config.TLS and ProxyFrom are not for Unix sockets.
func ListenUnix(path string, mode fs.FileMode, cfg Config) (*Listener, error) {
	if err := removeStale(path); err != nil {
		return nil, err
	}
	unix, err := listenPrivate(path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, mode); err != nil {
		unix.Close()
		return nil, err
	}
	return newListener(unix, "unix", func() (socket, error) { return unix.AcceptUnix() }, cfg), nil
}

// listenPrivate makes the socket file for nobody but its owner: on Linux from its first
// moment (bind takes the mode of the socket), elsewhere the caller's Chmod comes at once.
func listenPrivate(path string) (*net.UnixListener, error) {
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		return raw.Control(func(fd uintptr) { makePrivate(fd) })
	}}
	l, err := config.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, err
	}
	return l.(*net.UnixListener), nil
}

// removeStale removes the socket file at path when nobody listens on it.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode()&fs.ModeSocket == 0:
		return fmt.Errorf("%s is there and no socket: %w", path, fs.ErrExist)
	}
	conn, err := net.DialTimeout("unix", path, probeTimeout)
	if err == nil {
		conn.Close()
		return fmt.Errorf("%s: %w", path, syscall.EADDRINUSE)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return err
	}
	return os.Remove(path)
}
