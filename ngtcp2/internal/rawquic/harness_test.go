package rawquic_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/crypto"
	"github.com/ngmq/ngmq/ngtcp2"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
	"github.com/ngmq/ngmq/ngtcp2/internal/rawquic"
)

const alpn = "mqtt"

// identity is one certificate for the whole test binary.
type identity struct {
	files crypto.DevCert
	pair  tls.Certificate
	roots *x509.CertPool
}

var ident = sync.OnceValues(func() (id identity, err error) {
	dir, err := os.MkdirTemp("", "rawquic-test")
	if err != nil {
		return id, err
	}
	if id.files, err = crypto.GenerateDevCert(dir); err != nil {
		return id, err
	}
	if id.pair, err = tls.LoadX509KeyPair(id.files.CertFile, id.files.KeyFile); err != nil {
		return id, err
	}
	pem, err := os.ReadFile(id.files.CAFile)
	id.roots = x509.NewCertPool()
	id.roots.AppendCertsFromPEM(pem)
	return id, err
})

func TestMain(m *testing.M) {
	code := m.Run()
	if id, err := ident(); err == nil {
		_ = os.RemoveAll(filepath.Dir(id.files.CAFile))
	}
	os.Exit(code)
}

// world is a Core under test and raw peers around it, without a network.
type world struct {
	t     testing.TB
	core  *endpoint.Core
	now   ngtcp2.Timestamp
	raws  map[netip.AddrPort]*raw
	conns []*app // the Core's side of connections, in order
	echo  bool   // streams are echoed
	open  bool   // a stream of each kind is opened at once
	held  bool   // nothing is consumed
	batch endpoint.Batch
}

// raw is a hostile peer at an address.
type raw struct {
	*rawquic.Peer
	w       *world
	addr    netip.AddrPort
	hold    bool // the honest part sends nothing by itself
	err     error
	in, out int // bytes of datagrams received and sent
	grams   int // datagrams received
}

// app is the application of the Core's side of a connection.
type app struct {
	w      *world
	conn   *endpoint.Conn
	closed bool
	err    error
	got    int // bytes of stream data
	opened int
}

func (a *app) OnStreamOpen(*endpoint.Stream) { a.opened++ }

func (a *app) OnStreamData(s *endpoint.Stream, data []byte, fin bool) {
	a.got += len(data)
	if !a.w.held {
		s.Consume(len(data))
	}
	if a.w.echo && s.Bidi() {
		_, _ = s.Write(data)
		if fin {
			_ = s.CloseWrite()
		}
	}
}

func (a *app) OnStreamReset(*endpoint.Stream, uint64) {}
func (a *app) OnStopSending(*endpoint.Stream, uint64) {}
func (a *app) OnStreamClosed(*endpoint.Stream)        {}
func (a *app) OnFlush()                               {}
func (a *app) OnClosed(err error)                     { a.closed, a.err = true, err }

// begin opens a bidirectional and a unidirectional stream, if the world wants it.
func (a *app) begin() {
	if !a.w.open {
		return
	}
	for _, open := range []func() (*endpoint.Stream, error){a.conn.OpenStream, a.conn.OpenUniStream} {
		s, err := open()
		require.NoError(a.w.t, err)
		_, _ = s.Write([]byte("hello"))
	}
}

// OnConn makes the application of a client's connection (endpoint.Handler).
func (w *world) OnConn(c *endpoint.Conn) endpoint.ConnHandler {
	a := &app{w: w, conn: c}
	w.conns = append(w.conns, a)
	a.begin()
	return a
}

var coreAddr, dialAddr = netip.MustParseAddrPort("10.0.0.1:14567"), netip.MustParseAddrPort("10.0.0.1:40000")

func addrOf(n int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(n >> 8), byte(n)}), 5000)
}

// option changes the configuration of the Core, or its TLS.
type option func(*endpoint.Config, *crypto.Config)

// newServer makes a world whose Core is a server.
func newServer(t testing.TB, opts ...option) *world {
	t.Helper()
	w := newWorld(t)
	id, err := ident()
	require.NoError(t, err)
	tc := crypto.Config{CertFile: id.files.CertFile, KeyFile: id.files.KeyFile, ALPN: []string{alpn}, CipherSuites: "TLS_AES_128_GCM_SHA256"}
	cfg := endpoint.Config{Addrs: []string{coreAddr.String()}, Handler: w}
	for _, o := range opts {
		o(&cfg, &tc)
	}
	cfg.TLS, err = crypto.NewContext(tc)
	require.NoError(t, err)
	t.Cleanup(cfg.TLS.Close)
	w.setCore(cfg)
	return w
}

// newClient makes a world whose Core is a client.
func newClient(t testing.TB, opts ...option) *world {
	t.Helper()
	w := newWorld(t)
	cfg := endpoint.Config{}
	for _, o := range opts {
		o(&cfg, &crypto.Config{})
	}
	w.setCore(cfg)
	return w
}

func newWorld(t testing.TB) *world {
	t.Helper()
	bytes, blocks := ngtcp2.HeapBytes(), ngtcp2.HeapBlocks()
	t.Cleanup(func() {
		require.Equal(t, bytes, ngtcp2.HeapBytes(), "C memory is left")
		require.Equal(t, blocks, ngtcp2.HeapBlocks(), "C blocks are left")
	})
	return &world{t: t, now: ngtcp2.Timestamp(time.Hour), raws: map[netip.AddrPort]*raw{}}
}

