package interop

import (
	"context"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/qlog"
	"github.com/quic-go/quic-go/qlogwriter"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/crypto"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
)

// exchangeRaw does CONNECT and CONNACK of MQTT 3.1.1, then PINGREQ and PINGRESP.
func exchangeRaw(t *testing.T, conn abortableConn) {
	t.Helper()
	conn.SetDeadline(time.Now().Add(patience))
	_, err := conn.Write(rawConnect(unique("raw")))
	require.NoError(t, err)
	ack := make([]byte, 4)
	readFull(t, conn, ack)
	require.Equal(t, []byte{0x20, 2, 0, 0}, ack, "CONNACK")
	ping(t, conn)
}

func ping(t *testing.T, conn abortableConn) {
	t.Helper()
	_, err := conn.Write(pingreq)
	require.NoError(t, err)
	answer := make([]byte, 2)
	readFull(t, conn, answer)
	require.Equal(t, []byte{0xD0, 0}, answer, "PINGRESP")
}

// pings makes packets enough for the key update that quic-go and x/net do after their first 100.
func pings(t *testing.T, conn abortableConn) {
	t.Helper()
	conn.SetDeadline(time.Now().Add(2 * patience))
	for range 400 {
		ping(t, conn)
	}
}

// opened connects and ends the connection when the test does.
func opened(t *testing.T, dial dialer) abortableConn {
	t.Helper()
	conn, err := dial(within(t, patience))
	require.NoError(t, err)
	t.Cleanup(conn.abort)
	return conn
}

// ourConn is a connection of package endpoint.
type ourConn struct{ *endpoint.StreamConn }

func (c ourConn) abort() { c.Close() }

// ourTLS is a client's context that trusts the broker's certificate.
func ourTLS(t *testing.T, suites string) *crypto.Context {
	t.Helper()
	c, err := crypto.NewContext(crypto.Config{Role: crypto.Client, ALPN: []string{"mqtt"}, CAFile: broker.ca, CipherSuites: suites})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

// oursTo dials with package endpoint; cfg.TLS is set here unless it is there.
func oursTo(t *testing.T, addr string, cfg endpoint.DialConfig) dialer {
	return func(ctx context.Context) (abortableConn, error) {
		if cfg.TLS == nil {
			cfg.TLS = ourTLS(t, "")
		}
		cfg.ServerName = "localhost"
		conn, err := endpoint.DialConn(ctx, addr, cfg)
		if err != nil {
			return nil, err
		}
		return ourConn{conn}, nil
	}
}

// serveOurs is mochi-mqtt behind a listener of package endpoint with settings that ngmqd has no
// flags for.
func serveOurs(t *testing.T, cfg endpoint.Config) *endpoint.Listener {
	t.Helper()
	tls, err := crypto.NewContext(crypto.Config{
		ALPN: []string{"mqtt"}, CertFile: filepath.Join(broker.dir, "dev.crt"), KeyFile: filepath.Join(broker.dir, "dev.key"),
	})
	require.NoError(t, err)
	cfg.CloseTimeout = 100 * time.Millisecond // clients of these tests have gone before
	cfg.TLS, cfg.Addrs = tls, []string{"127.0.0.1:0"}
	l, err := endpoint.NewListener(cfg)
	require.NoError(t, err)
	t.Cleanup(tls.Close)
	serveMochi(t, l)
	return l
}

// quicGoTo dials with quic-go and a configuration.
func quicGoTo(addr string, config *quic.Config) dialer {
	return func(ctx context.Context) (abortableConn, error) {
		tls, err := broker.tlsConfig("mqtt")
		if err != nil {
			return nil, err
		}
		conn, err := quic.DialAddr(ctx, addr, tls, config)
		if err != nil {
			return nil, err
		}
		stream, err := conn.OpenStreamSync(ctx)
		if err != nil {
			return nil, err
		}
		return &quicConn{Stream: stream, conn: conn}, nil
	}
}

// trace keeps what quic-go tells in its qlog of one or more connections.
type trace struct {
	mu      sync.Mutex
	ecn     qlog.ECNState
	phase   qlog.KeyPhase // of the 1-RTT keys
	retries int
}

// config is a configuration of quic-go that is traced.
func (r *trace) config() *quic.Config {
	return &quic.Config{MaxIdleTimeout: idle, Tracer: func(context.Context, bool, quic.ConnectionID) qlogwriter.Trace { return r }}
}

func (r *trace) AddProducer() qlogwriter.Recorder { return r }
func (r *trace) SupportsSchemas(string) bool      { return true }
func (r *trace) Close() error                     { return nil }

func (r *trace) RecordEvent(e qlogwriter.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch e := e.(type) {
	case qlog.ECNStateUpdated:
		r.ecn = e.State
	case qlog.KeyUpdated:
		r.phase = max(r.phase, e.KeyPhase)
	case qlog.PacketReceived:
		if e.Header.PacketType == qlog.PacketTypeRetry {
			r.retries++
		}
	}
}

// wantKeyUpdate: quic-go has changed the keys, and the other side went along.
func (r *trace) wantKeyUpdate(t *testing.T, conn abortableConn) {
	t.Helper()
	pings(t, conn)
	r.mu.Lock()
	defer r.mu.Unlock()
	assert.Positive(t, r.phase, "the phase of the keys")
}

// wantECN: the other side's acknowledgements count the marks of quic-go's packets.
func (r *trace) wantECN(t *testing.T, conn abortableConn) {
	t.Helper()
	pings(t, conn)
	r.mu.Lock()
	defer r.mu.Unlock()
	assert.Equal(t, qlog.ECNStateCapable, r.ecn)
}

func (r *trace) retried() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.retries
}
