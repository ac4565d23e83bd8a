package rawquic_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/ngtcp2"
	"github.com/ngmq/ngmq/ngtcp2/internal/rawquic"
)

// wellFormed has a frame of every type.
var wellFormed = map[uint64][]byte{
	rawquic.TypePadding:            {0, 0, 0},
	rawquic.TypePing:               {1},
	rawquic.TypeAck:                rawquic.Bytes(rawquic.TypeAck, 0, 0, 0, 0),
	rawquic.TypeAckECN:             rawquic.Bytes(rawquic.TypeAckECN, 0, 0, 0, 0, 0, 0, 0),
	rawquic.TypeResetStream:        rawquic.Bytes(rawquic.TypeResetStream, 0, 0, 0),
	rawquic.TypeStopSending:        rawquic.Bytes(rawquic.TypeStopSending, 0, 0),
	rawquic.TypeCrypto:             rawquic.Crypto(0, nil),
	rawquic.TypeNewToken:           rawquic.Bytes(rawquic.TypeNewToken, 1, "t"),
	rawquic.TypeStream:             rawquic.Stream(0, 0, []byte("x"), false),
	rawquic.TypeMaxData:            rawquic.Bytes(rawquic.TypeMaxData, 1000),
	rawquic.TypeMaxStreamData:      rawquic.Bytes(rawquic.TypeMaxStreamData, 0, 1000),
	rawquic.TypeMaxStreamsBidi:     rawquic.Bytes(rawquic.TypeMaxStreamsBidi, 10),
	rawquic.TypeMaxStreamsUni:      rawquic.Bytes(rawquic.TypeMaxStreamsUni, 10),
	rawquic.TypeDataBlocked:        rawquic.Bytes(rawquic.TypeDataBlocked, 1000),
	rawquic.TypeStreamDataBlocked:  rawquic.Bytes(rawquic.TypeStreamDataBlocked, 0, 1000),
	rawquic.TypeStreamsBlockedBidi: rawquic.Bytes(rawquic.TypeStreamsBlockedBidi, 1),
	rawquic.TypeStreamsBlockedUni:  rawquic.Bytes(rawquic.TypeStreamsBlockedUni, 1),
	rawquic.TypeNewCID:             rawquic.NewCID(1, 0, cidA, token),
	rawquic.TypeRetireCID:          rawquic.Bytes(rawquic.TypeRetireCID, 0),
	rawquic.TypePathChallenge:      rawquic.Bytes(rawquic.TypePathChallenge, "12345678"),
	rawquic.TypePathResponse:       rawquic.Bytes(rawquic.TypePathResponse, "12345678"),
	rawquic.TypeAppClose:           rawquic.Bytes(rawquic.TypeAppClose, 0, 0),
	rawquic.TypeHandshakeDone:      {rawquic.TypeHandshakeDone},
	rawquic.TypeDatagram:           rawquic.Bytes(rawquic.TypeDatagram, "x"),
}

// allowedEarly are the frame types of Initial and Handshake packets (RFC 9000
// section 12.4, table 3).
var allowedEarly = []uint64{rawquic.TypePadding, rawquic.TypePing, rawquic.TypeAck, rawquic.TypeAckECN, rawquic.TypeCrypto}

