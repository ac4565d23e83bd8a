package ngtcp2

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/crypto"
)

func TestHandshake(t *testing.T) {
	p := connect(t, options{})
	for _, s := range []*side{p.c, p.s} {
		assert.True(t, s.conn.HandshakeCompleted(), s.name)
		assert.Equal(t, testALPN, s.conn.ALPN(), s.name)
		assert.Equal(t, VersionV1, s.conn.NegotiatedVersion(), s.name)
		assert.Equal(t, s.path, s.conn.Path(), s.name)
		assert.True(t, s.has(EventHandshakeCompleted), s.name)
		assert.True(t, s.has(EventHandshakeConfirmed), s.name)
		assert.NotEmpty(t, s.conn.SCIDs(), s.name)
		assert.Positive(t, s.conn.PTO(), s.name)
		info := s.conn.Info()
		assert.GreaterOrEqual(t, info.SmoothedRTT, 2*testDelay, s.name)
		assert.Positive(t, info.PktSent, s.name)
		assert.Positive(t, info.CWND, s.name)
		assert.NoError(t, s.conn.CloseError(), s.name)
	}
	id, err := p.c.conn.PeerIdentity()
	require.NoError(t, err)
	assert.True(t, id.Verified)
	assert.Equal(t, uint64(100), p.c.conn.StreamsBidiLeft())
	assert.Equal(t, uint64(100), p.c.conn.StreamsUniLeft())
}

func TestALPNMismatch(t *testing.T) {
	p := newPair(t, options{ctls: clientTLS(t, "other")})
	p.run(func() bool { return p.s.err != nil })
	var e *Error
	require.ErrorAs(t, p.s.err, &e)
	assert.Equal(t, Error{Class: Fatal, Code: CodeCrypto, Transport: 0x178, Alert: 120, Text: e.Text}, *e)
	assert.Contains(t, e.Text, "no application protocol")

	err := p.s.err
	p.s.err = nil
	p.close(p.s, CloseFor(err))
	p.run(func() bool { return p.c.err != nil })
	require.ErrorIs(t, p.c.err, ErrDraining)
	var te *TransportError
	require.ErrorAs(t, p.c.conn.CloseError(), &te)
	assert.Equal(t, uint64(0x178), te.Code)
	alert, ok := te.Alert()
	assert.True(t, ok)
	assert.Equal(t, uint8(120), alert)
}

// The error says why a certificate was refused, not only that it was.
func TestUntrustedCertificate(t *testing.T) {
	other, err := crypto.GenerateDevCert(t.TempDir())
	require.NoError(t, err)
	for name, c := range map[string]struct {
		options
		server bool // who refuses
		alert  uint8
		reason string
	}{
		"CA of the server": {
			options: options{ctls: newTLS(t, crypto.Config{Role: crypto.Client, CAFile: other.CAFile, ALPN: []string{testALPN}})},
			alert:   48, reason: "unable to get local issuer certificate",
		},
		"name of the server": {
			options: options{serverName: "elsewhere.example"},
			alert:   42, reason: "hostname mismatch",
		},
		"CA of the client": {
			options: options{
				stls: newTLS(t, crypto.Config{CertFile: testDev.CertFile, KeyFile: testDev.KeyFile, ALPN: []string{testALPN},
					ClientCAFile: testDev.CAFile, ClientAuth: crypto.RequireClientCert}),
				ctls: newTLS(t, crypto.Config{Role: crypto.Client, CAFile: testDev.CAFile, ALPN: []string{testALPN},
					CertFile: other.CertFile, KeyFile: other.KeyFile}),
			},
			server: true, alert: 48, reason: "unable to get local issuer certificate",
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, c.options)
			refuser := p.c
			if c.server {
				refuser = p.s
			}
			p.run(func() bool { return refuser.err != nil })
			var e *Error
			require.ErrorAs(t, refuser.err, &e)
			assert.Equal(t, CodeCrypto, e.Code)
			assert.Equal(t, c.alert, e.Alert)
			assert.Contains(t, e.Error(), "certificate verify failed: "+c.reason)
		})
	}
}

func TestKeepAlive(t *testing.T) {
	p := connect(t, options{sparam: func(tp *TransportParams) { tp.MaxIdleTimeout = 10 * time.Second }})
	p.c.conn.SetKeepAliveTimeout(4 * time.Second)
	p.runFor(time.Minute)
	assert.NoError(t, p.c.err)
	assert.NoError(t, p.s.err)
	assert.GreaterOrEqual(t, p.s.conn.Info().PingRecv, uint64(10))
	p.c.conn.SetKeepAliveTimeout(0)
	p.run(func() bool { return p.c.err != nil && p.s.err != nil })
	for _, s := range []*side{p.c, p.s} {
		assert.ErrorIs(t, s.err, ErrIdleTimeout, s.name)
	}
}

