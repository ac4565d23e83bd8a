package interop

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/crypto"
	"github.com/ngmq/ngmq/ngtcp2"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
)

// echoServer is an echo server of package endpoint.
type echoServer struct {
	*endpoint.Endpoint
	conns chan *endpoint.Conn // those whose handlers have been made, as far as there is room
	early chan struct{}       // a token for every piece of early data

	mu   sync.Mutex
	errs []error // that connections ended with
}

func (s *echoServer) OnConn(c *endpoint.Conn) endpoint.ConnHandler {
	select {
	case s.conns <- c:
	default:
	}
	return &echoConn{server: s, conn: c}
}

func (s *echoServer) addr() string { return s.Addrs()[0].String() }

// count is the value of a counter, live connections included.
func (s *echoServer) count(t *testing.T, c endpoint.Counter) int {
	t.Helper()
	stats, err := s.LiveStats(matrixContext(t))
	require.NoError(t, err)
	return int(stats.Count(c))
}

// echoConn sends back what comes.
type echoConn struct {
	server *echoServer
	conn   *endpoint.Conn
}

func (c *echoConn) OnStreamOpen(*endpoint.Stream) {}

func (c *echoConn) OnStreamData(s *endpoint.Stream, data []byte, fin bool) {
	if s.Early() {
		select {
		case c.server.early <- struct{}{}:
		default:
		}
	}
	_, _ = s.Write(data) // of what the peer's windows allow: bounded
	s.Consume(len(data))
	if fin {
		_ = s.CloseWrite()
	}
}

func (c *echoConn) OnStreamReset(s *endpoint.Stream, code uint64) { s.Reset(code) }
func (c *echoConn) OnStopSending(*endpoint.Stream, uint64)        {}
func (c *echoConn) OnStreamClosed(*endpoint.Stream)               {}
func (c *echoConn) OnFlush()                                      {}
func (c *echoConn) OnDatagram(data []byte, _ bool)                { _ = c.conn.SendDatagram(data, 0) }
func (c *echoConn) OnDatagramAcked(uint64)                        {}
func (c *echoConn) OnDatagramLost(uint64)                         {}

// OnClosed keeps what was wrong, for failed tests.
func (c *echoConn) OnClosed(err error) {
	if err != nil {
		c.server.mu.Lock()
		defer c.server.mu.Unlock()
		c.server.errs = append(c.server.errs, err)
	}
}

// oursConfig is what the matrix asks of both roles.
func oursConfig() endpoint.Config {
	return endpoint.Config{
		HandshakeTimeout: matrixPatience, IdleTimeout: matrixPatience, MaxDatagram: 65535,
		CloseTimeout: 100 * time.Millisecond, Workers: 2, ReceiveBuffer: 1 << 20, SendBuffer: 1 << 20,
	}
}

// echoOurs starts an echo server. Each of change may alter the configurations.
func echoOurs(t *testing.T, o serverOptions, change ...func(*endpoint.Config, *crypto.Config)) *echoServer {
	t.Helper()
	s := &echoServer{conns: make(chan *endpoint.Conn, 100), early: make(chan struct{}, 100)}
	cfg := oursConfig()
	cfg.Addrs, cfg.Handler = []string{o.address()}, s
	tls := crypto.Config{ALPN: []string{echoALPN}, CertFile: o.file("crt"), KeyFile: o.file("key")}
	for _, f := range change {
		f(&cfg, &tls)
	}
	var err error
	cfg.TLS, err = crypto.NewContext(tls)
	require.NoError(t, err)
	s.Endpoint, err = endpoint.New(cfg)
	require.NoError(t, err)
	require.NoError(t, s.Start())
	t.Cleanup(func() {
		shutdown(s.Endpoint)
		cfg.TLS.Close()
		if t.Failed() {
			t.Logf("server: %v, %s", errors.Join(s.errs...), s.counters())
		}
	})
	return s
}

// counters are those that are not zero.
func (s *echoServer) counters() string {
	var b strings.Builder
	stats := s.Stats()
	for c, n := range stats.All() {
		if n > 0 {
			fmt.Fprintf(&b, "%s %d, ", c, n)
		}
	}
	return b.String()
}

func shutdown(e *endpoint.Endpoint) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	e.Shutdown(ctx)
}

// oursMux is a client's connection of package endpoint with streams that block.
type oursMux struct {
	*endpoint.Conn
	endpoint  *endpoint.Endpoint
	datagrams chan string

	mu      sync.Mutex
	waiting []func() bool // for a stream; they return false when there is none yet. Worker only
	streams map[*endpoint.Stream]*oursStream
	err     error
	ended   chan struct{}
}

