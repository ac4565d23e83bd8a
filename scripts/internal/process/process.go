// Package process runs the servers that the programs of scripts/bench, scripts/peers and
// scripts/soak put under load, as child processes: ngmqd, others, and those programs themselves
// as servers.
package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	startTime = 20 * time.Second // until a server is ready, its certificate included
	stopTime  = 10 * time.Second // until it has ended after SIGTERM
)

// ErrEnded says that a server has ended that was to serve.
var ErrEnded = errors.New("the server ended")

// Config says what to start. Only Command is needed.
type Config struct {
	// Command makes the command, which has not been started, for a data directory. Its Stderr
	// is taken for the log.
	Command func(dir string) (*exec.Cmd, error)
	// Dir is the data directory. Empty: one that is made here, and removed by Stop.
	Dir string
	// Ready waits until the server serves, or its context has ended. nil: until its log says
	// "ready", as that of ngmqd in JSON does; then Server.Addrs is set.
	Ready func(context.Context, *Server) error
	// Line is called with each line of the log, without its end, which is not the callee's to
	// keep, one after the other.
	Line func([]byte)
}

// Server is a child process. Its methods may be called from any goroutine.
type Server struct {
	Cmd    *exec.Cmd
	Dir    string        // its data directory
	Addrs  Addresses     // where it listens, as it logs that
	Exited chan struct{} // closed when it has ended

	log     log
	removes bool // Dir
}

// Ngmqd is the command of the server at path, with its log in JSON and nothing from the
// environment of this process.
func Ngmqd(path, dir string, flags ...string) (*exec.Cmd, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("%w (make build makes bin/ngmqd)", err)
	}
	cmd := exec.Command(path, append([]string{"--data-dir", dir, "--log-format", "json"}, flags...)...)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "NGMQ_") })
	return cmd, nil
}

// Start runs a server and waits until it is ready. The error has the end of its log.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	s := &Server{Dir: cfg.Dir, removes: cfg.Dir == "", Exited: make(chan struct{}), log: log{line: cfg.Line, ready: make(chan Addresses, 1)}}
	if s.removes {
		var err error
		if s.Dir, err = os.MkdirTemp("", "ngmq-server-"); err != nil {
			return nil, err
		}
	}
	if err := s.run(cfg.Command); err != nil {
		return nil, errors.Join(err, s.remove())
	}
	if cfg.Ready == nil {
		cfg.Ready = logged
	}
	if err := s.await(ctx, cfg.Ready); err != nil {
		_ = s.Stop() // err says more
		return nil, fmt.Errorf("%w\n%s", err, s.Tail())
	}
	return s, nil
}

func (s *Server) run(command func(string) (*exec.Cmd, error)) (err error) {
	if s.Cmd, err = command(s.Dir); err != nil {
		return err
	}
	s.Cmd.Stderr = &s.log
	if err = s.Cmd.Start(); err != nil {
		return err
	}
	go func() {
		_ = s.Cmd.Wait() // ProcessState has it
		close(s.Exited)
	}()
	return nil
}

// await waits until ready returns. Its context ends with the server.
func (s *Server) await(ctx context.Context, ready func(context.Context, *Server) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startTime, fmt.Errorf("the server is not ready within %s", startTime))
	defer cancel()
	ctx, ended := context.WithCancelCause(ctx)
	defer ended(nil)
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		select {
		case <-s.Exited:
			ended(ErrEnded)
		case <-stop:
		}
	}()
	err := ready(ctx, s)
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	return err
}

// logged waits for the line of the log that says ready.
func logged(ctx context.Context, s *Server) error {
	select {
	case s.Addrs = <-s.log.ready:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Ended reports whether the process has ended.
func (s *Server) Ended() bool {
	select {
	case <-s.Exited:
		return true
	default:
		return false
	}
}

// PID is that of the process.
func (s *Server) PID() int { return s.Cmd.Process.Pid }

// CA is the file that clients of a development server trust.
func (s *Server) CA() string { return filepath.Join(s.Dir, "dev-ca.crt") }

// Tail is the end of the log.
func (s *Server) Tail() string { return s.log.tail() }

// Kill ends the server as a crash does, and waits for its end.
func (s *Server) Kill() {
	_ = s.Cmd.Process.Kill()
	<-s.Exited
}

// Stop ends the server with SIGTERM, and removes a directory that Start has made; the error
// says that it did not end well.
func (s *Server) Stop() (err error) {
	_ = s.Cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.Exited:
		if !s.Cmd.ProcessState.Success() {
			err = fmt.Errorf("the server: %s\n%s", s.Cmd.ProcessState, s.Tail())
		}
	case <-time.After(stopTime):
		s.Kill()
		err = fmt.Errorf("the server did not end within %s of SIGTERM", stopTime)
	}
	return errors.Join(err, s.remove())
}

func (s *Server) remove() error {
	if !s.removes {
		return nil
	}
	return os.RemoveAll(s.Dir)
}
