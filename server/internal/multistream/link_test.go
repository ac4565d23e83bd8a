//go:build !noquic

package multistream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/ngtcp2"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
	"github.com/ngmq/ngmq/server/internal/mqtttest"
)

// link is a QUIC connection of a test client. Its streams are those of type stream.
type link struct {
	conn   *endpoint.Conn
	closed chan struct{} // the connection has ended, for the reason err
	err    error

	mu     sync.Mutex
	opened int // streams that the server has opened

	served chan *stream // the same

	datagrams chan []byte // that have come
}

// stream is a QUIC stream as a net.Conn, for mqtttest. What is not read has no credit.
// Write returns at once.
type stream struct {
	l *link
	s *endpoint.Stream

	mu       sync.Mutex
	in       []byte
	end      error // io.EOF, a reset, or that of the connection
	deadline time.Time
	changed  chan struct{}
	stopped  chan uint64 // the code of STOP_SENDING
}

// reset is the end of a stream by RESET_STREAM.
type reset struct{ code uint64 }

func (r reset) Error() string { return fmt.Sprintf("reset with 0x%x", r.code) }

// OnStreamOpen implements endpoint.ConnHandler.
func (l *link) OnStreamOpen(s *endpoint.Stream) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.opened++
	st := l.newStream()
	st.s, s.UserData = s, st
	select {
	case l.served <- st:
	default:
	}
}

// OnStreamData implements endpoint.ConnHandler.
func (l *link) OnStreamData(s *endpoint.Stream, data []byte, fin bool) {
	var end error
	if fin {
		end = io.EOF
	}
	if st, ok := s.UserData.(*stream); ok {
		st.arrive(data, end)
	}
}

// OnStreamReset implements endpoint.ConnHandler.
func (l *link) OnStreamReset(s *endpoint.Stream, code uint64) {
	if st, ok := s.UserData.(*stream); ok {
		st.arrive(nil, reset{code})
	}
}

// OnStopSending implements endpoint.ConnHandler.
func (l *link) OnStopSending(s *endpoint.Stream, code uint64) {
	if st, ok := s.UserData.(*stream); ok {
		st.stopped <- code
	}
}

// OnStreamClosed implements endpoint.ConnHandler.
func (l *link) OnStreamClosed(*endpoint.Stream) {}

// OnDatagram implements endpoint.DatagramHandler.
func (l *link) OnDatagram(data []byte, _ bool) {
	select {
	case l.datagrams <- bytes.Clone(data):
	default:
	}
}

// OnDatagramAcked implements endpoint.DatagramHandler.
func (l *link) OnDatagramAcked(uint64) {}

// OnDatagramLost implements endpoint.DatagramHandler.
func (l *link) OnDatagramLost(uint64) {}

// OnFlush implements endpoint.ConnHandler.
func (l *link) OnFlush() {}

// OnClosed implements endpoint.ConnHandler.
func (l *link) OnClosed(err error) {
	l.err = err
	close(l.closed)
}

// on runs f on the worker and waits for it.
func (l *link) on(f func()) {
	done := make(chan struct{})
	l.conn.Post(func() {
		f()
		close(done)
	})
	select {
	case <-done:
	case <-time.After(mqtttest.Patience):
	}
}

// open opens streams. All that first holds is in the first packets of its stream.
func (l *link) open(t testing.TB, uni bool, first []byte) *stream {
	t.Helper()
	st := l.newStream()
	var err error
	l.on(func() {
		if uni {
			st.s, err = l.conn.OpenUniStream()
		} else {
			st.s, err = l.conn.OpenStream()
		}
		if err == nil {
			st.s.UserData = st
			_, err = st.s.Write(first)
		}
	})
	require.NoError(t, err)
	return st
}

func (l *link) newStream() *stream {
	return &stream{l: l, changed: make(chan struct{}, 1), stopped: make(chan uint64, 1)}
}

// cut ends the connection like a client that has died: nothing of it arrives any more.
func (l *link) cut() { l.on(func() { l.conn.Close(0, "") }) }

func (st *stream) arrive(data []byte, end error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.in = append(st.in, data...)
	if st.end == nil {
		st.end = end
	}
	st.notify()
}

