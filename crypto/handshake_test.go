package crypto

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/crypto/internal/ssltest"
)

// outcome is what both ends of one handshake came to: ours is an SSL of this
// package, theirs is Go's crypto/tls.
type outcome struct {
	ours, theirs error
	state        ConnectionState
	identity     Identity
	peer         tls.ConnectionState
}

// tcpPair is two ends of a loopback connection with a deadline.
func tcpPair(t *testing.T) (net.Conn, net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	a, err := net.Dial("tcp", ln.Addr().String())
	require.NoError(t, err)
	b, err := ln.Accept()
	require.NoError(t, err)
	for _, c := range []net.Conn{a, b} {
		require.NoError(t, c.SetDeadline(time.Now().Add(time.Minute)))
		t.Cleanup(func() { c.Close() })
	}
	return a, b
}

// handshake runs an SSL of ctx against a connection of crypto/tls. In the server
// role one byte follows, which brings the tickets to the client.
func handshake(t *testing.T, ctx *Context, serverName string, theirs func(net.Conn) *tls.Conn) outcome {
	t.Helper()
	ssl, err := ctx.NewSSL(serverName)
	require.NoError(t, err)
	near, far := tcpPair(t)
	conn := ssltest.New(ssl, near)
	defer conn.Free()

	var out outcome
	var wg sync.WaitGroup
	wg.Go(func() {
		defer far.Close()
		peer := theirs(far)
		if out.theirs = peer.Handshake(); out.theirs == nil && ctx.Role() == Server {
			_, out.theirs = peer.Read(make([]byte, 1))
		}
		out.peer = peer.ConnectionState()
	})
	out.ours = conn.Handshake()
	if out.ours == nil && ctx.Role() == Server {
		out.ours = conn.Write([]byte{1})
	}
	near.(*net.TCPConn).CloseWrite()
	wg.Wait()
	out.state = State(ssl)
	out.identity, err = PeerIdentity(ssl)
	require.NoError(t, err)
	return out
}

func goClient(cfg *tls.Config) func(net.Conn) *tls.Conn {
	return func(c net.Conn) *tls.Conn { return tls.Client(c, cfg) }
}

func goServer(cfg *tls.Config) func(net.Conn) *tls.Conn {
	return func(c net.Conn) *tls.Conn { return tls.Server(c, cfg) }
}

func serverConfig(t *testing.T, ca *testCA) Config {
	t.Helper()
	leaf := ca.leaf(t, "server", nil)
	return Config{CertPEM: leaf.cert, KeyPEM: leaf.key, ALPN: []string{"mqtt", "other"}}
}

func clientTLS(ca *testCA) *tls.Config {
	return &tls.Config{RootCAs: ca.pool(), ServerName: "localhost", NextProtos: []string{"mqtt"}}
}

func TestServerALPN(t *testing.T) {
	ca := newTestCA(t, "ca")
	ctx := open(t, serverConfig(t, ca))
	for name, c := range map[string]struct {
		offer  []string
		chosen string
	}{
		"chosen":                    {[]string{"mqtt"}, "mqtt"},
		"chosen among unknown":      {[]string{"h3", "mqtt"}, "mqtt"},
		"preferred by the server":   {[]string{"other", "mqtt"}, "mqtt"},
		"second choice":             {[]string{"h3", "other"}, "other"},
		"none in common: alert 120": {[]string{"h3"}, ""},
		"prefix is not enough":      {[]string{"mqt", "mqtt5"}, ""},
		"none offered: alert 120":   {nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := clientTLS(ca)
			cfg.NextProtos = c.offer
			out := handshake(t, ctx, "", goClient(cfg))
			if c.chosen == "" {
				require.Error(t, out.ours)
				// crypto/tls's text of alert 120.
				require.ErrorContains(t, out.theirs, "remote error: tls: no application protocol")
				return
			}
			require.NoError(t, out.ours)
			require.NoError(t, out.theirs)
			assert.Equal(t, c.chosen, out.state.ALPN)
			assert.Equal(t, c.chosen, out.peer.NegotiatedProtocol)
		})
	}
}

func TestServerState(t *testing.T) {
	ca := newTestCA(t, "ca")
	out := handshake(t, open(t, serverConfig(t, ca)), "", goClient(clientTLS(ca)))
	require.NoError(t, out.ours)
	require.NoError(t, out.theirs)
	assert.Equal(t, "TLSv1.3", out.state.Version)
	assert.Equal(t, tls.CipherSuiteName(out.peer.CipherSuite), out.state.CipherSuite)
	assert.Equal(t, "localhost", out.state.ServerName)
	assert.False(t, out.state.Resumed)
	assert.False(t, out.state.Verified)
	assert.Nil(t, out.identity.Leaf())
	assert.Empty(t, out.identity.CommonName())
}

