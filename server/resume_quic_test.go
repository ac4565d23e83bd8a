//go:build !noquic

package server_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
	"github.com/ngmq/ngmq/server"
	"github.com/ngmq/ngmq/server/internal/mqtttest"
)

// A client that has been here before resumes its TLS session, and gets its CONNACK;
// early data is not offered.
func TestResumedConnect(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{})
	s.startClients(t)
	sessions := make(chan []byte, 10)
	cfg := endpoint.DialConfig{TLS: s.trust, EarlyData: true, OnSession: func(b []byte) { sessions <- b }}
	for round := range 3 {
		ctx, cancel := context.WithTimeout(context.Background(), mqtttest.Patience)
		defer cancel()
		conn, err := s.clients.DialConn(ctx, s.Addrs().QUIC[0].String(), cfg)
		require.NoError(t, err)
		assert.Equal(t, round > 0, conn.TLS().Resumed, "complete when Dial returns: no early data")
		assert.True(t, conn.TLS().Verified)
		c := mqtttest.New(t, conn, packet.V50)
		c.Connect(&packet.Connect{ClientID: "returning", CleanStart: true})
		c.Subscribe("t", 0)
		c.Publish("t", "hello", 1)
		c.ExpectMessage("t", "hello")
		require.NoError(t, conn.Handshake(ctx))
		assert.False(t, conn.TLS().EarlyData || conn.TLS().EarlyDataRejected)
		select {
		case cfg.Session = <-sessions:
		case <-time.After(mqtttest.Patience):
			require.Fail(t, "no ticket came")
		}
		require.NoError(t, conn.Close())
	}
	stats := s.clients.Stats()
	assert.EqualValues(t, 2, stats.Count(endpoint.HandshakesResumed))
	assert.EqualValues(t, 1, stats.Count(endpoint.HandshakesFull))
	assert.Zero(t, stats.Count(endpoint.EarlyDataAccepted)+stats.Count(endpoint.EarlyDataRejected))
}