func (st *stream) notify() {
	select {
	case st.changed <- struct{}{}:
	default:
	}
}

// Read implements net.Conn.
func (st *stream) Read(p []byte) (int, error) {
	for {
		n, wait, err := st.poll(p)
		if n > 0 {
			st.l.conn.Post(func() { st.s.Consume(n) })
		}
		if n > 0 || err != nil {
			return n, err
		}
		select {
		case <-st.changed:
		case <-st.l.closed:
			st.arrive(nil, fmt.Errorf("connection closed: %w", errors.Join(st.l.err, io.ErrUnexpectedEOF)))
		case <-time.After(wait):
			return 0, os.ErrDeadlineExceeded
		}
	}
}

func (st *stream) poll(p []byte) (n int, wait time.Duration, err error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	n = copy(p, st.in)
	st.in = st.in[n:]
	if n == 0 {
		err = st.end
	}
	return n, time.Until(st.deadline), err
}

// Write implements net.Conn.
func (st *stream) Write(p []byte) (n int, err error) {
	st.l.on(func() { n, err = st.s.Write(p) })
	return n, err
}

// Close sends FIN.
func (st *stream) Close() error {
	st.l.conn.Post(func() { _ = st.s.CloseWrite() })
	return nil
}

// abort resets the stream, both ways.
func (st *stream) abort(code uint64) { st.l.on(func() { st.s.Refuse(code) }) }

// stopReading sends STOP_SENDING, and makes the server answer where only its next write finds that.
func (st *stream) stopReading(code uint64) {
	st.l.on(func() { st.s.StopReading(code) })
	if !ngtcp2.ReportsStopSending() {
		_, _ = st.Write(encode(&packet.Pingreq{}))
	}
}

// expectStopped waits until the server has sent STOP_SENDING with a code.
func (st *stream) expectStopped(t testing.TB, code packet.ReasonCode) {
	t.Helper()
	require.Eventually(t, func() bool {
		if !ngtcp2.ReportsStopSending() { // then a write finds it, without the code
			_, err := st.Write([]byte{0})
			return err != nil
		}
		select {
		case got := <-st.stopped:
			return assert.EqualValues(t, code, got)
		default:
			return false
		}
	}, mqtttest.Patience, time.Millisecond, "the stream was not stopped")
}

func (st *stream) SetReadDeadline(at time.Time) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.deadline = at
	return nil
}

func (st *stream) SetWriteDeadline(time.Time) error { return nil }
func (st *stream) SetDeadline(at time.Time) error   { return st.SetReadDeadline(at) }
func (st *stream) LocalAddr() net.Addr              { return st.l.conn.LocalAddr() }
func (st *stream) RemoteAddr() net.Addr             { return st.l.conn.RemoteAddr() }

// wait gives the end of the stream as the client sees it.
func (st *stream) wait(t testing.TB) error {
	t.Helper()
	st.SetReadDeadline(time.Now().Add(mqtttest.Patience))
	buf := make([]byte, 64<<10)
	for {
		if _, err := st.Read(buf); err != nil {
			require.NotErrorIs(t, err, os.ErrDeadlineExceeded)
			return err
		}
	}
}

// dialLink connects; no stream is open yet.
func dialLink(t testing.TB, s *running) *link {
	t.Helper()
	return dialTo(t, s, s.Addrs().QUIC[0].String())
}

// dialTo is dialLink for a server at another address.
func dialTo(t testing.TB, s *running, addr string) *link {
	t.Helper()
	l := &link{closed: make(chan struct{}), datagrams: make(chan []byte, 1024), served: make(chan *stream, 1024)}
	ctx, cancel := context.WithTimeout(context.Background(), mqtttest.Patience)
	defer cancel()
	cfg := endpoint.DialConfig{TLS: s.trust, ServerName: "localhost", Handler: l, OnSession: func(session []byte) { s.session.Store(&session) }}
	if session := s.session.Load(); s.resumes && session != nil {
		cfg.Session = *session
	}
	var err error
	l.conn, err = s.clients.Dial(ctx, addr, cfg)
	require.NoError(t, err)
	t.Cleanup(l.cut)
	return l
}
