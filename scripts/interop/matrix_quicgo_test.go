package interop

import (
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/crypto"
	"github.com/ngmq/ngmq/ngtcp2"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
)

const chacha20 = "TLS_CHACHA20_POLY1305_SHA256"

// resetSecret makes stateless reset tokens that outlive a server.
var resetSecret = []byte("interop stateless reset secret..")

func quicGoColumns() []column {
	return []column{
		{
			name: "quic-go -> ngmq",
			dial: func(t *testing.T, addr string) conn {
				c, err := dialQuicGo(t, addr, nil)
				require.NoError(t, err)
				return c
			},
			serve: serveEchoOurs,
			cells: map[string]cell{
				"chacha20":            {run: quicGoChacha20},
				"retry":               {run: quicGoRetry},
				"NEW_TOKEN":           {run: quicGoNewToken},
				"resumption":          {run: quicGoResumption},
				"zerortt":             {run: quicGoZeroRTT},
				"zerortt rejected":    {run: quicGoZeroRTTRejected},
				"keyupdate":           {run: quicGoKeyUpdate},
				"ecn":                 {run: quicGoECN},
				"v2":                  {run: quicGoV2},
				"versionnegotiation":  {run: quicGoVersionNegotiation},
				"connectionmigration": {run: quicGoMigration},
				"preferred address":   {run: func(t *testing.T) { staysAtAddress(t, quicGoColumns()[0]) }, note: noteStays},
				"datagrams":           {run: quicGoDatagrams},
				"stateless reset":     {run: quicGoReset},
			},
		},
		{
			name: "ngmq -> quic-go",
			dial: dialEchoOurs,
			serve: func(t *testing.T, o serverOptions) string {
				return echoQuicGo(t, o, &quic.Transport{}, nil).addr.String()
			},
			cells: map[string]cell{
				"amplificationlimit": {run: func(t *testing.T) { anyAmplification(t, quicGoColumns()[1], 1500) },
					note: "quic-go goes over the limit with the datagram that reaches it"},
				"chacha20":            {run: func(t *testing.T) { oursChacha20(t, quicGoColumns()[1]) }},
				"retry":               {run: oursQuicGoRetry},
				"NEW_TOKEN":           {run: oursQuicGoNewToken},
				"resumption":          {run: oursQuicGoResumption},
				"zerortt":             {run: oursQuicGoZeroRTT},
				"zerortt rejected":    {run: oursQuicGoZeroRTTRejected},
				"keyupdate":           {run: oursQuicGoKeyUpdate},
				"ecn":                 {run: oursQuicGoECN},
				"v2":                  {run: oursQuicGoV2},
				"versionnegotiation":  {run: oursQuicGoVersionNegotiation},
				"connectionmigration": {run: oursQuicGoMigration},
				"preferred address":   cannot("quic-go announces no preferred address"),
				"datagrams":           {run: oursQuicGoDatagrams},
				"stateless reset":     {run: oursQuicGoReset},
			},
		},
	}
}

// pollStep is how often what cannot be waited for is looked at.
const pollStep = 10 * time.Millisecond

const noteVersionEnds = "the server speaks version 2 only, which the client does not: its attempt ends at once"

const noteStays = "the server announces one; this client has no use for it and stays where it is"

// serveEchoOurs and dialEchoOurs are the sides of package endpoint.
func serveEchoOurs(t *testing.T, o serverOptions) string { return echoOurs(t, o).addr() }

func dialEchoOurs(t *testing.T, addr string) conn {
	t.Helper()
	m, err := dialOurs(t, addr)
	require.NoError(t, err)
	return m
}

// Changes of the configurations of package endpoint.

func alwaysRetry(c *endpoint.Config, _ *crypto.Config)  { c.Retry = endpoint.RetryAlways }
func keepResets(c *endpoint.Config, _ *crypto.Config)   { c.ResetSecret = resetSecret }
func onlyChacha20(_ *endpoint.Config, c *crypto.Config) { c.CipherSuites = chacha20 }
func onlyV2(c *endpoint.Config, _ *crypto.Config)       { c.Versions = []uint32{ngtcp2.VersionV2} }
func takeEarlyData(c *endpoint.Config, tls *crypto.Config) {
	c.EarlyData, tls.EarlyData = true, true
}

