package rawquic_test

import (
	"crypto/tls"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/crypto"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
	"github.com/ngmq/ngmq/ngtcp2/internal/rawquic"
)

// The honest part of a Peer works: without that no answer to the rest says anything.
func TestHonestClient(t *testing.T) {
	w := newServer(t)
	w.echo = true
	r := w.connect(1, rawquic.Config{})
	r.send(rawquic.App, rawquic.Stream(0, 0, []byte("hello"), true))
	w.settle()
	require.NoError(t, r.err)
	assert.Equal(t, "hello", string(r.stream(0)))
	assert.Nil(t, r.Closed())
	assert.Zero(t, r.Unreadable)
}

func TestHonestServer(t *testing.T) {
	w := newClient(t)
	w.open = true
	r := w.dial(1, rawquic.Config{})
	w.settle()
	require.NoError(t, r.err)
	require.NoError(t, w.conns[0].err)
	require.True(t, r.Complete())
	assert.Equal(t, "hello", string(r.stream(0)))
	assert.Nil(t, r.Closed())
}

func TestHonestServerWithRetry(t *testing.T) {
	w := newClient(t)
	w.open = true
	r := w.dial(1, rawquic.Config{RetryToken: []byte("token")})
	w.settle()
	require.NoError(t, r.err)
	require.True(t, r.Complete())
	assert.Equal(t, "hello", string(r.stream(0)))
}

// stream is what has arrived of a stream.
func (r *raw) stream(id uint64) (data []byte) {
	for _, f := range r.Received {
		if f.Type == rawquic.TypeStream && f.ID == id && f.Offset == uint64(len(data)) {
			data = append(data, f.Data...)
		}
	}
	return data
}

// A client whose key share the server cannot use is asked again (RFC 8446 section
// 4.1.4): two ClientHello messages, both in Initial packets.
func TestHelloRetryRequest(t *testing.T) {
	id, err := ident()
	require.NoError(t, err)
	w := newServer(t, func(_ *endpoint.Config, tc *crypto.Config) { tc.Groups = "secp384r1" })
	r := w.connect(1, rawquic.Config{TLS: &tls.Config{RootCAs: id.roots, ServerName: "localhost", NextProtos: []string{alpn},
		CurvePreferences: []tls.CurveID{tls.X25519, tls.CurveP384}}})
	assert.Equal(t, 2, r.count(rawquic.Initial, rawquic.TypeCrypto), "HelloRetryRequest and ServerHello")
	(&exchange{raw: r}).alive()
}

// count is how many frames of a type have come at a level.
func (r *raw) count(level rawquic.Level, kind uint64) (n int) {
	for _, f := range r.Received {
		if f.Level == level && f.Type == kind {
			n++
		}
	}
	return n
}
