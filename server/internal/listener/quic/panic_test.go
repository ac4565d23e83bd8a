//go:build !noquic

package quic

import (
	"context"
	"log/slog"
	"net"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/crypto"
	"github.com/ngmq/ngmq/crypto/devcert"
	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
	"github.com/ngmq/ngmq/server/internal/broker"
	"github.com/ngmq/ngmq/server/internal/mqtttest"
)

// buggy is a Listener whose connections have a bug, as the bytes say that arrive.
type buggy struct{ *Listener }

func (b buggy) OnConn(qc *endpoint.Conn) endpoint.ConnHandler {
	return buggyConn{b.Listener.OnConn(qc).(*conn)}
}

type buggyConn struct{ *conn }

func (c buggyConn) OnStreamData(s *endpoint.Stream, data []byte, fin bool) {
	if string(data) == mqtttest.Fault {
		s = nil
	}
	c.conn.OnStreamData(s, data, fin)
}

// serve runs a broker with a faulty store behind a listener with one worker, and gives
// a function that connects to it.
func serve(t *testing.T, cfg broker.Config) (b *broker.Broker, dial func() net.Conn) {
	dev, err := devcert.Generate(t.TempDir())
	require.NoError(t, err)
	server, err := crypto.NewContext(crypto.Config{CertPEM: read(t, dev.CertFile), KeyPEM: read(t, dev.KeyFile), ALPN: []string{"mqtt"}})
	require.NoError(t, err)
	t.Cleanup(server.Close)
	client, err := crypto.NewContext(crypto.Config{Role: crypto.Client, CAFile: dev.CAFile, ALPN: []string{"mqtt"}})
	require.NoError(t, err)
	t.Cleanup(client.Close)

	cfg.AllowAnonymous, cfg.Retained = true, mqtttest.NewFaulty()
	b = broker.New(cfg)
	l := &Listener{cfg: Config{Broker: b, Logger: slog.New(slog.DiscardHandler)}}
	l.ep, err = endpoint.New(endpoint.Config{TLS: server, Handler: buggy{l}, Workers: 1, Addrs: []string{"127.0.0.1:0"}})
	require.NoError(t, err)
	clients, err := endpoint.New(endpoint.Config{Workers: 1})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 2)
	go func() { ended <- l.Serve(ctx) }()
	go func() { b.Run(ctx); ended <- nil }()
	t.Cleanup(func() {
		stop, cancelStop := context.WithTimeout(context.Background(), mqtttest.Patience)
		defer cancelStop()
		assert.NoError(t, b.Shutdown(stop))
		assert.NoError(t, clients.Shutdown(stop))
		assert.NoError(t, l.Shutdown(stop))
		cancel()
		assert.NoError(t, <-ended)
		assert.NoError(t, <-ended)
	})
	return b, func() net.Conn {
		ctx, cancel := context.WithTimeout(t.Context(), mqtttest.Patience)
		defer cancel()
		conn, err := clients.DialConn(ctx, l.Addrs()[0].String(), endpoint.DialConfig{TLS: client})
		require.NoError(t, err)
		return conn
	}
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	return b
}

// A panic costs one connection, wherever it happens, and is logged with its stack. All
// connections are those of one worker.
func TestPanicCostsOneConnection(t *testing.T) {
	var log mqtttest.Log
	b, dial := serve(t, broker.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	n := mqtttest.Panics(t, dial)
	assert.Eventually(t, func() bool { return b.Stats().HandlerPanics == uint64(n) }, mqtttest.Patience, 1e6)
	assert.Regexp(t, `panic="a bug at panic" stack=.*mqtttest.Faulty.Store.*client.go`, log.String())
}

// So does one in the listener itself.
func TestPanicOfConnection(t *testing.T) {
	var log mqtttest.Log
	b, dial := serve(t, broker.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	witness := mqtttest.New(t, dial(), packet.V50)
	witness.ConnectAs("witness")
	c := mqtttest.New(t, dial(), packet.V50)
	c.ConnectAs("c")
	c.Raw([]byte(mqtttest.Fault))
	_, err := c.Read()
	require.ErrorContains(t, err, "internal error")
	witness.Ping()
	assert.EqualValues(t, 1, b.Stats().HandlerPanics)
	assert.EqualValues(t, 1, b.Stats().Clients)
	assert.Contains(t, log.String(), "OnStreamData")
}
