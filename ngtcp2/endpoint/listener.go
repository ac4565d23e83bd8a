package endpoint

import (
	"context"
	"net"
	"sync"
)

// DefaultBacklog is how many connections wait for Accept at most.
const DefaultBacklog = 1024

// Listener is an Endpoint as a net.Listener: Accept gives a *StreamConn for
// every connection whose client has opened its first stream.
type Listener struct {
	e       *Endpoint
	backlog chan *StreamConn
	closing chan struct{}
	once    sync.Once
}

// NewListener makes and starts an Endpoint with cfg, whose Handler must be nil.
// It listens on the first address of cfg.Addrs as far as net.Listener is
// concerned.
func NewListener(cfg Config) (*Listener, error) {
	l := &Listener{backlog: make(chan *StreamConn, DefaultBacklog), closing: make(chan struct{})}
	cfg.Handler = l
	e, err := New(cfg)
	if err != nil {
		return nil, err
	}
	l.e = e
	return l, e.Start()
}

// OnConn makes the StreamConn of a connection (Handler).
func (l *Listener) OnConn(c *Conn) ConnHandler {
	s := newStreamConn()
	s.attach(c)
	return acceptHandler{streamHandler{s}, l}
}

// acceptHandler is a StreamConn that waits for its stream.
type acceptHandler struct {
	streamHandler
	l *Listener
}

// OnStreamOpen offers the connection to Accept when its first stream opens.
func (a acceptHandler) OnStreamOpen(st *Stream) {
	first := a.stream == nil
	a.streamHandler.OnStreamOpen(st)
	if !first || a.stream == nil {
		return
	}
	select {
	case a.l.backlog <- a.StreamConn:
	default:
		a.conn.Close(CodeOverload, "accept backlog is full")
	}
}

// Accept waits for the next connection. After Close it returns net.ErrClosed.
func (l *Listener) Accept() (net.Conn, error) {
	if isClosed(l.closing) {
		return nil, net.ErrClosed
	}
	select {
	case s := <-l.backlog:
		return s, nil
	case <-l.closing:
		return nil, net.ErrClosed
	}
}

// Addr is the first address that is listened on.
func (l *Listener) Addr() net.Addr { return l.e.Addrs()[0] }

// Endpoint is the Endpoint below.
func (l *Listener) Endpoint() *Endpoint { return l.e }

// Close ends the Listener and, unlike that of TCP, its connections, because they
// share its sockets. It waits for those that close gracefully.
func (l *Listener) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), l.e.cfg.CloseTimeout)
	defer cancel()
	return l.Shutdown(ctx)
}

// Shutdown is Close with a limit of the caller's.
func (l *Listener) Shutdown(ctx context.Context) error {
	l.once.Do(func() { close(l.closing) })
	return l.e.Shutdown(ctx)
}