func TestIdleTimeout(t *testing.T) {
	p := connect(t, options{cparam: func(tp *TransportParams) { tp.MaxIdleTimeout = 3 * time.Second }})
	start := p.now
	p.run(func() bool { return p.c.err != nil })
	var e *Error
	require.ErrorAs(t, p.c.err, &e)
	assert.Equal(t, Drop, e.Class)
	assert.ErrorIs(t, p.c.conn.CloseError(), ErrIdleTimeout)
	assert.InDelta(t, 3, p.now.Sub(start).Seconds(), 0.5)
	n, _, err := p.c.conn.WriteConnectionClose(p.c.dst, CloseFor(p.c.err), p.now)
	assert.NoError(t, err)
	assert.Zero(t, n, "nothing is written after an idle timeout")
}

func TestHandshakeTimeout(t *testing.T) {
	p := newPair(t, options{cset: func(s *Settings) { s.HandshakeTimeout = 2 * time.Second }})
	p.link = func(*side, dgram) []dgram { return nil }
	p.run(func() bool { return p.c.err != nil })
	assert.ErrorIs(t, p.c.err, ErrHandshakeTimeout)
	assert.ErrorIs(t, p.c.conn.CloseError(), ErrHandshakeTimeout)
	assert.InDelta(t, 2, time.Duration(p.now).Seconds(), 0.1)
}

func TestCloseBothWays(t *testing.T) {
	t.Run("client, application", func(t *testing.T) {
		p := connect(t, options{})
		p.close(p.c, ApplicationClose(0x42, "bye"))
		assert.True(t, p.c.conn.InClosingPeriod())
		p.run(func() bool { return p.s.err != nil })
		require.ErrorIs(t, p.s.err, ErrDraining)
		assert.True(t, p.s.conn.InDrainingPeriod())
		assert.Equal(t, &ApplicationError{0x42, "bye"}, p.s.conn.CloseError())
	})
	t.Run("server, transport", func(t *testing.T) {
		p := connect(t, options{})
		p.close(p.s, TransportClose(ProtocolViolation, "what was that"))
		p.run(func() bool { return p.c.err != nil })
		var te *TransportError
		require.ErrorAs(t, p.c.conn.CloseError(), &te)
		assert.Equal(t, ProtocolViolation, te.Code)
		assert.Equal(t, "what was that", te.Reason)
		_, ok := te.Alert()
		assert.False(t, ok)
		n, _, err := p.c.conn.WriteConnectionClose(p.c.dst, TransportClose(NoError, ""), p.now)
		assert.NoError(t, err)
		assert.Zero(t, n, "nothing is written while draining")
	})
	t.Run("server, before the handshake ends", func(t *testing.T) {
		p := newPair(t, options{})
		p.run(func() bool { return p.s.conn != nil })
		p.close(p.s, ApplicationClose(0x42, "secret"))
		p.run(func() bool { return p.c.err != nil })
		var te *TransportError
		require.ErrorAs(t, p.c.conn.CloseError(), &te)
		assert.Equal(t, ApplicationErrorCode, te.Code, "RFC 9000 section 10.2.3")
	})
	t.Run("code out of range", func(t *testing.T) {
		p := connect(t, options{})
		_, _, err := p.c.conn.WriteConnectionClose(p.c.dst, ApplicationClose(1<<62, ""), p.now)
		assert.ErrorIs(t, err, ErrInvalidArgument)
		_, _, err = p.c.conn.WriteConnectionClose(p.c.dst[:100], ApplicationClose(1, ""), p.now)
		assert.ErrorIs(t, err, ErrNoBuf)
	})
}

// Data in the datagram of a CONNECTION_CLOSE, or just before it, is not lost.
func TestDataBeforeClose(t *testing.T) {
	p := connect(t, options{})
	id := p.c.open()
	p.c.write(id, []byte("last words"), true)
	p.flush(p.c)
	p.close(p.c, ApplicationClose(1, ""))
	p.run(func() bool { return p.s.err != nil })
	assert.Equal(t, "last words", string(p.s.data[id]))
	assert.Equal(t, &ApplicationError{1, ""}, p.s.conn.CloseError())
}

func TestQUICv2(t *testing.T) {
	v2 := func(s *Settings) { s.PreferredVersions = []uint32{VersionV2, VersionV1} }
	t.Run("from the start", func(t *testing.T) {
		p := connect(t, options{version: VersionV2})
		assert.Equal(t, VersionV2, p.c.conn.NegotiatedVersion())
	})
	t.Run("negotiated", func(t *testing.T) {
		p := connect(t, options{sset: v2, cset: func(s *Settings) {
			s.AvailableVersions = []uint32{VersionV2, VersionV1}
		}})
		assert.Equal(t, VersionV2, p.c.conn.NegotiatedVersion())
		assert.Equal(t, VersionV2, p.s.conn.NegotiatedVersion())
	})
}

