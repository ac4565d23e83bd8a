package ngtcp2

import (
	"bytes"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/crypto"
)

func earlyTLS(t testing.TB, change func(*crypto.Config)) *crypto.Context {
	cfg := crypto.Config{CertFile: testDev.CertFile, KeyFile: testDev.KeyFile, ALPN: []string{testALPN}, EarlyData: true}
	if change != nil {
		change(&cfg)
	}
	return newTLS(t, cfg)
}

// sessionOf connects once, and returns what the client may resume.
func sessionOf(t *testing.T, o options) []byte {
	t.Helper()
	p := connect(t, o)
	p.run(func() bool { return p.c.has(EventSession) })
	assert.False(t, p.c.conn.TLSState().Resumed)
	p.runFor(time.Second)
	all := p.c.all(EventSession)
	return all[len(all)-1].Data
}

func TestResumption(t *testing.T) {
	o := options{stls: serverTLS(t), ctls: clientTLS(t)}
	o.session = sessionOf(t, o)
	assert.Equal(t, VersionV1, SessionVersion(o.session))
	o.early = true // the server's tickets do not allow it
	p := newPair(t, o)
	_, err := p.c.conn.OpenStreamBidi()
	assert.ErrorIs(t, err, ErrStreamIDBlocked)
	p.handshake()
	for _, s := range []*side{p.c, p.s} {
		assert.True(t, s.conn.TLSState().Resumed, s.name)
		assert.False(t, s.conn.TLSState().EarlyData, s.name)
	}
	assert.False(t, p.c.has(EventEarlyDataRejected))
	p.run(func() bool { return p.c.has(EventSession) })
	p.exchange(1000)
}

func TestEarlyDataAccepted(t *testing.T) {
	o := options{stls: earlyTLS(t, nil), ctls: clientTLS(t), sparam: withDatagrams}
	o.session, o.early = sessionOf(t, o), true
	p := newPair(t, o)
	start := p.now
	id := p.c.open()
	data := bytes.Repeat([]byte("early "), 500)
	p.c.write(id, data, true)
	require.NoError(t, p.c.datagram(1, []byte("early too")))
	p.run(func() bool { return p.s.fin[id] })
	assert.Equal(t, start.Add(testDelay), p.now, "it came with the first flight")
	assert.Equal(t, data, p.s.data[id])
	r, _ := p.s.find(EventStreamData)
	assert.Equal(t, FlagEarly, r.Flags&FlagEarly)
	r, ok := p.s.find(EventDatagram)
	require.True(t, ok)
	assert.Equal(t, FlagEarly, r.Flags)
	p.handshake()
	for _, s := range []*side{p.c, p.s} {
		assert.True(t, s.conn.TLSState().EarlyData, s.name)
	}
	assert.False(t, p.c.has(EventEarlyDataRejected))
	p.s.write(id, data, true)
	p.run(func() bool { return p.c.fin[id] })
	p.exchange(100_000)
	late := p.s.events[len(p.s.events)-1]
	assert.Zero(t, late.Flags&FlagEarly)
}

// Early data that gets lost is sent again.
func TestEarlyDataOverRoughLink(t *testing.T) {
	o := options{stls: earlyTLS(t, nil), ctls: clientTLS(t)}
	o.session, o.early = sessionOf(t, o), true
	for seed := uint64(1); seed <= 10; seed++ {
		p := newPair(t, o)
		p.link = rough(seed)
		p.accept = func(_ []byte, _ PktHeader, err error) ([]byte, bool) {
			return nil, err == nil // a 0-RTT packet may overtake the Initial
		}
		id := p.c.open()
		p.c.write(id, make([]byte, 20_000), true)
		p.run(func() bool { return p.s.fin[id] })
		require.Len(t, p.s.data[id], 20_000)
	}
}

// An Initial packet of a client is padded also when the early data behind it has to
// wait for the congestion window; otherwise a lost one would never be made up for.
func TestEarlyDataLeavesInitialPadded(t *testing.T) {
	o := options{stls: earlyTLS(t, nil), ctls: clientTLS(t)}
	o.session, o.early = sessionOf(t, o), true
	p := newPair(t, o)
	first := p.now
	p.link = func(from *side, d dgram) []dgram {
		if from == p.c && d.data[0]&0xf0 == 0xc0 {
			assert.GreaterOrEqual(t, len(d.data), 1200)
		}
		if p.now == first {
			return nil // the whole window is lost
		}
		return []dgram{d}
	}
	id := p.c.open()
	p.c.write(id, make([]byte, 100_000), true)
	p.run(func() bool { return p.s.fin[id] })
}

