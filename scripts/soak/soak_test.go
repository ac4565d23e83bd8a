package main

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// ngmqd is the server, built once.
var ngmqd string

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "ngmq-soak-test-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	ngmqd = filepath.Join(dir, "ngmqd")
	build := exec.Command("go", "build", "-o", ngmqd, "./cmd/ngmqd")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		panic(string(out))
	}
	return m.Run()
}

// short is a soak of a few seconds, with much happening.
func short(duration time.Duration) config {
	return config{ngmqd: ngmqd, clients: 84, duration: duration, rate: 800, every: time.Second, loss: 0.02, seed: 1, restarts: 1, settle: settleTime}
}

func run(t *testing.T, cfg config) (ok bool, report string) {
	t.Helper()
	var out bytes.Buffer
	ok, err := soak(t.Context(), cfg, &out)
	require.NoError(t, err, "%s", out.String())
	return ok, out.String()
}

func TestSoak(t *testing.T) {
	t.Parallel()
	ok, report := run(t, short(6*time.Second))
	assert.True(t, ok, "%s", report)
	assert.Contains(t, report, "PASS")
	for k := range kinds {
		assert.NotRegexp(t, `connections over `+k.String()+` +0\n`, report)
	}
	for _, row := range []string{"resumed sessions, takeovers", "TLS resumed, 0-RTT taken, refused", "migrations, failed", "NAT rebindings",
		"datagrams lost, swapped, relayed", "publishing streams reset", "subscribing streams ended", "datagrams with messages received",
		"messages in early data", "restarts of the server"} {
		assert.Regexp(t, row+` +[1-9]`, report)
	}
}

// The oracle finds a message that a client has kept from it, and one that it was told of twice.
func TestInjectedMistakesAreFound(t *testing.T) {
	for inject, want := range map[string]string{
		injectDrop:      `VIOLATION: soak-\d+: lost: message \d+ of client \d+ at QoS 2`,
		injectDuplicate: `VIOLATION: soak-\d+: duplicated: message \d+ of client \d+ at QoS 2`,
	} {
		t.Run(inject, func(t *testing.T) {
			t.Parallel()
			cfg := short(500 * time.Millisecond)
			cfg.inject, cfg.settle, cfg.restarts = inject, 2*time.Second, 0
			ok, report := run(t, cfg)
			assert.False(t, ok, "%s", report)
			assert.Regexp(t, want, report)
			assert.Contains(t, report, "FAIL: 1 violations")
			assert.Contains(t, report, "history of soak-")
		})
	}
}

func TestUnknownMistake(t *testing.T) {
	cfg := short(time.Second)
	cfg.inject = "delay"
	_, err := soak(t.Context(), cfg, &bytes.Buffer{})
	assert.ErrorContains(t, err, "drop or duplicate")
}

func TestServerThatDoesNotStart(t *testing.T) {
	cfg := short(time.Second)
	cfg.ngmqd = "/bin/false"
	_, err := soak(t.Context(), cfg, &bytes.Buffer{})
	assert.ErrorContains(t, err, "the server ended")
	cfg.ngmqd = filepath.Join(t.TempDir(), "missing")
	_, err = soak(t.Context(), cfg, &bytes.Buffer{})
	assert.ErrorContains(t, err, "make build")
}

func TestNATChangesAddresses(t *testing.T) {
	server, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	defer server.Close()
	n, err := newNAT(server.LocalAddr().String(), 0)
	require.NoError(t, err)
	defer n.close()
	client, err := net.Dial("udp", n.addr())
	require.NoError(t, err)
	defer client.Close()
	seen := make(map[string]bool)
	for _, c := range []net.Conn{client, server} {
		require.NoError(t, c.SetDeadline(time.Now().Add(time.Minute)))
	}
	buf := make([]byte, 10)
	for range 2 {
		_, err = client.Write([]byte("ask"))
		require.NoError(t, err)
		_, from, err := server.ReadFrom(buf)
		require.NoError(t, err)
		seen[from.String()] = true
		_, err = server.WriteTo([]byte("answer"), from)
		require.NoError(t, err)
		size, err := client.Read(buf)
		require.NoError(t, err)
		assert.Equal(t, "answer", string(buf[:size]))
		n.rebind()
	}
	assert.Len(t, seen, 2)
	assert.EqualValues(t, 2, n.rebound.Load())
}
