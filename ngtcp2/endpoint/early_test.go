package endpoint

import (
	"bytes"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/crypto"
	"github.com/ngmq/ngmq/ngtcp2"
)

func earlyTLS(t testing.TB) *crypto.Context {
	t.Helper()
	c, err := certs()
	require.NoError(t, err)
	return context_(t, crypto.Config{CertFile: c.CertFile, KeyFile: c.KeyFile, ALPN: []string{"mqtt"},
		EarlyData: true, TicketKeys: [][]byte{bytes.Repeat([]byte{1}, crypto.TicketKeyLen)}})
}

// earlyServer is a Core that takes early data, and what its application sees.
type earlyServer struct {
	silentHandler
	core      *Core
	conns     int
	conn      *Conn // the last one
	completed int
	early     string
	late      string
	closed    []error
}

func newEarlyServer(t testing.TB, tls *crypto.Context, opts ...func(*Config)) *earlyServer {
	t.Helper()
	s := &earlyServer{}
	cfg := Config{TLS: tls, Addrs: []string{"10.0.0.1:1"}, Handler: s, EarlyData: true}
	for _, o := range opts {
		o(&cfg)
	}
	var err error
	s.core, err = NewCore(cfg)
	require.NoError(t, err)
	t.Cleanup(s.core.Free)
	return s
}

func (s *earlyServer) OnConn(c *Conn) ConnHandler { s.conns, s.conn = s.conns+1, c; return s }
func (s *earlyServer) OnHandshakeCompleted()      { s.completed++ }
func (s *earlyServer) OnClosed(err error)         { s.closed = append(s.closed, err) }
func (s *earlyServer) OnStreamData(st *Stream, data []byte, _ bool) {
	if st.Early() {
		s.early += string(data)
	} else {
		s.late += string(data)
	}
}

// pass lets d go by without a datagram.
func (s *earlyServer) pass(w *wire, d time.Duration) {
	for end := w.now.Add(d); w.now < end; w.now = w.now.Add(100 * time.Millisecond) {
		s.core.HandleExpiry(w.now)
		s.core.Poll(w.now)
		s.core.Sent(nil)
	}
}

// earlyFlight is a client's first flight with the early data "pay 5", which is also
// on its way in w.
func earlyFlight(t testing.TB, w *wire) (flight func() *Batch, conn *Conn, dial DialConfig) {
	t.Helper()
	tls, path := clientTLS(t), ngtcp2.Path{Local: wireClient, Remote: wireServer}
	var session []byte
	first, err := w.client.Connect(path, DialConfig{TLS: tls, ServerName: "localhost", Handler: silentHandler{},
		OnSession: func(b []byte) { session = b }}, w.now, func(err error) { require.NoError(t, err) })
	require.NoError(t, err)
	for session == nil {
		w.step(10 * time.Millisecond)
	}
	first.Close(0, "")
	for range 30 {
		w.step(100 * time.Millisecond)
	}
	dial = DialConfig{TLS: tls, ServerName: "localhost", Handler: silentHandler{},
		Session: session, EarlyData: true, Ready: func(c *Conn) {
			s, err := c.OpenStream()
			require.NoError(t, err)
			_, _ = s.Write([]byte("pay 5"))
		}}
	conn, err = w.client.Connect(path, dial, w.now, func(err error) { require.NoError(t, err) })
	require.NoError(t, err)
	buf, runs := w.client.Poll(w.now)
	kept := Batch{Buf: bytes.Clone(buf[:w.client.tx.used])}
	for _, r := range runs {
		kept.Msgs = append(kept.Msgs, Message{Local: wireServer, Remote: wireClient, Off: uint32(r.Off), Len: uint32(r.Len), Stride: uint32(r.SegmentSize)})
	}
	return func() *Batch { return &Batch{Buf: bytes.Clone(kept.Buf), Msgs: kept.Msgs} }, conn, dial
}

// What an attacker can do with a copy of a client's first flight, and what not (RFC
// 9001 section 9.2).
func TestEarlyDataReplayed(t *testing.T) {
	tls := earlyTLS(t)
	w, s := newWire(t), newEarlyServer(t, tls)
	w.server = s.core // newWire frees the one that it made
	flight, conn, _ := earlyFlight(t, w)
	s.conns, s.completed, s.closed = 0, 0, nil

	// While the connection lives it is a duplicate.
	s.core.Receive(flight(), w.now)
	s.core.Receive(flight(), w.now)
	assert.Equal(t, 1, s.conns)
	assert.Equal(t, "pay 5", s.early)
	for !conn.HandshakeCompleted() || s.completed == 0 {
		w.step(10 * time.Millisecond)
	}
	s.core.Receive(flight(), w.now)
	w.step(10 * time.Millisecond)
	assert.Equal(t, 1, s.conns)
	assert.Equal(t, "pay 5", s.early+s.late)

	// Another server with the same ticket keys takes it for new, and so does this one
	// later: the application is told that it is early, and never more than that.
	conn.Close(0, "")
	for range 100 {
		w.step(100 * time.Millisecond)
	}
	require.Len(t, s.closed, 1)
	other := newEarlyServer(t, tls)
	for _, again := range []*earlyServer{other, s} {
		again.conns, again.completed, again.early, again.closed = 0, 0, "", nil
		again.core.Receive(flight(), w.now)
		assert.Equal(t, 1, again.conns)
		assert.Equal(t, "pay 5", again.early)
		again.pass(w, 11*time.Second)
		assert.Zero(t, again.completed)
		require.Len(t, again.closed, 1)
		assert.ErrorIs(t, again.closed[0], ngtcp2.ErrHandshakeTimeout)
		assert.Empty(t, again.late)
	}

	// Without Config.EarlyData it has no effect at all.
	off, err := NewCore(Config{TLS: tls, Addrs: []string{"10.0.0.1:1"}, Handler: other})
	require.NoError(t, err)
	defer off.Free()
	other.conns, other.early = 0, ""
	off.Receive(flight(), w.now)
	assert.Zero(t, other.conns)
	assert.Empty(t, other.early)
}

