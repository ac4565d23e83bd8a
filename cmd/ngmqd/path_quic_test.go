//go:build !noquic

package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/client"
	"github.com/ngmq/ngmq/server"
)

func TestPathFlags(t *testing.T) {
	key := filepath.Join(t.TempDir(), "key")
	require.NoError(t, os.WriteFile(key, []byte("8f95f09245765f80256934e50c66207f\n"), 0o600))
	f := pathFlags{QuicLBServerID: "0a01", QuicLBConfig: 3, QuicLBNonce: 9, QuicLBKeyFile: key, NoMigration: true, PreferredAddress: []string{"127.0.0.9:1"}, StreamClients: true, SingleSubscription: true, MqttNext: server.MQTTNextServerFlows}
	var c server.Config
	require.NoError(t, f.apply(&c))
	assert.Equal(t, &server.LoadBalancer{ID: 3, ServerID: []byte{10, 1}, NonceLen: 9}, c.LoadBalancer)
	assert.Equal(t, key, c.LoadBalancerKeyFile)
	assert.True(t, c.NoMigration)
	assert.True(t, c.StreamClients)
	assert.True(t, c.SingleSubscription)
	assert.Equal(t, server.MQTTNextServerFlows, c.MQTTNext)
	assert.Equal(t, []string{"127.0.0.9:1"}, c.PreferredAddrs)

	for want, f := range map[string]pathFlags{
		"two hexadecimal digits per byte": {QuicLBServerID: "xyz"},
		"without --quic-lb-server-id":     {QuicLBKeyFile: key},
		"have no effect":                  {QuicLBConfig: 3},
	} {
		assert.ErrorContains(t, f.apply(&c), want)
	}
}

// All of them at once: a client connects, and goes to the preferred address.
func TestPathFlagsServe(t *testing.T) {
	key := filepath.Join(t.TempDir(), "key")
	require.NoError(t, os.WriteFile(key, []byte(strings.Repeat("5e", 16)), 0o600))
	p := command(t, []string{"NGMQ_QUIC_LB_KEY_FILE=" + key}, append([]string{"--quic-lb-server-id", "0a01", "--quic-lb-nonce", "14", "--no-migration", "--stream-clients", "--single-subscription", "--mqtt-next", "server-flows", "--max-streams=8", "--max-uni-streams=-1",
		"--preferred-address", "127.0.0.7:0"}, anyPorts...)...)
	quic := strings.Split(p.ready(t)["quic"], ",")
	require.Len(t, quic, 2)
	assert.Contains(t, quic[1], "127.0.0.7:")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := client.Dial(ctx, "quic://"+quic[0], client.Options{TLS: client.TLS{CAFile: filepath.Join(p.home(), ".local", "share", "ngmq", "dev-ca.crt")}})
	require.NoError(t, err)
	require.NoError(t, c.Disconnect(ctx))
}

func TestPathFlagsWrong(t *testing.T) {
	p := command(t, nil, append([]string{"--quic-lb-server-id", "0a01", "--quic-lb-nonce", "2", "--quic-lb-config", "7"}, anyPorts...)...)
	assert.Equal(t, 1, p.status(t))
	for _, want := range []string{"NonceLen: 2: use 4 to 17", "ID: 7: use 0 to 6", "--quic-lb-nonce"} {
		assert.Contains(t, p.stderr.String(), want)
	}
}
