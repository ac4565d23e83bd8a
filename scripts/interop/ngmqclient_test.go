package interop

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/quic-go/quic-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	xquic "golang.org/x/net/quic"

	ngmq "github.com/ngmq/ngmq/mqtt/client"
	"github.com/ngmq/ngmq/mqtt/packet"
)

// ngmqClient is our client library on its QUIC transport, MQTT 5.0.
type ngmqClient struct {
	client *ngmq.Client
	in     chan message
}

// ngmqOn is the stack that dials addr with our client library.
func ngmqOn(name, addr string) stack {
	return stack{
		name: name, addr: addr,
		new: func(_ dialer, o options) client { return newNgmqClient("quic://"+addr, o) },
		via: func(addr string) stack { return ngmqOn(name, addr) },
	}
}

// ngmqAt is our client library with a server of any scheme.
func ngmqAt(name, url string) stack {
	return stack{name: name, new: func(_ dialer, o options) client { return newNgmqClient(url, o) }}
}

func newNgmqClient(url string, o options) client {
	c := &ngmqClient{in: make(chan message, 20_000)}
	opts := ngmq.Options{
		Servers:  []string{url},
		ClientID: o.id, ResumeSession: o.persistent, OnMessage: c.onMessage,
	}
	if encrypted(url) {
		opts.TLS = ngmq.TLS{CAFile: broker.ca, ServerName: "localhost"}
	}
	if o.persistent {
		opts.SessionExpiry = 3600
	}
	if w := o.will; w != nil {
		opts.Will = &packet.Will{Topic: w.topic, Payload: []byte(w.payload), QoS: w.qos, Retain: w.retain}
	}
	var err error
	if c.client, err = ngmq.New(opts); err != nil {
		panic(err) // options written in this package
	}
	return c
}

// encrypted says whether a URL leads to TLS, where a CA file is needed, and not refused.
func encrypted(url string) bool {
	return slices.ContainsFunc([]string{"quic://", "mqtts://", "wss://"}, func(s string) bool { return strings.HasPrefix(url, s) })
}

func (c *ngmqClient) onMessage(m ngmq.Message) {
	c.in <- message{topic: m.Topic, payload: string(m.Payload), qos: m.QoS, retain: m.Retain}
}

func (c *ngmqClient) connect(ctx context.Context) (bool, error) {
	ack, err := c.client.Connect(ctx)
	return ack.SessionPresent, err
}

func (c *ngmqClient) publish(ctx context.Context, m message) error {
	_, err := c.client.Publish(ctx, ngmq.Message{Topic: m.topic, Payload: []byte(m.payload), QoS: m.qos, Retain: m.retain})
	return err
}

// subscribe tries again when mochi-mqtt takes an identifier of its own messages for one of ours: the
// two directions do not share them (MQTT 5.0 section 2.2.1).
func (c *ngmqClient) subscribe(ctx context.Context, filter string, qos byte) (byte, error) {
	for {
		codes, err := c.client.Subscribe(ctx, packet.Subscription{Filter: filter, QoS: qos})
		var refused *ngmq.ReasonError
		switch {
		case err == nil:
			return byte(codes[0]), nil
		case !errors.As(err, &refused) || refused.Code != packet.PacketIdentifierInUse:
			return 0, err
		}
	}
}

func (c *ngmqClient) unsubscribe(ctx context.Context, filter string) error {
	_, err := c.client.Unsubscribe(ctx, filter)
	return err
}

func (c *ngmqClient) received() <-chan message { return c.in }
func (c *ngmqClient) drop()                    { c.client.Close() }
func (c *ngmqClient) disconnect() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c.client.Disconnect(ctx)
}

// The rows of our client with servers of others.
const (
	oursQuicGo = "ngmq client with quic-go + mochi-mqtt (QUIC)"
	oursXNet   = "ngmq client with x/net/quic + mochi-mqtt (QUIC)"
)