func TestIssuedCIDs(t *testing.T) {
	p := newPair(t, options{cparam: func(tp *TransportParams) { tp.ActiveConnectionIDLimit = 4 }})
	p.prefix = []byte{0xab, 0xcd}
	p.handshake()
	p.runFor(time.Second)
	var got []ConnectionID
	for _, r := range p.s.events {
		if r.Type == EventNewCID {
			cid, err := NewConnectionID(r.Data)
			require.NoError(t, err)
			got = append(got, cid)
		}
	}
	require.Len(t, got, 3)
	scids := p.s.conn.SCIDs()
	assert.Len(t, scids, 4)
	for _, cid := range got {
		assert.Equal(t, testCIDLen, cid.Len())
		assert.Equal(t, p.prefix, cid.Bytes()[:2])
		assert.Contains(t, scids, cid)
	}
	seen := 0
	for _, r := range p.c.events {
		if r.Type == EventDCIDStatus {
			assert.Len(t, r.Data, testCIDLen+StatelessResetTokenLen)
			seen++
		}
	}
	assert.Positive(t, seen)
	assert.Contains(t, scids, p.c.conn.DCID())
}

func TestMisuse(t *testing.T) {
	p := connect(t, options{})
	id := p.c.open()
	b := NewBuffer(10)
	_, err := p.c.conn.WritePkts(nil, []StreamChunk{{StreamID: id, Buf: b, Off: 5, Len: 6}}, p.now)
	assert.ErrorIs(t, err, ErrInvalidArgument, "a chunk outside of its buffer")
	_, err = p.c.conn.WritePkts(make([]byte, 100), nil, p.now)
	assert.ErrorIs(t, err, ErrNoBuf)
	assert.ErrorIs(t, p.c.conn.ReadPkts(p.c.path, make([]byte, 10), []Datagram{{Off: 5, Len: 6}}, p.now), ErrInvalidArgument)
	assert.ErrorIs(t, p.c.conn.ReadPkts(p.c.path, nil, make([]Datagram, MaxReadRun+1), p.now), ErrInvalidArgument)
	assert.Error(t, p.c.conn.ReadPkts(Path{}, make([]byte, 10), []Datagram{{Len: 6}}, p.now))
	assert.ErrorIs(t, p.c.conn.ShutdownStream(id, 1<<62), ErrInvalidArgument)
	assert.NoError(t, p.c.conn.HandleExpiry(0), "time that goes back is no time at all")
	assert.NoError(t, p.c.conn.HandleExpiry(NoExpiry))
	assert.Error(t, p.c.conn.SubmitNewToken([]byte("x")), "clients have no tokens to give")
	assert.NoError(t, p.c.conn.ReadPkts(p.c.path, nil, []Datagram{{}}, p.now))

	p.c.conn.Free()
	p.c.conn.Free()
	b = NewBuffer(10)
	_, err = p.c.conn.WritePkts(p.c.dst, []StreamChunk{{StreamID: id, Buf: b, Len: 1}}, p.now)
	assert.ErrorIs(t, err, ErrFreed)
	assert.ErrorIs(t, p.c.conn.ReadPkts(p.c.path, nil, nil, p.now), ErrFreed)
	assert.ErrorIs(t, p.c.conn.HandleExpiry(p.now), ErrFreed)
	assert.Equal(t, NoExpiry, p.c.conn.Expiry())
	assert.Zero(t, p.c.conn.Info())
	assert.Nil(t, p.c.conn.SCIDs())
	assert.False(t, errors.Is(p.c.conn.CloseError(), ErrDraining))
}

func TestReleaseTLS(t *testing.T) {
	p := connect(t, options{})
	blocks := HeapBlocks()
	assert.False(t, p.c.conn.ReleaseTLS(), "a client still gets tickets")
	require.True(t, p.s.conn.ReleaseTLS())
	assert.False(t, p.s.conn.ReleaseTLS())
	assert.Equal(t, blocks-2, HeapBlocks())
	assert.Equal(t, testALPN, p.s.conn.ALPN())
	assert.Equal(t, "TLSv1.3", p.s.conn.TLSState().Version)
	_, err := p.s.conn.PeerIdentity()
	assert.NoError(t, err)

	// The connection works on, over a rough link and through loss of the tickets.
	p.link = rough(1)
	id := p.c.open()
	p.c.write(id, make([]byte, 100000), true)
	p.run(func() bool { return p.s.fin[id] })
	p.s.write(id, make([]byte, 100000), true)
	p.run(func() bool { return p.c.fin[id] })
	p.runFor(20 * time.Second)
	p.link = nil
	require.NoError(t, p.s.err)
	p.close(p.s, ApplicationClose(3, "done"))
	p.run(func() bool { return p.c.err != nil })
	assert.Equal(t, &ApplicationError{3, "done"}, p.c.conn.CloseError())
}

