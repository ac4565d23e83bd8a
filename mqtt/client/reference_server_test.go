//go:build !noquic

package client_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/crypto"
	"github.com/ngmq/ngmq/mqtt/client"
	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/server"
)

// TestReferencesOfServer: over QUIC, a server refers the client at its CONNECT, and the next one sends it back
// while it is connected; its subscription goes with it.
func TestReferencesOfServer(t *testing.T) {
	cert, err := crypto.GenerateDevCert(t.TempDir())
	require.NoError(t, err)
	there, o := serveWith(t, server.Config{CertFile: cert.CertFile, KeyFile: cert.KeyFile})
	thereURL := "quic://" + there.Addrs().QUIC[0].String()
	refuse := true
	here, _ := serveWith(t, server.Config{CertFile: cert.CertFile, KeyFile: cert.KeyFile, Handlers: server.Handlers{
		Connect: func(*server.ConnectEvent) error {
			if refuse {
				refuse = false
				return server.Redirect(packet.UseAnotherServer, "mqtt://"+there.Addrs().QUIC[0].String()+" "+thereURL)
			}
			return nil
		},
	}})
	hereURL := "quic://" + here.Addrs().QUIC[0].String()
	connected, got := make(chan string, 5), make(chan string, 5)
	o.TLS.CAFile, o.Servers, o.FollowReference = cert.CAFile, []string{hereURL}, true
	o.ClientID, o.Reconnect = "roaming", true
	o.OnMessage = func(m client.Message) { got <- m.Topic }
	o.OnConnected = func(packet.Connack) { connected <- "" }
	c := connect(t, o)
	assert.Equal(t, thereURL, c.Stats().Server)
	next(t, connected)
	_, err = c.Subscribe(within(t), packet.Subscription{Filter: "a"})
	require.NoError(t, err)

	require.True(t, there.DisconnectFor("roaming", server.Redirect(packet.ServerMoved, here.Addrs().QUIC[0].String())))
	next(t, connected)
	assert.Equal(t, hereURL, c.Stats().Server)
	_, err = c.Publish(within(t), client.Message{Topic: "a", QoS: 1})
	require.NoError(t, err)
	assert.Equal(t, "a", next(t, got))
}
