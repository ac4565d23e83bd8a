//go:build !noquic

package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/client"
	"github.com/ngmq/ngmq/server"
)

var (
	transports = []string{"quic", "tcp", "tls", "ws", "wss", "unix"}
	anyQUIC    = []string{"--quic", "127.0.0.1:0"}
)

const (
	badQUIC      = "--allow-anonymous" // in what is said about --quic :0
	versionLines = `^ngmqd \S+\nngtcp2 1\.\d+\.\d+\S*\nOpenSSL \d+\.\d+`
)

// over connects to p over QUIC, publishes a message and disconnects.
func over(t *testing.T, p *process, opts client.Options) {
	t.Helper()
	opts.TLS.CAFile = filepath.Join(p.home(), ".local", "share", "ngmq", "dev-ca.crt")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := client.Dial(ctx, "quic://"+p.ready(t)["quic"], opts)
	require.NoError(t, err)
	_, err = c.Publish(ctx, client.Message{Topic: "t", Payload: []byte("hello"), QoS: 1})
	require.NoError(t, err)
	require.NoError(t, c.Disconnect(ctx))
}

// Each connection has a qlog file of its own, which is complete while the server goes on.
func TestQlogDir(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "qlog")
	p := command(t, []string{"NGMQ_QLOG_DIR=" + dir}, anyPorts...)
	theirs := t.TempDir()
	for range 2 {
		over(t, p, client.Options{QlogDir: theirs})
	}
	clients, err := filepath.Glob(filepath.Join(theirs, "*_client.sqlog"))
	require.NoError(t, err)
	require.Len(t, clients, 2)
	for _, file := range clients {
		odcid := strings.TrimSuffix(filepath.Base(file), "_client.sqlog")
		require.Eventually(t, func() bool {
			text, err := os.ReadFile(filepath.Join(dir, odcid+"_server.sqlog"))
			return err == nil && bytes.HasPrefix(text, []byte("\x1e{\"qlog_format\"")) &&
				bytes.Contains(text, []byte(`"frame_type":"connection_close"`)) && bytes.HasSuffix(text, []byte("}\n"))
		}, patience, 10*time.Millisecond)
	}
	info, err := os.Stat(dir)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o700), info.Mode().Perm())
}

func TestLogQUIC(t *testing.T) {
	p := command(t, nil, append([]string{"--log-quic", "--log-level", "debug"}, anyPorts...)...)
	over(t, p, client.Options{})
	require.Eventually(t, func() bool { return strings.Contains(p.stderr.String(), `"msg":"ngtcp2: I`) }, patience, 10*time.Millisecond)
}

func TestQUICCountersAreLogged(t *testing.T) {
	p := command(t, nil, append([]string{"--log-level", "debug", "--retry", "always"}, anyPorts...)...)
	over(t, p, client.Options{})
	require.NoError(t, p.Process.Signal(syscall.SIGUSR1))
	quic := p.counters(t, "quic", "INFO")
	assert.NotZero(t, quic["retries"], "more than one when the client was not answered in a second")
	assert.EqualValues(t, 1, quic["accepted"])
	assert.Contains(t, p.counters(t, "quic drops", "INFO"), "malformed")
	require.NoError(t, p.Process.Signal(syscall.SIGTERM))
	assert.Zero(t, p.status(t))
	quic = p.counters(t, "quic", "DEBUG")
	assert.Greater(t, quic["packets_sent"], 5.0)
	assert.Greater(t, quic["packets_received"], 5.0)
	closes := p.counters(t, "quic closes", "DEBUG")
	assert.EqualValues(t, 1, closes["close_sent_no_error"].(float64)+closes["close_received_no_error"].(float64))
}

func TestRetryNever(t *testing.T) {
	p := command(t, nil, append([]string{"--retry", "never"}, anyPorts...)...)
	over(t, p, client.Options{})
	require.NoError(t, p.Process.Signal(syscall.SIGUSR1))
	assert.EqualValues(t, 0, p.counters(t, "quic", "INFO")["retries"])
}

// home is the home directory that command made for p.
func (p *process) home() string {
	for _, v := range p.Env {
		if home, found := strings.CutPrefix(v, "HOME="); found {
			return home
		}
	}
	return ""
}

// With QUIC the scheduler has a P more than there are workers, unless GOMAXPROCS is set.
func TestQUICWorkers(t *testing.T) {
	t.Setenv("GOMAXPROCS", "")
	cores := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(cores)
	n, done := quicWorkers([]string{":14567"})
	assert.Equal(t, cores, n)
	assert.Equal(t, cores+1, runtime.GOMAXPROCS(0))
	done()

	unchanged := func(addr string) {
		cores := runtime.GOMAXPROCS(0)
		n, done := quicWorkers([]string{addr})
		defer done()
		assert.Equal(t, cores, n)
		assert.Equal(t, cores, runtime.GOMAXPROCS(0))
	}
	unchanged(server.Off)
	t.Setenv("GOMAXPROCS", "3")
	unchanged(":14567")
}
