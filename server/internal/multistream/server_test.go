//go:build !noquic

package multistream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/crypto"
	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/mqtt/websocket"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
	"github.com/ngmq/ngmq/server"
	"github.com/ngmq/ngmq/server/internal/mqtttest"
)

// running is a server that a test has started, with the QUIC side of its clients.
type running struct {
	*server.Server
	clients *endpoint.Endpoint
	trust   *crypto.Context
	stop    func() // and waits for the end

	resumes bool // TLS sessions are resumed
	session atomic.Pointer[[]byte]
}

// directory holds the development certificate of all tests.
var directory = sync.OnceValue(func() string {
	dir, err := os.MkdirTemp("", "ngmq-multistream-")
	if err != nil {
		panic(err)
	}
	return dir
})

func TestMain(m *testing.M) {
	status := m.Run()
	os.RemoveAll(directory())
	os.Exit(status)
}

var making sync.Mutex // of the certificate

// start runs a server until the end of the test.
func start(t testing.TB, cfg server.Config) *running {
	t.Helper()
	anyPort := []string{"127.0.0.1:0"}
	if cfg.QUIC == nil {
		cfg.QUIC = anyPort
	}
	cfg.TCP, cfg.TLS, cfg.WS, cfg.WSS = anyPort, anyPort, anyPort, []string{server.Off}
	cfg.DataDir = directory()
	making.Lock()
	srv, err := server.New(cfg)
	making.Unlock()
	require.NoError(t, err)
	s := &running{Server: srv}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(ctx) }()
	s.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case <-ended:
		case <-time.After(mqtttest.Patience):
			t.Error("the server did not stop")
		}
	})
	t.Cleanup(s.stop)
	s.startClients(t, cfg.MQTTNext)
	return s
}

// startClients makes the QUIC side of the clients.
func (s *running) startClients(t testing.TB, next server.MQTTNext) {
	t.Helper()
	s.trust = s.offers(t, "mqtt")
	if next != server.MQTTNextOff {
		s.trust = s.offers(t, "mqtt", "MQTT-next")
	}
	var err error
	s.clients, err = endpoint.New(endpoint.Config{Workers: 1, CloseTimeout: 100 * time.Millisecond, MaxDatagram: 65535})
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), mqtttest.Patience)
		defer cancel()
		s.clients.Shutdown(ctx)
	})
}

// offers is the TLS of clients that offer these ALPNs.
func (s *running) offers(t testing.TB, alpn ...string) *crypto.Context {
	t.Helper()
	trust, err := crypto.NewContext(crypto.Config{Role: crypto.Client, CAFile: s.CAFile(), ALPN: alpn})
	require.NoError(t, err)
	t.Cleanup(trust.Close)
	return trust
}

// client is an MQTT client over QUIC with a control stream and further ones.
type client struct {
	*mqtttest.Client // the control stream
	t                testing.TB
	l                *link
	version          packet.Version
}

// dial opens a connection with its control stream; CONNECT is not sent yet.
func (s *running) dial(t testing.TB, v packet.Version) *client {
	t.Helper()
	return clientOn(t, dialLink(t, s), v)
}

// clientOn is the client on a connection of its own.
func clientOn(t testing.TB, l *link, v packet.Version) *client {
	t.Helper()
	return &client{mqtttest.New(t, l.open(t, false, nil), v), t, l, v}
}

// connect connects a 5.0 client with a session that lasts.
func (s *running) connect(t testing.TB, id string) (*client, *packet.Connack) {
	t.Helper()
	c := s.dial(t, packet.V50)
	return c, c.Connect(lasting(id))
}

// lasting is a CONNECT for a session that outlives its connection.
func lasting(id string) *packet.Connect {
	return &packet.Connect{ClientID: id, Properties: packet.AppendUint32(nil, packet.SessionExpiryInterval, 1000)}
}

// stream opens a data stream.
func (c *client) stream() *mqtttest.Client {
	c.t.Helper()
	return mqtttest.New(c.t, c.l.open(c.t, false, nil), c.version)
}