func TestServerRefusesTLS12(t *testing.T) {
	ca := newTestCA(t, "ca")
	cfg := clientTLS(ca)
	cfg.MaxVersion = tls.VersionTLS12
	out := handshake(t, open(t, serverConfig(t, ca)), "", goClient(cfg))
	require.Error(t, out.ours)
	require.ErrorContains(t, out.theirs, "protocol version")
}

func TestServerSendsIntermediates(t *testing.T) {
	root := newTestCA(t, "root")
	mid := &testCA{}
	mid.cert, mid.key, mid.pem = sign(t, &x509.Certificate{
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}, root)
	cfg := serverConfig(t, mid)
	cfg.CertPEM = append(cfg.CertPEM, mid.pem...)
	out := handshake(t, open(t, cfg), "", goClient(clientTLS(root)))
	require.NoError(t, out.theirs)
	assert.Len(t, out.peer.PeerCertificates, 2)
}

func TestServerGroups(t *testing.T) {
	ca := newTestCA(t, "ca")
	for name, c := range map[string]struct {
		groups string
		offer  []tls.CurveID
		want   tls.CurveID
	}{
		"the client prefers the post-quantum group": {"", []tls.CurveID{tls.X25519MLKEM768, tls.X25519}, tls.X25519MLKEM768},
		"the client prefers X25519":                 {"", []tls.CurveID{tls.X25519, tls.CurveP256}, tls.X25519},
		"the client has P-256 only":                 {"", []tls.CurveID{tls.CurveP256}, tls.CurveP256},
		"the post-quantum group is left out":        {"X25519:P-256", []tls.CurveID{tls.X25519MLKEM768, tls.X25519}, tls.X25519},
		"retry for a group without a share":         {"P-384", []tls.CurveID{tls.X25519, tls.CurveP384}, tls.CurveP384},
	} {
		t.Run(name, func(t *testing.T) {
			server := serverConfig(t, ca)
			server.Groups = c.groups
			cfg := clientTLS(ca)
			cfg.CurvePreferences = c.offer
			out := handshake(t, open(t, server), "", goClient(cfg))
			require.NoError(t, out.ours)
			require.NoError(t, out.theirs)
			assert.Equal(t, c.want, out.peer.CurveID, out.state.Group)
		})
	}
}

func TestClientSendsOneKeyShare(t *testing.T) {
	ca := newTestCA(t, "ca")
	leaf := ca.leaf(t, "server", nil)
	out := handshake(t, open(t, Config{Role: Client, CAPEM: ca.pem, ALPN: []string{"mqtt"}}), "localhost",
		goServer(&tls.Config{Certificates: []tls.Certificate{leaf.tls(t)}, NextProtos: []string{"mqtt"},
			CurvePreferences: []tls.CurveID{tls.X25519}}))
	require.NoError(t, out.ours)
	assert.Equal(t, tls.X25519, out.peer.CurveID)
	assert.Equal(t, "x25519", strings.ToLower(out.state.Group))
	assert.False(t, out.peer.HelloRetryRequest)
}

func TestServerCipherSuites(t *testing.T) {
	ca := newTestCA(t, "ca")
	cfg := serverConfig(t, ca)
	cfg.CipherSuites = "TLS_CHACHA20_POLY1305_SHA256"
	out := handshake(t, open(t, cfg), "", goClient(clientTLS(ca)))
	require.NoError(t, out.theirs)
	assert.Equal(t, "TLS_CHACHA20_POLY1305_SHA256", out.state.CipherSuite)
}

// clientAuthCase is a client's certificate held against a server's policy.
type clientAuthCase struct {
	auth     ClientAuth
	cert     *testLeaf
	fails    string // text of the alert at the client; empty: accepted
	identity string
}

func TestClientAuth(t *testing.T) {
	ca, cas, strangers := newTestCA(t, "ca"), newTestCA(t, "client ca"), newTestCA(t, "client ca")
	good := cas.leaf(t, "device-7", nil)
	stranger := strangers.leaf(t, "device-7", nil)
	expired := cas.leaf(t, "device-7", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	serverOnly := cas.leaf(t, "device-7", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })
	for name, c := range map[string]clientAuthCase{
		"none, and none is asked for":   {auth: NoClientCert, cert: &good},
		"request, none presented":       {auth: RequestClientCert},
		"request, presented":            {auth: RequestClientCert, cert: &good, identity: "device-7"},
		"request, of an unknown CA":     {auth: RequestClientCert, cert: &stranger, fails: "unknown certificate authority"},
		"require, none presented":       {auth: RequireClientCert, fails: "certificate required"},
		"require, presented":            {auth: RequireClientCert, cert: &good, identity: "device-7"},
		"require, of an unknown CA":     {auth: RequireClientCert, cert: &stranger, fails: "unknown certificate authority"},
		"require, expired":              {auth: RequireClientCert, cert: &expired, fails: "expired certificate"},
		"require, not made for clients": {auth: RequireClientCert, cert: &serverOnly, fails: "unsupported certificate"},
	} {
		t.Run(name, func(t *testing.T) { testClientAuth(t, ca, cas, c) })
	}
}