// A server that cannot read the ticket: the data has no effect, and is sent again.
func TestEarlyDataRejectedAndResent(t *testing.T) {
	ctls := clientTLS(t)
	session := sessionOf(t, options{stls: earlyTLS(t, nil), ctls: ctls})
	p := newPair(t, options{stls: earlyTLS(t, nil), ctls: ctls, session: session, early: true})
	first := p.c.open()
	p.c.write(first, []byte("early"), true)
	p.run(func() bool { return p.c.has(EventEarlyDataRejected) })
	p.handshake()
	assert.Empty(t, p.s.data)
	assert.False(t, p.s.has(EventStreamOpen))
	assert.False(t, p.c.conn.TLSState().Resumed)
	assert.False(t, p.c.conn.TLSState().EarlyData)
	_, known := p.c.conn.StreamInfo(first)
	assert.False(t, known)

	again := p.c.open()
	assert.Equal(t, first, again)
	p.c.write(again, []byte("again"), true)
	p.run(func() bool { return p.s.fin[again] })
	assert.Equal(t, "again", string(p.s.data[again]))
	p.exchange(100_000)
}

// The same when the ticket is good, but the server has turned 0-RTT off.
func TestEarlyDataTurnedOff(t *testing.T) {
	keys := [][]byte{bytes.Repeat([]byte{7}, crypto.TicketKeyLen)}
	on := earlyTLS(t, func(c *crypto.Config) { c.TicketKeys = keys })
	off := earlyTLS(t, func(c *crypto.Config) { c.TicketKeys, c.EarlyData = keys, false })
	ctls := clientTLS(t)
	session := sessionOf(t, options{stls: on, ctls: ctls})
	p := newPair(t, options{stls: off, ctls: ctls, session: session, early: true})
	p.c.write(p.c.open(), []byte("early"), true)
	p.handshake()
	assert.True(t, p.c.has(EventEarlyDataRejected))
	assert.True(t, p.c.conn.TLSState().Resumed)
	assert.Empty(t, p.s.data)
	p.exchange(1000)
}

// A server that wants a key share which the ticket's holder did not send asks for
// another ClientHello, and that refuses early data (RFC 8446 section 4.2.10).
func TestEarlyDataHelloRetryRequest(t *testing.T) {
	for _, group := range []string{"secp384r1", "X25519MLKEM768"} {
		stls := earlyTLS(t, func(c *crypto.Config) { c.Groups = group })
		o := options{stls: stls, ctls: clientTLS(t), early: true}
		o.session = sessionOf(t, o)
		p := newPair(t, o)
		require.True(t, p.c.conn.CanSendEarlyData())
		first := p.c.open()
		p.c.write(first, bytes.Repeat([]byte("early"), 1000), true)
		p.handshake()
		assert.True(t, p.c.has(EventEarlyDataRejected), group)
		assert.True(t, p.c.conn.TLSState().Resumed)
		assert.True(t, p.c.conn.TLSState().EarlyDataRejected)
		assert.Empty(t, p.s.data)
		assert.Equal(t, first, p.c.open())
		p.c.write(first, []byte("again"), true)
		p.run(func() bool { return p.s.fin[first] })
		assert.Equal(t, "again", string(p.s.data[first]))
		p.exchange(100_000)
	}
}

// The same when only this server turns it down; its tickets do not allow it either.
func TestEarlyDataTurnedDownByConn(t *testing.T) {
	o := options{stls: earlyTLS(t, nil), ctls: clientTLS(t), early: true}
	o.session = sessionOf(t, o)
	o.rejectEarly = true
	p := newPair(t, o)
	assert.True(t, p.c.conn.CanSendEarlyData())
	p.c.write(p.c.open(), []byte("early"), true)
	p.handshake()
	assert.True(t, p.c.has(EventEarlyDataRejected))
	for _, s := range []*side{p.c, p.s} {
		assert.True(t, s.conn.TLSState().Resumed)
		assert.True(t, s.conn.TLSState().EarlyDataRejected)
		assert.False(t, s.conn.TLSState().EarlyData)
	}
	p.exchange(1000)
	o.session = nil // an OpenSSL client keeps what an earlier ticket of the session allowed
	o.session = sessionOf(t, o)
	p = newPair(t, o)
	assert.False(t, p.c.conn.CanSendEarlyData())
	p.handshake()
	assert.True(t, p.c.conn.TLSState().Resumed)
	assert.False(t, p.c.conn.TLSState().EarlyDataRejected)
	ev := NewEvents()
	defer ev.Free()
	cfg := ConnConfig{TLS: o.ctls, Events: ev, RejectEarlyData: true}
	assert.ErrorContains(t, cfg.Validate(false), "RejectEarlyData is for servers")
}

// Early data was sent within limits that no longer hold: the server rejects it, in
// place of the client closing the connection (RFC 9000 section 7.4.1).
func TestEarlyDataLimitsChanged(t *testing.T) {
	o := options{stls: earlyTLS(t, nil), ctls: clientTLS(t)}
	o.session, o.early = sessionOf(t, o), true
	for name, change := range map[string]func(*TransportParams){
		"data": func(p *TransportParams) { p.InitialMaxData-- }, "streams": func(p *TransportParams) { p.InitialMaxStreamsBidi = 1 },
		"datagrams": func(p *TransportParams) { p.MaxDatagramFrameSize = 100 }, "more": func(p *TransportParams) { p.InitialMaxData++ },
	} {
		o.sparam = change
		p := newPair(t, o)
		p.c.write(p.c.open(), []byte("early"), true)
		p.handshake()
		assert.True(t, p.c.has(EventEarlyDataRejected), name)
		assert.True(t, p.c.conn.TLSState().Resumed, name)
		p.exchange(1000)
	}
}

