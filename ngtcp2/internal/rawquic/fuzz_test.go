package rawquic_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/crypto"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
	"github.com/ngmq/ngmq/ngtcp2/internal/rawquic"
)

// The fuzz targets mutate inside the encryption. What they look for are crashes
// and leaks: newWorld checks C's heap at the end of each input.

// seedFrames are payloads from the tables.
func seedFrames() (all [][]byte) {
	for _, f := range wellFormed {
		all = append(all, f)
	}
	for _, c := range levelRules {
		all = append(all, c.frames)
	}
	return all
}

// FuzzInitialPayload: anything in valid Initial packets, before and behind a
// ClientHello.
func FuzzInitialPayload(f *testing.F) {
	for _, seed := range seedFrames() {
		f.Add(seed, byte(0), true)
		f.Add(seed, byte(0), false)
	}
	f.Add(rawquic.Crypto(0, []byte{1, 0, 0, 3, 1, 2, 3}), byte(0), false)
	f.Add([]byte{}, byte(0x0c), true)
	f.Fuzz(func(t *testing.T, payload []byte, flip byte, hello bool) {
		w := newServer(t)
		r := w.client(1, rawquic.Config{})
		r.hold = true
		h := rawquic.Header{Flip: flip & 0x7f, Size: 1200}
		if hello {
			r.deliver(r.Flight()...)
			w.turn()
		}
		for range 2 {
			r.sendAs(rawquic.Initial, h, cutTo(payload, 1100))
			w.turn()
			w.now = w.now.Add(time.Second)
		}
	})
}

// FuzzTLSMessages: a byte changed in, and bytes put into, what TLS says at one level.
func FuzzTLSMessages(f *testing.F) {
	for _, client := range []bool{true, false} {
		for level := range byte(4) {
			f.Add(level, uint16(0), byte(1), []byte{}, client)
			f.Add(level, uint16(40), byte(0), []byte{finished, 0, 0, 0}, client)
			f.Add(level, uint16(300), byte(0xff), ticket(1), client)
		}
	}
	f.Fuzz(func(t *testing.T, level byte, at uint16, xor byte, extra []byte, client bool) {
		begin(t, client, rawquic.Config{Message: func(l rawquic.Level, b []byte) []byte {
			if l != rawquic.Level(level%4) || len(b) == 0 {
				return b
			}
			i := int(at) % len(b)
			b[i] ^= xor
			return slices.Insert(b, i, cutTo(extra, 2000)...)
		}})
	})
}

// FuzzHandshakePayload: anything in Handshake packets, in the middle of a handshake.
func FuzzHandshakePayload(f *testing.F) {
	for _, seed := range seedFrames() {
		f.Add(seed, byte(0), true)
		f.Add(seed, byte(0), false)
	}
	f.Fuzz(func(t *testing.T, payload []byte, flip byte, client bool) {
		x := halfway(t, client, rawquic.Config{})
		x.sendAs(rawquic.Handshake, rawquic.Header{Flip: flip & 0x7f}, cutTo(payload, 1100))
		x.w.settle()
		x.hold = false
		x.w.settle()
	})
}

// FuzzEstablished: a sequence of packets into an established connection, of either
// role. The input is a list of steps: a byte that says what to do with the header,
// one of length, and as many bytes of frames.
func FuzzEstablished(f *testing.F) {
	var long []byte
	for _, seed := range seedFrames() {
		step := append([]byte{0, byte(len(seed))}, seed...)
		f.Add(step, true)
		f.Add(step, false)
		if len(seed) > 0 && seed[0] < rawquic.TypeNewToken {
			long = append(long, step...)
		}
	}
	f.Add(long, false)
	f.Add([]byte{1, 1, 1, 2, 1, 1, 4, 1, 1, 8, 1, 1, 16, 1, 1, 32, 0}, true)
	f.Fuzz(func(t *testing.T, steps []byte, client bool) {
		x := establish(t, client, rawquic.Config{}, withDatagrams)
		for len(steps) >= 2 && x.Closed() == nil {
			n := min(int(steps[1]), len(steps)-2)
			x.step(steps[0], steps[2:2+n])
			steps = steps[2+n:]
		}
		x.w.settle()
	})
}

// step sends one packet of FuzzEstablished.
func (x *exchange) step(how byte, frames []byte) {
	var h rawquic.Header
	if how&1 != 0 {
		x.UpdateKeys()
	}
	if how&2 != 0 {
		h.SkipPN = 5
	}
	if how&4 != 0 {
		h.Flip = rawquic.ReservedShort
	}
	if how&8 != 0 {
		x.w.now = x.w.now.Add(100 * time.Millisecond)
	}
	x.sendAs(rawquic.App, h, frames)
	if how&16 == 0 {
		x.w.turn()
	}
}

// FuzzTransportParams: any transport parameters in an honest handshake.
func FuzzTransportParams(f *testing.F) {
	for _, c := range paramRules {
		p := rawquic.Params{{ID: rawquic.ParamInitialSCID, Value: cidA}, rawquic.Number(rawquic.ParamMaxData, 1000)}
		if c.edit != nil {
			p = c.edit(p)
		}
		raw := p.Encode()
		if c.raw != nil {
			raw = c.raw(raw)
		}
		f.Add(raw, true)
		f.Add(raw, false)
	}
	f.Fuzz(func(t *testing.T, params []byte, client bool) {
		cfg := rawquic.Config{RawParams: func(honest []byte) []byte {
			if len(params) > 0 && params[0]&1 != 0 { // behind the honest ones
				return append(honest, params[1:]...)
			}
			return params
		}}
		begin(t, client, cfg)
	})
}

// tokenSecret is the same for all inputs, so that seeds are valid tokens.
var tokenSecret = []byte("0123456789abcdef")

// FuzzToken: any token in an Initial packet makes no connection: the seeds belong to
// another address.
func FuzzToken(f *testing.F) {
	always := func(cfg *endpoint.Config, _ *crypto.Config) {
		cfg.Retry, cfg.TokenSecret = endpoint.RetryAlways, tokenSecret
	}
	for _, token := range tokens(f, always) {
		f.Add(token)
		f.Add(token[:len(token)-1])
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, token []byte) {
		w := newServer(t, always)
		r := w.client(2, rawquic.Config{})
		r.hold = true
		r.sendAs(rawquic.Initial, rawquic.Header{Token: cutTo(token, 600), Size: 1200}, rawquic.Crypto(0, r.TLSOutput(rawquic.Initial)))
		w.turn()
		require.Zero(t, w.core.Live())
	})
}

// tokens are a Retry token and one of NEW_TOKEN.
func tokens(t testing.TB, opts ...option) [][]byte {
	w := newServer(t, opts...)
	r := w.connect(1, rawquic.Config{})
	all := [][]byte{r.Token}
	for _, f := range r.Received {
		if f.Type == rawquic.TypeNewToken {
			all = append(all, f.Data)
		}
	}
	require.Len(t, all, 2)
	return all
}

func cutTo(b []byte, n int) []byte { return b[:min(n, len(b))] }