func testClientAuth(t *testing.T, ca, cas *testCA, c clientAuthCase) {
	server := serverConfig(t, ca)
	if server.ClientAuth = c.auth; c.auth != NoClientCert {
		server.ClientCAPEM = cas.pem
	}
	cfg := clientTLS(ca)
	cfg.GetClientCertificate = func(info *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		assert.Equal(t, [][]byte{cas.cert.RawSubject}, info.AcceptableCAs)
		if c.cert == nil {
			return &tls.Certificate{}, nil
		}
		cert := c.cert.tls(t)
		return &cert, nil
	}
	out := handshake(t, open(t, server), "", goClient(cfg))
	if c.fails != "" {
		require.Error(t, out.ours)
		require.ErrorContains(t, out.theirs, c.fails)
		assert.False(t, out.identity.Verified)
		assert.Empty(t, out.identity.CommonName())
		return
	}
	require.NoError(t, out.ours)
	require.NoError(t, out.theirs)
	assert.Equal(t, c.identity, out.identity.CommonName())
	assert.Equal(t, c.identity != "", out.identity.Verified)
	if c.identity != "" {
		assert.Equal(t, []string{"localhost", "127.0.0.1", "::1"}, out.identity.SubjectAltNames())
		require.Len(t, out.identity.VerifiedChain, 2)
		assert.True(t, out.identity.VerifiedChain[1].Equal(cas.cert))
		assert.Len(t, out.identity.Certificates, 1)
	}
}

func TestClientVerifiesServer(t *testing.T) {
	ca, other := newTestCA(t, "ca"), newTestCA(t, "ca")
	good := ca.leaf(t, "server", nil)
	expired := ca.leaf(t, "server", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	early := ca.leaf(t, "server", func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) })
	clientOnly := ca.leaf(t, "server", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })
	wild := ca.leaf(t, "server", func(c *x509.Certificate) { c.DNSNames = []string{"*.example.org"} })
	onlyCN := ca.leaf(t, "localhost", func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = []string{"example.org"}, nil })
	for name, c := range map[string]struct {
		leaf     testLeaf
		host     string
		insecure bool
		ca       *testCA
		sni      string
		fails    string
	}{
		"name":                         {leaf: good, host: "localhost", sni: "localhost"},
		"name with a final dot":        {leaf: good, host: "localhost.", sni: "localhost"},
		"name in capitals":             {leaf: good, host: "LOCALHOST", sni: "localhost"},
		"IPv4 address":                 {leaf: good, host: "127.0.0.1"},
		"IPv4 address in IPv6":         {leaf: good, host: "::ffff:127.0.0.1"},
		"IPv6 address":                 {leaf: good, host: "::1"},
		"IPv6 address with brackets":   {leaf: good, host: "[::1]"},
		"wildcard":                     {leaf: wild, host: "a.example.org", sni: "a.example.org"},
		"wildcard of two labels":       {leaf: wild, host: "a.b.example.org", fails: "hostname mismatch"},
		"wrong name":                   {leaf: good, host: "example.org", fails: "hostname mismatch"},
		"name in the common name":      {leaf: onlyCN, host: "localhost", fails: "hostname mismatch"},
		"wrong IPv4 address":           {leaf: good, host: "127.0.0.2", fails: "IP address mismatch"},
		"wrong IPv6 address":           {leaf: good, host: "fe80::1%eth0", fails: "IP address mismatch"},
		"unknown CA":                   {leaf: good, host: "localhost", ca: other, fails: "certificate verify failed"},
		"expired":                      {leaf: expired, host: "localhost", fails: "certificate has expired"},
		"not yet valid":                {leaf: early, host: "localhost", fails: "certificate is not yet valid"},
		"not made for servers":         {leaf: clientOnly, host: "localhost", fails: "unsuitable certificate purpose"},
		"insecure: wrong name":         {leaf: good, host: "example.org", insecure: true, sni: "example.org"},
		"insecure: no name":            {leaf: good, insecure: true},
		"insecure: expired":            {leaf: expired, host: "localhost", insecure: true, sni: "localhost"},
		"insecure: unknown CA":         {leaf: good, host: "localhost", insecure: true, ca: other, sni: "localhost"},
		"insecure: wrong IPv4 address": {leaf: good, host: "127.0.0.2", insecure: true},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := Config{Role: Client, ALPN: []string{"mqtt"}, InsecureSkipVerify: c.insecure, CAPEM: ca.pem}
			if c.ca != nil {
				cfg.CAPEM = c.ca.pem
			}
			out := handshake(t, open(t, cfg), c.host, goServer(&tls.Config{
				Certificates: []tls.Certificate{c.leaf.tls(t)}, NextProtos: []string{"mqtt"},
			}))
			if c.fails != "" {
				require.ErrorContains(t, out.ours, c.fails)
				require.Error(t, out.theirs)
				return
			}
			require.NoError(t, out.ours)
			assert.Equal(t, c.sni, strings.ToLower(out.peer.ServerName))
			assert.Equal(t, !c.insecure, out.state.Verified)
			assert.Equal(t, "mqtt", out.state.ALPN)
			require.NotNil(t, out.identity.Leaf())
		})
	}
}

