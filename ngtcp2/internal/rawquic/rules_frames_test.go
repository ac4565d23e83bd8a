package rawquic_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/ngtcp2"
	"github.com/ngmq/ngmq/ngtcp2/internal/rawquic"
)

var streamRules = []rule{
	{name: "19.8 STREAM on a stream that only the receiver sends on", code: ngtcp2.StreamStateError,
		act: func(x *exchange) { x.app(rawquic.Stream(x.uni(0), 0, []byte("x"), false)) }},
	{name: "19.8 STREAM on a stream that the receiver has not opened", code: ngtcp2.StreamStateError,
		act: func(x *exchange) { x.app(rawquic.Stream(x.theirs(1), 0, []byte("x"), false)) }},
	{name: "19.8 offset beyond 2^62-1, FLOW_CONTROL_ERROR is one of two", code: ngtcp2.FlowControlError,
		act: func(x *exchange) { x.app(rawquic.Stream(x.mine(0), maxVarint, []byte("xx"), false)) }},
	// Section 11 allows PROTOCOL_VIOLATION in the place of any code: STREAM_STATE_ERROR here.
	{name: "19.4 RESET_STREAM of a send-only stream", code: ngtcp2.ProtocolViolation,
		act: func(x *exchange) { x.app(rawquic.Bytes(rawquic.TypeResetStream, x.uni(0), 0, 0)) }},
	{name: "19.4 RESET_STREAM of a stream that the receiver has not opened", code: ngtcp2.StreamStateError,
		act: func(x *exchange) { x.app(rawquic.Bytes(rawquic.TypeResetStream, x.theirs(1), 0, 0)) }},
	{name: "19.5 STOP_SENDING of a receive-only stream", code: ngtcp2.StreamStateError,
		act: func(x *exchange) { x.app(rawquic.Bytes(rawquic.TypeStopSending, x.myUni(0), 0)) }},
	{name: "19.5 STOP_SENDING of a stream not yet created", code: ngtcp2.StreamStateError,
		act: func(x *exchange) { x.app(rawquic.Bytes(rawquic.TypeStopSending, x.theirs(1), 0)) }},
	{name: "19.5 STOP_SENDING of a unidirectional stream not yet created", code: ngtcp2.StreamStateError,
		act: func(x *exchange) { x.app(rawquic.Bytes(rawquic.TypeStopSending, x.uni(1), 0)) }},
	{name: "19.10 MAX_STREAM_DATA of a receive-only stream", code: ngtcp2.StreamStateError,
		act: func(x *exchange) { x.app(rawquic.Bytes(rawquic.TypeMaxStreamData, x.myUni(0), 100)) }},
	{name: "19.10 MAX_STREAM_DATA of a stream not yet created", code: ngtcp2.StreamStateError,
		act: func(x *exchange) { x.app(rawquic.Bytes(rawquic.TypeMaxStreamData, x.theirs(1), 100)) }},
	{name: "19.13 STREAM_DATA_BLOCKED of a send-only stream", code: ngtcp2.StreamStateError,
		act: func(x *exchange) { x.app(rawquic.Bytes(rawquic.TypeStreamDataBlocked, x.uni(0), 100)) }},
	{name: "4.6 STREAM beyond the limit", code: ngtcp2.StreamLimitError,
		act: func(x *exchange) { x.app(rawquic.Stream(x.mine(testStreams), 0, nil, false)) }},
	{name: "4.6 unidirectional STREAM beyond the limit", code: ngtcp2.StreamLimitError,
		act: func(x *exchange) { x.app(rawquic.Stream(x.myUni(testUni), 0, nil, false)) }},
	{name: "4.6 RESET_STREAM beyond the limit", code: ngtcp2.StreamLimitError,
		act: func(x *exchange) { x.app(rawquic.Bytes(rawquic.TypeResetStream, x.mine(testStreams), 0, 0)) }},
	{name: "4.6 STOP_SENDING beyond the limit", code: ngtcp2.StreamLimitError,
		act: func(x *exchange) { x.app(rawquic.Bytes(rawquic.TypeStopSending, x.mine(testStreams), 0)) }},
	{name: "4.6 MAX_STREAM_DATA beyond the limit", code: ngtcp2.StreamLimitError,
		act: func(x *exchange) { x.app(rawquic.Bytes(rawquic.TypeMaxStreamData, x.mine(testStreams), 1)) }},
	{name: "4.6 STREAM_DATA_BLOCKED beyond the limit", code: ngtcp2.StreamLimitError,
		act: func(x *exchange) { x.app(rawquic.Bytes(rawquic.TypeStreamDataBlocked, x.mine(testStreams), 1)) }},
	{name: "4.6 the largest stream id", code: ngtcp2.StreamLimitError,
		act: func(x *exchange) { x.app(rawquic.Stream(maxVarint-3+x.mine(0), 0, nil, false)) }},
	{name: "19.11 MAX_STREAMS above 2^60", code: ngtcp2.FrameEncodingError,
		act: func(x *exchange) { x.app(rawquic.Bytes(rawquic.TypeMaxStreamsBidi, uint64(1)<<60+1)) }},
	{name: "19.11 unidirectional MAX_STREAMS above 2^60", code: ngtcp2.FrameEncodingError,
		act: func(x *exchange) { x.app(rawquic.Bytes(rawquic.TypeMaxStreamsUni, uint64(1)<<60+1)) }},
	{name: "19.11 a lower MAX_STREAMS is ignored", code: silent,
		act: func(x *exchange) { x.app(rawquic.Bytes(rawquic.TypeMaxStreamsBidi, 0)) }},
	{name: "19.14 STREAMS_BLOCKED above 2^60", code: ngtcp2.FrameEncodingError,
		act: func(x *exchange) { x.app(rawquic.Bytes(rawquic.TypeStreamsBlockedBidi, uint64(1)<<60+1)) }},
	{name: "19.14 unidirectional STREAMS_BLOCKED above 2^60", code: ngtcp2.FrameEncodingError,
		act: func(x *exchange) { x.app(rawquic.Bytes(rawquic.TypeStreamsBlockedUni, uint64(1)<<60+1)) }},
}