// levelRules hold at every level of the handshake.
var levelRules = []struct {
	name   string
	code   uint64
	h      rawquic.Header
	frames []byte
}{
	{"unknown frame type", ngtcp2.FrameEncodingError, rawquic.Header{}, rawquic.Bytes(0x21)},
	{"packet without frames", ngtcp2.ProtocolViolation, rawquic.Header{}, nil},
	{"reserved bits", ngtcp2.ProtocolViolation, rawquic.Header{Flip: 0x04}, []byte{1}},
	{"ACK of a packet never sent", ngtcp2.ProtocolViolation, rawquic.Header{}, rawquic.Bytes(2, 1000, 0, 0, 0)},
	{"ACK range below zero", ngtcp2.FrameEncodingError, rawquic.Header{}, rawquic.Bytes(2, 0, 0, 0, 1)},
	{"CRYPTO beyond 2^62-1", ngtcp2.FrameEncodingError, rawquic.Header{}, rawquic.Crypto(maxVarint, []byte("xx"))},
	{"CRYPTO further ahead than is buffered", ngtcp2.CryptoBufferExceeded, rawquic.Header{}, rawquic.Crypto(1<<20, []byte("x"))},
	{"truncated CRYPTO", ngtcp2.FrameEncodingError, rawquic.Header{}, rawquic.Bytes(6, 0, 100, "short")},
	{"forged packet", silent, rawquic.Header{Forge: true}, rawquic.Bytes(0x21)},
	{"other version", silent, rawquic.Header{Version: ngtcp2.VersionV2}, rawquic.Bytes(0x21)},
	{"other source CID", silent, rawquic.Header{SCID: cidB}, []byte{1}},
}

// TestHandshakePacketRules: Handshake packets have only the frames of table 3, and
// obey the rules of all packets.
func TestHandshakePacketRules(t *testing.T) {
	for _, client := range []bool{false, true} {
		for kind, frame := range wellFormed {
			code := ngtcp2.ProtocolViolation
			acks := kind == rawquic.TypeAck || kind == rawquic.TypeAckECN
			if slices.Contains(allowedEarly, kind) && !(acks && client) { // the client has sent nothing there
				code = silent
			}
			atLevel(t, client, rawquic.Handshake, fmt.Sprintf("frame %#x", kind), code, rawquic.Header{}, frame)
		}
		for _, c := range levelRules {
			atLevel(t, client, rawquic.Handshake, c.name, c.code, c.h, c.frames)
		}
	}
}

// TestInitialPacketRules: anyone who saw the first packet can forge Initial packets,
// so ngtcp2 discards wrong ones, as section 5.2 lets it; the handshake goes on.
func TestInitialPacketRules(t *testing.T) {
	for _, client := range []bool{false, true} {
		for kind, frame := range wellFormed {
			atLevel(t, client, rawquic.Initial, fmt.Sprintf("frame %#x", kind), silent, rawquic.Header{}, frame)
		}
		for _, c := range levelRules {
			atLevel(t, client, rawquic.Initial, c.name, silent, c.h, c.frames)
		}
	}
}

// atLevel sends frames in a packet of level in the middle of a handshake.
func atLevel(t *testing.T, client bool, level rawquic.Level, name string, code uint64, h rawquic.Header, frames []byte) {
	role := "server"
	if client {
		role = "client"
	}
	t.Run(fmt.Sprintf("12.4 %v/%s/%s", level, name, role), func(t *testing.T) {
		x := halfway(t, client, rawquic.Config{})
		x.deliver(padded(x.Seal(level, h, frames)))
		x.w.settle()
		if code != silent {
			x.judge(code)
			return
		}
		require.Nil(t, x.Closed())
		assert.Equal(t, 1, x.w.core.Live())
		x.hold = false
		x.w.settle()
		require.NoError(t, x.err)
		require.True(t, x.Complete(), "the handshake does not go on")
		x.alive()
	})
}

// padded fills a datagram up to the size of one with an Initial packet (RFC 9000
// section 14.1), behind the packet.
func padded(pkt []byte) []byte { return append(pkt, make([]byte, max(0, 1200-len(pkt)))...) }

// halfway is a handshake whose raw side has Handshake keys and holds back what it
// has to say with them: client's Finished, or a server's whole Handshake flight.
func halfway(t *testing.T, client bool, cfg rawquic.Config) *exchange {
	t.Helper()
	x := &exchange{client: client}
	if client {
		x.raw = newClient(t, limited).dial(1, cfg)
		x.hold = true
		x.w.turn()
		x.deliver(x.FlightAt(rawquic.Initial)...)
	} else {
		x.raw = newServer(t, limited).client(1, cfg)
		x.hold = true
		x.deliver(x.Flight()...)
	}
	x.w.turn()
	require.NoError(t, x.err)
	require.Nil(t, x.Closed())
	return x
}
