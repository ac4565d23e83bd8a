package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/ngmq/ngmq/scripts/internal/generator"
	"github.com/ngmq/ngmq/scripts/internal/process"
)

const askTime = 20 * time.Second // until the server has logged its counters

// server is ngmqd, one process after the other in the same place. Its methods are for one
// goroutine.
type server struct {
	*process.Server
	ngmqd string
	dir   string
	log   serverLog
}

// startServer runs ngmqd with ports of ours, which clients do not get from the system while the
// server is restarted.
func startServer(ctx context.Context, binary string) (*server, error) {
	dir, err := os.MkdirTemp("", "ngmq-soak-")
	if err != nil {
		return nil, err
	}
	s := &server{ngmqd: binary, dir: dir, log: serverLog{groups: make(chan group, 16)}}
	at, err := freeAddresses()
	if err == nil {
		err = s.start(ctx, at)
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return s, nil
}

// The ports to choose from: below those that the system gives to clients, by default from 32768
// (ip(7), ip_local_port_range).
const firstPort, lastPort = 20000, 32000

// freeAddresses are four on which nobody listens.
func freeAddresses() (at process.Addresses, err error) {
	for _, addr := range []*string{&at.QUIC, &at.TCP, &at.TLS, &at.WS} {
		if *addr, err = freeAddress(); err != nil {
			return at, err
		}
	}
	return at, nil
}

func freeAddress() (addr string, err error) {
	for range 100 {
		addr = fmt.Sprintf("127.0.0.1:%d", firstPort+rand.IntN(lastPort-firstPort))
		var udp net.PacketConn
		var tcp net.Listener
		if udp, err = net.ListenPacket("udp", addr); err != nil {
			continue
		}
		udp.Close()
		if tcp, err = net.Listen("tcp", addr); err != nil {
			continue
		}
		tcp.Close()
		return addr, nil
	}
	return "", err
}

func (s *server) start(ctx context.Context, at process.Addresses) (err error) {
	s.Server, err = process.Start(ctx, process.Config{Dir: s.dir, Line: s.log.line, Command: func(dir string) (*exec.Cmd, error) {
		return process.Ngmqd(s.ngmqd, dir, "--quic", at.QUIC, "--tcp", at.TCP, "--tls", at.TLS, "--ws", at.WS, "--early-data", "on",
			"--stream-clients", "--max-receive", "4096", "--sys-interval", "0")
	}})
	return err
}

// restart ends the process, in order or as a crash does, and starts another one that listens at
// the same addresses. It has no session of the one before.
func (s *server) restart(ctx context.Context, crash bool) error {
	at := s.Addrs
	if crash {
		s.Kill()
	} else if err := s.Stop(); err != nil {
		return err
	}
	return s.start(ctx, at)
}

// end ends the server and removes its directory; the error says that it did not end well.
func (s *server) end() error {
	defer os.RemoveAll(s.dir)
	if s.Server == nil {
		return nil // it did not come back
	}
	return s.Stop()
}

// counters asks the server for all its counters, and the system for those of the process:
// rss in bytes and files, which are open.
func (s *server) counters() (map[string]float64, error) {
	for len(s.log.groups) > 0 {
		<-s.log.groups
	}
	if err := s.Cmd.Process.Signal(syscall.SIGUSR1); err != nil {
		return nil, errors.Join(err, s.gone())
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
		case <-s.Exited:
			return nil, s.gone()
		case <-deadline:
			return nil, fmt.Errorf("the server did not log its counters within %s", askTime)
		}
	}
}

// gone is the error of a server that has ended by itself.
func (s *server) gone() error {
	return fmt.Errorf("%w: %s\n%s", process.ErrEnded, s.Cmd.ProcessState, s.Tail())
}

func (s *server) addProcess(all map[string]float64) (err error) {
	all["rss"], err = generator.ResidentBytes(s.PID())
	if err != nil {
		return err
	}
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.PID()))
	all["files"] = float64(len(files))
	return err
}

// group is a line of counters.
type group struct {
	name   string
	values map[string]any
}

// serverLog takes the lines of the server's log.
type serverLog struct {
	groups chan group

	mu     sync.Mutex
	faults []string // lines of level ERROR, and what is no log: a crash
}

func (l *serverLog) line(text []byte) {
	var entry struct{ Level, Msg string }
	wrong := json.Unmarshal(text, &entry) != nil
	name, counters := strings.CutPrefix(entry.Msg, "counters ")
	switch {
	case wrong || entry.Level == "ERROR":
		l.mu.Lock()
		defer l.mu.Unlock()
		if len(l.faults) < maxShown {
			l.faults = append(l.faults, string(text))
		}
	case counters:
		values := make(map[string]any)
		_ = json.Unmarshal(text, &values)
		select {
		case l.groups <- group{name, values}:
		default: // nobody asked
		}
	}
}

// faultLines are what the log must not have.
func (l *serverLog) faultLines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.faults
}