// With EarlyDataOnce a copy is no early data: a server rejects it before the application
// hears of it. The client itself can use the ticket again, and sends everything again.
func TestEarlyDataOnce(t *testing.T) {
	c, err := certs()
	require.NoError(t, err)
	tls := context_(t, crypto.Config{CertFile: c.CertFile, KeyFile: c.KeyFile, ALPN: []string{"mqtt"}, EarlyData: true, EarlyDataOnce: 100})
	w, s := newWire(t), newEarlyServer(t, tls)
	w.server = s.core
	flight, conn, dial := earlyFlight(t, w)
	s.conns, s.completed, s.closed = 0, 0, nil
	for !conn.HandshakeCompleted() || s.completed == 0 {
		w.step(10 * time.Millisecond)
	}
	assert.Equal(t, EarlyAccepted, conn.EarlyData())
	assert.Equal(t, "pay 5", s.early)
	conn.Close(0, "")
	for range 100 {
		w.step(100 * time.Millisecond)
	}

	other := newEarlyServer(t, tls) // of the same process
	for _, again := range []*earlyServer{other, s} {
		again.conns, again.early, again.late = 0, "", ""
		again.core.Receive(flight(), w.now)
		again.pass(w, 11*time.Second)
		assert.Zero(t, again.conns)
		assert.Empty(t, again.early+again.late)
	}

	s.completed = 0
	repeat, err := w.client.Connect(ngtcp2.Path{Local: wireClient, Remote: wireServer}, dial, w.now, func(err error) { require.NoError(t, err) })
	require.NoError(t, err)
	for !repeat.HandshakeCompleted() || s.completed == 0 || s.late == "" {
		w.step(10 * time.Millisecond)
	}
	assert.Equal(t, EarlyRejected, repeat.EarlyData())
	assert.True(t, repeat.TLS().Resumed)
	assert.Equal(t, []string{"", "pay 5"}, []string{s.early, s.late})
}

// Early data over sockets, through net.Conn.
func TestEarlyDataOverSockets(t *testing.T) {
	leakCheck(t)
	l := echoServer(t, Config{TLS: earlyTLS(t), EarlyData: true, Workers: 2})
	e := start(t, Config{Workers: 2})
	tls, sessions := clientTLS(t), make(chan []byte, 10)
	cfg := DialConfig{TLS: tls, ServerName: "localhost", EarlyData: true, OnSession: func(b []byte) { sessions <- b }}
	for round := range 5 {
		c, err := e.DialConn(within(t), l.Addr().String(), cfg)
		require.NoError(t, err)
		large := bytes.Repeat([]byte("0123456789"), 5000)
		assert.Equal(t, large, ask(t, c, large))
		require.NoError(t, c.Handshake(within(t)))
		assert.Equal(t, round > 0, c.TLS().Resumed)
		assert.Equal(t, round > 0, c.TLS().EarlyData)
		assert.True(t, c.PeerIdentity().Verified)
		select {
		case cfg.Session = <-sessions:
		case <-time.After(waitLimit):
			require.Fail(t, "no session")
		}
		require.NoError(t, c.Close())
		closed(t, c)
	}
	stats := l.Endpoint().Stats()
	assert.EqualValues(t, 4, stats.Count(EarlyDataAccepted))
	assert.EqualValues(t, 4, stats.Count(HandshakesResumed))
	assert.EqualValues(t, 1, stats.Count(HandshakesFull))

	// A server that is gone: Handshake tells, and so does Read.
	cfg.OnSession = nil
	require.NoError(t, l.Shutdown(within(t)))
	c, err := e.DialConn(within(t), l.Addr().String(), cfg)
	require.NoError(t, err, "it need not have been asked")
	assert.Error(t, c.Handshake(within(t)))
	_, err = io.ReadAll(c)
	assert.Error(t, err)
}

func TestSessionOfOtherTrustIsRefused(t *testing.T) {
	leakCheck(t)
	e := start(t, Config{})
	_, err := e.Dial(within(t), "127.0.0.1:9", DialConfig{TLS: clientTLS(t), Handler: silentHandler{}, Session: []byte("no session")})
	assert.ErrorIs(t, err, ngtcp2.ErrSessionInvalid)
}

func TestEarlyConfig(t *testing.T) {
	for field, c := range map[string]Config{
		"EarlyData": {EarlyData: true}, "MaxDatagram": {MaxDatagram: -1},
	} {
		assert.ErrorContains(t, c.Validate(), "Config."+field)
	}
	c := Config{MaxDatagram: 70_000}
	assert.ErrorContains(t, c.Validate(), "0 (none) to 65535")
	for s, name := range map[EarlyState]string{EarlyNone: "none", EarlyPending: "pending", EarlyAccepted: "accepted", EarlyRejected: "rejected"} {
		assert.Equal(t, name, s.String())
	}
}