func TestClientRefusesTLS12(t *testing.T) {
	ca := newTestCA(t, "ca")
	leaf := ca.leaf(t, "server", nil)
	out := handshake(t, open(t, Config{Role: Client, CAPEM: ca.pem, ALPN: []string{"mqtt"}}), "localhost", goServer(&tls.Config{
		Certificates: []tls.Certificate{leaf.tls(t)}, MaxVersion: tls.VersionTLS12, NextProtos: []string{"mqtt"},
	}))
	require.Error(t, out.ours)
	require.Error(t, out.theirs)
}

// A server without ALPN cannot be refused inside TLS by a client: the caller
// sees the empty ALPN, as NewSSL tells it to look for.
func TestClientSeesMissingALPN(t *testing.T) {
	ca := newTestCA(t, "ca")
	leaf := ca.leaf(t, "server", nil)
	out := handshake(t, open(t, Config{Role: Client, CAPEM: ca.pem, ALPN: []string{"mqtt"}}), "localhost", goServer(&tls.Config{
		Certificates: []tls.Certificate{leaf.tls(t)},
	}))
	require.NoError(t, out.ours)
	assert.Empty(t, out.state.ALPN)
}

func TestClientPresentsCertificate(t *testing.T) {
	ca := newTestCA(t, "ca")
	leaf, me := ca.leaf(t, "server", nil), ca.leaf(t, "device-8", nil)
	ctx := open(t, Config{Role: Client, CAPEM: ca.pem, ALPN: []string{"mqtt"}, CertPEM: me.cert, KeyPEM: me.key})
	out := handshake(t, ctx, "localhost", goServer(&tls.Config{
		Certificates: []tls.Certificate{leaf.tls(t)}, NextProtos: []string{"mqtt"},
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.pool(),
	}))
	require.NoError(t, out.ours)
	require.NoError(t, out.theirs)
	require.Len(t, out.peer.PeerCertificates, 1)
	assert.Equal(t, "device-8", out.peer.PeerCertificates[0].Subject.CommonName)
	require.Len(t, out.identity.VerifiedChain, 2)
	assert.Equal(t, "server", out.identity.CommonName())
}

func TestTicketsResume(t *testing.T) {
	ca := newTestCA(t, "ca")
	server := serverConfig(t, ca)
	server.ClientAuth, server.ClientCAPEM = RequireClientCert, ca.pem
	ctx := open(t, server)
	me := ca.leaf(t, "device-9", nil)
	cfg := clientTLS(ca)
	cfg.Certificates = []tls.Certificate{me.tls(t)}
	cfg.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	for _, resumed := range []bool{false, true} {
		out := handshake(t, ctx, "", goClient(cfg))
		require.NoError(t, out.ours)
		require.NoError(t, out.theirs)
		assert.Equal(t, resumed, out.state.Resumed)
		assert.True(t, out.identity.Verified)
		assert.Equal(t, "device-9", out.identity.CommonName())
	}
	require.NoError(t, ctx.Reload())
	out := handshake(t, ctx, "", goClient(cfg))
	require.NoError(t, out.ours)
	assert.False(t, out.state.Resumed)
}

func TestKeyLog(t *testing.T) {
	ca := newTestCA(t, "ca")
	server := serverConfig(t, ca)
	server.KeyLogFile = filepath.Join(t.TempDir(), "keys.log")
	ctx := open(t, server)
	info, err := os.Stat(server.KeyLogFile)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode())

	var theirs bytes.Buffer
	for range 2 { // the second is appended
		cfg := clientTLS(ca)
		cfg.KeyLogWriter = &theirs
		out := handshake(t, ctx, "", goClient(cfg))
		require.NoError(t, out.ours)
		require.NoError(t, out.theirs)
	}
	ours, err := os.ReadFile(server.KeyLogFile)
	require.NoError(t, err)
	got := sortedLines(string(ours))
	for _, line := range sortedLines(theirs.String()) {
		assert.Contains(t, got, line)
	}
	assert.Len(t, sortedLines(theirs.String()), 8)
}

func sortedLines(text string) []string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	sort.Strings(lines)
	return lines
}
