package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/ngmq/ngmq/scripts/internal/generator"
)

const (
	startTime = 20 * time.Second // until the server is ready, its certificate included
	stopTime  = 10 * time.Second // until it has ended after SIGTERM
	askTime   = 20 * time.Second // until it has logged its counters
	logTail   = 16 << 10         // bytes of its log shown with an error
)

// server is ngmqd as a child process.
type server struct {
	cmd    *exec.Cmd
	dir    string
	addrs  addresses
	log    serverLog
	exited chan struct{}
}

// addresses are where it listens, as it logs them.
type addresses struct{ QUIC, TCP, TLS, WS string }

// startServer runs ngmqd with ports that the system chooses.
func startServer(ctx context.Context, binary string) (*server, error) {
	dir, err := os.MkdirTemp("", "ngmq-soak-")
	if err != nil {
		return nil, err
	}
	const any = "127.0.0.1:0"
	s := &server{dir: dir, exited: make(chan struct{}), log: serverLog{ready: make(chan addresses, 1), groups: make(chan group, 16)}}
	s.cmd = exec.Command(binary, "--data-dir", dir, "--quic", any, "--tcp", any, "--tls", any, "--ws", any, "--early-data", "on",
		"--stream-clients", "--max-receive", "4096", "--sys-interval", "0", "--log-format", "json")
	s.cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "NGMQ_") })
	s.cmd.Stderr = &s.log
	if err := s.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("%w (make build makes bin/ngmqd)", err), os.RemoveAll(dir))
	}
	go func() {
		_ = s.cmd.Wait()
		close(s.exited)
	}()
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	select {
	case s.addrs = <-s.log.ready:
		return s, nil
	case <-s.exited:
		err = errors.New("the server ended")
	case <-ctx.Done():
		err = fmt.Errorf("the server is not ready: %w", ctx.Err())
	}
	_ = s.stop()
	return nil, fmt.Errorf("%w\n%s", err, s.log.tail())
}

// ca is the file that clients trust.
func (s *server) ca() string { return filepath.Join(s.dir, "dev-ca.crt") }

// stop ends the server and removes its directory; the error says that it did not end well.
func (s *server) stop() (err error) {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.exited:
		if !s.cmd.ProcessState.Success() {
			err = fmt.Errorf("the server: %s\n%s", s.cmd.ProcessState, s.log.tail())
		}
	case <-time.After(stopTime):
		_ = s.cmd.Process.Kill()
		<-s.exited
		err = fmt.Errorf("the server did not end within %s of SIGTERM", stopTime)
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}

// counters asks the server for all its counters, and the system for those of the process:
// rss in bytes and files, which are open.
func (s *server) counters() (map[string]float64, error) {
	for len(s.log.groups) > 0 {
		<-s.log.groups
	}
	if err := s.cmd.Process.Signal(syscall.SIGUSR1); err != nil {
		return nil, err
	}
	all := make(map[string]float64)
	for deadline := time.After(askTime); ; {
		select {
		case g := <-s.log.groups:
			for name, value := range g.values {
				if n, ok := value.(float64); ok {
					all[name] = n
				}
			}
			if g.name == "memory" { // the last one
				return all, s.addProcess(all)
			}
		case <-s.exited:
			return nil, fmt.Errorf("the server has ended: %s\n%s", s.cmd.ProcessState, s.log.tail())
		case <-deadline:
			return nil, fmt.Errorf("the server did not log its counters within %s", askTime)
		}
	}
}

func (s *server) addProcess(all map[string]float64) (err error) {
	all["rss"], err = generator.ResidentBytes(s.cmd.Process.Pid)
	if err != nil {
		return err
	}
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.cmd.Process.Pid))
	all["files"] = float64(len(files))
	return err
}

// group is a line of counters.
type group struct {
	name   string
	values map[string]any
}

// serverLog takes the server's log, JSON lines.
type serverLog struct {
	ready  chan addresses
	groups chan group

	mu     sync.Mutex
	part   []byte // of a line
	kept   []byte
	faults []string // lines of level ERROR, and what is no log: a crash
}

// Write implements io.Writer.
func (l *serverLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.part = append(l.part, p...)
	for {
		line, rest, ok := bytes.Cut(l.part, []byte("\n"))
		if !ok {
			return len(p), nil
		}
		l.line(line)
		l.part = append([]byte(nil), rest...)
	}
}

func (l *serverLog) line(text []byte) {
	var entry struct {
		Level, Msg string
		addresses
	}
	wrong := json.Unmarshal(text, &entry) != nil
	name, counters := strings.CutPrefix(entry.Msg, "counters ")
	switch {
	case wrong || entry.Level == "ERROR":
		if len(l.faults) < maxShown {
			l.faults = append(l.faults, string(text))
		}
	case entry.Msg == "ready":
		l.ready <- entry.addresses
	case counters:
		values := make(map[string]any)
		_ = json.Unmarshal(text, &values)
		select {
		case l.groups <- group{name, values}:
		default: // nobody asked
		}
		return
	}
	l.kept = append(append(l.kept, text...), '\n')
	l.kept = l.kept[max(0, len(l.kept)-logTail):]
}

func (l *serverLog) tail() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.kept)
}

// faultLines are what the log must not have.
func (l *serverLog) faultLines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.faults
}
