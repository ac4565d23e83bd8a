package server_test

import (
	"bytes"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/server"
	"github.com/ngmq/ngmq/server/internal/mqtttest"
)

// How a client is connected is the same in the API and in the log, for each transport.
func TestLookup(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	s := start(t, server.Config{Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	_, ok := s.Lookup("nobody")
	assert.False(t, ok)
	for _, transport := range transports {
		c := connected(t, s, transport, packet.V50, transport)
		state, ok := s.Lookup(transport)
		require.True(t, ok)
		assert.Equal(t, transport, state.Client.ID)
		assert.Equal(t, transport, state.Client.Conn.Transport)
		assert.Equal(t, 1, state.Streams)
		if transport != "unix" {
			assert.Equal(t, c.Conn().LocalAddr().String(), state.Client.Conn.Remote.String())
		}
		if info := state.Client.Conn.TLS; info != nil {
			assert.Equal(t, "TLS 1.3", info.Version)
			assert.False(t, info.Resumed)
			assert.False(t, info.EarlyData)
		}
		c.Send(&packet.Disconnect{})
		c.ExpectEnd()
		require.Eventually(t, func() bool { _, ok := s.Lookup(transport); return !ok }, mqtttest.Patience, 1e6)
	}
	s.stop()
	require.NoError(t, s.wait(t))
	for _, transport := range transports {
		line := "client=" + transport + " version=5.0 session_present=false transport=" + transport + " remote="
		assert.Contains(t, log.String(), line)
	}
	assert.Contains(t, log.String(), ` tls="TLS 1.3" resumed=false early_data=false`)
}
