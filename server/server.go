package server

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"

	"github.com/ngmq/ngmq/server/internal/broker"
	"github.com/ngmq/ngmq/server/internal/listener/stream"
)

// Server is an MQTT server. New makes it.
type Server struct {
	cfg     Config
	log     *slog.Logger
	broker  *broker.Broker
	quic    quicListener // nil without QUIC
	streams []*stream.Listener
	pipe    *stream.Listener // one of streams, for Dial
	loop    *stream.Loop     // of those without TLS and WebSocket
	addrs   Addrs
	caFile  string
	caPEM   []byte   // of a development certificate
	keyLog  *os.File // nil without Config.KeyLogFile
	tickets *tickets // of all listeners with TLS
	revoked *revocations

	rotation *rotation

	mu      sync.Mutex
	ending  bool          // Shutdown has been called
	ready   chan struct{} // closed when Run serves
	stopped chan struct{} // closed when Shutdown is done
	err     error         // its result
	cancel  context.CancelFunc
	life    context.Context // of the broker's and the listeners' goroutines
	running sync.WaitGroup  // these goroutines
}

// quicListener is what a Server does with QUIC, which the build tag noquic leaves out.
type quicListener interface {
	Serve(ctx context.Context) error
	Close()
	Counters(ctx context.Context) iter.Seq2[string, uint64]
	Shutdown(ctx context.Context) error
}

// Addrs are the addresses that a Server listens on, per transport.
type Addrs struct {
	QUIC, TCP, TLS, WS, WSS []netip.AddrPort
	Unix                    []string // paths
}

// New makes a server: it checks cfg, loads or makes the certificate and opens all
// sockets. When anything fails nothing stays open, and the error says what to do;
// *ConfigError values in it name the fields. The caller calls Run, or Shutdown if it
// never does.
func New(cfg Config) (*Server, error) {
	cfg = cfg.withDefaults()
	r, err := cfg.resolve()
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, log: cfg.Logger, ready: make(chan struct{}), stopped: make(chan struct{})}
	s.life, s.cancel = context.WithCancel(context.Background())
	s.broker = broker.New(cfg.brokerConfig())
	if err := s.open(r); err != nil {
		s.Shutdown(s.life)
		return nil, err
	}
	return s, nil
}

// Addrs tells where the server listens, with the ports that the system chose.
func (s *Server) Addrs() Addrs { return s.addrs }

// CAFile names the certificate authority to give to clients when the server uses a
// development certificate in DataDir; empty otherwise.
func (s *Server) CAFile() string { return s.caFile }

// CA is that certificate authority in PEM, for clients of the same process
// (client.TLS.CAPEM) and for handing out; without a DataDir too, where it is another one for
// each Server. nil when there are CertFile and KeyFile, or no listener with TLS.
func (s *Server) CA() []byte { return bytes.Clone(s.caPEM) }

// Dial connects a client of the same process, without a network: it is the other end of
// a net.Pipe, over which the client speaks MQTT like any other, and it is asked for
// credentials like any other; ConnInfo.Transport is "pipe". For package mqtt/client it
// is Options.Dial. The connection ends at once when the server is full or shut down.
// It is served before Run too, but for what depends on time.
func (s *Server) Dial(context.Context) (net.Conn, error) { return s.pipe.Dial(), nil }

// Ready is closed when Run has started all listeners.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Run serves until ctx ends or Shutdown is called, then returns nil. When ctx ends
// it does what Shutdown does, within Config.Timeouts.Shutdown. An error means that a
// listener failed; the server is then shut down as well. Call it once.
func (s *Server) Run(ctx context.Context) error {
	failed := make(chan error, 1+len(s.streams))
	if !s.serve(failed) {
		return nil
	}
	a := &s.addrs
	s.log.Info("ready", "quic", join(a.QUIC), "tcp", join(a.TCP), "tls", join(a.TLS),
		"ws", join(a.WS), "wss", join(a.WSS), "unix", joinNames(a.Unix))
	close(s.ready)
	var err error
	select {
	case <-s.stopped:
		return nil
	case <-ctx.Done():
		s.log.Info("shutting down", "cause", context.Cause(ctx))
	case err = <-failed:
		s.log.Error("listener failed", "error", err)
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.Timeouts.Shutdown)
	defer cancel()
	if e := s.Shutdown(stop); e != nil {
		s.log.Warn("clients were cut off", "error", e)
	}
	s.log.Info("stopped")
	return err
}

// serve starts the broker's clock and the listeners, unless Shutdown came first.
func (s *Server) serve(failed chan<- error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ending {
		return false
	}
	s.running.Go(func() { s.broker.Run(s.life) })
	start := func(serve func(context.Context) error) {
		s.running.Go(func() {
			if err := serve(s.life); err != nil && s.life.Err() == nil {
				failed <- err
			}
		})
	}
	s.running.Go(func() { s.tickets.run(s.life) })
	s.running.Go(func() { s.revoked.run(s.life) })
	s.running.Go(func() { s.rotation.run(s.life) })
	for _, l := range s.streams {
		start(l.Serve)
	}
	if s.quic != nil {
		start(s.quic.Serve)
	}
	return true
}

// Shutdown stops the server: no new connections, DISCONNECT 0x8B (Server shutting
// down) to 5.0 clients, and the network connections are closed when the clients have
// taken it. When ctx ends first the rest is cut off and its error is returned; the
// server is down in any case. It may be called more than once; later calls wait for
// the first.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	first := !s.ending
	s.ending = true
	s.mu.Unlock()
	if first {
		s.err = s.shutdown(ctx)
		close(s.stopped)
	}
	<-s.stopped
	return s.err
}

func (s *Server) shutdown(ctx context.Context) error {
	for _, l := range s.streams {
		l.Close()
	}
	if s.quic != nil {
		s.quic.Close()
	}
	err := s.broker.Shutdown(ctx)
	if s.quic != nil {
		err = errors.Join(err, s.quic.Shutdown(ctx))
	}
	for _, l := range s.streams {
		l.Wait(ctx)
	}
	s.loop.Close()
	s.cancel()
	s.running.Wait()
	if s.keyLog != nil {
		err = errors.Join(err, s.keyLog.Close())
	}
	return err
}