var flowRules = []rule{
	{name: "4.1 data beyond the stream's window", code: ngtcp2.FlowControlError,
		act: func(x *exchange) { x.app(rawquic.Stream(x.mine(0), testWindow, []byte("x"), false)) }},
	{name: "4.1 final size beyond the stream's window", code: ngtcp2.FlowControlError,
		act: func(x *exchange) { x.app(rawquic.Bytes(rawquic.TypeResetStream, x.mine(0), 0, testWindow+1)) }},
	{name: "4.1 data beyond the connection's window", code: ngtcp2.FlowControlError,
		act: func(x *exchange) {
			for i := range uint64(3) {
				x.app(rawquic.Stream(x.mine(i), testWindow-1, []byte("x"), false))
			}
		}},
	{name: "4.1 final sizes beyond the connection's window", code: ngtcp2.FlowControlError,
		act: func(x *exchange) {
			for i := range uint64(3) {
				x.app(rawquic.Bytes(rawquic.TypeResetStream, x.mine(i), 0, testWindow))
			}
		}},
	{name: "4.1 data of one's own kind of stream counts too", code: ngtcp2.FlowControlError,
		act: func(x *exchange) { x.app(rawquic.Stream(x.theirs(0), testWindow, []byte("x"), false)) }},
	{name: "4.5 data beyond the final size", code: ngtcp2.FinalSizeError,
		act: func(x *exchange) {
			x.app(rawquic.Stream(x.mine(0), 5, []byte("x"), true), rawquic.Stream(x.mine(0), 6, []byte("x"), false))
		}},
	{name: "4.5 another FIN with a larger final size", code: ngtcp2.FinalSizeError,
		act: func(x *exchange) {
			x.app(rawquic.Stream(x.mine(0), 5, []byte("x"), true), rawquic.Stream(x.mine(0), 7, nil, true))
		}},
	{name: "4.5 another FIN with a smaller final size", code: ngtcp2.FinalSizeError,
		act: func(x *exchange) {
			x.app(rawquic.Stream(x.mine(0), 5, []byte("x"), true), rawquic.Stream(x.mine(0), 3, nil, true))
		}},
	{name: "4.5 FIN below what was received", code: ngtcp2.FinalSizeError,
		act: func(x *exchange) {
			x.app(rawquic.Stream(x.mine(0), 10, []byte("x"), false), rawquic.Stream(x.mine(0), 3, nil, true))
		}},
	{name: "4.5 RESET_STREAM with another final size than FIN", code: ngtcp2.FinalSizeError,
		act: func(x *exchange) {
			x.app(rawquic.Stream(x.mine(0), 5, []byte("x"), true), rawquic.Bytes(rawquic.TypeResetStream, x.mine(0), 0, 9))
		}},
	{name: "4.5 RESET_STREAM below what was received", code: ngtcp2.FinalSizeError,
		act: func(x *exchange) {
			x.app(rawquic.Stream(x.mine(0), 10, []byte("x"), false), rawquic.Bytes(rawquic.TypeResetStream, x.mine(0), 0, 3))
		}},
	{name: "4.5 two RESET_STREAM that differ", code: ngtcp2.FinalSizeError,
		act: func(x *exchange) {
			x.app(rawquic.Bytes(rawquic.TypeResetStream, x.mine(0), 0, 3), rawquic.Bytes(rawquic.TypeResetStream, x.mine(0), 0, 4))
		}},
	{name: "4.5 data beyond RESET_STREAM", code: ngtcp2.FinalSizeError,
		act: func(x *exchange) {
			x.app(rawquic.Bytes(rawquic.TypeResetStream, x.mine(0), 0, 3), rawquic.Stream(x.mine(0), 3, []byte("x"), false))
		}},
}

