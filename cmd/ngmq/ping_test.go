package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/cmd/ngmq/internal/servertest"
	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/server"
)

// broker is a real server of the test's own.
type broker struct {
	addrs server.Addrs
	ca    string
}

func startServer(t *testing.T, change func(*server.Config)) broker {
	t.Helper()
	s := servertest.Start(t, change)
	return broker{s.Addrs, s.CA}
}

// times masks durations.
var times = [2]string{`\d+\.\d\d ms`, "TIME"}

func TestPing(t *testing.T) {
	b := startServer(t, nil)
	for name, k := range map[string]struct{ url, want string }{
		"tcp": {"mqtt://" + b.addrs.TCP[0].String(), "full     tcp TIME  connack TIME  total TIME  ping TIME  (no TLS)\n"},
		"ws":  {"ws://" + b.addrs.WS[0].String(), "full     tcp TIME  ws TIME  connack TIME  total TIME  ping TIME  (no TLS)\n"},
		"tls": {"mqtts://" + b.addrs.TLS[0].String(),
			"full     tcp TIME  tls TIME  connack TIME  total TIME  ping TIME  (TLS 1.3 TLS_AES_128_GCM_SHA256 X25519MLKEM768)\n" +
				"resumed  tcp TIME  tls TIME  connack TIME  total TIME  ping TIME  (TLS 1.3 TLS_AES_128_GCM_SHA256 X25519MLKEM768, resumed)\n"},
	} {
		args := []string{"ping", "--url", k.url}
		if encrypted(k.url) {
			args = append(args, "--cafile", b.ca)
		}
		got := ngmq(t.Context(), "", args...)
		assert.Equal(t, exitOK, got.status, got.stderr)
		head, rest, _ := strings.Cut(got.stdout, "\n")
		assert.Contains(t, head, k.url+" (127.0.0.1:", name)
		assert.Equal(t, k.want, masked(rest, times), name)
	}
}

func TestPingRepeats(t *testing.T) {
	b := startLoopback(t)
	got := ngmq(t.Context(), "", append([]string{"ping", "-C", "3", "--interval", "0.001", "-V", "31"}, b.host()...)...)
	assert.Equal(t, exitOK, got.status, got.stderr)
	assert.Equal(t, 1+3+1+1, strings.Count(got.stdout, "\n"))
	assert.Contains(t, got.stdout, "medians:\nfull     tcp")
	assert.Len(t, b.connects, 3)
}

func TestPingFails(t *testing.T) {
	b := startLoopback(t)
	b.refuse = packet.NotAuthorized
	got := ngmq(t.Context(), "", append([]string{"ping"}, b.host()...)...)
	assert.Equal(t, exitRefused, got.status)
	assert.Contains(t, got.stderr, "-u and -P")

	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer silent.Close()
	longEnough(t, func(seconds string) bool {
		got = ngmq(t.Context(), "", "ping", "-W", seconds, "-L", "mqtt://"+silent.Addr().String())
		assert.Equal(t, exitNoServer, got.status)
		return strings.Contains(got.stderr, "connack: ")
	})
	assert.Equal(t, exitUsage, ngmq(t.Context(), "", "ping", "-C", "0").status)
}

// What is promised for every connection holds for ping and bench too.
func TestKeyLogs(t *testing.T) {
	b := startServer(t, nil)
	for _, args := range []string{"ping", "bench conn"} {
		for name, url := range secureURLs(b) {
			file := filepath.Join(t.TempDir(), name)
			got := ngmq(t.Context(), "", append(strings.Fields(args), "--url", url, "--cafile", b.ca, "--keylog-file", file)...)
			assert.Equal(t, exitOK, got.status, got.stderr)
			assert.Contains(t, got.stderr, "can decrypt")
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			assert.Contains(t, string(text), "CLIENT_TRAFFIC_SECRET_0", url)
		}
	}
}
