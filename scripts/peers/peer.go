package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/ngmq/ngmq/crypto/devcert"
)

const (
	startTime = 20 * time.Second      // until a server answers
	askAgain  = 20 * time.Millisecond // between the first attempts meanwhile; then twice as long
	stopTime  = 10 * time.Second      // until it has ended after SIGTERM
)

// transport is what a peer speaks MQTT over; only peers of the same one are compared.
type transport int

const (
	overQUIC transport = iota
	overTLS
	overTCP
)

func (t transport) String() string { return [...]string{"QUIC", "TLS", "TCP"}[t] }

// ours and baseline are, by transport, ngmqd and the peer that ratios are to.
var (
	ours     = [...]string{overQUIC: "ngmqd", overTLS: "ngmqd-tls", overTCP: "ngmqd-tcp"}
	baseline = [...]string{overQUIC: "null-quic", overTLS: "mosq-tls", overTCP: "mosq-tcp"}
)

// peer is one of the servers that are compared.
type peer struct {
	name      string
	transport transport
	command   func(o *options, s *server) (*exec.Cmd, error)
}

// peers are all of them.
var peers = []peer{
	{ours[overQUIC], overQUIC, ngmqdCommand},
	{baseline[overQUIC], overQUIC, ownCommand},
	{"mochi-quic", overQUIC, ownCommand},
	{ours[overTLS], overTLS, ngmqdCommand},
	{baseline[overTLS], overTLS, mosquittoCommand},
	{"mochi-tls", overTLS, ownCommand},
	{ours[overTCP], overTCP, ngmqdCommand},
	{baseline[overTCP], overTCP, mosquittoCommand},
	{"mochi-tcp", overTCP, ownCommand},
}

// names of the peers of a transport.
func names(t transport) (all []string) {
	for _, p := range peers {
		if p.transport == t {
			all = append(all, p.name)
		}
	}
	return all
}

// server is a process of a peer.
type server struct {
	peer
	addr  string
	dir   string // for files of its own
	cert  devcert.Cert
	cmd   *exec.Cmd
	log   bytes.Buffer // to be read when it has ended
	ended chan struct{}
}

// ownCommand is this program as a server.
func ownCommand(_ *options, s *server) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, "serve", s.name, s.addr, s.cert.CertFile, s.cert.KeyFile)
	cmd.Env = append(os.Environ(), asServer+"=1")
	return cmd, nil
}

func ngmqdCommand(o *options, s *server) (*exec.Cmd, error) {
	args := []string{"--data-dir", s.dir, "--cert", s.cert.CertFile, "--key", s.cert.KeyFile, "--allow-anonymous", "--log-level", "warn"}
	for t, flag := range [...]string{overQUIC: "--quic", overTLS: "--tls", overTCP: "--tcp"} {
		addr := "off"
		if transport(t) == s.transport {
			addr = s.addr
		}
		args = append(args, flag, addr)
	}
	cmd := exec.Command(o.ngmqd, args...)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "NGMQ_") })
	return cmd, nil
}

// mosquittoCommand lifts the limits on queues, since nothing may be lost here.
func mosquittoCommand(o *options, s *server) (*exec.Cmd, error) {
	host, port, err := net.SplitHostPort(s.addr)
	if err != nil {
		return nil, err
	}
	conf := fmt.Sprintf("listener %s %s\nallow_anonymous true\nuser root\nset_tcp_nodelay true\nlog_type error\n"+
		"max_queued_messages 0\nmax_inflight_messages 0\n", port, host)
	if s.transport == overTLS {
		conf += fmt.Sprintf("certfile %s\nkeyfile %s\n", s.cert.CertFile, s.cert.KeyFile)
	}
	file := filepath.Join(s.dir, "mosquitto.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		return nil, err
	}
	return exec.Command(o.mosquitto, "-c", file), nil
}

// start runs a peer and waits until it serves a client.
func (b *bench) start(ctx context.Context, p peer) (*server, error) {
	dir, err := os.MkdirTemp("", "ngmq-peers-")
	if err != nil {
		return nil, err
	}
	s := &server{peer: p, dir: dir, cert: b.cert, ended: make(chan struct{})}
	if err := s.run(&b.options); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", p.name, err), os.RemoveAll(dir))
	}
	if err := s.awake(ctx); err != nil {
		s.stop()
		return nil, fmt.Errorf("%s: %w\n%s", p.name, err, s.log.String())
	}
	return s, nil
}

func (s *server) run(o *options) (err error) {
	if s.addr, err = freeAddress(s.transport); err != nil {
		return err
	}
	if s.cmd, err = s.command(o, s); err != nil {
		return err
	}
	s.cmd.Stdout, s.cmd.Stderr = nil, &s.log
	if err = s.cmd.Start(); err != nil {
		return err
	}
	go func() {
		s.cmd.Wait()
		close(s.ended)
	}()
	return nil
}

// freeAddress asks the system for a port that nobody has.
func freeAddress(t transport) (string, error) {
	if t == overQUIC {
		c, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			return "", err
		}
		defer c.Close()
		return c.LocalAddr().String(), nil
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// awake connects until that works.
func (s *server) awake(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	f, err := newFleet(s, nil)
	if err != nil {
		return err
	}
	defer f.close()
	for wait := askAgain; ; wait *= 2 {
		attempt, cancel := context.WithTimeout(ctx, wait)
		_, err := f.dial(attempt, nil)
		if err == nil {
			cancel()
			return nil
		}
		select {
		case <-attempt.Done(): // a refused connection returns at once
		case <-s.ended:
			err = errors.Join(errors.New("the server ended"), err)
		}
		cancel()
		if ended := closed(s.ended); ended || ctx.Err() != nil {
			return fmt.Errorf("it does not serve: %w", err)
		}
	}
}

func closed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func (s *server) pid() int { return s.cmd.Process.Pid }

// stop ends the server and removes its directory.
func (s *server) stop() {
	s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.ended:
	case <-time.After(stopTime):
		s.cmd.Process.Kill()
		<-s.ended
	}
	os.RemoveAll(s.dir)
}
