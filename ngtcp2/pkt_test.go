package ngtcp2

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// firstDatagram is the first datagram of a client.
func firstDatagram(t testing.TB, o options) []byte {
	t.Helper()
	p := newPair(t, o)
	p.flush(p.c)
	require.NotEmpty(t, p.c.out)
	return p.c.out[0].data
}

func TestAccept(t *testing.T) {
	pkt := firstDatagram(t, options{})
	require.GreaterOrEqual(t, len(pkt), MaxUDPPayloadSize)
	h, err := Accept(pkt)
	require.NoError(t, err)
	assert.Equal(t, VersionV1, h.Version)
	assert.Equal(t, PacketInitial, h.Type)
	assert.Equal(t, 18, h.DCID.Len())
	assert.Equal(t, testCIDLen, h.SCID.Len())
	assert.Empty(t, h.Token)

	v, err := DecodeVersionCID(pkt, testCIDLen)
	require.NoError(t, err)
	assert.Equal(t, VersionV1, v.Version)
	assert.Equal(t, h.DCID.Bytes(), v.DCID)
	assert.Equal(t, h.SCID.Bytes(), v.SCID)

	for n := range len(pkt) { // every prefix is too short for an Initial
		_, err := Accept(pkt[:n])
		require.Error(t, err, n)
	}
	pkt[0] ^= 0x30 // a Retry packet
	_, err = Accept(pkt)
	assert.Error(t, err)
}

func TestAcceptGarbage(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	buf := make([]byte, 1500)
	for range 20000 {
		for i := range buf {
			buf[i] = byte(r.Uint32())
		}
		pkt := buf[:r.IntN(len(buf)+1)]
		if len(pkt) > 4 && r.IntN(2) == 0 {
			pkt[0] |= 0xc0
			copy(pkt[1:], []byte{0, 0, 0, 1})
		}
		_, _ = Accept(pkt)
		v, err := DecodeVersionCID(pkt, r.IntN(21))
		if err == nil {
			assert.LessOrEqual(t, len(v.DCID)+len(v.SCID), len(pkt))
		}
	}
}

// longHeader makes an invariant long header (RFC 8999 section 5.1).
func longHeader(version uint32, dcid, scid []byte, rest int) []byte {
	b := []byte{0xc0, byte(version >> 24), byte(version >> 16), byte(version >> 8), byte(version)}
	b = append(append(b, byte(len(dcid))), dcid...)
	b = append(append(b, byte(len(scid))), scid...)
	return append(b, make([]byte, rest)...)
}

func TestDecodeVersionCID(t *testing.T) {
	long := make([]byte, 255)
	for i := range long {
		long[i] = byte(i)
	}
	t.Run("unknown version, long CIDs", func(t *testing.T) {
		v, err := DecodeVersionCID(longHeader(0x1a2a3a4a, long, long[:100], 1200), 10)
		require.ErrorIs(t, err, ErrVersionNegotiation)
		assert.Equal(t, long, v.DCID)
		assert.Equal(t, long[:100], v.SCID)
		assert.Equal(t, uint32(0x1a2a3a4a), v.Version)
		var e *Error
		require.ErrorAs(t, err, &e)
		assert.Equal(t, Drop, e.Class)
	})
	t.Run("unknown version, datagram too small", func(t *testing.T) {
		_, err := DecodeVersionCID(longHeader(0x1a2a3a4a, long[:8], long[:8], 100), 10)
		assert.ErrorIs(t, err, ErrInvalidArgument)
	})
	t.Run("known version, CID too long", func(t *testing.T) {
		_, err := DecodeVersionCID(longHeader(VersionV1, long[:21], long[:8], 1200), 10)
		assert.ErrorIs(t, err, ErrInvalidArgument)
	})
	t.Run("short header", func(t *testing.T) {
		pkt := append([]byte{0x40}, long[:30]...)
		for n := range 21 {
			v, err := DecodeVersionCID(pkt, n)
			require.NoError(t, err)
			assert.Equal(t, pkt[1:1+n], v.DCID)
			assert.Zero(t, v.Version)
			c, err := decodeLong(pkt, n) // C agrees
			require.NoError(t, err)
			assert.Equal(t, v.DCID, c.DCID)
			_, err = DecodeVersionCID(pkt[:n], n)
			assert.ErrorIs(t, err, ErrInvalidArgument)
		}
	})
	_, err := DecodeVersionCID(nil, 10)
	assert.Error(t, err)
}

