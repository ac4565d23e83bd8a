package rawquic_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/crypto"
	"github.com/ngmq/ngmq/ngtcp2"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
	"github.com/ngmq/ngmq/ngtcp2/internal/rawquic"
)

// Roles of the Core under test, for rules that hold for one alone.
const (
	both = iota
	asServer
	asClient
)

const (
	maxVarint = 1<<62 - 1
	// Limits of the Core under test.
	testStreams   = 4
	testUni       = 2
	testWindow    = 1000 // bytes of a stream
	testConn      = 2500 // bytes of a connection
	testDatagram  = 100  // bytes of a DATAGRAM frame
	silent        = ^uint64(0)
	cryptoError   = ngtcp2.CryptoError
	unexpectedMsg = cryptoError + 10

	illegalParameter = 47 // alert of RFC 8446
)

// exchange is an established connection between a raw peer and the Core, with a
// bidirectional and a unidirectional stream that the Core has opened.
type exchange struct {
	*raw
	client bool // the Core is the client

	opened, allowed uint64 // streams of the raw peer, where a test counts them
}

// mine is the n-th bidirectional stream of the raw peer, theirs that of the Core;
// the uni forms are unidirectional.
func (x *exchange) mine(n uint64) uint64   { return 4*n + x.side(1) }
func (x *exchange) theirs(n uint64) uint64 { return 4*n + x.side(0) }
func (x *exchange) myUni(n uint64) uint64  { return 4*n + 2 + x.side(1) }
func (x *exchange) uni(n uint64) uint64    { return 4*n + 2 + x.side(0) }

func (x *exchange) side(server uint64) uint64 {
	if x.client {
		return server
	}
	return 1 - server
}

func (x *exchange) app(frames ...[]byte) { x.send(rawquic.App, frames...) }

// rule is one requirement and what a peer that breaks it is told.
type rule struct {
	name string // section and what is wrong
	code uint64 // silent: nothing happens, the connection goes on
	role int
	cfg  rawquic.Config
	act  func(x *exchange)
}

// limited makes a Core with the small limits of these tests.
func limited(cfg *endpoint.Config, _ *crypto.Config) {
	cfg.MaxBidiStreams, cfg.MaxUniStreams = testStreams, testUni
	cfg.StreamWindow, cfg.ConnWindow = testWindow, testConn
	cfg.Params = func(p *ngtcp2.TransportParams) { p.MaxDatagramFrameSize = testDatagram }
}

func runRules(t *testing.T, rules []rule) {
	for _, c := range rules {
		if c.role != asClient {
			t.Run(c.name+"/server", func(t *testing.T) { c.run(t, false) })
		}
		if c.role != asServer {
			t.Run(c.name+"/client", func(t *testing.T) { c.run(t, true) })
		}
	}
}

func (c *rule) run(t *testing.T, client bool) {
	x := establish(t, client, c.cfg)
	c.act(x)
	x.w.settle()
	x.judge(c.code)
}

// A stream may be forgotten with its final size, or not (RFC 9000 section 4.5: the
// state of closed streams need not be kept): versions of ngtcp2 differ.
func TestFinalSizeOfForgottenStream(t *testing.T) {
	for _, client := range []bool{false, true} {
		x := establish(t, client, rawquic.Config{})
		for _, size := range []int{3, 4} {
			x.app(rawquic.Bytes(rawquic.TypeResetStream, x.myUni(0), 0, size))
			x.w.settle()
		}
		if x.Closed() != nil {
			x.judge(ngtcp2.FinalSizeError)
		} else {
			x.judge(silent)
		}
	}
}

func establish(t *testing.T, client bool, cfg rawquic.Config, opts ...option) *exchange {
	t.Helper()
	opts = append([]option{limited}, opts...)
	x := &exchange{client: client}
	if client {
		w := newClient(t, opts...)
		w.open, w.held = true, true
		x.raw = w.dial(1, cfg)
	} else {
		w := newServer(t, opts...)
		w.open, w.held = true, true
		x.raw = w.client(1, cfg)
	}
	x.w.settle()
	require.NoError(t, x.err)
	require.True(t, x.Complete())
	require.Nil(t, x.Closed())
	return x
}

