//go:build !noquic

package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/crypto"
	"github.com/ngmq/ngmq/crypto/devcert"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
	"github.com/ngmq/ngmq/server"
)

const versionLines = `^ngmq .+\nngtcp2 \d+\.\d+\.\d+\nOpenSSL \d+\.\d+\.\d+`

// refuseQUIC gives the URLs of a QUIC server whose clients come no further than the handshake.
func refuseQUIC(t *testing.T, cert devcert.Cert) []string {
	ctx, err := crypto.NewContext(crypto.Config{CertFile: cert.CertFile, KeyFile: cert.KeyFile, ALPN: []string{"mqtt"}})
	require.NoError(t, err)
	t.Cleanup(ctx.Close)
	l, err := endpoint.NewListener(endpoint.Config{TLS: ctx, Addrs: []string{"127.0.0.1:0"}})
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	return []string{"quic://" + l.Addr().String()}
}

// overQUIC has a server listen for QUIC.
func overQUIC(cfg *server.Config) { cfg.QUIC = []string{"127.0.0.1:0"} }

func TestPingOverQUIC(t *testing.T) {
	b := startServer(t, nil)
	got := ngmq(t.Context(), "", "ping", "--url", "quic://"+b.addrs.QUIC[0].String(), "--cafile", b.ca)
	assert.Equal(t, exitOK, got.status, got.stderr)
	lines := strings.Split(masked(got.stdout, times), "\n")
	for i, want := range []string{"", "full     quic TIME  connack TIME  total TIME  ping TIME  (QUIC v1 TLSv1.3 TLS_AES_128_GCM_SHA256 x25519)",
		"resumed  quic TIME  connack TIME  total TIME  ping TIME  (QUIC v1 TLSv1.3 TLS_AES_128_GCM_SHA256 x25519, resumed)",
		"0-RTT    quic TIME  connack TIME  total TIME  ping TIME  (QUIC v1 TLSv1.3 TLS_AES_128_GCM_SHA256 x25519, resumed, "} {
		assert.True(t, strings.HasPrefix(lines[i], want), lines[i])
	}
}

func TestShellOverQUIC(t *testing.T) {
	b := startServer(t, nil)
	session(t, "quic", "quic://"+b.addrs.QUIC[0].String(), "--cafile", b.ca)
}

func TestPingWithEarlyData(t *testing.T) {
	b := startServer(t, func(c *server.Config) { c.EarlyData = server.EarlyDataOn })
	got := ngmq(t.Context(), "", "ping", "--url", "quic://"+b.addrs.QUIC[0].String(), "--cafile", b.ca)
	assert.Equal(t, exitOK, got.status, got.stderr)
	assert.Contains(t, masked(got.stdout, times),
		"\n0-RTT    quic TIME  connack TIME  total TIME  ping TIME  (QUIC v1 TLSv1.3 TLS_AES_128_GCM_SHA256 x25519, resumed, early data accepted)\n")
}

// secureURLs are those of the transports with TLS.
func secureURLs(b broker) map[string]string {
	return map[string]string{"tls": "mqtts://" + b.addrs.TLS[0].String(), "quic": "quic://" + b.addrs.QUIC[0].String()}
}

func TestPingWritesQlog(t *testing.T) {
	b := startServer(t, nil)
	dir := t.TempDir()
	got := ngmq(t.Context(), "", "ping", "--url", "quic://"+b.addrs.QUIC[0].String(), "--cafile", b.ca, "--qlog-dir", dir)
	require.Equal(t, exitOK, got.status, got.stderr)
	files, err := filepath.Glob(filepath.Join(dir, "*_client.sqlog"))
	require.NoError(t, err)
	assert.Len(t, files, 3)
}
