package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/quic-go/quic-go"
)

const (
	alpn       = "mqtt"
	serverIdle = 10 * time.Minute // of the servers on quic-go; longer than any row is silent
)

// serve runs one of our own servers until SIGTERM: args are its name, the address and the
// files of certificate and key.
func serve(args []string) error {
	if len(args) != 4 {
		return fmt.Errorf("serve: %d arguments, want NAME ADDR CERT KEY", len(args))
	}
	cert, err := tls.LoadX509KeyPair(args[2], args[3])
	if err != nil {
		return err
	}
	config := &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{alpn}, MinVersion: tls.VersionTLS13}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM)
	failed := make(chan error, 1)
	if err := startOwn(args[0], args[1], config, failed); err != nil {
		return err
	}
	select {
	case <-ended:
		return nil
	case err = <-failed:
		return err
	}
}

// startOwn starts the server with this name; failed is told when it ends.
func startOwn(name, addr string, config *tls.Config, failed chan<- error) error {
	switch name {
	case "mochi-tcp":
		return serveMochi(listeners.NewTCP(listeners.Config{ID: name, Address: addr}))
	case "mochi-tls":
		return serveMochi(listeners.NewTCP(listeners.Config{ID: name, Address: addr, TLSConfig: config}))
	}
	l, err := quic.ListenAddr(addr, config, &quic.Config{MaxIdleTimeout: serverIdle})
	if err != nil {
		return err
	}
	switch name {
	case "null-quic":
		go func() { failed <- serveNull(l) }()
		return nil
	case "mochi-quic":
		s := &streams{Listener: l, ready: make(chan net.Conn)}
		go s.run()
		return serveMochi(listeners.NewNet("quic", s))
	}
	return fmt.Errorf("serve %s: there is no such server here", name)
}

// serveMochi begins to serve what l accepts.
func serveMochi(l listeners.Listener) error {
	server := mochi.New(&mochi.Options{Logger: slog.New(slog.DiscardHandler)})
	if err := server.AddHook(new(auth.AllowHook), nil); err != nil {
		return err
	}
	if err := server.AddListener(l); err != nil {
		return err
	}
	return server.Serve()
}

// streams is a net.Listener that gives the first stream of each connection.
type streams struct {
	*quic.Listener
	ready chan net.Conn
}

func (s *streams) run() {
	defer close(s.ready)
	for {
		conn, err := s.Listener.Accept(context.Background())
		if err != nil {
			return
		}
		go func() {
			if stream, err := conn.AcceptStream(context.Background()); err == nil {
				s.ready <- &streamConn{stream, conn}
			}
		}()
	}
}

// Accept implements net.Listener.
func (s *streams) Accept() (net.Conn, error) {
	if conn, ok := <-s.ready; ok {
		return conn, nil
	}
	return nil, net.ErrClosed
}

// streamConn is a stream that ends with its connection.
type streamConn struct {
	*quic.Stream
	conn *quic.Conn
}

func (c *streamConn) LocalAddr() net.Addr  { return c.conn.LocalAddr() }
func (c *streamConn) RemoteAddr() net.Addr { return c.conn.RemoteAddr() }
func (c *streamConn) Close() error         { return c.conn.CloseWithError(0, "") }
