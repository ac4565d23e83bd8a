// Package servertest runs a real server for the tests of ngmq.
package servertest

import (
	"context"
	"net/netip"
	"testing"

	"github.com/ngmq/ngmq/server"
)

// Server listens on loopback addresses for all transports, but for QUIC in a build without.
type Server struct {
	Addrs server.Addrs
	CA    string // file
	// Stop shuts it down and waits for that. The end of the test does so too.
	Stop func()
}

// Start runs a server until the end of the test; change may be nil.
func Start(t testing.TB, change func(*server.Config)) *Server {
	t.Helper()
	cfg := server.Config{TCP: []string{"127.0.0.1:0"}, TLS: []string{"127.0.0.1:0"}, WS: []string{"127.0.0.1:0"}, DataDir: t.TempDir()}
	overQUIC(&cfg)
	if change != nil {
		change(&cfg)
	}
	s, err := server.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	stopped := false
	stop := func() {
		if cancel(); stopped {
			return
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
		stopped = true
	}
	t.Cleanup(stop)
	<-s.Ready()
	return &Server{s.Addrs(), s.CAFile(), stop}
}

// URLs are where it listens, by scheme.
func (s *Server) URLs() map[string]string {
	urls := map[string]string{}
	for scheme, addrs := range map[string][]netip.AddrPort{"quic": s.Addrs.QUIC, "mqtt": s.Addrs.TCP, "mqtts": s.Addrs.TLS, "ws": s.Addrs.WS} {
		for _, addr := range addrs {
			urls[scheme] = scheme + "://" + addr.String()
		}
	}
	return urls
}
