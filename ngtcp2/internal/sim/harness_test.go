package sim

import (
	"crypto/sha256"
	"encoding/binary"
	"flag"
	"hash"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/crypto"
	"github.com/ngmq/ngmq/ngtcp2"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
)

var seedFlag = flag.Uint64("seed", 0, "seed of the simulated network; 0 = fixed ones")

// seedFor prints the seed, so that a failure can be run again.
func seedFor(t testing.TB, def uint64) uint64 {
	t.Helper()
	seed := def
	if *seedFlag != 0 {
		seed = *seedFlag
	}
	t.Logf("seed %d", seed)
	return seed
}

var certs = sync.OnceValues(func() (crypto.DevCert, error) {
	dir, err := os.MkdirTemp("", "sim-test")
	if err != nil {
		return crypto.DevCert{}, err
	}
	return crypto.GenerateDevCert(dir)
})

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	if c, err := certs(); err == nil {
		_ = os.RemoveAll(filepath.Dir(c.CAFile))
	}
	os.Exit(code)
}

func newTLS(t testing.TB, role crypto.Role, change ...func(*crypto.Config)) *crypto.Context {
	t.Helper()
	c, err := certs()
	require.NoError(t, err)
	cfg := crypto.Config{Role: role, ALPN: []string{"mqtt"}}
	for _, f := range change {
		f(&cfg)
	}
	if role == crypto.Server {
		cfg.CertFile, cfg.KeyFile = c.CertFile, c.KeyFile
	} else {
		cfg.CAFile = c.CAFile
	}
	ctx, err := crypto.NewContext(cfg)
	require.NoError(t, err)
	t.Cleanup(ctx.Close)
	return ctx
}

// world is a server and a client with a link between them.
type world struct {
	*Net
	t              testing.TB
	server, client *Node
	tls            *crypto.Context // the client's
	accepted       []*peer         // server side, in order of arrival
	newPeer        func() *peer    // makes the server's handlers
	wrap           func(*peer) endpoint.ConnHandler
}

// option changes the configurations before the Cores are made.
type option func(server, client *endpoint.Config)

func newWorld(t testing.TB, seed uint64, link Link, opts ...option) *world {
	t.Helper()
	bytes, blocks := ngtcp2.HeapBytes(), ngtcp2.HeapBlocks()
	t.Cleanup(func() {
		require.Equal(t, bytes, ngtcp2.HeapBytes(), "C memory is left")
		require.Equal(t, blocks, ngtcp2.HeapBlocks(), "C blocks are left")
	})
	w := &world{Net: New(seedFor(t, seed)), t: t, tls: newTLS(t, crypto.Client)}
	w.newPeer = func() *peer { return &peer{} }
	sc := endpoint.Config{TLS: newTLS(t, crypto.Server), Addrs: []string{"10.0.0.1:14567"}, Handler: w}
	cc := endpoint.Config{}
	if bad := link.Loss + link.Corrupt; bad > 0 && bad < 1 { // a handshake may take any time there
		sc.HandshakeTimeout, cc.HandshakeTimeout = patience, patience
	}
	for _, o := range opts {
		o(&sc, &cc)
	}
	w.server = w.Add(w.core(sc), "10.0.0.1:14567")
	w.client = w.Add(w.core(cc), "10.0.0.2:4000")
	w.SetLink(w.client, w.server, link)
	return w
}

func (w *world) core(cfg endpoint.Config) *endpoint.Core {
	c, err := endpoint.NewCore(cfg)
	require.NoError(w.t, err)
	w.t.Cleanup(c.Free)
	return c
}

// OnConn makes the server's side of a connection.
func (w *world) OnConn(c *endpoint.Conn) endpoint.ConnHandler {
	p := w.newPeer()
	p.conn = c
	w.accepted = append(w.accepted, p)
	if w.wrap != nil {
		return w.wrap(p)
	}
	return p
}

// dial starts a connection of the client.
func (w *world) dial() *peer {
	w.t.Helper()
	p := &peer{}
	c, err := w.Dial(w.client, w.server, endpoint.DialConfig{TLS: w.tls, ServerName: "localhost", Handler: p},
		func(err error) { p.ended, p.dialErr = true, err })
	require.NoError(w.t, err)
	p.conn = c
	return p
}

// connect completes a handshake.
func (w *world) connect() *peer {
	w.t.Helper()
	p, n := w.dial(), len(w.accepted)
	w.until(patience, func() bool { return p.ended && len(w.accepted) > n })
	require.NoError(w.t, p.dialErr)
	return p
}

func (w *world) until(limit time.Duration, done func() bool) {
	w.t.Helper()
	require.NoError(w.t, w.Run(limit, done))
}

// peer is one side of a connection: it can echo, send a number of bytes, and
// remembers what happened.
type peer struct {
	conn     *endpoint.Conn
	echo     bool
	hold     bool // keep the credit
	halfOpen bool // do not answer a FIN with a FIN
	ended    bool
	dialErr  error
	closed   bool
	closeErr error
	stream   *endpoint.Stream // the last one that data came on
	opened   int
	finished int // streams closed
	got      int
	fins     int
	resets   []uint64
	stops    []uint64
	sum      hash.Hash
	out      *endpoint.Stream
	toSend   int // bytes still to write to out
	pattern  uint64
}

// limit is what a sending peer keeps unacknowledged.
const limit = 256 << 10

func (p *peer) OnStreamOpen(*endpoint.Stream) { p.opened++ }

func (p *peer) OnStreamData(s *endpoint.Stream, data []byte, fin bool) {
	p.stream = s
	p.got += len(data)
	if p.sum != nil {
		p.sum.Write(data)
	}
	if p.echo {
		_, _ = s.Write(data)
	}
	if !p.hold {
		s.Consume(len(data))
	}
	if fin {
		p.fins++
		if s.Bidi() && !p.halfOpen {
			_ = s.CloseWrite()
		}
	}
}

func (p *peer) OnStreamReset(_ *endpoint.Stream, code uint64) { p.resets = append(p.resets, code) }
func (p *peer) OnStopSending(_ *endpoint.Stream, code uint64) { p.stops = append(p.stops, code) }
func (p *peer) OnStreamClosed(*endpoint.Stream)               { p.finished++ }
func (p *peer) OnClosed(err error)                            { p.closed, p.closeErr = true, err }

// OnFlush keeps limit bytes in the stream.
func (p *peer) OnFlush() {
	var block [8192]byte
	for p.toSend > 0 && p.out.Buffered() < limit {
		b := block[:min(len(block), p.toSend)]
		fill(b, &p.pattern)
		if p.sum != nil {
			p.sum.Write(b)
		}
		_, _ = p.out.Write(b)
		if p.toSend -= len(b); p.toSend == 0 {
			_ = p.out.CloseWrite()
		}
	}
}

// fill makes bytes that differ everywhere.
func fill(b []byte, state *uint64) {
	for i := 0; i+8 <= len(b); i += 8 {
		*state = *state*6364136223846793005 + 1442695040888963407
		binary.LittleEndian.PutUint64(b[i:], *state)
	}
}

// send starts sending n bytes on a new stream.
func (p *peer) send(t testing.TB, n int) {
	t.Helper()
	s, err := p.conn.OpenStream()
	require.NoError(t, err)
	p.out, p.toSend, p.sum = s, n, sha256.New()
	p.conn.MarkDirty()
}