// raw is the stream below an mqtttest.Client.
func raw(c *mqtttest.Client) *stream { return c.Conn().(*stream) }

// over connects to the server over another transport.
func (s *running) over(t testing.TB, transport string) *mqtttest.Client {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), mqtttest.Patience)
	defer cancel()
	var conn net.Conn
	var err error
	switch transport {
	case "tcp":
		conn, err = new(net.Dialer).DialContext(ctx, "tcp", s.Addrs().TCP[0].String())
	case "tls":
		pem, readErr := os.ReadFile(s.CAFile())
		require.NoError(t, readErr)
		roots := x509.NewCertPool()
		require.True(t, roots.AppendCertsFromPEM(pem))
		d := tls.Dialer{Config: &tls.Config{RootCAs: roots, NextProtos: []string{"mqtt"}}}
		conn, err = d.DialContext(ctx, "tcp", s.Addrs().TLS[0].String())
	case "ws":
		conn, err = new(net.Dialer).DialContext(ctx, "tcp", s.Addrs().WS[0].String())
		require.NoError(t, err)
		conn, err = websocket.Client(conn, &url.URL{Scheme: "ws", Host: "localhost", Path: websocket.Path}, 1<<30)
	case "quic":
		conn = dialLink(t, s).open(t, false, nil)
	default:
		t.Fatal("no such transport")
	}
	require.NoError(t, err)
	return mqtttest.New(t, conn, packet.V50)
}

// publisher is a client of its own over TCP.
func (s *running) publisher(t testing.TB) *mqtttest.Client {
	t.Helper()
	c := s.over(t, "tcp")
	c.ConnectAs("publisher " + t.Name())
	return c
}

// message is a PUBLISH.
func message(topic, payload string, qos byte, id uint16) *packet.Publish {
	return &packet.Publish{Topic: []byte(topic), Payload: []byte(payload), QoS: qos, PacketID: id}
}

// unsubscribe sends an UNSUBSCRIBE and gives the code of the UNSUBACK.
func unsubscribe(c *mqtttest.Client, filter string) packet.ReasonCode {
	c.Send(&packet.Unsubscribe{PacketID: 9, Filters: []string{filter}})
	return mqtttest.Expect[*packet.Unsuback](c).ReasonCodes[0]
}

// eachQoS runs a test for every QoS of the publisher and of the subscriber.
func eachQoS(t *testing.T, fn func(t *testing.T, pub, sub byte)) {
	names := [3]string{"0", "1", "2"}
	for pub := range byte(3) {
		for sub := range byte(3) {
			t.Run(names[pub]+" to "+names[sub], func(t *testing.T) { fn(t, pub, sub) })
		}
	}
}

// receive takes n messages that may come without waiting for their acknowledgements, and
// does the receiver's part of their QoS.
func receive(t testing.TB, c *mqtttest.Client, n int) (got []*packet.Publish) {
	t.Helper()
	open := 0
	for len(got) < n || open > 0 {
		p, err := c.Read()
		require.NoError(t, err, "%d of %d messages", len(got), n)
		switch p := p.(type) {
		case *packet.Publish:
			got = append(got, p)
			switch p.QoS {
			case 1:
				c.Send(&packet.Puback{PacketID: p.PacketID})
			case 2:
				open++
				c.Send(&packet.Pubrec{PacketID: p.PacketID})
			}
		case *packet.Pubrel:
			open--
			c.Send(&packet.Pubcomp{PacketID: p.PacketID})
		default:
			require.Fail(t, "unexpected packet", "%T %+v", p, p)
		}
	}
	return got
}

// texts are the payloads of messages.
func texts(messages []*packet.Publish) (list []string) {
	for _, m := range messages {
		list = append(list, string(m.Payload))
	}
	return list
}

// eventually waits until the server's numbers are right.
func (s *running) eventually(t testing.TB, what string, ok func(server.Stats) bool) {
	t.Helper()
	require.Eventually(t, func() bool { return ok(s.Stats()) }, mqtttest.Patience, time.Millisecond, what)
}