func TestReleaseTLSTooEarly(t *testing.T) {
	p := newPair(t, options{})
	p.run(func() bool { return p.s.conn != nil })
	assert.False(t, p.s.conn.ReleaseTLS())
	p.handshake()
	assert.True(t, p.s.conn.ReleaseTLS())
}

// ngtcp2 aborts on some calls that follow a failure or come too early.
func TestCallsAfterFailure(t *testing.T) {
	garbage := make([]byte, 1300)
	p := newPair(t, options{})
	n, _, err := p.c.conn.WriteConnectionClose(p.c.dst, ApplicationClose(0, ""), p.now)
	assert.NoError(t, err)
	assert.Zero(t, n, "before the first packet there is nobody to tell")
	p.flush(p.c)
	require.True(t, p.newServer(p.c.out[0].data))
	w, err := p.s.conn.WritePkts(p.s.dst, nil, p.now)
	assert.NoError(t, err)
	assert.Zero(t, w.N, "before the first packet was read")
	n, _, err = p.s.conn.WriteConnectionClose(p.s.dst, TransportClose(NoError, ""), p.now)
	assert.NoError(t, err)
	assert.Zero(t, n)
	assert.NoError(t, p.s.conn.HandleExpiry(p.now))

	err = p.s.conn.ReadPkts(p.s.path, garbage, []Datagram{{Len: 1300}}, p.now)
	require.ErrorIs(t, err, ErrDropConn)
	for range 2 {
		assert.ErrorIs(t, p.s.conn.ReadPkts(p.s.path, garbage, []Datagram{{Len: 1300}}, p.now), ErrDropConn)
		_, err = p.s.conn.WritePkts(p.s.dst, nil, p.now)
		assert.ErrorIs(t, err, ErrDropConn)
		assert.ErrorIs(t, p.s.conn.HandleExpiry(p.now), ErrDropConn)
	}

	p = newPair(t, options{ctls: clientTLS(t, "other")})
	p.run(func() bool { return p.s.err != nil })
	first := p.s.err
	p.s.err = nil
	p.close(p.s, CloseFor(first))
	assert.ErrorIs(t, p.s.conn.ReadPkts(p.s.path, garbage, []Datagram{{Len: 1300}}, p.now), ErrClosing)
	_, err = p.s.conn.WritePkts(p.s.dst, nil, p.now)
	assert.ErrorIs(t, err, ErrClosing)
}

// A client whose address changes (NAT rebinding) is followed by the server.
func TestRebinding(t *testing.T) {
	p := connect(t, options{})
	p.runFor(time.Second)
	old := p.s.path
	moved := Path{addrServer, netip.MustParseAddrPort("192.0.2.99:41000")}
	p.s.path = moved
	var validated []Path
	p.s.onEvent = func(ev *Event) {
		if ev.Type == EventPathValidation && ev.Flags&(FlagFailed|FlagAborted) == 0 {
			validated = append(validated, p.s.ev.Path(ev))
		}
	}
	id := p.c.open()
	p.c.write(id, []byte("moved"), true)
	p.run(func() bool { return p.s.has(EventPathValidation) && p.s.conn.Path() == moved })
	p.runFor(5 * time.Second)
	assert.Contains(t, validated, moved)
	assert.Contains(t, p.paths, old)
	assert.Contains(t, p.paths, moved)
	assert.True(t, p.s.has(EventBeginPathValidation))
	assert.Equal(t, "moved", string(p.s.data[id]))
}

func TestPacing(t *testing.T) {
	p := connect(t, options{})
	assert.Positive(t, p.c.conn.SendQuantum())
	assert.Positive(t, p.c.conn.CWNDLeft())
	assert.GreaterOrEqual(t, p.c.conn.PathMaxTxUDPPayloadSize(), MaxUDPPayloadSize)
	id := p.c.open()
	p.c.write(id, make([]byte, testWindow), false) // makes the congestion window larger than a burst
	p.run(func() bool { return len(p.s.data[id]) == testWindow })
	p.runFor(time.Second)
	p.c.write(id, make([]byte, testWindow), false)
	p.flush(p.c)
	sent := 0
	for _, d := range p.c.out {
		sent += len(d.data)
	}
	assert.LessOrEqual(t, sent, p.c.conn.SendQuantum()+MaxUDPPayloadSize, "one burst, then a pause")
	assert.Greater(t, p.c.conn.Expiry(), p.now)
	assert.Less(t, p.c.conn.Expiry(), p.now.Add(2*testDelay), "for pacing: before any ack or loss")
}
