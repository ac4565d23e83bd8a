package crypto

import (
	"crypto/tls"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/crypto/internal/ssltest"
)

func freeSSL(ssl unsafe.Pointer) { ssltest.New(ssl, nil).Free() }

func TestServerNames(t *testing.T) {
	ca := newTestCA(t, "ca")
	client := open(t, Config{Role: Client, CAPEM: ca.pem, ALPN: []string{"mqtt"}})
	for _, name := range []string{"", ".", ".example", "a b", "host:14567", "a\x00b", "caf\u00e9.example", strings.Repeat("a", 254)} {
		_, err := client.NewSSL(name)
		assert.Error(t, err, "%q", name)
	}
	_, err := open(t, serverConfig(t, ca)).NewSSL("localhost")
	require.ErrorContains(t, err, "server role")
	ssl, err := client.NewSSL(strings.Repeat("a", 63) + ".example")
	require.NoError(t, err)
	freeSSL(ssl)
	ssl, err = client.NewSSL(strings.Repeat("a.", 126) + "a") // 253 bytes
	require.NoError(t, err)
	freeSSL(ssl)
}

func TestStateBeforeHandshake(t *testing.T) {
	ca := newTestCA(t, "ca")
	ssl, err := open(t, serverConfig(t, ca)).NewSSL("")
	require.NoError(t, err)
	defer freeSSL(ssl)
	st := State(ssl)
	assert.Empty(t, st.ALPN)
	assert.Empty(t, st.Group)
	assert.False(t, st.Verified)
	id, err := PeerIdentity(ssl)
	require.NoError(t, err)
	assert.Nil(t, id.Leaf())
}

func TestReload(t *testing.T) {
	ca := newTestCA(t, "ca")
	old, renewed := ca.leaf(t, "old", nil), ca.leaf(t, "renewed", nil)
	cert, key := write(t, "server.crt", old.cert), write(t, "server.key", old.key)
	ctx := open(t, Config{CertFile: cert, KeyFile: key, ALPN: []string{"mqtt"}})
	early, err := ctx.NewSSL("") // a connection that is about to shake hands
	require.NoError(t, err)

	overwrite(t, cert, renewed.cert)
	requireFault(t, ctx.Reload(), "KeyFile", key, "does not belong")
	assert.Equal(t, "old", served(t, ctx, ca), "a failed reload changes nothing")

	overwrite(t, key, renewed.key)
	require.NoError(t, ctx.Reload())
	assert.Equal(t, "renewed", served(t, ctx, ca))
	assert.Equal(t, "old", servedBy(t, early, ca), "an SSL keeps the context it came from")
}

func TestReloadConfig(t *testing.T) {
	ca := newTestCA(t, "ca")
	ctx := open(t, serverConfig(t, ca))
	next := serverConfig(t, ca)
	next.ALPN = []string{"next"}
	require.NoError(t, ctx.ReloadConfig(next))
	cfg := clientTLS(ca)
	cfg.NextProtos = []string{"mqtt", "next"}
	assert.Equal(t, "next", handshake(t, ctx, "", goClient(cfg)).state.ALPN)

	err := ctx.ReloadConfig(Config{Role: Client, CAPEM: ca.pem, ALPN: []string{"mqtt"}})
	requireFault(t, err, "Role", "", "differs")
	assert.Equal(t, Server, ctx.Role())
}

func TestClosedContext(t *testing.T) {
	ca := newTestCA(t, "ca")
	ctx := open(t, serverConfig(t, ca))
	ssl, err := ctx.NewSSL("")
	require.NoError(t, err)
	ctx.Close()
	ctx.Close()
	_, err = ctx.NewSSL("")
	require.ErrorIs(t, err, ErrClosed)
	require.ErrorIs(t, ctx.Reload(), ErrClosed)
	assert.Equal(t, "server", servedBy(t, ssl, ca), "an SSL outlives its context")
}

// A caller's later change of its Config reaches the Context by ReloadConfig alone.
func TestConfigIsCopied(t *testing.T) {
	ca := newTestCA(t, "ca")
	cfg := serverConfig(t, ca)
	ctx := open(t, cfg)
	cfg.ALPN[0], cfg.CertPEM[30], cfg.KeyPEM[30] = "changed", 'x', 'x'
	require.NoError(t, ctx.Reload())
	assert.Equal(t, "server", served(t, ctx, ca))
}

func TestReloadWhileInUse(t *testing.T) {
	ca := newTestCA(t, "ca")
	ctx := open(t, serverConfig(t, ca))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 200 {
				ssl, err := ctx.NewSSL("")
				if !assert.NoError(t, err) {
					return
				}
				freeSSL(ssl)
			}
		})
	}
	for range 20 {
		require.NoError(t, ctx.Reload())
	}
	wg.Wait()
}

// served is the common name of the certificate that a new SSL of ctx presents.
func served(t *testing.T, ctx *Context, ca *testCA) string {
	t.Helper()
	ssl, err := ctx.NewSSL("")
	require.NoError(t, err)
	return servedBy(t, ssl, ca)
}

func servedBy(t *testing.T, ssl unsafe.Pointer, ca *testCA) string {
	t.Helper()
	near, far := tcpPair(t)
	conn := ssltest.New(ssl, near)
	defer conn.Free()
	peer := tls.Client(far, clientTLS(ca))
	errs := make(chan error, 1)
	go func() { errs <- peer.Handshake() }()
	require.NoError(t, conn.Handshake())
	require.NoError(t, <-errs)
	return peer.ConnectionState().PeerCertificates[0].Subject.CommonName
}

func BenchmarkNewSSL(b *testing.B) {
	ctx := benchContext(b)
	b.ReportAllocs()
	for b.Loop() {
		ssl, err := ctx.NewSSL("")
		if err != nil {
			b.Fatal(err)
		}
		freeSSL(ssl)
	}
}

func benchContext(b *testing.B) *Context {
	b.Helper()
	cert, err := GenerateDevCert(b.TempDir())
	require.NoError(b, err)
	ctx, err := NewContext(Config{CertFile: cert.CertFile, KeyFile: cert.KeyFile, ALPN: []string{"mqtt"}})
	require.NoError(b, err)
	b.Cleanup(ctx.Close)
	return ctx
}