func (w *world) setCore(cfg endpoint.Config) {
	core, err := endpoint.NewCore(cfg)
	require.NoError(w.t, err)
	w.core = core
	w.t.Cleanup(core.Free)
}

// client makes a raw client, which has sent nothing yet.
func (w *world) client(n int, cfg rawquic.Config) *raw {
	w.t.Helper()
	id, err := ident()
	require.NoError(w.t, err)
	if cfg.TLS == nil {
		cfg.TLS = &tls.Config{RootCAs: id.roots, ServerName: "localhost", NextProtos: []string{alpn}}
	}
	p, err := rawquic.NewClient(cfg)
	require.NoError(w.t, err)
	return w.add(n, p)
}

// connect makes a raw client and completes its handshake.
func (w *world) connect(n int, cfg rawquic.Config) *raw {
	w.t.Helper()
	r := w.client(n, cfg)
	w.settle()
	require.NoError(w.t, r.err)
	require.True(w.t, r.Complete(), "handshake")
	require.Nil(w.t, r.Closed())
	return r
}

// dial has the Core connect to a raw server.
func (w *world) dial(n int, cfg rawquic.Config) *raw {
	w.t.Helper()
	id, err := ident()
	require.NoError(w.t, err)
	if cfg.TLS == nil {
		cfg.TLS = &tls.Config{Certificates: []tls.Certificate{id.pair}, NextProtos: []string{alpn}}
	}
	r := w.add(n, rawquic.NewServer(cfg))
	ctx, err := crypto.NewContext(crypto.Config{Role: crypto.Client, CAFile: id.files.CAFile,
		ALPN: []string{alpn}, CipherSuites: "TLS_AES_128_GCM_SHA256"})
	require.NoError(w.t, err)
	w.t.Cleanup(ctx.Close)
	a := &app{w: w}
	w.conns = append(w.conns, a)
	a.conn, err = w.core.Connect(ngtcp2.Path{Local: dialAddr, Remote: r.addr}, endpoint.DialConfig{
		TLS: ctx, ServerName: "localhost", Handler: a, Ready: func(*endpoint.Conn) { a.begin() },
	}, w.now, func(err error) { a.err = err })
	require.NoError(w.t, err)
	return r
}

func (w *world) add(n int, p *rawquic.Peer) *raw {
	r := &raw{Peer: p, w: w, addr: addrOf(n)}
	w.raws[r.addr] = r
	w.t.Cleanup(p.Free)
	return r
}

// settle carries datagrams until nothing moves, and lets 200 ms pass: time for
// delayed acknowledgements.
func (w *world) settle() {
	for range 20 {
		w.turn()
		w.now = w.now.Add(10 * time.Millisecond)
	}
}

// maxRounds bounds how long both sides may go on answering each other in one
// moment.
const maxRounds = 1000

func (w *world) turn() {
	for range maxRounds {
		if w.core.Expiry() <= w.now {
			w.core.HandleExpiry(w.now)
		}
		moved := w.collect()
		for _, r := range w.raws {
			if !r.hold {
				flight := r.Flight()
				r.deliver(flight...)
				moved = moved || len(flight) > 0
			}
		}
		if !moved {
			return
		}
	}
	require.Fail(w.t, "both sides never rest")
}

// collect takes what the Core sends, to its receivers.
func (w *world) collect() (any bool) {
	for w.core.Busy() {
		buf, runs := w.core.Poll(w.now)
		if len(runs) == 0 {
			w.core.Sent(nil)
			break
		}
		any = true
		for _, t := range runs {
			w.scatter(buf[t.Off:t.Off+t.Len], &t)
		}
		w.core.Sent(nil)
	}
	return any
}

func (w *world) scatter(run []byte, t *endpoint.Transmit) {
	r := w.raws[t.Remote]
	if r == nil {
		return
	}
	for len(run) > 0 {
		n := min(len(run), max(t.SegmentSize, 1))
		r.in, r.grams = r.in+n, r.grams+1
		if err := r.Receive(run[:n]); err != nil && r.err == nil {
			r.err = err
		}
		run = run[n:]
	}
}

// deliver hands datagrams to the Core at once, in one batch.
func (r *raw) deliver(datagrams ...[]byte) {
	w := r.w
	local := coreAddr
	if len(w.conns) > 0 && !w.conns[0].conn.Server() {
		local = dialAddr
	}
	b := &w.batch
	b.Buf, b.Msgs = b.Buf[:0], b.Msgs[:0]
	for _, d := range datagrams {
		n := uint32(len(d))
		b.Msgs = append(b.Msgs, endpoint.Message{Local: local, Remote: r.addr, Off: uint32(len(b.Buf)), Len: n, Stride: n})
		b.Buf = append(b.Buf, d...)
		r.out += len(d)
	}
	if len(b.Msgs) > 0 {
		w.core.Receive(b, w.now)
	}
}

// send puts frames into one packet and delivers it.
func (r *raw) send(level rawquic.Level, frames ...[]byte) {
	r.sendAs(level, rawquic.Header{}, frames...)
}

func (r *raw) sendAs(level rawquic.Level, h rawquic.Header, frames ...[]byte) {
	pkt := r.Seal(level, h, frames...)
	require.NotNil(r.w.t, pkt, "no keys for %v", level)
	r.deliver(pkt)
}
