package rawquic_test

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/ngtcp2"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
	"github.com/ngmq/ngmq/ngtcp2/internal/rawquic"
)

// TLS alerts (RFC 8446 section 6).
const (
	alertUnexpected = cryptoError + 10
	alertDecode     = cryptoError + 50
	alertDecrypt    = cryptoError + 51
	alertMissingExt = cryptoError + 109
	alertNoProtocol = cryptoError + 120
)

const (
	clientHello         = 1
	encryptedExtensions = 8
	finished            = 20
	extParams           = 0x39
)

// editMessage changes the body of TLS messages of one type.
func editMessage(kind byte, edit func([]byte) []byte) func(rawquic.Level, []byte) []byte {
	return func(_ rawquic.Level, b []byte) (out []byte) {
		for len(b) >= 4 {
			n := 4 + int(b[1])<<16 + int(b[2])<<8 + int(b[3])
			m := b[:n]
			b = b[n:]
			if m[0] == kind {
				body := edit(bytes.Clone(m[4:]))
				m = append([]byte{kind, 0, byte(len(body) >> 8), byte(len(body))}, body...)
			}
			out = append(out, m...)
		}
		return append(out, b...)
	}
}

// withoutParams cuts quic_transport_parameters out of a ClientHello, or out of
// EncryptedExtensions, which have nothing in front of their list.
func withoutParams(b []byte) []byte { return cutParams(b, helloExtensions(b)) }

func withoutServerParams(b []byte) []byte { return cutParams(b, 0) }

func cutParams(b []byte, at int) []byte {
	out := append(bytes.Clone(b[:at]), 0, 0)
	for rest := b[at+2:]; len(rest) >= 4; {
		n := 4 + int(binary.BigEndian.Uint16(rest[2:]))
		if binary.BigEndian.Uint16(rest) != extParams {
			out = append(out, rest[:n]...)
		}
		rest = rest[n:]
	}
	binary.BigEndian.PutUint16(out[at:], uint16(len(out)-at-2))
	return out
}

// helloExtensions finds the extensions of a ClientHello.
func helloExtensions(b []byte) int {
	at := 34
	at += 1 + int(b[at])
	at += 2 + int(binary.BigEndian.Uint16(b[at:]))
	return at + 1 + int(b[at])
}

// flip turns a bit of the last byte.
func flip(b []byte) []byte {
	b[len(b)-1] ^= 1
	return b
}

func message(kind byte, edit func([]byte) []byte) rawquic.Config {
	return rawquic.Config{Message: editMessage(kind, edit)}
}

// sessionID puts a session id into a ClientHello, as TLS over TCP does.
func sessionID(b []byte) []byte {
	out := append(bytes.Clone(b[:34]), 32)
	return append(append(out, make([]byte, 32)...), b[35:]...)
}

func replace(with ...byte) func([]byte) []byte { return func([]byte) []byte { return with } }

func noALPN(t *testing.T, client bool) *tls.Config {
	t.Helper()
	id, err := ident()
	require.NoError(t, err)
	if client {
		return &tls.Config{Certificates: []tls.Certificate{id.pair}}
	}
	return &tls.Config{RootCAs: id.roots, ServerName: "localhost"}
}

// TestTLSRules: faults in the TLS handshake (RFC 9001 sections 4, 8).
func TestTLSRules(t *testing.T) {
	for _, c := range []struct {
		name   string
		client bool
		code   uint64
		cfg    rawquic.Config
	}{
		{"8.2 ClientHello without quic_transport_parameters", false, alertMissingExt, message(clientHello, withoutParams)},
		{"8.1 ClientHello without ALPN", false, alertNoProtocol, rawquic.Config{TLS: noALPN(t, false)}},
		{"8.1 server without ALPN", true, alertNoProtocol, rawquic.Config{TLS: noALPN(t, true)}},
		{"8.1 no protocol in common", false, alertNoProtocol, otherALPN(t)},
		{"4.8 ClientHello that is garbage", false, alertDecode, message(clientHello, replace(1, 2, 3))},
		{"4.8 EncryptedExtensions that are garbage", true, alertDecode, message(encryptedExtensions, replace(1, 2, 3))},
		{"4.8 wrong Finished of a client", false, alertDecrypt, message(finished, flip)},
		{"4.8 wrong Finished of a server", true, alertDecrypt, message(finished, flip)},
		{"4.8 message out of order", true, alertUnexpected, rawquic.Config{Message: func(l rawquic.Level, b []byte) []byte {
			if l == rawquic.Handshake {
				return append([]byte{finished, 0, 0, 0}, b...)
			}
			return b
		}}},
		{"8.3 EndOfEarlyData", false, alertUnexpected, rawquic.Config{Message: func(l rawquic.Level, b []byte) []byte {
			if l == rawquic.Handshake {
				return append([]byte{5, 0, 0, 0}, b...)
			}
			return b
		}}},
		{"6 KeyUpdate of TLS in the handshake", false, alertUnexpected, rawquic.Config{Message: func(l rawquic.Level, b []byte) []byte {
			if l == rawquic.Handshake {
				return append([]byte{24, 0, 0, 1, 0}, b...)
			}
			return b
		}}},
	} {
		t.Run(c.name, func(t *testing.T) { begin(t, c.client, c.cfg).judge(c.code) })
	}
}