// dialOurs dials with an Endpoint of its own. Each of change may alter the configurations.
func dialOurs(t *testing.T, addr string, change ...func(*endpoint.DialConfig, *crypto.Config)) (*oursMux, error) {
	t.Helper()
	m := &oursMux{streams: map[*endpoint.Stream]*oursStream{}, datagrams: make(chan string, 100), ended: make(chan struct{})}
	dial := endpoint.DialConfig{ServerName: "localhost", Handler: m}
	tls := crypto.Config{Role: crypto.Client, ALPN: []string{echoALPN}, CAFile: certFile(caName + ".crt")}
	for _, f := range change {
		f(&dial, &tls)
	}
	var err error
	dial.TLS, err = crypto.NewContext(tls)
	require.NoError(t, err)
	e, err := endpoint.New(oursConfig())
	require.NoError(t, err)
	t.Cleanup(func() {
		shutdown(e)
		dial.TLS.Close()
	})
	m.endpoint = e
	m.Conn, err = e.Dial(matrixContext(t), addr, dial)
	return m, err
}

func (m *oursMux) open(ctx context.Context) (stream, error) {
	opened := make(chan *oursStream, 1)
	m.Post(func() {
		m.waiting = append(m.waiting, func() bool {
			s, err := m.OpenStream()
			if err != nil {
				return false
			}
			opened <- m.add(s)
			return true
		})
		m.OnFlush()
	})
	select {
	case s := <-opened:
		return s, nil
	case <-m.ended:
		return nil, m.reason()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (m *oursMux) add(s *endpoint.Stream) *oursStream {
	st := &oursStream{mux: m, stream: s}
	st.changed = sync.NewCond(&st.mu)
	m.mu.Lock()
	m.streams[s] = st
	m.mu.Unlock()
	return st
}

func (m *oursMux) of(s *endpoint.Stream) *oursStream {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.streams[s]
}

func (m *oursMux) reason() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err
}

func (m *oursMux) close() { m.Post(func() { m.CloseAfterFlush(0, "") }) }

// do runs f on the worker and waits for it.
func (m *oursMux) do(f func() error) error {
	done := make(chan error, 1)
	m.Post(func() { done <- f() })
	select {
	case err := <-done:
		return err
	case <-m.ended:
		return m.reason()
	}
}

func (m *oursMux) OnStreamOpen(s *endpoint.Stream) { s.Refuse(0) }

func (m *oursMux) OnStreamData(s *endpoint.Stream, data []byte, fin bool) {
	st := m.of(s)
	s.Consume(len(data))
	st.change(func() {
		st.in.Write(data)
		if fin {
			st.end = io.EOF
		}
	})
}

func (m *oursMux) OnStreamReset(s *endpoint.Stream, _ uint64) {
	st := m.of(s)
	st.change(func() { st.end = errors.New("reset") })
}

func (m *oursMux) OnStopSending(*endpoint.Stream, uint64) {}

func (m *oursMux) OnStreamClosed(s *endpoint.Stream) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.streams, s)
}

func (m *oursMux) OnFlush() {
	for len(m.waiting) > 0 && m.waiting[0]() {
		m.waiting = m.waiting[1:]
	}
}

func (m *oursMux) OnClosed(err error) {
	if err == nil {
		err = net.ErrClosed
	}
	m.mu.Lock()
	m.err = err
	streams := m.streams
	m.streams = map[*endpoint.Stream]*oursStream{}
	m.mu.Unlock()
	for _, st := range streams {
		st.change(func() { st.end = err })
	}
	close(m.ended)
}

func (m *oursMux) OnDatagram(data []byte, _ bool) {
	select {
	case m.datagrams <- string(data):
	default:
	}
}
func (m *oursMux) OnDatagramAcked(uint64) {}
func (m *oursMux) OnDatagramLost(uint64)  {}

// oursStream is a blocking stream; its writes are not held back.
type oursStream struct {
	mux    *oursMux
	stream *endpoint.Stream // worker only

	mu      sync.Mutex
	changed *sync.Cond
	in      bytes.Buffer
	end     error // after what is in in
	late    bool  // the deadline has passed
	alarm   *time.Timer
}

func (s *oursStream) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	s.changed.Broadcast()
}

func (s *oursStream) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.in.Len() == 0 {
		switch {
		case s.end != nil:
			return 0, s.end
		case s.late:
			return 0, os.ErrDeadlineExceeded
		}
		s.changed.Wait()
	}
	return s.in.Read(p)
}

func (s *oursStream) Write(p []byte) (int, error) {
	err := s.mux.do(func() error {
		_, err := s.stream.Write(p)
		return err
	})
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

func (s *oursStream) Close() error { return s.mux.do(s.stream.CloseWrite) }

func (s *oursStream) SetDeadline(at time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.alarm != nil {
		s.alarm.Stop()
	}
	s.alarm = time.AfterFunc(time.Until(at), func() { s.change(func() { s.late = true }) })
	return nil
}

// updateKeys changes the keys of a connection of package endpoint as soon as that is allowed.
func updateKeys(t *testing.T, c *endpoint.Conn) {
	t.Helper()
	require.Eventually(t, func() bool {
		done := make(chan error, 1)
		c.Post(func() { done <- c.InitiateKeyUpdate() })
		err := <-done
		if !errors.Is(err, ngtcp2.ErrInvalidState) {
			require.NoError(t, err)
		}
		return err == nil
	}, patience, pollStep, "the keys can be changed")
}
