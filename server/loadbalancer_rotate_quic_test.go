//go:build !noquic

package server_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/server"
	"github.com/ngmq/ngmq/server/internal/mqtttest"
)

// A server that runs takes another key into use when the file has one with another config
// number, and keeps its own when it has not.
func TestLoadBalancerKeyWhileServing(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "key")
	write := func(text string) { require.NoError(t, os.WriteFile(file, []byte(text), 0o600)) }
	said := func(log *mqtttest.Log, text string) {
		require.Eventually(t, func() bool { return strings.Contains(log.String(), text) }, mqtttest.Patience, time.Millisecond)
	}
	write(strings.Repeat("5e", 16))
	var log mqtttest.Log
	s := starting(t, server.Config{QUIC: anyQUIC, TCP: anyPort, Logger: slog.New(slog.NewTextHandler(&log, nil)),
		LoadBalancer: &server.LoadBalancer{ServerID: []byte{1}, NonceLen: 8}, LoadBalancerKeyFile: file})
	first := client(t, s, "quic", packet.V50)
	first.ConnectAs("before")
	write(strings.Repeat("6f", 16))
	said(&log, "the same as before")
	write("1 " + strings.Repeat("7a", 16))
	said(&log, "the key for load balancers has changed")
	client(t, s, "quic", packet.V50).ConnectAs("after")
	first.Ping()
}
