package netns

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ngmq/ngmq/crypto"
	"github.com/ngmq/ngmq/mqtt/client"
	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
)

// The test binary starts itself in a namespace as a server or a client of package
// endpoint: -role NAME -dir DIR -addr ADDR.
var (
	role = flag.String("role", "", "play this role instead of running tests: echo, mover, follower, relay")
	dir  = flag.String("dir", "", "directory of the development certificate")
	addr = flag.String("addr", "", "address of the server")
)

var roles = map[string]func() error{"echo": echo, "mover": mover, "follower": follower, "relay": relay}

func TestMain(m *testing.M) {
	flag.Parse()
	play := roles[*role]
	if play == nil {
		os.Exit(m.Run())
	}
	if err := play(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// echo serves until its input ends.
func echo() error {
	cert, err := crypto.GenerateDevCert(*dir)
	if err != nil {
		return err
	}
	tls, err := crypto.NewContext(crypto.Config{CertFile: cert.CertFile, KeyFile: cert.KeyFile, ALPN: []string{"echo"}})
	if err != nil {
		return err
	}
	l, err := endpoint.NewListener(endpoint.Config{TLS: tls, Addrs: []string{*addr}})
	if err != nil {
		return err
	}
	defer l.Close()
	go func() {
		for c, err := l.Accept(); err == nil; c, err = l.Accept() {
			go func() { _, _ = io.Copy(c, c) }()
		}
	}()
	fmt.Println("ready")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// mover exchanges blocks with an echo server and prints a line for each, until its
// input ends. A line "IP immediate" or "IP validated" of the input migrates to IP.
func mover() error {
	tls, err := crypto.NewContext(crypto.Config{Role: crypto.Client, CAFile: filepath.Join(*dir, "dev-ca.crt"), ALPN: []string{"echo"}})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := endpoint.DialConn(ctx, *addr, endpoint.DialConfig{TLS: tls, ServerName: "localhost"})
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- migrate(ctx, c.Conn()) }()
	for {
		if err := exchange(c); err != nil {
			return err
		}
		fmt.Println("block")
		select {
		case err := <-done:
			return errors.Join(err, c.Close())
		default:
		}
	}
}

// exchange sends a block and compares what comes back.
func exchange(c io.ReadWriter) error {
	block, answer := make([]byte, 64<<10), make([]byte, 64<<10)
	_, _ = rand.Read(block)
	if _, err := c.Write(block); err != nil {
		return err
	}
	if _, err := io.ReadFull(c, answer); err != nil {
		return err
	}
	if !bytes.Equal(block, answer) {
		return errors.New("the echo differs")
	}
	return nil
}

// follower is a client of a broker that follows the network. It sends itself numbers
// with QoS 1 and prints those that come, until its input ends.
func follower() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	got := make(chan string, 1)
	lost := make(chan error, 1)
	c, err := client.Dial(ctx, "quic://"+*addr, client.Options{
		TLS: client.TLS{CAFile: filepath.Join(*dir, "dev-ca.crt"), ServerName: "localhost"}, FollowNetwork: true,
		OnMessage:        func(m client.Message) { got <- string(m.Payload) },
		OnConnectionLost: func(err error) { lost <- err },
	})
	if err != nil {
		return err
	}
	if _, err := c.Subscribe(ctx, packet.Subscription{Filter: "self", QoS: 1}); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() { io.Copy(io.Discard, os.Stdin); close(ended) }()
	for i := 0; ; i++ {
		if _, err := c.Publish(ctx, client.Message{Topic: "self", Payload: fmt.Append(nil, i), QoS: 1}); err != nil {
			return err
		}
		select {
		case number := <-got:
			fmt.Println(number)
		case err := <-lost:
			return err
		case <-ended:
			return c.Disconnect(ctx)
		}
	}
}

// moved begins the line that says that a migration is over.
const moved = "moved to"

// migrate follows the commands of the input.
func migrate(ctx context.Context, c *endpoint.Conn) error {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		ip, how, _ := strings.Cut(lines.Text(), " ")
		local, err := netip.ParseAddr(ip)
		if err != nil {
			return err
		}
		err = c.Migrate(ctx, endpoint.Migration{Local: netip.AddrPortFrom(local, 0), Immediate: how == "immediate"})
		if err != nil {
			return err
		}
		fmt.Println(moved, ip)
	}
	return lines.Err()
}