func TestTicketKeysRotate(t *testing.T) {
	key := func(b byte) []byte { return bytes.Repeat([]byte{b}, crypto.TicketKeyLen) }
	with := func(keys ...[]byte) options {
		return options{stls: earlyTLS(t, func(c *crypto.Config) { c.TicketKeys = keys })}
	}
	session := sessionOf(t, with(key(1)))
	for _, c := range []struct {
		o       options
		resumed bool
	}{
		{with(key(1)), true}, // another server with the same keys
		{with(key(2), key(1)), true},
		{with(key(2)), false},
	} {
		c.o.session = session
		p := connect(t, c.o)
		assert.Equal(t, c.resumed, p.c.conn.TLSState().Resumed)
		p.run(func() bool { return p.c.has(EventSession) })
	}

	// An old key's ticket is replaced by one of the first key.
	o := with(key(2), key(1))
	o.session = session
	p := connect(t, o)
	p.run(func() bool { return p.c.has(EventSession) })
	r, _ := p.c.find(EventSession)
	o = with(key(2))
	o.session = r.Data
	assert.True(t, connect(t, o).c.conn.TLSState().Resumed)
}

// Tickets are good for the version that they came with.
func TestSessionBoundToVersion(t *testing.T) {
	o := options{stls: earlyTLS(t, nil), ctls: clientTLS(t), version: VersionV2}
	session := sessionOf(t, o)
	require.Equal(t, VersionV2, SessionVersion(session))
	o.session, o.early = session, true
	assert.True(t, connect(t, o).c.conn.TLSState().Resumed)

	o.version = VersionV1 // the client leaves it aside
	p := connect(t, o)
	assert.False(t, p.c.conn.TLSState().Resumed)

	forged := bytes.Clone(session) // and the server refuses it
	copy(forged, []byte{0, 0, 0, 1})
	o.session = forged
	p = newPair(t, o)
	p.c.write(p.c.open(), []byte("early"), true)
	p.handshake()
	assert.False(t, p.c.conn.TLSState().Resumed)
	assert.True(t, p.c.has(EventEarlyDataRejected))
	p.exchange(1000)
}

func TestSessionInvalid(t *testing.T) {
	session := sessionOf(t, options{stls: earlyTLS(t, nil)})
	ev := NewEvents()
	defer ev.Free()
	cfg := ConnConfig{DCID: randomCID(18), SCID: randomCID(testCIDLen), Path: Path{addrClient, addrServer},
		TLS: clientTLS(t), ServerName: "localhost", Events: ev, EarlyData: true}
	blocks := HeapBlocks()
	for n := 1; n < len(session); n++ {
		cfg.Session = session[:n]
		_, err := NewClientConn(cfg)
		require.ErrorIs(t, err, ErrSessionInvalid, "prefix %d", n)
	}
	for i := range session { // anything may come of it, but no crash and no leak
		cfg.Session = bytes.Clone(session)
		cfg.Session[i] ^= 0xff
		if c, err := NewClientConn(cfg); err == nil {
			_, err = c.WritePkts(make([]byte, testDstSize), nil, 1)
			_ = err
			c.Free()
		}
	}
	assert.Equal(t, blocks, HeapBlocks())
	assert.Zero(t, SessionVersion(nil))
	cfg.TLS = serverTLS(t)
	assert.ErrorContains(t, cfg.Validate(true), "Session and EarlyData are for clients")
}

// A session of a client that verified nothing is of no use to one that does.
func TestSessionKeepsVerdict(t *testing.T) {
	stls := earlyTLS(t, nil)
	blind := newTLS(t, crypto.Config{Role: crypto.Client, InsecureSkipVerify: true, ALPN: []string{testALPN}})
	session := sessionOf(t, options{stls: stls, ctls: blind})
	assert.True(t, connect(t, options{stls: stls, ctls: blind, session: session}).c.conn.TLSState().Resumed)
	ev := NewEvents()
	defer ev.Free()
	cfg := ConnConfig{DCID: randomCID(18), SCID: randomCID(testCIDLen), Path: Path{addrClient, addrServer},
		TLS: clientTLS(t), ServerName: "localhost", Events: ev, Session: session}
	_, err := NewClientConn(cfg)
	assert.ErrorIs(t, err, ErrSessionInvalid)

	// Nor is one that was made when other CAs were trusted.
	cfg.Session = sessionOf(t, options{stls: stls})
	pem, err := os.ReadFile(testDev.CAFile)
	require.NoError(t, err)
	cfg.TLS = newTLS(t, crypto.Config{Role: crypto.Client, CAPEM: append(pem, pem...), ALPN: []string{testALPN}})
	_, err = NewClientConn(cfg)
	assert.ErrorIs(t, err, ErrSessionInvalid)
}
