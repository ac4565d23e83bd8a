//go:build !noquic

package main

import (
	"context"
	"net"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

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

func TestQUICFlags(t *testing.T) {
	b := startServer(t, func(c *server.Config) { c.EarlyData = server.EarlyDataOn })
	url, sessions := "quic://"+b.addrs.QUIC[0].String(), filepath.Join(t.TempDir(), "sessions")
	common := []string{"-d", "-t", "a/b", "-L", url, "--cafile", b.ca}
	for _, flags := range []string{"", "--streams 4", "--streams 3 --stream-by qos", "--stream one", "--datagrams", "--streams 2 --datagrams"} {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		out := make(lineWriter, 10)
		ended := make(chan int, 1)
		args := append(append([]string{"sub", "-t", "c", "-C", "3", "-i", "listener"}, common...), strings.Fields(flags)...)
		var log lockedBuffer
		go func() { ended <- run(&console{ctx, strings.NewReader(""), out, &log}, args) }()
		subacks := 1 + strings.Count(flags, "--streams") // c has one of its own
		require.Eventually(t, func() bool { return strings.Count(log.String(), "received SUBACK") == subacks }, patience, time.Millisecond)
		for _, qos := range []string{"0", "1", "2"} {
			got := ngmq(ctx, "", append(append([]string{"pub", "-m", "m" + qos, "-q", qos}, common...), strings.Fields(flags)...)...)
			require.Equal(t, exitOK, got.status, got.stderr)
			assert.Equal(t, "m"+qos+"\n", <-out, flags)
		}
		assert.Equal(t, exitOK, <-ended)
		want := 1
		if strings.Contains(flags, "--stream") {
			want = 2 // or more
		}
		streams := regexp.MustCompile(`msg=disconnecting streams=(\d+) `).FindStringSubmatch(log.String())
		require.NotNil(t, streams, log.String())
		assert.GreaterOrEqual(t, int(streams[1][0]-'0'), want, flags)
		assert.Equal(t, want == 1, streams[1] == "1", flags)
	}
	var got result
	for range 2 {
		got = ngmq(t.Context(), "", append([]string{"pub", "-m", "x", "--early-data", "on", "--session-file", sessions}, common...)...)
		require.Equal(t, exitOK, got.status, got.stderr)
	}
	assert.Contains(t, got.stderr, "resumed=true early_data=true")
}

func TestPingFallback(t *testing.T) {
	b := startServer(t, nil)
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	defer silent.Close()
	longEnough(t, func(seconds string) bool {
		got := ngmq(t.Context(), "", "ping", "--fallback", "-W", seconds, "--url", "quic://"+silent.LocalAddr().String(), "--cafile", b.ca)
		assert.Equal(t, exitNoServer, got.status)
		assert.Contains(t, got.stderr, "quic: ")
		assert.Equal(t, 3, strings.Count(got.stderr, "cannot connect: "), got.stderr)
		// Whoever may listen at the usual ports, it is not a server that this test trusts.
		return strings.Contains(got.stderr, "127.0.0.1:8883: ") && strings.Contains(got.stderr, "127.0.0.1:443: ")
	})
	assert.Equal(t, []string{"mqtts://[::1]", "wss://[::1]"}, (&pingCommand{Fallback: true}).addresses("quic://[::1]:1")[1:])
	assert.Equal(t, []string{"mqtts://h"}, (&pingCommand{Fallback: true}).addresses("mqtts://h"))
}

func TestBenchDatagrams(t *testing.T) {
	b := startServer(t, nil)
	quic, tls := "quic://"+b.addrs.QUIC[0].String(), "mqtts://"+b.addrs.TLS[0].String()
	got := ngmq(t.Context(), "", "bench", "rtt", "-L", quic, "--cafile", b.ca, "--datagrams", "-n", "10", "-r", "500")
	require.Equal(t, exitOK, got.status, got.stderr)
	assert.Regexp(t, `(?m)^datagrams     \d+ received, \d+ sent and lost$`, got.stdout)
	got = ngmq(t.Context(), "", "bench", "compare", quic, tls, "--cafile", b.ca, "--datagrams", "-n", "5", "--rounds", "1")
	require.Equal(t, exitOK, got.status, got.stderr)
	for _, title := range []string{quic, quic + ", datagrams", tls} {
		assert.Contains(t, got.stdout, title)
	}
	got = ngmq(t.Context(), "", "bench", "pub", "--datagrams", "-L", tls)
	assert.Contains(t, got.stderr, "--datagrams needs QUIC")
}

// lockedBuffer is an output that a test may look at while it grows.
type lockedBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// With a proxy QUIC is not tried: --fallback goes on at once.
func TestProxyFallback(t *testing.T) {
	b := startServer(t, nil)
	tls := socksProxy(t, b.addrs.TLS[0].String(), socksNoAuth, socksDone)
	got := ngmq(t.Context(), "", "ping", "--fallback", "--url", "quic://broker.invalid", "--servername", "localhost", "--cafile", b.ca, "--proxy", tls)
	assert.Equal(t, exitOK, got.status, got.stderr)
	assert.Empty(t, got.stderr, "QUIC is not tried")
	got = ngmq(t.Context(), "", "pub", "-t", "a", "-m", "x", "--fallback", "--url", "quic://broker.invalid", "--servername", "localhost", "--cafile", b.ca, "--proxy", tls)
	assert.Equal(t, result{}, got)
}