func TestVersionNegotiation(t *testing.T) {
	p := newPair(t, options{})
	offered := []uint32{0x1a2a3a4a, 0xff00001d}
	p.accept = func(pkt []byte, h PktHeader, err error) ([]byte, bool) {
		require.NoError(t, err)
		v, err := DecodeVersionCID(pkt, testCIDLen)
		require.NoError(t, err)
		dst := make([]byte, 200)
		n, err := WriteVersionNegotiation(dst, 0x55, v, offered)
		require.NoError(t, err)
		_, err = WriteVersionNegotiation(dst[:10], 0, v, offered)
		require.ErrorIs(t, err, ErrNoBuf)
		return dst[:n], false
	}
	p.run(func() bool { return p.c.err != nil })
	var e *Error
	require.ErrorAs(t, p.c.err, &e)
	assert.Equal(t, CodeRecvVersionNegotiation, e.Code)
	assert.Equal(t, Drop, e.Class)
	r, ok := p.c.find(EventVersionNegotiation)
	require.True(t, ok)
	assert.Equal(t, []byte{0x1a, 0x2a, 0x3a, 0x4a, 0xff, 0, 0, 0x1d}, r.Data)
}

// retrying answers the first Initial with a Retry and checks the second.
func retrying(t *testing.T, p *pair) {
	p.accept = func(pkt []byte, h PktHeader, err error) ([]byte, bool) {
		require.NoError(t, err)
		tok := RetryToken{Version: h.Version, Remote: addrClient, RetrySCID: h.DCID, ODCID: h.DCID}
		if len(h.Token) == 0 {
			tok.RetrySCID = randomCID(testCIDLen)
			token, err := GenerateRetryToken(testSecret, tok, p.now)
			require.NoError(t, err)
			dst := make([]byte, 1200)
			n, err := WriteRetry(dst, Retry{Version: h.Version, DCID: h.SCID, SCID: tok.RetrySCID, ODCID: h.DCID, Token: token})
			require.NoError(t, err)
			return dst[:n], false
		}
		require.True(t, IsRetryToken(h.Token))
		require.False(t, IsToken(h.Token))
		odcid, err := VerifyRetryToken(h.Token, testSecret, tok, 10*time.Second, p.now)
		require.NoError(t, err)
		p.sset.Token, p.sset.TokenType = h.Token, TokenRetry
		p.sparam.OriginalDCID, p.sparam.OriginalDCIDPresent = odcid, true
		p.sparam.RetrySCID, p.sparam.RetrySCIDPresent = h.DCID, true
		return nil, true
	}
}

func TestRetry(t *testing.T) {
	p := newPair(t, options{})
	retrying(t, p)
	p.handshake()
	remote, ok := p.c.conn.RemoteTransportParams()
	require.True(t, ok)
	assert.True(t, remote.RetrySCIDPresent)
	assert.True(t, remote.OriginalDCIDPresent)
}

func TestRetryTokens(t *testing.T) {
	tok := RetryToken{Version: VersionV1, Remote: addrClient, RetrySCID: randomCID(10), ODCID: randomCID(18)}
	now := Timestamp(time.Hour)
	token, err := GenerateRetryToken(testSecret, tok, now)
	require.NoError(t, err)
	verify := func(token []byte, tok RetryToken, secret []byte, at Timestamp) error {
		odcid, err := VerifyRetryToken(token, secret, tok, 10*time.Second, at)
		if err == nil {
			assert.Equal(t, tok.ODCID, odcid)
		}
		return err
	}
	assert.NoError(t, verify(token, tok, testSecret, now.Add(9*time.Second)))
	assert.ErrorIs(t, verify(token, tok, testSecret, now.Add(11*time.Second)), ErrTokenInvalid, "expired")
	assert.ErrorIs(t, verify(token, tok, []byte("another secret of 32 bytes......"), now), ErrTokenUnreadable, "forged")
	for name, change := range map[string]func(*RetryToken){
		"address": func(r *RetryToken) { r.Remote = netip.MustParseAddrPort("192.0.2.9:40000") },
		"dcid":    func(r *RetryToken) { r.RetrySCID = randomCID(10) },
		"version": func(r *RetryToken) { r.Version = VersionV2 },
	} {
		other := tok
		change(&other)
		assert.Error(t, verify(token, other, testSecret, now), name)
	}
	for i := range token {
		bad := append([]byte(nil), token...)
		bad[i] ^= 1
		assert.Error(t, verify(bad, tok, testSecret, now), "byte %d", i)
		assert.Error(t, verify(token[:i], tok, testSecret, now), "prefix %d", i)
	}
}

