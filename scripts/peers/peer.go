package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/ngmq/ngmq/crypto/devcert"
	"github.com/ngmq/ngmq/scripts/internal/process"
)

const askAgain = 20 * time.Millisecond // between the first attempts to connect; then twice as long

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
	command   func(o *options, s *server, dir string) (*exec.Cmd, error)
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
	*process.Server
	peer
	addr string
	cert devcert.Cert
}

// ownCommand is this program as a server.
func ownCommand(_ *options, s *server, _ string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, "serve", s.name, s.addr, s.cert.CertFile, s.cert.KeyFile)
	cmd.Env = append(os.Environ(), asServer+"=1")
	return cmd, nil
}

func ngmqdCommand(o *options, s *server, dir string) (*exec.Cmd, error) {
	args := []string{"--cert", s.cert.CertFile, "--key", s.cert.KeyFile, "--allow-anonymous", "--log-level", "warn"}
	for t, flag := range [...]string{overQUIC: "--quic", overTLS: "--tls", overTCP: "--tcp"} {
		addr := "off"
		if transport(t) == s.transport {
			addr = s.addr
		}
		args = append(args, flag, addr)
	}
	return process.Ngmqd(o.ngmqd, dir, args...)
}

// mosquittoCommand lifts the limits on queues, since nothing may be lost here.
func mosquittoCommand(o *options, s *server, dir string) (*exec.Cmd, error) {
	host, port, err := net.SplitHostPort(s.addr)
	if err != nil {
		return nil, err
	}
	conf := fmt.Sprintf("listener %s %s\nallow_anonymous true\nuser root\nset_tcp_nodelay true\nlog_type error\n"+
		"max_queued_messages 0\nmax_inflight_messages 0\n", port, host)
	if s.transport == overTLS {
		conf += fmt.Sprintf("certfile %s\nkeyfile %s\n", s.cert.CertFile, s.cert.KeyFile)
	}
	file := filepath.Join(dir, "mosquitto.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		return nil, err
	}
	return exec.Command(o.mosquitto, "-c", file), nil
}

// start runs a peer and waits until it serves a client.
func (b *bench) start(ctx context.Context, p peer) (*server, error) {
	addr, err := freeAddress(p.transport)
	if err != nil {
		return nil, err
	}
	s := &server{peer: p, addr: addr, cert: b.cert}
	s.Server, err = process.Start(ctx, process.Config{
		Command: func(dir string) (*exec.Cmd, error) { return p.command(&b.options, s, dir) },
		Ready:   s.awake,
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.name, err)
	}
	return s, nil
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
func (s *server) awake(ctx context.Context, _ *process.Server) error {
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
		<-attempt.Done() // a refused connection returns at once
		cancel()
		if ctx.Err() != nil {
			return fmt.Errorf("it does not serve: %w", err)
		}
	}
}