var (
	token  = bytes.Repeat([]byte{7}, 16)
	token2 = bytes.Repeat([]byte{8}, 16)
	cidA   = []byte("aaaaaaaa")
	cidB   = []byte("bbbbbbbb")
)

var cidRules = []rule{
	{name: "19.15 CID of length 0", code: ngtcp2.FrameEncodingError,
		act: func(x *exchange) { x.app(rawquic.NewCID(1, 0, nil, token)) }},
	{name: "19.15 CID of length 21", code: ngtcp2.FrameEncodingError,
		act: func(x *exchange) { x.app(rawquic.NewCID(1, 0, make([]byte, 21), token)) }},
	{name: "19.15 retire prior to above the sequence number", code: ngtcp2.FrameEncodingError,
		act: func(x *exchange) { x.app(rawquic.NewCID(1, 2, cidA, token)) }},
	{name: "19.15 same sequence number, other CID", code: ngtcp2.ProtocolViolation,
		act: func(x *exchange) { x.app(rawquic.NewCID(1, 0, cidA, token), rawquic.NewCID(1, 0, cidB, token)) }},
	{name: "19.15 same sequence number, other reset token", code: ngtcp2.ProtocolViolation,
		act: func(x *exchange) { x.app(rawquic.NewCID(1, 0, cidA, token), rawquic.NewCID(1, 0, cidA, token2)) }},
	{name: "19.15 same CID, other sequence number", code: ngtcp2.ProtocolViolation,
		act: func(x *exchange) { x.app(rawquic.NewCID(1, 0, cidA, token), rawquic.NewCID(2, 0, cidA, token)) }},
	{name: "19.15 the same frame again", code: silent,
		act: func(x *exchange) { x.app(rawquic.NewCID(1, 0, cidA, token), rawquic.NewCID(1, 0, cidA, token)) }},
	{name: "19.15 to one who sends to a CID of length zero", code: ngtcp2.ProtocolViolation, cfg: rawquic.Config{NoCID: true},
		act: func(x *exchange) { x.app(rawquic.NewCID(1, 0, cidA, token)) }},
	{name: "5.1.1 more CIDs than the limit", code: ngtcp2.ConnectionIDLimitError,
		act: func(x *exchange) {
			for i := range uint64(8) {
				x.app(rawquic.NewCID(i+1, 0, append([]byte{byte(i)}, cidA...), token))
			}
		}},
	{name: "19.16 RETIRE_CONNECTION_ID that was never issued", code: ngtcp2.ProtocolViolation,
		act: func(x *exchange) { x.app(rawquic.Bytes(rawquic.TypeRetireCID, 1000)) }},
	{name: "19.16 RETIRE_CONNECTION_ID of the packet's own CID", code: ngtcp2.ProtocolViolation,
		act: func(x *exchange) { x.app(rawquic.Bytes(rawquic.TypeRetireCID, 0)) }},
}