// ourConn is the server's side of the first connection.
func (s *echoServer) conn(t *testing.T) *endpoint.Conn {
	t.Helper()
	select {
	case c := <-s.conns:
		return c
	case <-time.After(patience):
		require.FailNow(t, "no connection")
		return nil
	}
}

// staysAtAddress: a client without support for preferred addresses lives on.
func staysAtAddress(t *testing.T, c column) {
	s := echoOurs(t, serverOptions{}, func(c *endpoint.Config, _ *crypto.Config) { c.PreferredAddrs = []string{"127.0.0.1:0"} })
	c.exchange(t, s.addr(), 100_000)
	assert.Equal(t, s.addr(), s.conn(t).LocalAddr().String())
}

// quic-go towards package endpoint.

func quicGoChacha20(t *testing.T) {
	c, err := dialQuicGo(t, echoOurs(t, serverOptions{}, onlyChacha20).addr(), nil)
	require.NoError(t, err)
	echoes(t, openStream(t, c), 100_000)
	assert.Equal(t, tls.TLS_CHACHA20_POLY1305_SHA256, c.ConnectionState().TLS.CipherSuite)
}

func quicGoRetry(t *testing.T) {
	var r trace
	s := echoOurs(t, serverOptions{}, alwaysRetry)
	c, err := dialQuicGo(t, s.addr(), r.config())
	require.NoError(t, err)
	echoes(t, openStream(t, c), 100)
	assert.Equal(t, 1, r.retried())
	assert.NotZero(t, s.count(t, endpoint.Retries))
}

func quicGoNewToken(t *testing.T) {
	s := echoOurs(t, serverOptions{}, alwaysRetry)
	config := quicGoConfig()
	config.TokenStore = quic.NewLRUTokenStore(1, 1)
	var before int
	for i := range 2 {
		c, err := dialQuicGo(t, s.addr(), config)
		require.NoError(t, err)
		echoes(t, openStream(t, c), 100)
		if i == 0 {
			before = s.count(t, endpoint.Retries)
			assert.NotZero(t, before)
		}
	}
	assert.Equal(t, before, s.count(t, endpoint.Retries), "the token spared the Retry")
}

// ticketFrom connects once and keeps the ticket in the configuration that it returns.
func ticketFrom(t *testing.T, addr string) *tls.Config {
	t.Helper()
	cache := newTicketCache()
	config := goClientTLS(t)
	config.ClientSessionCache = cache
	c, err := quic.DialAddr(matrixContext(t), addr, config, quicGoConfig())
	require.NoError(t, err)
	defer c.CloseWithError(0, "")
	echoes(t, openStream(t, quicGoMux{c}), 100)
	assert.False(t, c.ConnectionState().TLS.DidResume)
	cache.wait(t)
	return config
}

func quicGoResumption(t *testing.T) {
	s := echoOurs(t, serverOptions{})
	config := ticketFrom(t, s.addr())
	c, err := quic.DialAddr(matrixContext(t), s.addr(), config, quicGoConfig())
	require.NoError(t, err)
	defer c.CloseWithError(0, "")
	echoes(t, openStream(t, quicGoMux{c}), 100)
	assert.True(t, c.ConnectionState().TLS.DidResume)
}

func quicGoZeroRTT(t *testing.T) {
	s := echoOurs(t, serverOptions{}, takeEarlyData)
	config := ticketFrom(t, s.addr())
	c, err := quic.DialAddrEarly(matrixContext(t), slowly(t, s.addr()), config, quicGoConfig())
	require.NoError(t, err)
	defer c.CloseWithError(0, "")
	echoes(t, openStream(t, quicGoMux{c}), 100)
	<-c.HandshakeComplete()
	assert.True(t, c.ConnectionState().Used0RTT)
	assert.NotEmpty(t, s.early, "the application saw early data")
	require.Eventually(t, func() bool { return s.count(t, endpoint.EarlyDataAccepted) == 1 }, patience, pollStep)
}

