package interop

import (
	"context"
	"net"
	"net/url"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/paho"
	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/quic-go/quic-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	ngmq "github.com/ngmq/ngmq/mqtt/client"
	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
)

// ourConn is a QUIC connection of our Dialer.
type ourConn struct{ net.Conn }

// abort ends it as a crash would, but so that the server learns it.
func (c ourConn) abort() {
	conn := c.Conn.(interface{ Conn() *endpoint.Conn }).Conn()
	conn.Post(func() { conn.Close(endpoint.CodeAbnormal, "") })
}

// ourDialer is our Dialer for servers with our broker's certificate.
func ourDialer() *ngmq.Dialer {
	return &ngmq.Dialer{TLS: ngmq.TLS{CAFile: broker.ca, ServerName: "localhost"}}
}

func oursTo(addr string) dialer {
	d := ourDialer()
	return func(ctx context.Context) (abortableConn, error) {
		nc, err := d.Dial(ctx, "quic://"+addr)
		if err != nil {
			return nil, err
		}
		return ourConn{nc}, nil
	}
}

// TestPahoOnOurDialer: both Paho libraries for Go over QUIC, on connections of our Dialer.
func TestPahoOnOurDialer(t *testing.T) {
	for _, s := range []stack{
		onQUIC("paho.golang 5.0 on the ngmq Dialer (QUIC)", oursTo, newPaho5, broker.quic),
		onQUIC("paho.mqtt.golang 3.1.1 on the ngmq Dialer (QUIC)", oursTo, newPaho3, broker.quic),
	} {
		for _, c := range libraryCases {
			proves(t, s.name, c.name, func(t *testing.T) { c.run(t, s) })
		}
	}
}

// TestAutopahoOverQUIC is how a program that uses autopaho goes over to QUIC: one line,
// AttemptConnection. It reconnects by itself.
func TestAutopahoOverQUIC(t *testing.T) {
	dialer := ourDialer()
	server, err := url.Parse("quic://" + broker.quic)
	require.NoError(t, err)
	up, got, conns := make(chan struct{}, 9), make(chan string, 9), make(chan net.Conn, 9)
	config := autopaho.ClientConfig{
		ServerUrls: []*url.URL{server},
		AttemptConnection: func(ctx context.Context, _ autopaho.ClientConfig, u *url.URL) (net.Conn, error) {
			nc, err := dialer.Dial(ctx, u.String())
			conns <- nc
			return nc, err
		},
		KeepAlive: 30, ReconnectBackoff: autopaho.NewConstantBackoff(10 * time.Millisecond), ConnectTimeout: patience,
		OnConnectionUp: func(m *autopaho.ConnectionManager, _ *paho.Connack) {
			_, err := m.Subscribe(context.Background(), &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: "auto/paho", QoS: 1}}})
			assert.NoError(t, err)
			up <- struct{}{}
		},
		ClientConfig: paho.ClientConfig{
			ClientID: unique("autopaho"),
			OnPublishReceived: []func(paho.PublishReceived) (bool, error){func(r paho.PublishReceived) (bool, error) {
				got <- string(r.Packet.Payload)
				return true, nil
			}},
		},
	}
	m, err := autopaho.NewConnection(context.Background(), config)
	require.NoError(t, err)
	for _, text := range []string{"first", "after the connection was lost"} {
		take(t, up)
		_, err = m.Publish(within(t, patience), &paho.Publish{Topic: "auto/paho", QoS: 1, Payload: []byte(text)})
		require.NoError(t, err)
		assert.Equal(t, text, take(t, got))
		ourConn{take(t, conns)}.abort()
	}
	take(t, up)
	require.NoError(t, m.Disconnect(within(t, patience)))
}

// TestPahoMQTTOverQUIC is the same for paho.mqtt.golang: SetCustomOpenConnectionFn.
func TestPahoMQTTOverQUIC(t *testing.T) {
	dialer := ourDialer()
	got := make(chan string, 9)
	c := mqtt.NewClient(mqtt.NewClientOptions().
		AddBroker("quic://" + broker.quic).
		SetCustomOpenConnectionFn(func(u *url.URL, o mqtt.ClientOptions) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(context.Background(), o.ConnectTimeout)
			defer cancel()
			return dialer.Dial(ctx, u.String())
		}))
	require.NoError(t, wait(within(t, patience), c.Connect()))
	defer c.Disconnect(100)
	onMessage := func(_ mqtt.Client, m mqtt.Message) { got <- string(m.Payload()) }
	require.NoError(t, wait(within(t, patience), c.Subscribe("paho/quic", 1, onMessage)))
	require.NoError(t, wait(within(t, patience), c.Publish("paho/quic", 1, false, "hello")))
	assert.Equal(t, "hello", take(t, got))
}

// TestStreamsWithServerOfOne: our client wants many streams, and makes do with the one that
// mochi-mqtt behind quic-go reads.
func TestStreamsWithServerOfOne(t *testing.T) {
	s := serveQuicGo(t, "127.0.0.1:0", &quic.Transport{}, &quic.Config{MaxIdleTimeout: idle})
	got := make(chan string, 9)
	c, err := ngmq.Dial(within(t, patience), "quic://"+s.Addr().String(), ngmq.Options{
		TLS: ngmq.TLS{CAFile: broker.ca, ServerName: "localhost"}, Streams: ngmq.StreamPerTopic,
		OnMessage: func(m ngmq.Message) { got <- m.Topic },
	})
	require.NoError(t, err)
	_, err = c.Subscribe(within(t, patience), packet.Subscription{Filter: "many/#", QoS: 1})
	require.NoError(t, err)
	for _, topic := range []string{"many/1", "many/2"} {
		_, err = c.Publish(within(t, patience), ngmq.Message{Topic: topic, QoS: 1})
		require.NoError(t, err)
		assert.Equal(t, topic, take(t, got))
	}
	info, err := c.Connection(within(t, patience))
	require.NoError(t, err)
	assert.Equal(t, 1, info.Streams)
	require.NoError(t, c.Disconnect(within(t, patience)))
}

// take waits for a value.
func take[T any](t *testing.T, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		require.FailNow(t, "nothing came", "within %s", patience)
		panic("unreachable")
	}
}

// TestOurClientWithMochi: our client library over TCP.
func TestOurClientWithMochi(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	serveMochi(t, l)
	s := ngmqAt("ngmq client with mochi-mqtt (TCP)", "mqtt://"+l.Addr().String())
	ourLibraryCases(t, s)
}
