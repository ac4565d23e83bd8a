package ngtcp2

import (
	"bytes"
	"errors"
	"math/rand/v2"
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

func TestUntrustedServer(t *testing.T) {
	dir := t.TempDir()
	other, err := crypto.GenerateDevCert(dir)
	require.NoError(t, err)
	p := newPair(t, options{ctls: newTLS(t, crypto.Config{Role: crypto.Client, CAFile: other.CAFile, ALPN: []string{testALPN}})})
	p.run(func() bool { return p.c.err != nil })
	var e *Error
	require.ErrorAs(t, p.c.err, &e)
	assert.Equal(t, CodeCrypto, e.Code)
	assert.NotZero(t, e.Alert)
	assert.Contains(t, e.Error(), "certificate verify failed")
}

func TestStreamEcho(t *testing.T) {
	p := connect(t, options{})
	id := p.c.open()
	p.c.write(id, []byte("hello"), true)
	p.run(func() bool { return p.s.fin[id] })
	assert.True(t, p.s.has(EventStreamOpen))
	assert.Equal(t, "hello", string(p.s.data[id]))

	p.s.write(id, p.s.data[id], true)
	p.run(func() bool { return p.c.fin[id] && p.s.has(EventStreamClose) })
	assert.Equal(t, "hello", string(p.c.data[id]))
	ack, ok := p.s.find(EventStreamAcked)
	require.True(t, ok)
	assert.Equal(t, id, ack.StreamID)
	assert.Equal(t, uint64(5), ack.A)
	closed, _ := p.s.find(EventStreamClose)
	assert.Zero(t, closed.Flags&FlagHasCode)
	_, known := p.s.conn.StreamInfo(id)
	assert.False(t, known)
}

// rough is a link that loses, duplicates and reorders.
func rough(seed uint64) func(*side, dgram) []dgram {
	r := rand.New(rand.NewPCG(seed, 0))
	return func(_ *side, d dgram) []dgram {
		switch n := r.IntN(100); {
		case n < 5:
			return nil
		case n < 10:
			late := d
			late.at = late.at.Add(time.Millisecond)
			return []dgram{d, late}
		case n < 20:
			d.at = d.at.Add(time.Duration(r.IntN(20)) * time.Millisecond)
		}
		return []dgram{d}
	}
}

func TestTransferOverRoughLink(t *testing.T) {
	data := make([]byte, 1<<20)
	for i := range data {
		data[i] = byte(i * 7 >> 3)
	}
	for seed := uint64(1); seed <= 3; seed++ {
		p := newPair(t, options{})
		p.link = rough(seed)
		p.handshake()
		id := p.c.open()
		p.c.write(id, data, true)
		p.run(func() bool { return p.s.fin[id] })
		require.True(t, bytes.Equal(data, p.s.data[id]), "seed %d", seed)
		p.run(func() bool { i, ok := p.c.conn.StreamInfo(id); return !ok || i.Unacked == 0 })
		p.s.write(id, data, true)
		p.run(func() bool { return p.c.fin[id] })
		require.True(t, bytes.Equal(data, p.c.data[id]), "seed %d", seed)
		assert.Positive(t, p.c.conn.Info().PktLost)
	}
}

func TestResetBothDirections(t *testing.T) {
	p := connect(t, options{})
	p.c.hold, p.s.hold = true, true
	big := make([]byte, 2*testWindow)
	check := func(from, to *side, id int64) {
		t.Helper()
		from.events, to.events = nil, nil
		require.NoError(t, from.conn.ShutdownStreamWrite(id, 7))
		p.run(func() bool { return to.has(EventStreamReset) })
		r, _ := to.find(EventStreamReset)
		assert.Equal(t, uint64(7), r.A)
		assert.Equal(t, id, r.StreamID)
		assert.GreaterOrEqual(t, r.B, uint64(len(to.data[id])))
		info, ok := from.conn.StreamInfo(id)
		assert.True(t, !ok || info.Queued == 0)
	}
	id := p.c.open()
	p.c.write(id, big, false)
	p.run(func() bool { return len(p.s.data[id]) > 1000 })
	check(p.c, p.s, id)
	p.s.write(id, []byte("x"), false)
	p.run(func() bool { return len(p.c.data[id]) == 1 })
	check(p.s, p.c, id)
	p.run(func() bool { return p.c.has(EventStreamClose) && p.s.has(EventStreamClose) })
	r, _ := p.c.find(EventStreamClose)
	assert.Equal(t, FlagHasCode, r.Flags&FlagHasCode)
	assert.Equal(t, uint64(7), r.A)
}

func TestStopSending(t *testing.T) {
	p := connect(t, options{})
	p.s.hold = true
	id := p.c.open()
	p.c.write(id, make([]byte, 2*testWindow), false)
	p.run(func() bool { return len(p.s.data[id]) == testWindow })
	info, ok := p.c.conn.StreamInfo(id)
	require.True(t, ok)
	require.Positive(t, info.Queued)

	require.NoError(t, p.s.conn.ShutdownStreamRead(id, 9))
	p.run(func() bool { return p.c.has(EventStopSending) && p.s.has(EventStreamReset) })
	r, _ := p.c.find(EventStopSending)
	assert.Equal(t, uint64(9), r.A)
	info, ok = p.c.conn.StreamInfo(id)
	require.True(t, ok)
	assert.Zero(t, info.Queued, "what was queued is released")
	p.c.write(id, []byte("more"), false) // released at once, no error
	p.runFor(time.Second)
	require.NoError(t, p.c.err)

	// The other direction, and with ShutdownStream.
	id = p.c.open()
	p.c.write(id, []byte("a"), false)
	p.run(func() bool { return len(p.s.data[id]) == 1 })
	p.s.write(id, make([]byte, 100), false)
	p.run(func() bool { return len(p.c.data[id]) == 100 })
	p.c.events, p.s.events = nil, nil
	require.NoError(t, p.c.conn.ShutdownStream(id, 11))
	p.run(func() bool {
		return p.s.has(EventStopSending) && p.s.has(EventStreamReset) && p.s.has(EventStreamClose)
	})
	r, _ = p.s.find(EventStreamReset)
	assert.Equal(t, uint64(11), r.A)
}

func TestFlowControlStall(t *testing.T) {
	p := connect(t, options{})
	p.s.hold = true
	a, b := p.c.open(), p.c.open()
	p.c.write(a, make([]byte, 2*testWindow), true)
	p.c.write(b, make([]byte, testWindow), true)
	p.run(func() bool { return len(p.s.data[a]) == testWindow && len(p.s.data[b]) == testWindow })
	p.runFor(5 * time.Second)
	assert.Len(t, p.s.data[a], testWindow, "the stream's credit is used up")

	// Both windows are empty now: stream credit alone does not help. (ngtcp2
	// announces credit in steps of a part of the window.)
	require.NoError(t, p.s.conn.ExtendMaxStreamOffset(a, testWindow))
	p.runFor(5 * time.Second)
	assert.Len(t, p.s.data[a], testWindow)
	assert.Zero(t, p.c.conn.MaxDataLeft())
	assert.True(t, p.c.has(EventMaxStreamData))
	require.NoError(t, p.s.conn.ExtendMaxOffset(testWindow*3/4))
	p.run(func() bool { return len(p.s.data[a]) == testWindow*7/4 })
	p.runFor(time.Second)
	assert.Len(t, p.s.data[a], testWindow*7/4)

	require.NoError(t, p.s.conn.ExtendMaxOffset(testWindow))
	p.run(func() bool { return p.s.fin[a] })
	assert.Len(t, p.s.data[a], 2*testWindow)
	assert.NoError(t, p.s.conn.ExtendMaxStreamOffset(400, 1))
	assert.NoError(t, p.s.conn.Consume(400, 1), "the connection's window grows all the same")
	assert.ErrorIs(t, p.s.conn.ExtendMaxStreamOffset(3, 1), ErrInvalidArgument, "a stream that only sends")
}

// A FIN without data needs no credit and is not held up by streams that wait for
// the connection's.
func TestFinPassesBlockedStreams(t *testing.T) {
	p := connect(t, options{sparam: func(tp *TransportParams) { tp.InitialMaxData = 10000 }})
	p.s.hold = true
	a, b := p.c.open(), p.c.open()
	p.c.write(a, make([]byte, 20000), false)
	p.c.write(b, nil, true)
	p.run(func() bool { return len(p.s.data[a]) == 10000 && p.s.fin[b] })
	require.NoError(t, p.s.conn.Consume(a, 10000)) // all of the connection's window
	p.run(func() bool { return len(p.s.data[a]) == 20000 })
}

func TestManyStreams(t *testing.T) {
	const n = 500
	p := connect(t, options{sparam: func(tp *TransportParams) { tp.InitialMaxStreamsBidi = n }})
	ids := make([]int64, n)
	for i := range ids {
		ids[i] = p.c.open()
		p.c.write(ids[i], bytes.Repeat([]byte{byte(i)}, 100+i), true)
	}
	_, err := p.c.conn.OpenStreamBidi()
	assert.ErrorIs(t, err, ErrStreamIDBlocked)
	var e *Error
	require.ErrorAs(t, err, &e)
	assert.Equal(t, Transitional, e.Class)
	p.run(func() bool { return len(p.s.fin) == n })
	for i, id := range ids {
		assert.Equal(t, bytes.Repeat([]byte{byte(i)}, 100+i), p.s.data[id])
		p.s.write(id, []byte{1}, true)
	}
	p.run(func() bool { return len(p.c.fin) == n })
	p.c.events = nil
	p.s.conn.ExtendMaxStreamsBidi(n)
	p.run(func() bool { return p.c.has(EventMaxStreamsBidi) })
	p.c.open()
}

// Several small streams share one packet.
func TestStreamsSharePacket(t *testing.T) {
	p := connect(t, options{})
	p.runFor(time.Second)
	before := p.c.conn.Info().PktSent
	for range 20 {
		p.c.write(p.c.open(), []byte("0123456789"), false)
	}
	p.flush(p.c)
	assert.Equal(t, before+1, p.c.conn.Info().PktSent)
	p.run(func() bool { return len(p.s.data) == 20 })
}

// Streams with a lot to send take turns.
func TestRoundRobin(t *testing.T) {
	p := connect(t, options{})
	ids := []int64{p.c.open(), p.c.open(), p.c.open()}
	for _, id := range ids {
		p.c.write(id, make([]byte, testWindow/4), true)
	}
	p.run(func() bool { return len(p.s.data[ids[2]]) > 20000 })
	for _, id := range ids {
		assert.InDelta(t, 20000, len(p.s.data[id]), 6000, "stream %d", id)
	}
}

func TestUniStreams(t *testing.T) {
	p := connect(t, options{})
	id, err := p.s.conn.OpenStreamUni()
	require.NoError(t, err)
	assert.False(t, IsBidiStream(id))
	assert.True(t, p.s.conn.IsLocalStream(id))
	assert.False(t, p.c.conn.IsLocalStream(id))
	p.s.write(id, []byte("one way"), true)
	p.run(func() bool { return p.c.fin[id] })
	assert.Equal(t, "one way", string(p.c.data[id]))
	p.c.write(id, []byte("not allowed"), false)
	p.runFor(time.Second)
	assert.NoError(t, p.c.err)
	assert.Empty(t, p.s.data[id])
	p.s.events = nil
	p.c.conn.ExtendMaxStreamsUni(100)
	p.run(func() bool { return p.s.has(EventMaxStreamsUni) })
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
