//go:build !noquic

package client

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"sync"

	"github.com/ngmq/ngmq/crypto"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
)

// Endpoint is what QUIC connections of several clients run on: sockets, event loops and TLS
// contexts, which each connection has to itself otherwise. For programs with many clients. All
// methods may be called by any goroutine.
type Endpoint struct {
	quic *endpoint.Endpoint

	mu       sync.Mutex
	closed   bool
	contexts map[string]*sharedTLS
}

// NewEndpoint makes an Endpoint for [Options.Endpoint] and [Dialer.Endpoint]. It is the
// caller's, who ends it with Shutdown when the clients have been closed.
func NewEndpoint(o EndpointOptions) (*Endpoint, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	qlog, err := openQlog(o.QlogDir)
	if err != nil {
		return nil, err
	}
	config := endpointConfig(qlog)
	config.Workers, config.LocalAddr, config.Logger = cmp.Or(o.Workers, 1), o.LocalAddr, o.Logger
	e, err := endpoint.New(config)
	if err != nil {
		return nil, err
	}
	return &Endpoint{quic: e, contexts: map[string]*sharedTLS{}}, nil
}

// Shutdown ends the Endpoint. Connections that are still open end, after what was written
// has been delivered or ctx ended; then ctx's error is returned. It may be called again.
func (e *Endpoint) Shutdown(ctx context.Context) error {
	e.mu.Lock()
	e.closed = true
	for key, s := range e.contexts {
		delete(e.contexts, key)
		s.retire()
	}
	e.mu.Unlock()
	return e.quic.Shutdown(ctx)
}

// endpointConfig is what the endpoints of clients have in common.
func endpointConfig(qlog endpoint.Qlog) endpoint.Config {
	return endpoint.Config{Workers: 1, KeepAlive: quicKeepAlive, MaxDatagram: largestDatagram, Qlog: qlog}
}

// sharedTLS is a TLS context of several connections, until its files change.
type sharedTLS struct {
	tls     *crypto.Context
	stamp   string // of the files
	users   int    // dials under way: a connection keeps what it needs
	retired bool
}

// retire closes it when nobody uses it any more.
func (s *sharedTLS) retire() {
	s.retired = true
	if s.users == 0 {
		s.tls.Close()
	}
}

// context gives the TLS context for t, and what to call when the dial is over.
func (e *Endpoint) context(t *TLS) (tls *crypto.Context, release func(), err error) {
	key, stamp := t.quicKey(), t.stamp()
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, nil, ErrEndpointClosed
	}
	s := e.contexts[key]
	if s == nil || s.stamp != stamp {
		fresh, err := t.QUICContext()
		if err != nil {
			return nil, nil, err
		}
		if s != nil {
			s.retire()
		}
		s = &sharedTLS{tls: fresh, stamp: stamp}
		e.contexts[key] = s
	}
	s.users++
	return s.tls, func() { e.release(s) }, nil
}

func (e *Endpoint) release(s *sharedTLS) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s.users--
	if s.retired {
		s.retire()
	}
}

// quicKey names all that makes a TLS context for QUIC.
func (t *TLS) quicKey() string {
	return fmt.Sprintf("%q %q %q %q %t %q %q", t.CAFile, t.CADir, t.CertFile, t.KeyFile, t.Insecure, t.KeyLogFile, t.ALPN)
}

// stamp changes when the files do.
func (t *TLS) stamp() (text string) {
	for _, name := range []string{t.CAFile, t.CADir, t.CertFile, t.KeyFile} {
		if info, err := os.Stat(name); err == nil {
			text += fmt.Sprintln(info.ModTime().UnixNano(), info.Size())
		}
	}
	return text
}

// base is what a connection is made on: Options.Endpoint, or an endpoint of its own.
type base struct {
	quic    *endpoint.Endpoint
	own     bool
	tls     *crypto.Context
	release func() // when the dial is over: the connection keeps what it needs
}

func (o *dialer) base() (*base, error) {
	if o.Endpoint != nil {
		tls, release, err := o.Endpoint.context(&o.TLS)
		return &base{quic: o.Endpoint.quic, tls: tls, release: release}, err
	}
	qlog, err := openQlog(o.QlogDir)
	if err != nil {
		return nil, err
	}
	tls, err := o.TLS.QUICContext()
	if err != nil {
		return nil, err
	}
	config := endpointConfig(qlog)
	config.LocalAddr, config.Logger = o.LocalAddr, o.Logger
	e, err := endpoint.New(config)
	if err != nil {
		tls.Close()
		return nil, err
	}
	return &base{quic: e, own: true, tls: tls, release: tls.Close}, nil
}

// end follows a dial that failed.
func (b *base) end() {
	if b.own {
		go shutdown(b.quic)
	}
}

// endsWith ends what is the connection's own with it, and tells when that is done.
func (b *base) endsWith(conn *endpoint.StreamConn) <-chan struct{} {
	if !b.own {
		return conn.Closed()
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		<-conn.Closed()
		shutdown(b.quic)
	}()
	return ended
}

// shutdown ends an endpoint without a closing period: its socket goes with it, so
// late packets find nobody who answers (RFC 9000 section 10.2).
func shutdown(e *endpoint.Endpoint) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = e.Shutdown(ctx) // the error of ctx
}
