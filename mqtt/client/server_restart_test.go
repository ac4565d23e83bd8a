//go:build !noquic

package client_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/crypto"
	"github.com/ngmq/ngmq/mqtt/client"
	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/mqtt/scram"
	"github.com/ngmq/ngmq/server"
)

// TestSCRAMWithServer: the right password, again on the same connection, and a wrong one.
func TestSCRAMWithServer(t *testing.T) {
	credential, err := scram.NewCredential("pencil", 0)
	require.NoError(t, err)
	s, err := server.New(server.Config{QUIC: []string{server.Off}, TCP: []string{"127.0.0.1:0"}, Authenticators: []server.Authenticator{server.SCRAM(scram.Users{"user": credential})}})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	defer func() { cancel(); assert.NoError(t, <-ended) }()
	c := connect(t, client.Options{Dial: s.Dial, Auth: client.SCRAM("user", "pencil")})
	require.NoError(t, c.Reauthenticate(within(t)))
	_, err = c.Publish(within(t), client.Message{Topic: "a", QoS: 1})
	require.NoError(t, err)
	require.NoError(t, c.Disconnect(within(t)))

	wrong, err := client.New(client.Options{Dial: s.Dial, Auth: client.SCRAM("user", "pen")})
	require.NoError(t, err)
	_, err = wrong.Connect(within(t))
	var refused *client.ReasonError
	require.ErrorAs(t, err, &refused)
	assert.Equal(t, packet.NotAuthorized, refused.Code)
}

// TestServerRestarts: a server comes back without its sessions. The subscriber notices a
// pause; what a publisher had in its file meanwhile arrives, in order.
func TestServerRestarts(t *testing.T) {
	cert, err := crypto.GenerateDevCert(t.TempDir())
	require.NoError(t, err)
	addr := "127.0.0.98:0" // where nobody else is given the port while the server is away
	run := func() (stop func()) {
		s, err := server.New(server.Config{QUIC: []string{addr}, TCP: []string{server.Off}, CertFile: cert.CertFile, KeyFile: cert.KeyFile})
		require.NoError(t, err)
		addr = s.Addrs().QUIC[0].String()
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		return func() { cancel(); assert.NoError(t, <-ended) }
	}
	stop := run()
	up, got := make(chan bool, 9), make(chan string, 99)
	o := client.Options{
		Servers: []string{"quic://" + addr}, TLS: client.TLS{CAFile: cert.CAFile, ServerName: "localhost"}, ClientID: "sub", ResumeSession: true, SessionExpiry: 60,
		Reconnect: true, Backoff: client.Backoff{Min: 20 * time.Millisecond, Max: 20 * time.Millisecond}, ConnectTimeout: 5 * time.Second, Streams: client.StreamPerTopic,
		OnConnected: func(packet.Connack) { up <- true }, OnConnectionLost: func(error) { up <- false },
		OnMessage: func(m client.Message) { got <- string(m.Payload) },
	}
	sub := connect(t, o)
	_, err = sub.Subscribe(within(t), packet.Subscription{Filter: "n", QoS: 2})
	require.NoError(t, err)
	await := func(want bool) {
		select {
		case is := <-up:
			require.Equal(t, want, is)
		case <-time.After(patience):
			require.FailNow(t, "no change")
		}
	}
	await(true)
	o.ClientID, o.Queue.File, o.OnMessage, o.OnConnected, o.OnConnectionLost = "pub", filepath.Join(t.TempDir(), "queue"), nil, nil, nil
	next, arrived := 0, 0
	publish := func(c *client.Client) {
		for range 10 {
			_, err := c.PublishAsync(within(t), client.Message{Topic: "n", Payload: fmt.Append(nil, next), QoS: 2})
			require.NoError(t, err)
			next++
		}
	}
	arrive := func() {
		for ; arrived < next; arrived++ {
			require.Equal(t, fmt.Sprint(arrived), receive(t, got))
		}
	}
	pub := connect(t, o)
	publish(pub)
	arrive()
	require.NoError(t, pub.Disconnect(within(t)))
	require.NoError(t, pub.Close())
	stop()
	await(false)
	pub, err = client.New(o) // the next program
	require.NoError(t, err)
	defer pub.Close()
	publish(pub)
	stop = run()
	defer func() { stop() }()
	await(true)
	_, err = sub.Subscribe(within(t), packet.Subscription{Filter: "n", QoS: 2}) // it has been; this waits until the server knows
	require.NoError(t, err)
	require.NoError(t, pub.Start())
	arrive()
	require.NoError(t, pub.Disconnect(within(t)))
	require.NoError(t, sub.Disconnect(within(t)))
}

func receive(t *testing.T, ch <-chan string) string {
	t.Helper()
	select {
	case m := <-ch:
		return m
	case <-time.After(patience):
		require.FailNow(t, "nothing came")
		return ""
	}
}
