package stream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/ngmq/ngmq/server/internal/broker"
)

// Config is the configuration of a Listener. Broker, the timeouts and Logger are required.
type Config struct {
	Broker           *broker.Broker
	Loop             *Loop          // serves sockets without TLS, WebSocket and ProxyFrom; nil: goroutines do
	TLS              *tls.Config    // nil: without TLS
	WebSocket        *WebSocket     // nil: MQTT on the byte stream itself
	ProxyFrom        []netip.Prefix // who has to begin with a PROXY protocol header; nobody else may
	HandshakeTimeout time.Duration  // PROXY header, TLS and WebSocket together
	WriteTimeout     time.Duration  // one batch that the peer does not take
	Logger           *slog.Logger
}

// transport is the name of the transport for broker.ConnInfo.
func (c *Config) transport() string {
	switch {
	case c.WebSocket != nil && c.TLS != nil:
		return "wss"
	case c.WebSocket != nil:
		return "ws"
	case c.TLS != nil:
		return "tls"
	}
	return "tcp"
}

// Listener accepts connections on one address. Its methods may be called from any
// goroutine.
type Listener struct {
	cfg       Config
	listener  net.Listener
	accept    func() (socket, error) // of listener
	transport string
	name      string
	plain     bool          // MQTT is the first that comes
	stop      chan struct{} // closed by Close

	mu     sync.Mutex
	conns  map[connection]struct{}
	closed bool
	done   sync.WaitGroup // one per connection
}

// connection is a *conn, or one on a Loop.
type connection interface {
	abort() // ends it at once, from any goroutine
}

// Listen opens a TCP socket; nothing is accepted before Serve. The caller calls Close
// in the end, also when it never calls Serve.
func Listen(addr netip.AddrPort, cfg Config) (*Listener, error) {
	l, err := listenConfig().Listen(context.Background(), "tcp", addr.String())
	if err != nil {
		return nil, err
	}
	tcp := l.(*net.TCPListener)
	return newListener(tcp, cfg.transport(), func() (socket, error) { return tcp.AcceptTCP() }, cfg), nil
}

func newListener(nl net.Listener, transport string, accept func() (socket, error), cfg Config) *Listener {
	return &Listener{
		cfg: cfg, listener: nl, accept: accept, transport: transport,
		name:  fmt.Sprintf("%s %s", transport, nl.Addr()),
		plain: cfg.TLS == nil && cfg.WebSocket == nil && len(cfg.ProxyFrom) == 0,
		conns: make(map[connection]struct{}), stop: make(chan struct{}),
	}
}

// Addr is the address that the listener is bound to.
func (l *Listener) Addr() net.Addr { return l.listener.Addr() }

// Pauses of the accept loop after an error such as EMFILE: long enough for
// connections to end, short enough to be back soon.
const (
	minAcceptPause = 5 * time.Millisecond
	maxAcceptPause = time.Second
)

// Serve accepts connections until Close, then returns nil. An error of accept does
// not end it: the system is out of something, most likely file descriptors, and the
// next connection may have better luck.
func (l *Listener) Serve(ctx context.Context) error {
	if l.cfg.Loop != nil && l.plain {
		return l.serveLoop(ctx)
	}
	pause := minAcceptPause
	for {
		nc, err := l.accept()
		switch {
		case err == nil:
			pause = minAcceptPause
			l.admit(nc)
		case errors.Is(err, net.ErrClosed):
			return nil
		default:
			l.acceptFailed(err, pause)
			if !sleep(ctx, pause) {
				return nil
			}
			pause = min(2*pause, maxAcceptPause)
		}
	}
}

func (l *Listener) acceptFailed(err error, pause time.Duration) {
	l.cfg.Logger.Warn("accept failed", "listener", l.name, "error", err, "pause", pause)
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// admit starts a connection, unless there are too many already.
func (l *Listener) admit(nc socket) {
	if l.cfg.Broker.Full() {
		l.refused(nc.RemoteAddr())
		nc.Close()
		return
	}
	c := newConn(l, nc)
	if !c.trustsProxy() && !c.client.From(c.ends.remote.Addr()) || !l.add(c) {
		nc.Close()
		c.client.Closed(nil)
		return
	}
	go c.serve()
}

func (l *Listener) refused(remote any) {
	l.cfg.Logger.Debug("connection refused: too many", "listener", l.name, "remote", remote)
}

func (l *Listener) add(c connection) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.conns[c] = struct{}{}
	l.done.Add(1)
	return true
}

// remove forgets a connection, which abort reaches no more. done is for the caller to tell.
func (l *Listener) remove(c connection) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
}

// Close stops accepting. Connections live on.
func (l *Listener) Close() error {
	l.mu.Lock()
	if !l.closed {
		l.closed = true
		close(l.stop)
	}
	l.mu.Unlock()
	return l.listener.Close()
}

// Wait waits until all connections have ended. When ctx ends first it cuts them off.
func (l *Listener) Wait(ctx context.Context) {
	stop := context.AfterFunc(ctx, l.abort)
	defer stop()
	l.done.Wait()
}

// abort closes the sockets under all connections.
func (l *Listener) abort() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		c.abort()
	}
}