// judge checks the end of the connection: with code, or silently on.
func (x *exchange) judge(codes ...uint64) {
	t := x.w.t
	t.Helper()
	closed := x.Closed()
	if codes[0] == silent {
		require.Nil(t, closed, "it was to be let pass")
		x.alive()
		return
	}
	require.NotNil(t, closed, "the connection goes on")
	assert.False(t, closed.App)
	assert.True(t, slices.Contains(codes, closed.Code), "closed with %#x %q, not %#x", closed.Code, closed.Reason, codes)
	assert.Zero(t, x.w.core.Live())
}

// alive makes the Core answer a PING.
func (x *exchange) alive() {
	t := x.w.t
	t.Helper()
	x.Received = nil
	x.app([]byte{rawquic.TypePing})
	x.w.settle()
	assert.NotEmpty(t, x.Received, "it does not answer any more")
	require.Nil(t, x.Closed())
}

// TestFrameRules: what an established peer may not say (RFC 9000 sections 4, 5, 13
// and 19, RFC 9221).
func TestFrameRules(t *testing.T) {
	runRules(t, slices.Concat(formRules, streamRules, flowRules, cidRules, otherRules))
}

var formRules = []rule{
	{name: "12.4 unknown frame type", code: ngtcp2.FrameEncodingError,
		act: func(x *exchange) { x.app(rawquic.Bytes(0x21)) }},
	{name: "12.4 unknown frame type of 8 bytes", code: ngtcp2.FrameEncodingError,
		act: func(x *exchange) { x.app(rawquic.Bytes(uint64(1) << 40)) }},
	{name: "12.4 frame type not in its shortest form", code: ngtcp2.FrameEncodingError,
		act: func(x *exchange) { x.app([]byte{0x40, rawquic.TypePing}) }}, // 12.4: MAY be PROTOCOL_VIOLATION
	{name: "12.4 packet without frames", code: ngtcp2.ProtocolViolation,
		act: func(x *exchange) { x.app() }},
	{name: "12.4 packet of PADDING alone", code: silent,
		act: func(x *exchange) { x.app(make([]byte, 20)) }},
	{name: "17.3.1 reserved bits", code: ngtcp2.ProtocolViolation,
		act: func(x *exchange) {
			x.sendAs(rawquic.App, rawquic.Header{Flip: 0x08}, []byte{rawquic.TypePing})
		}},
	{name: "17.3.1 fixed bit zero: dropped", code: silent,
		act: func(x *exchange) {
			x.sendAs(rawquic.App, rawquic.Header{Flip: 0x40}, rawquic.Bytes(0x21))
		}},
	{name: "RFC 9001 5.5 forged packet: dropped", code: silent,
		act: func(x *exchange) {
			x.sendAs(rawquic.App, rawquic.Header{Forge: true}, rawquic.Bytes(0x21))
		}},
	{name: "12.4 truncated STREAM", code: ngtcp2.FrameEncodingError,
		act: func(x *exchange) { x.app(rawquic.Bytes(rawquic.TypeStream|2, x.mine(0), 100, "short")) }},
	{name: "12.4 truncated MAX_DATA", code: ngtcp2.FrameEncodingError,
		act: func(x *exchange) { x.app([]byte{rawquic.TypeMaxData}) }},
	{name: "12.4 truncated PATH_CHALLENGE", code: ngtcp2.FrameEncodingError,
		act: func(x *exchange) { x.app(rawquic.Bytes(rawquic.TypePathChallenge, "1234567")) }},
	{name: "13.1 ACK of a packet never sent", code: ngtcp2.ProtocolViolation,
		act: func(x *exchange) { x.app(rawquic.Bytes(rawquic.TypeAck, 100000, 0, 0, 0)) }},
	{name: "19.3.1 first range below zero", code: ngtcp2.FrameEncodingError,
		act: func(x *exchange) { x.app(rawquic.Bytes(rawquic.TypeAck, 0, 0, 0, 1)) }},
	{name: "19.3.1 later range below zero", code: ngtcp2.FrameEncodingError,
		act: func(x *exchange) { x.app(rawquic.Bytes(rawquic.TypeAck, 1, 0, 1, 0, 5, 0)) }},
	{name: "19.3 more ranges than the frame has", code: ngtcp2.FrameEncodingError,
		act: func(x *exchange) { x.app(rawquic.Bytes(rawquic.TypeAck, 1, 0, 1000000, 0)) }},
}