// slowly is a path to addr with time for early data before the handshake is over.
func slowly(t *testing.T, addr string) string {
	t.Helper()
	return path(t, addr, Damage{Delay: 50 * time.Millisecond}).Addr()
}

// quicGoZeroRTTRejected: another server has other ticket keys; quic-go's user sends again.
func quicGoZeroRTTRejected(t *testing.T) {
	config := ticketFrom(t, echoOurs(t, serverOptions{}, takeEarlyData).addr())
	s := echoOurs(t, serverOptions{}, takeEarlyData)
	c, err := quic.DialAddrEarly(matrixContext(t), slowly(t, s.addr()), config, quicGoConfig())
	require.NoError(t, err)
	defer c.CloseWithError(0, "")
	require.ErrorIs(t, exchanged(openStream(t, quicGoMux{c}), 100), quic.Err0RTTRejected)
	again, err := c.NextConnection(matrixContext(t))
	require.NoError(t, err)
	echoes(t, openStream(t, quicGoMux{again}), 100)
	assert.False(t, again.ConnectionState().Used0RTT)
	assert.Empty(t, s.early, "early data had no effect")
	assert.Zero(t, s.count(t, endpoint.EarlyDataAccepted))
}

// manyEchoes makes packets enough for the key update that quic-go and x/net do after their first 100.
func manyEchoes(t *testing.T, s stream) {
	t.Helper()
	for range 300 {
		echoes(t, s, 10)
	}
}

// twoKeyUpdates: the other side changes the keys by itself, then ours does.
func twoKeyUpdates(t *testing.T, ours *endpoint.Conn, s stream, updates func() int) {
	t.Helper()
	manyEchoes(t, s)
	require.Eventually(t, func() bool { return updates() > 0 }, patience, pollStep, "the other side's update is over")
	before := updates()
	updateKeys(t, ours)
	require.Eventually(t, func() bool {
		echoes(t, s, 10)
		return updates() > before
	}, patience, pollStep, "our update is acknowledged")
	echoes(t, s, 10_000)
}

func quicGoKeyUpdate(t *testing.T) {
	var r trace
	s := echoOurs(t, serverOptions{})
	c, err := dialQuicGo(t, s.addr(), r.config())
	require.NoError(t, err)
	twoKeyUpdates(t, s.conn(t), openStream(t, c), func() int { return s.count(t, endpoint.KeyUpdates) })
	assert.Greater(t, int(r.keyPhase()), 1)
}

func quicGoECN(t *testing.T) {
	var r trace
	c, err := dialQuicGo(t, echoOurs(t, serverOptions{}).addr(), r.config())
	require.NoError(t, err)
	manyEchoes(t, openStream(t, c))
	r.wantECN(t)
}

func quicGoV2(t *testing.T) {
	config := quicGoConfig()
	config.Versions = []quic.Version{quic.Version2}
	c, err := dialQuicGo(t, echoOurs(t, serverOptions{}).addr(), config)
	require.NoError(t, err)
	echoes(t, openStream(t, c), 100)
	assert.Equal(t, quic.Version2, c.ConnectionState().Version)
}

func quicGoVersionNegotiation(t *testing.T) {
	s := echoOurs(t, serverOptions{}, onlyV2)
	config := quicGoConfig()
	config.Versions = []quic.Version{quic.Version1, quic.Version2}
	c, err := dialQuicGo(t, s.addr(), config)
	require.NoError(t, err)
	echoes(t, openStream(t, c), 100)
	assert.Equal(t, quic.Version2, c.ConnectionState().Version)
	assert.NotZero(t, s.count(t, endpoint.VersionNegotiations))
}

// quicGoAt is a transport of quic-go with a socket at addr; unlike that of quic.DialAddr it gives its
// connections the Connection IDs that a migration needs.
func quicGoAt(t *testing.T, addr string) *quic.Transport {
	t.Helper()
	socket, err := net.ListenPacket("udp", addr)
	require.NoError(t, err)
	transport := &quic.Transport{Conn: socket}
	t.Cleanup(func() {
		transport.Close()
		socket.Close()
	})
	return transport
}