// RFC 9001 section 8.2, at a client: it is told before the Finished, which the
// changed transcript makes wrong.
func TestEncryptedExtensionsWithoutTransportParams(t *testing.T) {
	x := halfway(t, true, message(encryptedExtensions, withoutServerParams))
	x.send(rawquic.Handshake, rawquic.Crypto(0, x.TLSOutput(rawquic.Handshake)[:200]))
	x.w.settle()
	x.judge(alertMissingExt)
}

// begin runs a handshake as far as it goes.
func begin(t *testing.T, client bool, cfg rawquic.Config) *exchange {
	t.Helper()
	x := &exchange{client: client}
	if client {
		x.raw = newClient(t).dial(1, cfg)
	} else {
		x.raw = newServer(t).client(1, cfg)
	}
	x.w.settle()
	return x
}

func otherALPN(t *testing.T) rawquic.Config {
	c := noALPN(t, false)
	c.NextProtos = []string{"h3"}
	return rawquic.Config{TLS: c}
}

// RFC 9001 section 8.4: the middlebox compatibility mode is forbidden; a server
// MAY close such a connection, OpenSSL does not.
func TestCompatibilityMode(t *testing.T) {
	x := begin(t, false, message(clientHello, sessionID))
	assert.Error(t, x.err, "the transcripts differ, so this is how far it comes")
	assert.Equal(t, 1, x.w.core.Live())
}

// RFC 9001 section 4.1.3: TLS data goes on only at the level that it belongs to.
func TestTLSDataAtTheWrongLevel(t *testing.T) {
	x := halfway(t, false, rawquic.Config{})
	fin := x.TLSOutput(rawquic.Handshake)
	require.NotEmpty(t, fin)
	x.deliver(padded(x.Seal(rawquic.Initial, rawquic.Header{}, rawquic.Crypto(x.HelloLen(), fin))))
	x.w.settle()
	require.Nil(t, x.Closed(), "an Initial packet can be forged: it is discarded")
	assert.Empty(t, x.w.conns, "the handshake completed")
	x.send(rawquic.Handshake, rawquic.Crypto(0, fin))
	x.hold = false
	x.w.settle()
	assert.Len(t, x.w.conns, 1)
	x.alive()
}

// The same one level later: the handshake is complete, and a Handshake packet goes
// on with TLS.
func TestTLSDataAtTheHandshakeLevel(t *testing.T) {
	x := halfway(t, true, rawquic.Config{})
	flight := x.TLSOutput(rawquic.Handshake)
	for at := 0; at < len(flight); at += 1000 {
		x.send(rawquic.Handshake, rawquic.Crypto(uint64(at), flight[at:min(at+1000, len(flight))]))
	}
	x.send(rawquic.Handshake, rawquic.Crypto(uint64(len(flight)), ticket(0xffffffff)))
	x.w.settle()
	x.judge(ngtcp2.ProtocolViolation)
}