// TestOurClient: our client library and our tool on QUIC with servers that are not ours.
func TestOurClient(t *testing.T) {
	quicGo := serveQuicGo(t, "127.0.0.1:0", &quic.Transport{}, &quic.Config{MaxIdleTimeout: idle})
	xnet := serveXNet(t, "127.0.0.1:0", &xquic.Config{MaxIdleTimeout: idle})
	for _, s := range []stack{ngmqOn(oursQuicGo, quicGo.Addr().String()), ngmqOn(oursXNet, xnet.Addr().String())} {
		ourClientCases(t, s)
		if s.name == oursQuicGo { // x/net/quic: "Address migration is not supported"
			proves(t, s.name, "NAT rebinding", func(t *testing.T) { caseRebinding(t, s) })
		}
	}
	for name, addr := range map[string]string{"quic-go": quicGo.Addr().String(), "x/net/quic": xnet.Addr().String()} {
		for _, version := range versions {
			name := fmt.Sprintf("ngmq %s -> %s + mochi-mqtt (QUIC)", version, name)
			ourToolCases(t, ngmqTool(t, name, "quic://"+localhost(t, addr), version, "--cafile", broker.ca))
		}
	}
}

// ourLibraryCases are those for a stack on any transport.
func ourLibraryCases(t *testing.T, s stack) {
	for _, c := range []struct {
		name string
		run  func(*testing.T, stack)
	}{
		{"connect", caseConnect},
		{"QoS 0/1/2 x 0/1/2", caseQoS},
		{"unsubscribe", caseUnsubscribe},
		{"retained", caseRetained},
		{"will", caseWill},
		{"session resumed", caseSessionUnordered},
		{"takeover", caseTakeover},
		{"1 MB messages", caseLarge},
	} {
		proves(t, s.name, c.name, func(t *testing.T) { c.run(t, s) })
	}
}

func ourClientCases(t *testing.T, s stack) {
	ourLibraryCases(t, s)
	for qos := byte(1); qos <= 2; qos++ {
		proves(t, s.name, fmt.Sprintf("QoS %d over a bad path", qos), func(t *testing.T) {
			lossy(t, s.via(startProxy(t, s.addr).Addr()), qos)
		})
	}
}

func ourToolCases(t *testing.T, c tool) {
	proves(t, c.name, "QoS 0/1/2 x 0/1/2", func(t *testing.T) { exchange(t, c, c) })
	proves(t, c.name, "retained", func(t *testing.T) { toolRetained(t, c) })
	proves(t, c.name, "500 lines in order", func(t *testing.T) { toolLines(t, c) })
}

// caseSessionUnordered is caseSession for mochi-mqtt, which sends what was queued within one second
// in any order.
func caseSessionUnordered(t *testing.T, s stack) {
	const count = 20
	topic := unique("interop/session")
	o := options{id: unique("interop"), persistent: true}
	first := s.open(t, o)
	subscribe(t, first, topic, 2)
	first.drop()

	pub := s.open(t, options{})
	want := make([]string, count)
	for i := range want {
		want[i] = strconv.Itoa(i)
		publish(t, pub, message{topic: topic, payload: want[i], qos: byte(1 + i%2)})
	}
	second, present := s.openSession(t, o)
	require.True(t, present, "the session was kept")
	got := make([]string, count)
	for i := range got {
		got[i] = next(t, second).payload
	}
	slices.Sort(want)
	slices.Sort(got)
	assert.Equal(t, want, got)
	nothingMore(t, second)
}

// TestOurClientAsksForDatagrams: a server that knows none is not troubled by the wish, and gets the stream.
func TestOurClientAsksForDatagrams(t *testing.T) {
	server := serveQuicGo(t, "127.0.0.1:0", &quic.Transport{}, &quic.Config{MaxIdleTimeout: idle})
	url, in := "quic://"+server.Addr().String(), make(chan ngmq.Message, 1)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := ngmq.Dial(ctx, url, ngmq.Options{
		TLS: ngmq.TLS{CAFile: broker.ca, ServerName: "localhost"}, Datagrams: true,
		OnMessage: func(m ngmq.Message) { in <- m },
	})
	require.NoError(t, err)
	defer c.Close()
	topic := unique("interop/datagram")
	_, err = c.Subscribe(ctx, packet.Subscription{Filter: topic})
	require.NoError(t, err)
	_, err = c.Publish(ctx, ngmq.Message{Topic: topic, Payload: []byte("on the stream")})
	require.NoError(t, err)
	select {
	case m := <-in:
		assert.Equal(t, "on the stream", string(m.Payload))
	case <-ctx.Done():
		require.FailNow(t, "nothing came")
	}
	info, err := c.Connection(ctx)
	require.NoError(t, err)
	assert.Zero(t, info.QUIC.Datagrams)
}