func TestTokens(t *testing.T) {
	now := Timestamp(time.Hour)
	for _, remote := range []netip.AddrPort{addrClient, netip.MustParseAddrPort("[2001:db8::1]:5")} {
		token, err := GenerateToken(testSecret, remote, now)
		require.NoError(t, err)
		assert.True(t, IsToken(token))
		assert.False(t, IsRetryToken(token))
		assert.NoError(t, VerifyToken(token, testSecret, remote, time.Hour, now.Add(time.Minute)))
		assert.ErrorIs(t, VerifyToken(token, testSecret, remote, time.Hour, now.Add(2*time.Hour)), ErrTokenInvalid)
		other := netip.AddrPortFrom(netip.MustParseAddr("2001:db8::99"), 5)
		assert.Error(t, VerifyToken(token, testSecret, other, time.Hour, now))
		assert.ErrorIs(t, VerifyToken(token[:10], testSecret, remote, time.Hour, now), ErrTokenUnreadable)
		token[len(token)/2] ^= 1
		assert.ErrorIs(t, VerifyToken(token, testSecret, remote, time.Hour, now), ErrTokenUnreadable)
	}
	assert.False(t, IsToken(nil))
	_, err := GenerateToken(testSecret, netip.AddrPort{}, now)
	assert.Error(t, err)
}

// A token from NEW_TOKEN validates the client's address in its next connection.
func TestNewToken(t *testing.T) {
	p := connect(t, options{})
	token, err := GenerateToken(testSecret, addrClient, p.now)
	require.NoError(t, err)
	assert.ErrorIs(t, p.s.conn.SubmitNewToken(nil), ErrInvalidArgument)
	require.NoError(t, p.s.conn.SubmitNewToken(token))
	p.run(func() bool { return p.c.has(EventNewToken) })
	r, _ := p.c.find(EventNewToken)
	assert.Equal(t, token, r.Data)

	next := newPair(t, options{cset: func(s *Settings) { s.Token = token }})
	next.accept = func(pkt []byte, h PktHeader, err error) ([]byte, bool) {
		require.NoError(t, err)
		assert.Equal(t, token, h.Token)
		require.NoError(t, VerifyToken(h.Token, testSecret, addrClient, time.Hour, next.now))
		next.sset.Token, next.sset.TokenType = h.Token, TokenNewToken
		return nil, true
	}
	next.handshake()
}

func TestRefuseWithoutConn(t *testing.T) {
	p := newPair(t, options{})
	p.accept = func(pkt []byte, h PktHeader, err error) ([]byte, bool) {
		require.NoError(t, err)
		dst := make([]byte, 1200)
		n, err := WriteConnectionCloseInitial(dst, InitialClose{
			Version: h.Version, DCID: h.SCID, SCID: h.DCID, Code: ConnectionRefused, Reason: "full"})
		require.NoError(t, err)
		_, err = WriteConnectionCloseInitial(dst[:20], InitialClose{Version: h.Version, DCID: h.SCID, SCID: h.DCID})
		require.ErrorIs(t, err, ErrNoBuf)
		return dst[:n], false
	}
	p.run(func() bool { return p.c.err != nil })
	var te *TransportError
	require.ErrorAs(t, p.c.conn.CloseError(), &te)
	assert.Equal(t, ConnectionRefused, te.Code)
	assert.Equal(t, "full", te.Reason)
}

