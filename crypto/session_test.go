package crypto

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func ticketKey(b byte) []byte { return bytes.Repeat([]byte{b}, TicketKeyLen) }

// Tickets outlive a reload, and a rotation, with their key.
func TestTicketKeysAndReload(t *testing.T) {
	ca := newTestCA(t, "ca")
	server := serverConfig(t, ca)
	server.TicketKeys = [][]byte{ticketKey(1)}
	ctx := open(t, server)
	cfg := clientTLS(ca)
	cfg.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	connect := func(resumed bool) {
		t.Helper()
		out := handshake(t, ctx, "", goClient(cfg))
		require.NoError(t, out.ours)
		require.NoError(t, out.theirs)
		assert.Equal(t, resumed, out.state.Resumed)
		assert.Equal(t, resumed, out.peer.DidResume)
	}
	connect(false)
	require.NoError(t, ctx.Reload())
	connect(true)
	server.TicketKeys = [][]byte{ticketKey(2), ticketKey(1)}
	require.NoError(t, ctx.ReloadConfig(server))
	connect(true)
	server.TicketKeys = [][]byte{ticketKey(2)}
	require.NoError(t, ctx.ReloadConfig(server))
	connect(true) // the ticket has been replaced
	server.TicketKeys = [][]byte{ticketKey(3)}
	require.NoError(t, ctx.ReloadConfig(server))
	connect(false)
}

func TestTicketConfig(t *testing.T) {
	base := Config{CertFile: "c", KeyFile: "k", ALPN: []string{"mqtt"}}
	short := base
	short.TicketKeys = [][]byte{ticketKey(1), make([]byte, TicketKeyLen-1)}
	requireFault(t, short.Validate(), "TicketKeys", "", "key 1 has 79 bytes")
	many := base
	many.TicketKeys = make([][]byte, maxTicketKeys+1)
	requireFault(t, many.Validate(), "TicketKeys", "", "holds 17 keys")
	for _, c := range []Config{{EarlyData: true}, {TicketKeys: [][]byte{ticketKey(1)}}} {
		c.Role, c.ALPN = Client, base.ALPN
		requireFault(t, c.Validate(), "TicketKeys", "", "for the server role")
	}

	// A Context keeps keys of its own.
	key := ticketKey(1)
	cfg := Config{TicketKeys: [][]byte{key}}
	copied := cfg.clone()
	key[0] = 9
	assert.Equal(t, ticketKey(1), copied.TicketKeys[0])
}

func TestSetSessionRefusesGarbage(t *testing.T) {
	ctx := open(t, Config{Role: Client, ALPN: []string{"mqtt"}, CAPEM: newTestCA(t, "ca").pem})
	ssl, err := ctx.NewSSL("localhost")
	require.NoError(t, err)
	defer freeSSL(ssl)
	for _, der := range [][]byte{nil, {1}, bytes.Repeat([]byte{0x30}, 100)} {
		_, err := SetSession(ssl, der)
		assert.ErrorContains(t, err, "set session")
	}
	slots := SSLSlots()
	assert.NotEqual(t, slots.Version, slots.Session)
	assert.Equal(t, slots, SSLSlots())
}

// mutual is a server that wants certificates of ca, and a client with one.
func mutual(t *testing.T, ca *testCA, leaf testLeaf) (Config, *tls.Config) {
	t.Helper()
	server := serverConfig(t, ca)
	server.ClientAuth, server.ClientCAPEM, server.TicketKeys = RequireClientCert, ca.pem, [][]byte{ticketKey(1)}
	client := clientTLS(ca)
	cert := leaf.tls(t) // shown whatever CAs the server names
	client.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil }
	client.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	return server, client
}

// A session ends with the certificate of its client, however often it was resumed; the
// full handshake that follows says why.
func TestSessionEndsWithTheClientCertificate(t *testing.T) {
	t.Parallel()
	end := time.Now().Add(2 * time.Second)
	ca := newTestCA(t, "ca")
	server, client := mutual(t, ca, ca.leaf(t, "device-7", func(c *x509.Certificate) { c.NotAfter = end }))
	ctx := open(t, server)
	out := handshake(t, ctx, "", goClient(client))
	require.NoError(t, out.ours)
	for resumed := 0; ; resumed++ {
		out = handshake(t, ctx, "", goClient(client))
		if out.ours != nil {
			assert.Greater(t, resumed, 0)
			break
		}
		require.True(t, out.state.Resumed)
		require.Equal(t, "device-7", out.identity.CommonName())
		require.False(t, time.Now().After(end.Add(3*time.Second)), "the certificate has expired")
	}
	assert.False(t, out.state.Resumed)
	assert.ErrorContains(t, out.theirs, "expired certificate")
}

// Another CA, or another demand for certificates, makes old sessions useless, also on a
// server with the same ticket keys.
func TestSessionEndsWithTheTrustOfItsServer(t *testing.T) {
	ca := newTestCA(t, "ca")
	server, client := mutual(t, ca, ca.leaf(t, "device-7", nil))
	ctx := open(t, server)
	require.NoError(t, handshake(t, ctx, "", goClient(client)).ours)
	again := handshake(t, ctx, "", goClient(client))
	require.True(t, again.state.Resumed)

	other := server
	other.ClientCAPEM = newTestCA(t, "another ca").pem
	out := handshake(t, open(t, other), "", goClient(client))
	assert.Error(t, out.ours)
	assert.ErrorContains(t, out.theirs, "unknown certificate authority")

	require.True(t, handshake(t, ctx, "", goClient(client)).state.Resumed)
	both := server
	both.ClientCAPEM = append(append([]byte{}, other.ClientCAPEM...), ca.pem...)
	require.NoError(t, ctx.ReloadConfig(both))
	out = handshake(t, ctx, "", goClient(client))
	require.NoError(t, out.ours)
	assert.False(t, out.state.Resumed)
	assert.True(t, out.state.Verified)
}