// A first datagram that must not begin a connection, or a packet of a server that
// must not be believed (RFC 9000 sections 5.2, 7.2, 14.1, 17.2).
func TestFirstDatagramRules(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(r *raw) []byte
		drop endpoint.Counter
	}{
		{"14.1 smaller than 1200 bytes", func(r *raw) []byte {
			return r.Seal(rawquic.Initial, rawquic.Header{Size: 1199}, rawquic.Crypto(0, r.TLSOutput(rawquic.Initial)))
		}, endpoint.DropNotInitial},
		{"7.2 DCID of 7 bytes", func(r *raw) []byte {
			return r.Seal(rawquic.Initial, rawquic.Header{Size: 1200, DCID: []byte("1234567")}, rawquic.Crypto(0, nil))
		}, endpoint.DropNotInitial},
		{"17.2 DCID of 21 bytes", func(r *raw) []byte {
			return r.Seal(rawquic.Initial, rawquic.Header{Size: 1200, DCID: make([]byte, 21)}, rawquic.Crypto(0, nil))
		}, endpoint.DropMalformed},
		{"17.2 SCID of 21 bytes", func(r *raw) []byte {
			return r.Seal(rawquic.Initial, rawquic.Header{Size: 1200, SCID: make([]byte, 21)}, rawquic.Crypto(0, nil))
		}, endpoint.DropMalformed},
		{"17.2 fixed bit zero", func(r *raw) []byte {
			return r.Seal(rawquic.Initial, rawquic.Header{Size: 1200, Flip: 0x40}, rawquic.Crypto(0, nil))
		}, endpoint.Accepted},
		{"5.2.2 Handshake packet", func(r *raw) []byte {
			return r.Seal(rawquic.Initial, rawquic.Header{Size: 1200, Flip: 0x20}, rawquic.Crypto(0, nil))
		}, endpoint.DropNotInitial},
	} { // fixed bit zero: ngtcp2 finds it later, and the connection is dropped at once
		t.Run(c.name, func(t *testing.T) {
			w := newServer(t)
			r := w.client(1, rawquic.Config{})
			r.hold = true
			r.deliver(c.make(r))
			w.settle()
			assert.Zero(t, r.in, "it was answered")
			assert.Zero(t, w.core.Live())
			s := w.core.Stats()
			assert.EqualValues(t, 1, s.Count(c.drop))
		})
	}
}

// A client whose ClientHello was lost and that probes with a PING is asked for all
// again; the server has nothing that could acknowledge (RFC 9000 section 8.1.2).
func TestPingBeforeClientHello(t *testing.T) {
	w := newServer(t)
	r := w.client(1, rawquic.Config{})
	r.hold = true
	r.deliver(r.Seal(rawquic.Initial, rawquic.Header{Size: 1200}, []byte{1}))
	w.settle()
	assert.NotZero(t, r.in)
	assert.Zero(t, w.core.Live())
	s := w.core.Stats()
	assert.EqualValues(t, 1, s.Count(endpoint.Retries))
}

// RFC 9000 section 17.2.2: an Initial packet of a server has no token; 17.2.5.2:
// Retry counts once, with the right tag and a token, and never after an Initial.
func TestServerPacketsToDiscard(t *testing.T) {
	for name, forge := range map[string]func(x *exchange, dcid []byte) []byte{
		"17.2.2 token from a server": func(x *exchange, _ []byte) []byte {
			return x.Seal(rawquic.Initial, rawquic.Header{Token: []byte("token")}, rawquic.Bytes(0x21))
		},
		"17.2.5 Retry after an Initial": func(x *exchange, dcid []byte) []byte {
			return rawquic.RetryPacket(dcid, cidB, x.ODCID, []byte("token"))
		},
		"17.2.5 Retry with a wrong tag": func(x *exchange, dcid []byte) []byte {
			return flip(rawquic.RetryPacket(dcid, cidB, x.ODCID, []byte("token")))
		},
		"6.2 Version Negotiation after an Initial": func(x *exchange, dcid []byte) []byte {
			b := append([]byte{0xc0, 0, 0, 0, 0, byte(len(dcid))}, dcid...)
			return append(append(append(b, 8), x.ODCID...), 0x1a, 0x2a, 0x3a, 0x4a)
		},
	} {
		t.Run(name, func(t *testing.T) {
			x := halfway(t, true, rawquic.Config{})
			x.deliver(forge(x, x.DCID))
			x.hold = false
			x.w.settle()
			require.NoError(t, x.err)
			require.True(t, x.Complete())
			x.alive()
		})
	}
}