func quicGoMigration(t *testing.T) {
	s := echoOurs(t, serverOptions{})
	c, err := quicGoAt(t, "127.0.0.1:0").Dial(matrixContext(t), s.Addrs()[0], goClientTLS(t), quicGoConfig())
	require.NoError(t, err)
	t.Cleanup(func() { c.CloseWithError(0, "") })
	st := openStream(t, quicGoMux{c})
	echoes(t, st, 100)
	ours := s.conn(t)
	second := quicGoAt(t, "127.0.0.2:0")
	p, err := c.AddPath(second)
	require.NoError(t, err)
	require.NoError(t, p.Probe(matrixContext(t)))
	require.NoError(t, p.Switch())
	echoes(t, st, 100_000)
	assert.Equal(t, second.Conn.LocalAddr().String(), ours.RemoteAddr().String())
	assert.NotZero(t, s.count(t, endpoint.PathChanges))
}

func quicGoDatagrams(t *testing.T) {
	c, err := dialQuicGo(t, echoOurs(t, serverOptions{}).addr(), nil)
	require.NoError(t, err)
	for _, size := range []int{0, 10, 1000} {
		want := make([]byte, size)
		require.NoError(t, c.SendDatagram(want))
		got, err := c.ReceiveDatagram(matrixContext(t))
		require.NoError(t, err)
		assert.Len(t, got, size)
	}
}

func quicGoReset(t *testing.T) {
	err := restart(t, quicGoColumns()[0], echoOurs(t, serverOptions{}, keepResets).addr(), echoOurs(t, serverOptions{}, keepResets).addr())
	var reset *quic.StatelessResetError
	assert.ErrorAs(t, err, &reset)
}

// package endpoint towards quic-go.

// oursChacha20 and aes256, which the default order of TLS libraries does not lead to.
func oursChacha20(t *testing.T, c column) {
	addr := c.serve(t, serverOptions{})
	for _, suite := range []string{chacha20, "TLS_AES_256_GCM_SHA384"} {
		m, err := dialOurs(t, addr, func(_ *endpoint.DialConfig, tls *crypto.Config) { tls.CipherSuites = suite })
		require.NoError(t, err)
		echoes(t, openStream(t, m), 100_000)
		assert.Equal(t, suite, oursTLS(t, m).CipherSuite)
	}
}

// serverTLSState is what the handshake has settled on, at the server.
func serverTLSState(t *testing.T, c *endpoint.Conn) crypto.ConnectionState {
	t.Helper()
	state := make(chan crypto.ConnectionState, 1)
	c.Post(func() { state <- c.TLS() })
	return awaited(t, state)
}

// oursTLS is what the handshake has settled on.
func oursTLS(t *testing.T, m *oursMux) (state crypto.ConnectionState) {
	t.Helper()
	require.NoError(t, m.do(func() error {
		state = m.TLS()
		return nil
	}))
	return state
}

// asking is a quic-go server that sends Retry to all; the channel has a token for each.
func asking(t *testing.T) (*quicGoEcho, chan net.Addr) {
	asked := make(chan net.Addr, 100)
	return echoQuicGo(t, serverOptions{}, &quic.Transport{VerifySourceAddress: func(a net.Addr) bool {
		asked <- a
		return true
	}}, nil), asked
}

func oursQuicGoRetry(t *testing.T) {
	s, asked := asking(t)
	m, err := dialOurs(t, s.addr.String())
	require.NoError(t, err)
	echoes(t, openStream(t, m), 100)
	assert.NotEmpty(t, asked)
}

func oursQuicGoNewToken(t *testing.T) {
	s, asked := asking(t)
	tokens := make(chan []byte, 10)
	m, err := dialOurs(t, s.addr.String(), func(d *endpoint.DialConfig, _ *crypto.Config) { d.OnToken = func(b []byte) { tokens <- b } })
	require.NoError(t, err)
	echoes(t, openStream(t, m), 100)
	token, before := awaited(t, tokens), len(asked)
	assert.NotZero(t, before)
	m, err = dialOurs(t, s.addr.String(), func(d *endpoint.DialConfig, _ *crypto.Config) { d.Token = token })
	require.NoError(t, err)
	echoes(t, openStream(t, m), 100)
	assert.Len(t, asked, before, "the second connection was taken at once")
}

