package rawquic_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/crypto"
	"github.com/ngmq/ngmq/ngtcp2"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
	"github.com/ngmq/ngmq/ngtcp2/internal/rawquic"
)

// maxHandshakes is small here, so that a few clients are a flood.
const maxHandshakes = 20

func fewHandshakes(policy endpoint.RetryPolicy) option {
	return func(cfg *endpoint.Config, _ *crypto.Config) {
		cfg.Retry, cfg.MaxHandshakes = policy, maxHandshakes
	}
}

// hello is a fresh client's first datagram, from an address of its own.
func (w *world) hello(n int) *raw {
	r := w.client(n, rawquic.Config{})
	r.hold = true
	r.deliver(r.Flight()...)
	return r
}

// Initial packets from spoofed addresses raise Retry, not memory: an honest client
// still gets in.
func TestSpoofedInitialsRaiseRetry(t *testing.T) {
	w := newServer(t, fewHandshakes(endpoint.RetryAuto))
	before := ngtcp2.HeapBytes()
	for n := range maxHandshakes {
		w.hello(10 + n)
	}
	w.turn()
	full := ngtcp2.HeapBytes() - before
	assert.Equal(t, maxHandshakes/2+1, w.core.Live())
	for n := range 200 {
		w.hello(100 + n)
	}
	w.turn()
	assert.Equal(t, maxHandshakes/2+1, w.core.Live(), "a spoofed address costs state")
	assert.Equal(t, full, ngtcp2.HeapBytes()-before)
	s := w.core.Stats()
	assert.EqualValues(t, 200+maxHandshakes/2-1, s.Count(endpoint.Retries))
	honest := w.connect(1, rawquic.Config{})
	assert.NotEmpty(t, honest.Token, "it got in without Retry")
	(&exchange{raw: honest}).alive()
	w.now = w.now.Add(endpoint.DefaultHandshakeTimeout)
	w.settle()
	assert.Equal(t, 1, w.core.Live(), "silent clients are given up")
}

// Tokens that nobody gave out cost no state: another form counts as none, one of
// the server's own form is refused or answered with Retry.
func TestTokenFlood(t *testing.T) {
	w := newServer(t, fewHandshakes(endpoint.RetryAlways))
	before := ngtcp2.HeapBytes()
	for n := range 100 {
		r := w.client(100+n, rawquic.Config{})
		r.hold = true
		hello := r.TLSOutput(rawquic.Initial)
		for _, first := range []byte{0, 0x36, 0xb6, 0xb7, 0xff} { // some are the magic bytes of ngtcp2's tokens
			forged := append([]byte{first}, make([]byte, 60+n)...)
			r.sendAs(rawquic.Initial, rawquic.Header{Token: forged, Size: 1200}, rawquic.Crypto(0, hello))
		}
	}
	w.turn()
	assert.Zero(t, w.core.Live())
	assert.Equal(t, before, ngtcp2.HeapBytes())
	(&exchange{raw: w.connect(1, rawquic.Config{})}).alive()
}

// One silent client, or many, delays nobody.
func TestSilentClientDelaysNobody(t *testing.T) {
	w := newServer(t)
	for n := range 50 {
		w.hello(10 + n)
	}
	start := w.now
	r := w.client(1, rawquic.Config{})
	w.turn()
	require.NoError(t, r.err)
	assert.True(t, r.Complete())
	assert.Equal(t, start, w.now, "it took time")
}

// RFC 9000 section 8.1: a server sends at most three times what it received until
// the client's address is validated, probes included; then it goes on.
func TestAmplificationLimit(t *testing.T) {
	for name, extra := range map[string]int{"silent": 0, "talkative": 5} {
		t.Run(name, func(t *testing.T) {
			w := newServer(t)
			r := w.hello(1)
			w.turn()
			require.NotZero(t, r.in)
			for range extra { // undecryptable bytes count as received too
				r.deliver(append(r.Seal(rawquic.Initial, rawquic.Header{Forge: true}, []byte{1}), make([]byte, 60)...))
				w.turn()
				require.LessOrEqual(t, r.in, 3*r.out)
			}
			for range 2000 {
				w.turn()
				w.now = w.now.Add(10 * time.Millisecond)
				require.LessOrEqual(t, r.in, 3*r.out)
			}
			assert.Zero(t, w.core.Live())
		})
	}
}

// A datagram full of packets that mean nothing costs one pass over it.
func TestCoalescedPacketFlood(t *testing.T) {
	w := newServer(t)
	x := &exchange{raw: w.connect(1, rawquic.Config{})}
	before := ngtcp2.HeapBytes()
	for range 200 {
		var d []byte
		for len(d) < 1400 {
			d = append(d, x.Seal(rawquic.Handshake, rawquic.Header{Forge: true})...)
		}
		x.deliver(d)
		w.turn()
	}
	assert.LessOrEqual(t, ngtcp2.HeapBytes()-before, int64(floodBytes))
	x.alive()
}

// CRYPTO floods before the handshake: what is buffered of one client is bounded.
func TestCryptoFloodInHandshake(t *testing.T) {
	for _, level := range []rawquic.Level{rawquic.Initial, rawquic.Handshake} {
		x := halfway(t, false, rawquic.Config{})
		before, peak := ngtcp2.HeapBytes(), int64(0)
		for i := range 400 {
			pkt := x.Seal(level, rawquic.Header{}, every(90, func(k int) []byte {
				return rawquic.Crypto(uint64(1000+2*(i*90+k))%65000, []byte{0})
			}))
			x.deliver(padded(pkt))
			peak = max(peak, ngtcp2.HeapBytes()-before)
			x.w.turn()
		}
		t.Logf("%v: C heap +%d bytes, close %+v", level, peak, x.Closed())
		assert.LessOrEqual(t, peak, int64(2<<20))
		(&exchange{raw: x.w.connect(2, rawquic.Config{})}).alive()
	}
}
