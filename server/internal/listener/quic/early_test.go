//go:build !noquic

package quic

import (
	"bytes"
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/crypto"
	"github.com/ngmq/ngmq/crypto/devcert"
	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
	"github.com/ngmq/ngmq/server/internal/broker"
	"github.com/ngmq/ngmq/server/internal/mqtttest"
)

// laden is a Listener whose early connections hold something already.
type laden struct {
	*Listener
	load func(*earlyConn)
}

func (l laden) OnConn(qc *endpoint.Conn) endpoint.ConnHandler {
	h := l.Listener.OnConn(qc)
	if e, ok := h.(*earlyConn); ok {
		l.load(e)
	}
	return h
}

// earlyWorld is a broker behind a laden listener, and a client that has been there before.
type earlyWorld struct {
	t       *testing.T
	b       *broker.Broker
	clients *endpoint.Endpoint
	addr    string
	dial    endpoint.DialConfig
}

func newEarlyWorld(t *testing.T, load func(*earlyConn)) *earlyWorld {
	dev, err := devcert.Generate(t.TempDir())
	require.NoError(t, err)
	server, err := crypto.NewContext(crypto.Config{CertPEM: read(t, dev.CertFile), KeyPEM: read(t, dev.KeyFile), ALPN: []string{"mqtt"}, EarlyData: true})
	require.NoError(t, err)
	t.Cleanup(server.Close)
	client, err := crypto.NewContext(crypto.Config{Role: crypto.Client, CAFile: dev.CAFile, ALPN: []string{"mqtt"}})
	require.NoError(t, err)
	t.Cleanup(client.Close)

	w := &earlyWorld{t: t, b: broker.New(broker.Config{AllowAnonymous: true})}
	l := &Listener{cfg: Config{Broker: w.b, Logger: slog.New(slog.DiscardHandler)}}
	l.ep, err = endpoint.New(endpoint.Config{TLS: server, Handler: laden{l, load}, Workers: 1, Addrs: []string{"127.0.0.1:0"}, EarlyData: true})
	require.NoError(t, err)
	require.NoError(t, l.ep.Start())
	w.clients, err = endpoint.New(endpoint.Config{Workers: 1})
	require.NoError(t, err)
	w.addr = l.Addrs()[0].String()
	t.Cleanup(func() {
		stop, cancel := context.WithTimeout(context.Background(), mqtttest.Patience)
		defer cancel()
		assert.NoError(t, w.clients.Shutdown(stop))
		assert.NoError(t, l.Shutdown(stop))
	})
	sessions := make(chan []byte, 10)
	w.dial = endpoint.DialConfig{TLS: client, EarlyData: true, OnSession: func(b []byte) { sessions <- b }}
	first := w.connect()
	defer first.Close()
	select {
	case w.dial.Session = <-sessions:
	case <-time.After(mqtttest.Patience):
		require.Fail(t, "no ticket came")
	}
	return w
}

func (w *earlyWorld) connect() *endpoint.StreamConn {
	ctx, cancel := context.WithTimeout(w.t.Context(), mqtttest.Patience)
	defer cancel()
	conn, err := w.clients.DialConn(ctx, w.addr, w.dial)
	require.NoError(w.t, err)
	return conn
}

// Nobody makes the server keep more before his handshake is complete than a client needs.
func TestTooMuchEarlyData(t *testing.T) {
	connect := (&packet.Connect{ClientID: "c", CleanStart: true}).AppendTo(nil, packet.V50)
	connect = (&packet.Pingreq{}).AppendTo(connect, packet.V50)
	for name, c := range map[string]struct {
		load func(*earlyConn)
		fits bool
	}{
		"just enough":     {func(e *earlyConn) { e.bytes = maxEarlyBytes - len(connect) }, true},
		"too many bytes":  {func(e *earlyConn) { e.bytes = maxEarlyBytes - len(connect) + 1 }, false},
		"too many events": {func(e *earlyConn) { e.held = make([]earlyEvent, maxEarlyEvents-1) }, false},
		"a bug":           {func(e *earlyConn) { e.early = nil }, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newEarlyWorld(t, c.load)
			p := &probe{answered: make(chan struct{}), closed: make(chan error, 1)}
			w.dial.Handler, w.dial.Ready = p, func(conn *endpoint.Conn) {
				s, err := conn.OpenStream()
				require.NoError(t, err)
				s.Write(connect)
			}
			_, err := w.clients.Dial(t.Context(), w.addr, w.dial)
			require.NoError(t, err)
			select {
			case <-p.answered:
				assert.True(t, c.fits)
			case err := <-p.closed:
				assert.False(t, c.fits)
				assert.ErrorContains(t, err, "closed by peer")
				assert.Zero(t, w.b.Stats().Clients)
			case <-time.After(mqtttest.Patience):
				require.Fail(t, "no answer")
			}
		})
	}
}

// probe is a client that waits for a PINGRESP, or the end.
type probe struct {
	refused
	answered chan struct{}
	closed   chan error
}

func (p *probe) OnStreamData(_ *endpoint.Stream, data []byte, _ bool) {
	if bytes.HasSuffix(data, (&packet.Pingresp{}).AppendTo(nil, packet.V50)) {
		close(p.answered)
	}
}

func (p *probe) OnClosed(err error) { p.closed <- err }