// awaited is what must come.
func awaited[T any](t *testing.T, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(matrixPatience):
		require.FailNow(t, "it did not come")
	}
	return v
}

// sessionFrom connects once and returns the session.
func sessionFrom(t *testing.T, addr string) []byte {
	t.Helper()
	sessions := make(chan []byte, 10)
	m, err := dialOurs(t, addr, func(d *endpoint.DialConfig, _ *crypto.Config) {
		d.OnSession = func(b []byte) { sessions <- slices.Clone(b) }
	})
	require.NoError(t, err)
	echoes(t, openStream(t, m), 100)
	assert.False(t, oursTLS(t, m).Resumed)
	return awaited(t, sessions)
}

// resumed dials with a session.
func resumed(t *testing.T, addr string, session []byte, early bool) *oursMux {
	t.Helper()
	m, err := dialOurs(t, addr, func(d *endpoint.DialConfig, _ *crypto.Config) { d.Session, d.EarlyData = session, early })
	require.NoError(t, err)
	echoes(t, openStream(t, m), 100)
	return m
}

func oursQuicGoResumption(t *testing.T) {
	s := echoQuicGo(t, serverOptions{}, &quic.Transport{}, nil)
	m := resumed(t, s.addr.String(), sessionFrom(t, s.addr.String()), false)
	assert.True(t, oursTLS(t, m).Resumed)
}

// early is what became of our early data.
func early(t *testing.T, m *oursMux) (state endpoint.EarlyState) {
	t.Helper()
	require.Eventually(t, func() bool {
		require.NoError(t, m.do(func() error {
			state = m.EarlyData()
			return nil
		}))
		return state != endpoint.EarlyPending
	}, patience, pollStep)
	return state
}

// x25519 is a server that takes the key share that our client sends. By default crypto/tls prefers
// X25519MLKEM768 and asks for it, and a HelloRetryRequest rejects all early data (RFC 8446, section 4.2.10).
var x25519 = serverOptions{curves: []tls.CurveID{tls.X25519}}

func oursQuicGoZeroRTT(t *testing.T) {
	s := echoQuicGo(t, x25519, &quic.Transport{}, nil)
	session := sessionFrom(t, s.addr.String())
	<-s.conns
	m := resumed(t, slowly(t, s.addr.String()), session, true)
	assert.Equal(t, endpoint.EarlyAccepted, early(t, m))
	assert.True(t, awaited(t, s.conns).ConnectionState().Used0RTT)
}

// oursQuicGoZeroRTTRejected: another server has other ticket keys, or the same one asks for another
// ClientHello; we send again unseen.
func oursQuicGoZeroRTTRejected(t *testing.T) {
	for _, o := range []serverOptions{x25519, {}} {
		s := echoQuicGo(t, o, &quic.Transport{}, nil)
		session := sessionFrom(t, s.addr.String())
		<-s.conns
		if len(o.curves) > 0 {
			s = echoQuicGo(t, o, &quic.Transport{}, nil)
		}
		m := resumed(t, slowly(t, s.addr.String()), session, true)
		assert.Equal(t, endpoint.EarlyRejected, early(t, m))
		assert.False(t, awaited(t, s.conns).ConnectionState().Used0RTT)
	}
}

// oursTraced connects to a quic-go server that is traced.
func oursTraced(t *testing.T, r *trace) *oursMux {
	t.Helper()
	m, err := dialOurs(t, echoQuicGo(t, serverOptions{}, &quic.Transport{}, r.config()).addr.String())
	require.NoError(t, err)
	return m
}

func oursQuicGoKeyUpdate(t *testing.T) {
	var r trace
	m := oursTraced(t, &r)
	twoKeyUpdates(t, m.Conn, openStream(t, m), func() int { return int(r.keyPhase()) })
}

