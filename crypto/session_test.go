package crypto

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
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
	for life := 2 * time.Second; sessionsOfCertificate(t, life) == 0; life *= 2 {
		require.Less(t, life, time.Minute, "no session was resumed before the certificate's end")
	}
}

// sessionsOfCertificate resumes the session of a client whose certificate lives that long,
// until that is refused, and returns how often it was not: 0 on a machine that was too
// busy for it.
func sessionsOfCertificate(t *testing.T, life time.Duration) (resumed int) {
	t.Helper()
	ca := newTestCA(t, "ca")
	end := time.Now().Add(life)
	server, client := mutual(t, ca, ca.leaf(t, "device-7", func(c *x509.Certificate) { c.NotAfter = end }))
	ctx := open(t, server)
	for n := 0; ; n++ {
		began := time.Now()
		out := handshake(t, ctx, "", goClient(client))
		if out.ours != nil {
			assert.False(t, out.state.Resumed)
			assert.ErrorContains(t, out.theirs, "expired certificate")
			assert.True(t, time.Now().Add(time.Second).After(end), "not before the end, in whole seconds")
			return max(0, n-1)
		}
		require.False(t, began.After(end.Add(2*time.Second)), "the certificate has expired")
		require.Equal(t, n > 0, out.state.Resumed)
		require.Equal(t, "device-7", out.identity.CommonName())
	}
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

// crl is a list of what ca has revoked, which is valid until end.
func (ca *testCA) crl(t *testing.T, end time.Time, revoked ...testLeaf) []byte {
	t.Helper()
	list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: end.Add(-2 * time.Hour), NextUpdate: end}
	for _, l := range revoked {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: l.tls(t).Leaf.SerialNumber, RevocationTime: end.Add(-2 * time.Hour)})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, ca.cert, ca.key)
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})
}

// A certificate that is revoked is refused, also when its session goes on: other lists end
// all sessions. A list that has expired, or that of another CA, says nothing good.
func TestRevokedClientCertificate(t *testing.T) {
	ca := newTestCA(t, "ca")
	later := time.Now().Add(time.Hour)
	good, bad := ca.leaf(t, "good", nil), ca.leaf(t, "bad", nil)
	server, client := mutual(t, ca, good)
	_, revoked := mutual(t, ca, bad)
	server.ClientCRLPEM = ca.crl(t, later)
	ctx := open(t, server)
	for _, c := range []*tls.Config{client, revoked} {
		require.NoError(t, handshake(t, ctx, "", goClient(c)).ours)
		require.True(t, handshake(t, ctx, "", goClient(c)).state.Resumed)
	}
	require.NoError(t, ctx.SetClientCRLs(ca.crl(t, later, bad)))
	out := handshake(t, ctx, "", goClient(revoked))
	assert.ErrorContains(t, out.ours, "certificate revoked")
	assert.ErrorContains(t, out.theirs, "revoked certificate")
	assert.False(t, out.state.Resumed)
	out = handshake(t, ctx, "", goClient(client))
	require.NoError(t, out.ours)
	assert.False(t, out.state.Resumed)
	require.True(t, handshake(t, ctx, "", goClient(client)).state.Resumed)

	require.NoError(t, ctx.SetClientCRLs(ca.crl(t, time.Now().Add(-time.Minute))))
	assert.ErrorContains(t, handshake(t, ctx, "", goClient(client)).ours, "CRL has expired")
	require.NoError(t, ctx.SetClientCRLs(newTestCA(t, "another").crl(t, later)))
	assert.ErrorContains(t, handshake(t, ctx, "", goClient(client)).ours, "unable to get certificate CRL")
	require.NoError(t, ctx.SetClientCRLs(append(newTestCA(t, "another").crl(t, later), ca.crl(t, later)...)))
	assert.NoError(t, handshake(t, ctx, "", goClient(client)).ours)

	requireFault(t, ctx.SetClientCRLs([]byte("nothing")), "ClientCRLPEM", "", "holds no PEM")
	requireFault(t, ctx.SetClientCRLs(pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: []byte{1}})), "ClientCRLPEM", "", "list 1 cannot be parsed")
	server.ClientAuth, server.ClientCAPEM = NoClientCert, nil
	requireFault(t, server.Validate(), "ClientCRLFile", "", "asks for no certificate")
	requireFault(t, (&Config{Role: Client, ALPN: []string{"mqtt"}, ClientCRLFile: "x"}).Validate(), "ClientCRLFile", "x", "server role")
}
