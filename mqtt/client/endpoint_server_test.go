//go:build !noquic

package client_test

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/crypto"
	"github.com/ngmq/ngmq/mqtt/client"
	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/server"
)

// sharedEndpoint is one that the test ends.
func sharedEndpoint(t *testing.T) *client.Endpoint {
	t.Helper()
	e, err := client.NewEndpoint(client.EndpointOptions{})
	require.NoError(t, err)
	t.Cleanup(func() { e.Shutdown(within(t)) })
	return e
}

func localPort(t *testing.T, c *client.Client) int {
	t.Helper()
	info, err := c.Connection(within(t))
	require.NoError(t, err)
	return info.Local.(*net.UDPAddr).Port
}

// TestEndpointOfSeveralClients: they share a socket; what one does is nothing to the others.
func TestEndpointOfSeveralClients(t *testing.T) {
	s, o := serveWith(t, server.Config{Datagrams: server.DatagramsAlways})
	e := sharedEndpoint(t)
	o.Endpoint = e
	got := make(chan string, 10)
	o.OnMessage = func(m client.Message) { got <- string(m.Payload) }
	clients := []*client.Client{connect(t, o), connect(t, o)}
	o.Datagrams = true
	clients = append(clients, connect(t, o))
	for _, c := range clients {
		assert.Equal(t, localPort(t, clients[0]), localPort(t, c))
		_, err := c.Subscribe(within(t), packet.Subscription{Filter: "a"})
		require.NoError(t, err)
	}
	require.NoError(t, clients[0].Rebind(within(t), netip.AddrPort{}))
	assert.NotEqual(t, localPort(t, clients[0]), localPort(t, clients[1]))
	for _, text := range []string{"1", "2"} {
		_, err := clients[1].Publish(within(t), client.Message{Topic: "a", Payload: []byte(text)})
		require.NoError(t, err)
		for range clients {
			assert.Equal(t, text, next(t, got))
		}
		require.NoError(t, clients[0].Close())
		clients = clients[1:]
	}
	assert.EqualValues(t, 2, s.Stats().DatagramsSent, "to the one that takes them")
}

// TestEndpointEnds: with it the connections, and nothing can be dialled on it any more.
func TestEndpointEnds(t *testing.T) {
	o := serve(t)
	e := sharedEndpoint(t)
	o.Endpoint = e
	lost := make(chan string, 1)
	o.OnConnectionLost = func(error) { lost <- "" }
	c := connect(t, o)
	d := client.Dialer{TLS: o.TLS, Endpoint: e}
	nc, err := d.Dial(within(t), o.Servers[0])
	require.NoError(t, err)
	require.NoError(t, nc.Close())
	require.NoError(t, e.Shutdown(within(t)))
	next(t, lost)
	_, err = c.Connect(within(t))
	assert.ErrorIs(t, err, client.ErrEndpointClosed)
	require.NoError(t, e.Shutdown(within(t)))

	_, err = client.NewEndpoint(client.EndpointOptions{Workers: -1})
	assert.ErrorContains(t, err, "Workers")
	o.QlogDir = t.TempDir()
	_, err = client.New(o)
	assert.ErrorContains(t, err, "EndpointOptions")
}

// TestEndpointReadsNewCertificates: the CA file may change while clients come and go.
func TestEndpointReadsNewCertificates(t *testing.T) {
	ca := filepath.Join(t.TempDir(), "ca.pem")
	e := sharedEndpoint(t)
	for range 2 {
		cert, err := crypto.GenerateDevCert(t.TempDir())
		require.NoError(t, err)
		text, err := os.ReadFile(cert.CAFile)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(ca+".new", text, 0o600))
		require.NoError(t, os.Rename(ca+".new", ca))
		_, o := serveWith(t, server.Config{CertFile: cert.CertFile, KeyFile: cert.KeyFile})
		o.TLS.CAFile, o.Endpoint = ca, e
		for range 2 {
			connect(t, o)
		}
	}
}