func oursQuicGoECN(t *testing.T) {
	var r trace
	manyEchoes(t, openStream(t, oursTraced(t, &r)))
	r.wantECN(t)
}

func oursQuicGoV2(t *testing.T) {
	s := echoQuicGo(t, serverOptions{}, &quic.Transport{}, nil)
	m, err := dialOurs(t, s.addr.String(), func(d *endpoint.DialConfig, _ *crypto.Config) { d.Version = ngtcp2.VersionV2 })
	require.NoError(t, err)
	echoes(t, openStream(t, m), 100)
	assert.Equal(t, quic.Version2, awaited(t, s.conns).ConnectionState().Version)
}

// oursQuicGoVersionNegotiation: from version 2 to 1. Not the other way: quic-go does not confirm in
// the handshake what it offered, which is excused for version 1 only (RFC 9368, section 8).
func oursQuicGoVersionNegotiation(t *testing.T) {
	config := quicGoConfig()
	config.Versions = []quic.Version{quic.Version1}
	s := echoQuicGo(t, serverOptions{}, &quic.Transport{}, config)
	m, err := dialOurs(t, s.addr.String(), func(d *endpoint.DialConfig, _ *crypto.Config) { d.Version = ngtcp2.VersionV2 })
	require.NoError(t, err)
	echoes(t, openStream(t, m), 100)
	assert.Equal(t, ngtcp2.VersionV1, m.Version())
	assert.Equal(t, quic.Version1, awaited(t, s.conns).ConnectionState().Version)
}

func oursQuicGoMigration(t *testing.T) {
	s := echoQuicGo(t, serverOptions{}, &quic.Transport{}, nil)
	m, err := dialOurs(t, s.addr.String())
	require.NoError(t, err)
	st := openStream(t, m)
	echoes(t, st, 100)
	theirs := awaited(t, s.conns)
	for _, host := range []string{"127.0.0.2", "127.0.0.3"} {
		to := endpoint.Migration{Local: netip.AddrPortFrom(netip.MustParseAddr(host), 0)}
		require.Eventually(t, func() bool {
			err := m.Migrate(matrixContext(t), to)
			if !errors.Is(err, ngtcp2.ErrConnIDBlocked) {
				require.NoError(t, err)
			}
			return err == nil
		}, patience, pollStep)
		echoes(t, st, 100_000)
		assert.Equal(t, host, theirs.RemoteAddr().(*net.UDPAddr).IP.String())
	}
}

func oursQuicGoDatagrams(t *testing.T) {
	m, err := dialOurs(t, echoQuicGo(t, serverOptions{}, &quic.Transport{}, nil).addr.String())
	require.NoError(t, err)
	for _, size := range []int{0, 10, 1000} {
		require.NoError(t, m.do(func() error { return m.SendDatagram(make([]byte, size), 1) }))
		assert.Len(t, awaited(t, m.datagrams), size)
	}
}

func oursQuicGoReset(t *testing.T) {
	key := quic.StatelessResetKey(resetSecret)
	serve := func() string {
		return echoQuicGo(t, serverOptions{}, &quic.Transport{StatelessResetKey: &key}, nil).addr.String()
	}
	assert.ErrorIs(t, restart(t, quicGoColumns()[1], serve(), serve()), ngtcp2.ErrStatelessReset)
}

// ticketCache tells when a ticket has come.
type ticketCache struct {
	cache tls.ClientSessionCache
	put   chan struct{}
}

func newTicketCache() *ticketCache {
	return &ticketCache{cache: tls.NewLRUClientSessionCache(10), put: make(chan struct{}, 10)}
}

func (c *ticketCache) Get(key string) (*tls.ClientSessionState, bool) { return c.cache.Get(key) }

func (c *ticketCache) Put(key string, state *tls.ClientSessionState) {
	c.cache.Put(key, state)
	if state != nil {
		select {
		case c.put <- struct{}{}:
		default:
		}
	}
}

func (c *ticketCache) wait(t *testing.T) {
	t.Helper()
	awaited(t, c.put)
}
