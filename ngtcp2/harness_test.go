package ngtcp2

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/crypto"
)

// The harness joins a client and a server Conn by a link in memory under a
// virtual clock: no sockets, no sleeping.

const (
	testALPN    = "mqtt"
	testDelay   = 10 * time.Millisecond // one way
	testDstSize = 64 << 10
	testCIDLen  = 10
	testWindow  = 256 << 10
)

var (
	testDev    crypto.DevCert
	testSecret = []byte("0123456789abcdef0123456789abcdef")
	addrClient = netip.MustParseAddrPort("192.0.2.1:40000")
	addrServer = netip.MustParseAddrPort("192.0.2.2:4433")
)

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "ngtcp2-test")
	if err == nil {
		testDev, err = crypto.GenerateDevCert(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

func newTLS(t testing.TB, cfg crypto.Config) *crypto.Context {
	t.Helper()
	ctx, err := crypto.NewContext(cfg)
	require.NoError(t, err)
	t.Cleanup(ctx.Close)
	return ctx
}

func serverTLS(t testing.TB) *crypto.Context {
	return newTLS(t, crypto.Config{CertFile: testDev.CertFile, KeyFile: testDev.KeyFile, ALPN: []string{testALPN}})
}

func clientTLS(t testing.TB, alpn ...string) *crypto.Context {
	if len(alpn) == 0 {
		alpn = []string{testALPN}
	}
	return newTLS(t, crypto.Config{Role: crypto.Client, CAFile: testDev.CAFile, ALPN: alpn})
}

func randomCID(n int) ConnectionID {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
	c, err := NewConnectionID(b)
	if err != nil {
		panic(err)
	}
	return c
}

// rec is a copy of an event.
type rec struct {
	Event
	Data []byte
}

// side is one end: a Conn with what it has seen.
type side struct {
	t       testing.TB
	name    string
	conn    *Conn
	ev      *Events
	path    Path
	events  []rec
	data    map[int64][]byte
	fin     map[int64]bool
	hold    bool // give no credit back
	onEvent func(*Event)
	err     error
	pending []StreamChunk
	out     []dgram // written, on its way to the peer
	dst     []byte
}

type dgram struct {
	at   Timestamp
	path Path // of the sender
	data []byte
	ecn  ECN
}

// pair is two sides and the link between them.
type pair struct {
	rejectEarly bool
	t           testing.TB
	now         Timestamp
	c, s        *side
	stls        *crypto.Context
	sset        Settings
	sparam      TransportParams
	// link, when set, may drop (nil), change or multiply a datagram.
	link func(from *side, d dgram) []dgram
	// accept, when set, sees a datagram for a server that does not exist; it
	// returns an answer, or nil and whether to make the server Conn.
	accept func(pkt []byte, h PktHeader, err error) (answer []byte, make bool)
	// byPath delivers each datagram on the path that it was sent on; else sides
	// have one path each.
	byPath bool
	prefix []byte
	given  bool          // GivenCIDs
	paths  map[Path]bool // of the packets written
}

type options struct {
	stls, ctls     *crypto.Context
	sset, cset     func(*Settings)
	sparam, cparam func(*TransportParams)
	version        uint32
	preferred      PreferredAddrPolicy
	path           Path // the client's; default addrClient to addrServer
	session        []byte
	early          bool
	rejectEarly    bool   // of the server
	serverName     string // that the client asks for; default localhost
}

func testParams() TransportParams {
	p := DefaultTransportParams()
	p.InitialMaxData = 2 * testWindow
	p.InitialMaxStreamDataBidiLocal = testWindow
	p.InitialMaxStreamDataBidiRemote = testWindow
	p.InitialMaxStreamDataUni = testWindow
	p.InitialMaxStreamsBidi = 100
	p.InitialMaxStreamsUni = 100
	p.MaxIdleTimeout = 30 * time.Second
	return p
}

func newPair(t testing.TB, o options) *pair {
	t.Helper()
	p := &pair{t: t, now: 1, paths: map[Path]bool{}, stls: o.stls, sset: DefaultSettings(), sparam: testParams(), rejectEarly: o.rejectEarly}
	if p.stls == nil {
		p.stls = serverTLS(t)
	}
	if o.ctls == nil {
		o.ctls = clientTLS(t)
	}
	path := Path{addrClient, addrServer}
	if o.path.Local.IsValid() {
		path = o.path
	}
	p.s = newSide(t, "server", reversed(path))
	p.c = newSide(t, "client", path)
	if o.sset != nil {
		o.sset(&p.sset)
	}
	if o.sparam != nil {
		o.sparam(&p.sparam)
	}
	set, params := DefaultSettings(), testParams()
	set.InitialTS = p.now
	if o.cset != nil {
		o.cset(&set)
	}
	if o.cparam != nil {
		o.cparam(&params)
	}
	conn, err := NewClientConn(ConnConfig{
		DCID: randomCID(18), SCID: randomCID(testCIDLen), Path: p.c.path, Version: o.version,
		Settings: &set, Params: &params, TLS: o.ctls, Events: p.c.ev,
		PreferredAddr: o.preferred, Session: o.session, EarlyData: o.early, ServerName: cmp.Or(o.serverName, "localhost"),
	})
	require.NoError(t, err)
	p.c.conn = conn
	return p
}

func newSide(t testing.TB, name string, path Path) *side {
	s := &side{t: t, name: name, path: path, ev: NewEvents(), dst: make([]byte, testDstSize),
		data: map[int64][]byte{}, fin: map[int64]bool{}}
	t.Cleanup(func() {
		if s.conn != nil {
			s.conn.Free()
		}
		releaseChunks(s.pending)
		s.ev.Free()
	})
	return s
}

// connect makes a pair and completes the handshake on both sides.
func connect(t testing.TB, o options) *pair {
	t.Helper()
	p := newPair(t, o)
	p.handshake()
	return p
}

func (p *pair) handshake() {
	p.t.Helper()
	p.run(func() bool {
		return p.c.conn.HandshakeConfirmed() && p.s.conn != nil && p.s.conn.HandshakeConfirmed()
	})
}

// run moves datagrams and time until done says so; it fails after a minute of
// virtual time.
func (p *pair) run(done func() bool) {
	p.t.Helper()
	limit := p.now.Add(time.Minute)
	for !done() {
		require.Less(p.t, p.now, limit, "no progress: %s", p)
		if !p.step() {
			require.True(p.t, done(), "the link is silent: %s", p)
			return
		}
	}
}

// runFor lets d of virtual time pass.
func (p *pair) runFor(d time.Duration) {
	p.t.Helper()
	end := p.now.Add(d)
	for p.next() <= end && p.step() {
	}
	p.now = max(p.now, end)
}

func (p *pair) String() string {
	return fmt.Sprintf("t=%v client=%v server=%v", time.Duration(p.now), p.c.err, p.s.err)
}

// next is when something happens next.
func (p *pair) next() Timestamp {
	p.flush(p.c)
	p.flush(p.s)
	t := NoExpiry
	for _, s := range []*side{p.c, p.s} {
		for _, d := range s.out {
			t = min(t, d.at)
		}
		if s.alive() {
			t = min(t, s.conn.Expiry())
		}
	}
	return t
}

func (s *side) alive() bool { return s.conn != nil && s.err == nil }

// step goes to the next moment and handles what is due.
func (p *pair) step() bool {
	t := p.next()
	if t == NoExpiry {
		return false
	}
	p.now = max(p.now, t)
	p.deliver(p.c, p.s)
	p.deliver(p.s, p.c)
	for _, s := range []*side{p.c, p.s} {
		if s.alive() && s.conn.Expiry() <= p.now {
			s.check(s.conn.HandleExpiry(p.now))
		}
	}
	return true
}

// flush writes all that s has to say.
func (p *pair) flush(s *side) {
	for more := s.alive(); more; {
		w, err := s.conn.WritePkts(s.dst, s.pending, p.now)
		s.pending = s.pending[:0]
		s.check(err)
		if err != nil {
			return
		}
		if w.N > 0 {
			p.paths[w.Path] = true
		}
		for off := 0; off < w.N; off += w.SegmentSize {
			end := min(off+w.SegmentSize, w.N)
			p.sendOn(s, dgram{path: w.Path, data: append([]byte(nil), s.dst[off:end]...), ecn: w.ECN})
		}
		more = w.More
	}
}

// send puts a datagram on the link.
func (p *pair) send(from *side, b []byte, ecn ECN) {
	p.sendOn(from, dgram{path: from.path, data: b, ecn: ecn})
}

func (p *pair) sendOn(from *side, d dgram) {
	d.at = p.now.Add(testDelay)
	if p.link == nil {
		from.out = append(from.out, d)
		return
	}
	from.out = append(from.out, p.link(from, d)...)
}

// deliver hands the datagrams that have arrived to the other side.
func (p *pair) deliver(from, to *side) {
	var base []byte
	var run []Datagram
	path := to.path
	rest := from.out[:0]
	for _, d := range from.out {
		back := Path{d.path.Remote, d.path.Local}
		if p.byPath && len(run) == 0 && d.at <= p.now {
			path = back
		}
		if d.at > p.now || len(run) == MaxReadRun || p.byPath && path != back {
			rest = append(rest, d)
			continue
		}
		run = append(run, Datagram{Off: uint32(len(base)), Len: uint32(len(d.data)), ECN: d.ecn})
		base = append(base, d.data...)
	}
	from.out = rest
	if len(run) == 0 || to.err != nil {
		return
	}
	if to.conn == nil && !p.newServer(base[run[0].Off:][:run[0].Len]) {
		return
	}
	to.check(to.conn.ReadPkts(path, base, run, p.now))
}

// newServer handles a datagram for which there is no server Conn.
func (p *pair) newServer(pkt []byte) bool {
	h, err := Accept(pkt)
	if p.accept != nil {
		answer, ok := p.accept(pkt, h, err)
		if answer != nil {
			p.send(p.s, answer, NotECT)
		}
		if !ok {
			return false
		}
	}
	require.NoError(p.t, err)
	params := p.sparam
	if !params.OriginalDCIDPresent {
		params.OriginalDCID, params.OriginalDCIDPresent = h.DCID, true
	}
	p.sset.InitialTS = p.now
	conn, err := NewServerConn(ConnConfig{
		DCID: h.SCID, SCID: randomCID(testCIDLen), Path: p.s.path, Version: h.Version,
		Settings: &p.sset, Params: &params, TLS: p.stls, Events: p.s.ev,
		CIDPrefix: p.prefix, GivenCIDs: p.given, ResetSecret: testSecret, RejectEarlyData: p.rejectEarly,
	})
	require.NoError(p.t, err)
	p.s.conn = conn
	return true
}

// check drains the events, then keeps the first error.
func (s *side) check(err error) {
	for i := range s.ev.Len() {
		ev := s.ev.At(i)
		r := rec{*ev, append([]byte(nil), s.ev.Data(ev)...)}
		s.events = append(s.events, r)
		if s.onEvent != nil {
			s.onEvent(ev)
		}
		if ev.Type != EventStreamData {
			continue
		}
		s.data[ev.StreamID] = append(s.data[ev.StreamID], r.Data...)
		if ev.Flags&FlagFin != 0 {
			s.fin[ev.StreamID] = true
		}
		if !s.hold && err == nil {
			require.NoError(s.t, s.conn.Consume(ev.StreamID, uint64(len(r.Data))))
		}
	}
	if err != nil && s.err == nil {
		s.err = err
	}
}

// write queues data on a stream, in buffers of 16 KiB.
func (s *side) write(id int64, data []byte, fin bool) {
	const size = 16 << 10
	for len(data) > size {
		s.writeOne(id, data[:size], false)
		data = data[size:]
	}
	s.writeOne(id, data, fin)
}

func (s *side) writeOne(id int64, data []byte, fin bool) {
	if len(data) == 0 {
		s.pending = append(s.pending, StreamChunk{StreamID: id, Fin: fin})
		return
	}
	b := NewBuffer(len(data))
	copy(b.Bytes(), data)
	s.pending = append(s.pending, StreamChunk{StreamID: id, Buf: b, Len: uint32(len(data)), Fin: fin})
}

func (s *side) open() int64 {
	s.t.Helper()
	id, err := s.conn.OpenStreamBidi()
	require.NoError(s.t, err)
	return id
}

// find returns the first event of a type.
func (s *side) find(typ EventType) (rec, bool) {
	for _, r := range s.events {
		if r.Type == typ {
			return r, true
		}
	}
	return rec{}, false
}

func (s *side) has(typ EventType) bool {
	_, ok := s.find(typ)
	return ok
}

// close writes CONNECTION_CLOSE and sends it.
func (p *pair) close(s *side, cerr ConnectionError) {
	p.t.Helper()
	n, path, err := s.conn.WriteConnectionClose(s.dst, cerr, p.now)
	require.NoError(p.t, err)
	require.Positive(p.t, n)
	require.Equal(p.t, s.path, path)
	p.send(s, append([]byte(nil), s.dst[:n]...), NotECT)
	s.err = fmt.Errorf("closed by the test")
}
