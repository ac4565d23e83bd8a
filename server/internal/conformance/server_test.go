package conformance

import (
	"context"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ngmq/ngmq/server"
)

// T is one run of a test: for one statement, over one transport.
type T struct {
	*testing.T
	version   byte   // protocol level: 4 or 5
	transport string // "tcp" or "quic", or what proof.over named
	prefix    string // of identifiers and topics
	host      *host
}

var runs, ids atomic.Int64

func newT(t *testing.T, version byte, transport string) *T {
	return &T{T: t, version: version, transport: transport, prefix: fmt.Sprint("t", runs.Add(1)), host: shared()}
}

// id makes a client identifier of this run.
func (t *T) id(name string) string { return t.prefix + name }

// topic makes a topic name or filter of this run.
func (t *T) topic(name string) string { return t.prefix + "/" + name }

// next is a number that nobody else has got.
func (t *T) next() int64 { return ids.Add(1) }

// host is a server that runs.
type host struct {
	*server.Server
	ended chan struct{}
}

// directory is where the development certificate lives.
var directory = sync.OnceValue(func() string {
	dir, err := os.MkdirTemp("", "ngmq-conformance-")
	if err != nil {
		panic(err)
	}
	return dir
})

// shared is the server of all tests that call serve not.
var shared = sync.OnceValue(func() *host {
	h, err := startHost(server.Config{})
	if err != nil {
		panic(err)
	}
	return h
})

func startHost(cfg server.Config) (*host, error) {
	cfg.DataDir = directory()
	if cfg.TCP == nil {
		cfg.TCP = []string{"127.0.0.1:0"}
	}
	if cfg.QUIC == nil {
		cfg.QUIC = anyQUIC
	}
	s, err := server.New(cfg)
	if err != nil {
		return nil, err
	}
	h := &host{Server: s, ended: make(chan struct{})}
	go func() {
		defer close(h.ended)
		s.Run(context.Background())
	}()
	return h, nil
}

func (h *host) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	h.Shutdown(ctx)
	<-h.ended
}

// serve starts a server for this run alone, which the clients opened from now on reach.
// It listens on the transport of the run; cfg says the rest.
func (t *T) serve(cfg server.Config) {
	t.Helper()
	if t.transport == "quic" {
		cfg.TCP = []string{server.Off}
	} else {
		cfg.QUIC = []string{server.Off}
	}
	h, err := startHost(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.host = h
	t.Cleanup(h.stop)
}

func (t *T) dialTransport() (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if t.transport == "quic" {
		return dialQUIC(ctx, t.host.Server)
	}
	return new(net.Dialer).DialContext(ctx, "tcp", t.host.Addrs().TCP[0].String())
}
