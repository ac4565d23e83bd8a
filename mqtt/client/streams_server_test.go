//go:build !noquic

package client_test

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/crypto"
	"github.com/ngmq/ngmq/mqtt/client"
	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/server"
)

const patience = 30 * time.Second

// serve is a server of ours on QUIC, and the options of a client that trusts it.
func serve(t *testing.T) client.Options {
	t.Helper()
	_, o := serveWith(t, server.Config{})
	return o
}

// serveWith is serve with more to say about the server.
func serveWith(t *testing.T, cfg server.Config) (*server.Server, client.Options) {
	t.Helper()
	cert, err := crypto.GenerateDevCert(t.TempDir())
	require.NoError(t, err)
	cfg.QUIC, cfg.TCP = []string{"127.0.0.1:0"}, []string{server.Off}
	if cfg.CertFile == "" {
		cfg.CertFile, cfg.KeyFile = cert.CertFile, cert.KeyFile
	}
	s, err := server.New(cfg)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() { cancel(); assert.NoError(t, <-ended) })
	return s, client.Options{
		Servers: []string{"quic://" + s.Addrs().QUIC[0].String()},
		TLS:     client.TLS{CAFile: cert.CAFile},
	}
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func connect(t *testing.T, o client.Options) *client.Client {
	t.Helper()
	c, err := client.New(o)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	_, err = c.Connect(within(t))
	require.NoError(t, err)
	return c
}

// TestStreams: with every mode and QoS, with and without queue, all messages of all topics arrive, each
// topic in its order, over several streams.
func TestStreams(t *testing.T) {
	base := serve(t)
	for _, mode := range []client.Streams{client.SingleStream, client.StreamPerQoS, client.StreamPerTopic, client.StreamNamed} {
		for _, reconnect := range []bool{false, true} {
			t.Run(fmt.Sprint(mode, reconnect), func(t *testing.T) {
				const topics, each = 8, 30
				root := t.Name()
				got := make(chan client.Message, topics*each)
				o := base
				o.Streams, o.Reconnect, o.OnMessage = mode, reconnect, func(m client.Message) { got <- m }
				sub := connect(t, o)
				o.OnMessage = nil
				pub := connect(t, o)
				for i := range topics {
					filter := packet.Subscription{Filter: fmt.Sprint(root, "/", i), QoS: byte(i % 3)}
					_, err := sub.SubscribeOn(within(t), fmt.Sprint("s", i%4), nil, filter)
					require.NoError(t, err)
				}
				var all sync.WaitGroup
				for i := range topics {
					all.Go(func() {
						for n := range each {
							m := client.Message{Topic: fmt.Sprint(root, "/", i), Payload: []byte(fmt.Sprint(n)), QoS: byte(i % 3), Stream: fmt.Sprint("p", i%4)}
							_, err := pub.Publish(within(t), m)
							assert.NoError(t, err)
						}
					})
				}
				next := map[string]int{}
				for range topics * each {
					select {
					case m := <-got:
						require.Equal(t, fmt.Sprint(next[m.Topic]), string(m.Payload), m.Topic)
						next[m.Topic]++
					case <-time.After(patience):
						require.FailNow(t, "messages are missing", "%v", next)
					}
				}
				all.Wait()
				for _, c := range []*client.Client{sub, pub} {
					info, err := c.Connection(within(t))
					require.NoError(t, err)
					if mode == client.SingleStream {
						assert.Equal(t, 1, info.Streams)
					} else {
						assert.GreaterOrEqual(t, info.Streams, 3)
					}
					_, err = c.Unsubscribe(within(t), root+"/1")
					require.NoError(t, err)
					require.NoError(t, c.Disconnect(within(t)))
				}
			})
		}
	}
}

// TestStreamsLastWords: what was published on data streams is there although DISCONNECT comes on
// another stream; and a session that is resumed has the subscriptions that were made on data streams.
func TestStreamsLastWords(t *testing.T) {
	o := serve(t)
	o.Streams, o.ClientID, o.ResumeSession, o.SessionExpiry = client.StreamPerTopic, "sub", true, 60
	got := make(chan client.Message, 100)
	o.OnMessage = func(m client.Message) { got <- m }
	sub := connect(t, o)
	for i := range 5 {
		_, err := sub.Subscribe(within(t), packet.Subscription{Filter: fmt.Sprint("last/", i), QoS: 1})
		require.NoError(t, err)
	}
	require.NoError(t, sub.Disconnect(within(t)))
	o.ClientID, o.OnMessage = "pub", nil
	pub := connect(t, o)
	for i := range 5 {
		_, err := pub.Publish(within(t), client.Message{Topic: fmt.Sprint("last/", i), Payload: make([]byte, 100_000)})
		require.NoError(t, err)
		_, err = pub.PublishAsync(within(t), client.Message{Topic: fmt.Sprint("last/", i), QoS: 1})
		require.NoError(t, err)
	}
	require.NoError(t, pub.Disconnect(within(t)))
	ack, err := sub.Connect(within(t))
	require.NoError(t, err)
	assert.True(t, ack.SessionPresent)
	seen := map[string]int{}
	for range 5 { // QoS 0 is not kept for who is away, QoS 1 is
		select {
		case m := <-got:
			seen[m.Topic]++
		case <-time.After(patience):
			require.FailNow(t, "messages are missing", "%v", seen)
		}
	}
	assert.Len(t, seen, 5)
}

// TestRebind: the connection goes on from another address, with its subscriptions.
func TestRebind(t *testing.T) {
	o := serve(t)
	got := make(chan client.Message, 9)
	o.OnMessage = func(m client.Message) { got <- m }
	c := connect(t, o)
	_, err := c.Subscribe(within(t), packet.Subscription{Filter: "a", QoS: 1})
	require.NoError(t, err)
	before, err := c.Connection(within(t))
	require.NoError(t, err)
	require.NoError(t, c.Rebind(within(t), netip.MustParseAddrPort("127.0.0.2:0")))
	after, err := c.Connection(within(t))
	require.NoError(t, err)
	assert.NotEqual(t, before.Local.String(), after.Local.String())
	assert.Contains(t, after.Local.String(), "127.0.0.2:")
	_, err = c.Publish(within(t), client.Message{Topic: "a", QoS: 1})
	require.NoError(t, err)
	assert.Equal(t, "a", (<-got).Topic)
	assert.Positive(t, after.QUIC.RTT)
	assert.Greater(t, after.QUIC.PacketsSent, before.QUIC.PacketsSent)
	assert.Equal(t, 1, after.Streams)
	require.NoError(t, c.Disconnect(within(t)))
	_, err = c.Connection(within(t))
	assert.ErrorIs(t, err, client.ErrNotConnected)
	assert.ErrorIs(t, c.Rebind(within(t), netip.AddrPort{}), client.ErrNotConnected)
}
