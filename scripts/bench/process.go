package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	startTime = 20 * time.Second // until a server is ready, its certificate included
	stopTime  = 10 * time.Second // until it has ended after SIGTERM
	logTail   = 4 << 10          // bytes of its log shown with an error
)

// process is a server that runs beside this program.
type process struct {
	cmd    *exec.Cmd
	dir    string // its data directory
	addr   string // of its QUIC listener
	tls    string // of its TLS listener, or "off"
	log    logger
	stdin  io.WriteCloser // of an embedded server, see heap
	stdout *bufio.Reader
	exited chan struct{}
}

// startServer starts ngmqd on a port of the system's choice, with more flags.
func startServer(ctx context.Context, path string, more ...string) (*process, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	return start(ctx, func(dir string) *exec.Cmd {
		cmd := exec.Command(path, append([]string{"--quic", "127.0.0.1:0", "--tcp", "off", "--data-dir", dir,
			"--allow-anonymous", "--log-format", "json"}, more...)...)
		cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "NGMQ_") })
		return cmd
	})
}

// startEmbedded starts this program again as a server that tells its heap.
func startEmbedded(ctx context.Context) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return start(ctx, func(dir string) *exec.Cmd {
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), asServer+"="+dir)
		return cmd
	})
}

// start runs a server and waits until it is ready.
func start(ctx context.Context, command func(dir string) *exec.Cmd) (*process, error) {
	dir, err := os.MkdirTemp("", "ngmq-bench-")
	if err != nil {
		return nil, err
	}
	p := &process{cmd: command(dir), dir: dir, exited: make(chan struct{}), log: logger{ready: make(chan listening, 1)}}
	p.cmd.Stderr = &p.log
	if err := p.pipes(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if err := p.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("%w (make build makes bin/ngmqd)", err), os.RemoveAll(dir))
	}
	go func() {
		p.cmd.Wait()
		close(p.exited)
	}()
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	select {
	case on := <-p.log.ready:
		p.addr, p.tls = on.QUIC, on.TLS
		return p, nil
	case <-p.exited:
		err = errors.New("the server ended")
	case <-ctx.Done():
		err = fmt.Errorf("the server is not ready: %w", ctx.Err())
	}
	p.stop()
	return nil, fmt.Errorf("%w\n%s", err, p.log.tail())
}

func (p *process) pipes() error {
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	p.stdout = bufio.NewReader(stdout)
	p.stdin, err = p.cmd.StdinPipe()
	return err
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// ca is the file that clients trust.
func (p *process) ca() string { return filepath.Join(p.dir, "dev-ca.crt") }

// heap asks an embedded server.
func (p *process) heap() (memoryUse, error) {
	var use memoryUse
	if _, err := fmt.Fprintln(p.stdin); err != nil {
		return use, err
	}
	text, err := p.stdout.ReadBytes('\n')
	if err != nil {
		return use, err
	}
	return use, json.Unmarshal(text, &use)
}

// stop ends the server and removes its directory.
func (p *process) stop() {
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(stopTime):
		p.cmd.Process.Kill()
		<-p.exited
	}
	os.RemoveAll(p.dir)
}

// listening is where a server listens, as it logs it.
type listening struct{ QUIC, TLS string }

// logger takes a server's log, JSON lines: it finds the one that says ready and keeps
// the end.
type logger struct {
	ready chan listening

	mu    sync.Mutex
	part  []byte // of a line
	kept  []byte
	found bool
}

// Write implements io.Writer.
func (l *logger) Write(p []byte) (int, error) {
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

func (l *logger) line(text []byte) {
	l.kept = append(append(l.kept, text...), '\n')
	l.kept = l.kept[max(0, len(l.kept)-logTail):]
	var entry struct {
		Msg string
		listening
	}
	if !l.found && json.Unmarshal(text, &entry) == nil && entry.Msg == "ready" {
		l.found = true
		l.ready <- entry.listening
	}
}

func (l *logger) tail() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.kept)
}