var otherRules = []rule{
	{name: "8.2.2 PATH_RESPONSE that nobody asked for is ignored", code: silent,
		act: func(x *exchange) { x.app(rawquic.Bytes(rawquic.TypePathResponse, "12345678")) }},
	{name: "19.7 NEW_TOKEN to a server", code: ngtcp2.ProtocolViolation, role: asServer,
		act: func(x *exchange) { x.app(rawquic.Bytes(rawquic.TypeNewToken, 5, "token")) }},
	{name: "19.7 empty NEW_TOKEN", code: ngtcp2.FrameEncodingError, role: asClient,
		act: func(x *exchange) { x.app(rawquic.Bytes(rawquic.TypeNewToken, 0)) }},
	{name: "19.20 HANDSHAKE_DONE to a server", code: ngtcp2.ProtocolViolation, role: asServer,
		act: func(x *exchange) { x.app([]byte{rawquic.TypeHandshakeDone}) }},
	{name: "19.6 CRYPTO beyond 2^62-1", code: ngtcp2.FrameEncodingError,
		act: func(x *exchange) { x.app(rawquic.Crypto(maxVarint, []byte("xx"))) }},
	{name: "7.5 CRYPTO further ahead than is buffered", code: ngtcp2.CryptoBufferExceeded,
		act: func(x *exchange) { x.app(rawquic.Crypto(1<<20, []byte("x"))) }},
	{name: "RFC 9001 6 KeyUpdate of TLS", code: unexpectedMsg,
		act: func(x *exchange) { x.app(rawquic.Crypto(0, []byte{24, 0, 0, 1, 0})) }},
	{name: "RFC 9001 4 any TLS message to a server", code: unexpectedMsg, role: asServer,
		act: func(x *exchange) { x.app(rawquic.Crypto(0, []byte{4, 0, 0, 0})) }},
	// RFC 9001 asks for PROTOCOL_VIOLATION in the next two; OpenSSL's alert comes first.
	{name: "RFC 9001 4.4 CertificateRequest after the handshake", code: unexpectedMsg, role: asClient,
		act: func(x *exchange) {
			x.app(rawquic.Crypto(0, []byte{13, 0, 0, 13, 0, 0, 10, 0, 13, 0, 6, 0, 4, 4, 3, 8, 4}))
		}},
	{name: "RFC 9001 4.6.1 ticket with another max_early_data_size", code: cryptoError + illegalParameter, role: asClient,
		act: func(x *exchange) { x.app(rawquic.Crypto(0, ticket(1000))) }},
	{name: "RFC 9001 4.6.1 ticket with max_early_data_size 2^32-1", code: silent, role: asClient,
		act: func(x *exchange) { x.app(rawquic.Crypto(0, ticket(0xffffffff))) }},
	{name: "RFC 9221 3 DATAGRAM larger than announced", code: ngtcp2.ProtocolViolation,
		act: func(x *exchange) { x.app(rawquic.Bytes(rawquic.TypeDatagram, make([]byte, testDatagram))) }},
	{name: "RFC 9221 3 DATAGRAM as large as announced", code: silent,
		act: func(x *exchange) { x.app(rawquic.Bytes(rawquic.TypeDatagram, make([]byte, testDatagram-1))) }},
	// ngtcp2 tries no old keys on it, so it never "successfully removes protection":
	// the packet, which would end the connection, is dropped.
	{name: "RFC 9001 6.4 old keys after new ones: dropped", code: silent,
		act: func(x *exchange) {
			undo := x.UpdateKeys()
			x.app([]byte{rawquic.TypePing})
			undo()
			x.app(rawquic.Bytes(0x21))
			x.UpdateKeys()
		}},
	{name: "RFC 9001 6.2 an honest key update", code: silent,
		act: func(x *exchange) {
			x.UpdateKeys()
			x.app([]byte{rawquic.TypePing})
		}},
	{name: "RFC 9001 6.2 two key updates without an acknowledgement between them: dropped, as it MAY be", code: silent,
		act: func(x *exchange) {
			x.UpdateKeys()
			x.app([]byte{rawquic.TypePing})
			x.UpdateKeys()
			x.app(rawquic.Bytes(0x21))
			for range 10 { // the Core allows the next one after three PTOs
				x.w.settle()
			}
		}},
}

// ticket is a NewSessionTicket with an early_data extension.
func ticket(maxEarly uint32) []byte {
	m := []byte{0, 0, 14, 16, 1, 2, 3, 4, 1, 9, 0, 4, 't', 'i', 'c', 'k', 0, 8, 0, 42, 0, 4,
		byte(maxEarly >> 24), byte(maxEarly >> 16), byte(maxEarly >> 8), byte(maxEarly)}
	return append([]byte{4, 0, 0, byte(len(m))}, m...)
}

// RFC 9000 10.2.2: after CONNECTION_CLOSE nothing counts, and nothing is said.
func TestNothingAfterConnectionClose(t *testing.T) {
	for _, client := range []bool{false, true} {
		x := establish(t, client, rawquic.Config{})
		x.app(rawquic.Bytes(rawquic.TypeAppClose, 7, 0))
		x.app(rawquic.Bytes(0x21))
		x.w.settle()
		var app *ngtcp2.ApplicationError
		require.ErrorAs(t, x.w.conns[0].err, &app)
		assert.EqualValues(t, 7, app.Code)
		assert.Nil(t, x.Closed())
		x.w.now = x.w.now.Add(time.Minute)
		x.w.settle()
		assert.Zero(t, x.w.core.Closing())
	}
}

// RFC 9221 3: a DATAGRAM frame to one who announced none.
func TestDatagramNotAnnounced(t *testing.T) {
	w := newServer(t)
	r := w.connect(1, rawquic.Config{})
	r.send(rawquic.App, rawquic.Bytes(rawquic.TypeDatagram, "x"))
	w.settle()
	(&exchange{raw: r}).judge(ngtcp2.ProtocolViolation)
}
