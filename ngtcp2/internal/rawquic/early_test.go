package rawquic_test

import (
	"crypto/tls"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/crypto"
	"github.com/ngmq/ngmq/ngtcp2"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
	"github.com/ngmq/ngmq/ngtcp2/internal/rawquic"
)

func withEarlyData(cfg *endpoint.Config, tc *crypto.Config) {
	cfg.EarlyData, tc.EarlyData = true, true
}

// resuming is a client that has 0-RTT keys and has sent its ClientHello alone.
func resuming(t *testing.T) *exchange {
	t.Helper()
	id, err := ident()
	require.NoError(t, err)
	w := newServer(t, limited, withEarlyData)
	cfg := rawquic.Config{TLS: &tls.Config{RootCAs: id.roots, ServerName: "localhost", NextProtos: []string{alpn},
		ClientSessionCache: tls.NewLRUClientSessionCache(1)}}
	first := w.connect(1, cfg)
	first.send(rawquic.App, rawquic.Bytes(rawquic.TypeAppClose, 0, 0))
	w.settle()
	w.conns = nil
	r := w.client(2, cfg)
	r.hold = true
	r.deliver(r.Flight()...)
	return &exchange{raw: r}
}

// notEarly are the frame types that 0-RTT packets must not have (RFC 9000 sections
// 12.4, 12.5).
var notEarly = []uint64{rawquic.TypeAck, rawquic.TypeAckECN, rawquic.TypeCrypto, rawquic.TypeHandshakeDone,
	rawquic.TypeNewToken, rawquic.TypePathResponse, rawquic.TypeRetireCID}

// TestFrameTypesOfEarlyPackets: 0-RTT packets have only their frames, and obey the
// rules of streams.
func TestFrameTypesOfEarlyPackets(t *testing.T) {
	for kind, frame := range wellFormed {
		if kind == rawquic.TypeAppClose {
			continue // ends the connection by itself
		}
		t.Run(fmt.Sprintf("12.4 frame %#x", kind), func(t *testing.T) {
			x := resuming(t)
			x.send(rawquic.Early, frame)
			x.w.settle()
			if slices.Contains(notEarly, kind) {
				x.judge(ngtcp2.ProtocolViolation)
				return
			}
			x.goesOn()
		})
	}
	for _, c := range []struct {
		name  string
		code  uint64
		h     rawquic.Header
		frame []byte
	}{
		{"12.4 unknown frame type", ngtcp2.FrameEncodingError, rawquic.Header{}, rawquic.Bytes(0x21)},
		{"12.4 packet without frames", ngtcp2.ProtocolViolation, rawquic.Header{}, nil},
		{"17.2 reserved bits", ngtcp2.ProtocolViolation, rawquic.Header{Flip: 0x04}, []byte{1}},
		{"4.1 data beyond the stream's window", ngtcp2.FlowControlError, rawquic.Header{}, rawquic.Stream(0, testWindow, []byte("x"), false)},
		{"4.6 stream beyond the limit", ngtcp2.StreamLimitError, rawquic.Header{}, rawquic.Stream(4*testStreams, 0, nil, false)},
		{"RFC 9001 5.5 forged packet", silent, rawquic.Header{Forge: true}, rawquic.Bytes(0x21)},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := resuming(t)
			x.sendAs(rawquic.Early, c.h, c.frame)
			x.w.settle()
			if c.code == silent {
				x.goesOn()
				return
			}
			x.judge(c.code)
		})
	}
}

// goesOn completes a handshake that was held up.
func (x *exchange) goesOn() {
	t := x.w.t
	t.Helper()
	require.Nil(t, x.Closed())
	x.hold = false
	x.w.settle()
	require.NoError(t, x.err)
	require.True(t, x.Complete())
	x.alive()
}

// Early data arrives with the first flight, and is not early any more after it.
func TestEarlyDataArrives(t *testing.T) {
	x := resuming(t)
	x.send(rawquic.Early, rawquic.Stream(0, 0, []byte("early"), false))
	x.w.turn()
	require.Len(t, x.w.conns, 1)
	assert.Equal(t, 5, x.w.conns[0].got)
	x.goesOn()
	// RFC 9001 section 4.9.3: a server drops the keys, and what needs them.
	x.send(rawquic.Early, rawquic.Bytes(0x21))
	x.w.settle()
	x.alive()
}