func TestStatelessReset(t *testing.T) {
	p := connect(t, options{})
	p.runFor(time.Second)
	token, err := GenerateStatelessResetToken(testSecret, p.c.conn.DCID())
	require.NoError(t, err)
	dst := make([]byte, 43)
	for n := range MinStatelessResetRand + StatelessResetTokenLen {
		_, err := WriteStatelessReset(dst[:n], token)
		require.ErrorIs(t, err, ErrNoBuf, n)
	}
	n, err := WriteStatelessReset(dst, token)
	require.NoError(t, err)
	require.Equal(t, len(dst), n)

	forged := append([]byte(nil), dst...)
	forged[len(forged)-1] ^= 1
	p.send(p.s, forged, NotECT)
	p.runFor(time.Second)
	require.NoError(t, p.c.err, "another token does nothing")

	p.send(p.s, dst, NotECT)
	p.run(func() bool { return p.c.err != nil })
	assert.ErrorIs(t, p.c.err, ErrDraining)
	assert.ErrorIs(t, p.c.conn.CloseError(), ErrStatelessReset)
	assert.True(t, p.c.has(EventStatelessReset))
}

func TestStatelessResetTokenInParams(t *testing.T) {
	p := connect(t, options{})
	remote, ok := p.c.conn.RemoteTransportParams()
	require.True(t, ok)
	require.True(t, remote.StatelessResetTokenPresent)
	want, err := GenerateStatelessResetToken(testSecret, remote.InitialSCID)
	require.NoError(t, err)
	assert.Equal(t, want, remote.StatelessResetToken)
}

// Bytes that are no packet of this connection change nothing (and every bit flip
// of a real one neither).
func TestGarbageOnConn(t *testing.T) {
	p := connect(t, options{})
	id := p.c.open()
	p.c.write(id, []byte("x"), false)
	p.flush(p.c)
	pkt := p.c.out[len(p.c.out)-1].data
	p.c.out = nil
	for i := range 8 * len(pkt) {
		bad := append([]byte(nil), pkt...)
		bad[i/8] ^= 1 << (i % 8)
		require.NoError(t, p.s.conn.ReadPkts(p.s.path, bad, []Datagram{{Len: uint32(len(bad))}}, p.now))
	}
	for n := range pkt {
		require.NoError(t, p.s.conn.ReadPkts(p.s.path, pkt[:n], []Datagram{{Len: uint32(n)}}, p.now))
	}
	p.run(func() bool { return len(p.s.data[id]) == 1 })
}

func FuzzAccept(f *testing.F) {
	f.Add(firstDatagram(f, options{}), 10)
	f.Add(longHeader(0x1a2a3a4a, make([]byte, 30), make([]byte, 30), 1200), 20)
	f.Add([]byte{0x40, 1, 2, 3}, 3)
	f.Fuzz(func(t *testing.T, pkt []byte, n int) {
		_, _ = Accept(pkt)
		v, err := DecodeVersionCID(pkt, n%21)
		if err == ErrVersionNegotiation {
			dst := make([]byte, 1200)
			_, err := WriteVersionNegotiation(dst, 0, v, []uint32{VersionV1})
			require.NoError(t, err)
		}
	})
}

// FuzzReadPkts gives any bytes to a new server Conn, as the first datagram.
func FuzzReadPkts(f *testing.F) {
	first := firstDatagram(f, options{})
	f.Add(first)
	f.Add(append(append([]byte(nil), first...), first...))
	tls := serverTLS(f)
	ev := NewEvents()
	f.Cleanup(ev.Free)
	f.Fuzz(func(t *testing.T, pkt []byte) {
		h, err := Accept(pkt)
		if err != nil { // still a server might have a Conn
			h, _ = Accept(first)
		}
		params := testParams()
		params.OriginalDCID, params.OriginalDCIDPresent = h.DCID, true
		c, err := NewServerConn(ConnConfig{DCID: h.SCID, SCID: randomCID(testCIDLen),
			Path: Path{addrServer, addrClient}, Version: h.Version, Params: &params, TLS: tls, Events: ev})
		require.NoError(t, err)
		defer c.Free()
		if len(pkt) > 0 {
			_ = c.ReadPkts(Path{addrServer, addrClient}, pkt, []Datagram{{Len: uint32(len(pkt))}}, 1)
		}
		_, _ = c.WritePkts(make([]byte, testDstSize), nil, 2)
	})
}
