package server_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/mqtt/websocket"
	"github.com/ngmq/ngmq/server"
	"github.com/ngmq/ngmq/server/internal/mqtttest"
)

// addressed are the transports whose clients have an IP address.
func addressed() []string {
	return slices.DeleteFunc(slices.Clone(transports), func(t string) bool { return t == "unix" })
}

var anyPort = []string{"127.0.0.1:0"}

// certificates is a data directory for all tests of the package, so that the
// development certificate is made once.
var certificates = sync.OnceValue(func() string {
	dir, err := os.MkdirTemp("", "ngmq-server-test-")
	if err != nil {
		panic(err)
	}
	return dir
})

var making sync.Mutex

// waiting is how many tests run at the same time, unless -parallel says so: they wait for
// time to pass more than they compute. Tests that look at the whole process, or at how
// long others are kept waiting, are not parallel and run before those that are.
const waiting = "8"

// runTests is the body of TestMain.
func runTests(m *testing.M) int {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		flag.Set("test.parallel", waiting)
	}
	defer func() { os.RemoveAll(certificates()) }()
	return m.Run()
}

// running is a server that a test has started.
type running struct {
	*server.Server
	stop  context.CancelFunc
	ended chan error // the result of Run

	caFile string // what clients trust
	quicClients
	more []*quicClients // further clients, stopped with those
}

// start runs a server on all transports and stops it at the end of the test.
func start(t testing.TB, cfg server.Config) *running {
	t.Helper()
	if cfg.QUIC == nil && cfg.TCP == nil && cfg.TLS == nil && cfg.WS == nil && cfg.WSS == nil && cfg.Unix == nil {
		cfg.QUIC, cfg.TCP, cfg.TLS, cfg.WS, cfg.WSS = anyQUIC, anyPort, anyPort, anyPort, anyPort
		cfg.Unix = []string{filepath.Join(t.TempDir(), "s")}
	}
	cfg.DataDir = certificates()
	making.Lock() // the first one makes the certificate
	s, err := server.New(cfg)
	making.Unlock()
	require.NoError(t, err)
	return run(t, s)
}

func run(t testing.TB, s *server.Server) *running {
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{Server: s, stop: cancel, ended: make(chan error, 1), caFile: s.CAFile()}
	go func() { r.ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		ctx, cancel := context.WithTimeout(context.Background(), mqtttest.Patience)
		defer cancel()
		var ends sync.WaitGroup
		defer ends.Wait()
		for _, c := range append(r.more, &r.quicClients) {
			ends.Go(c.stopClients) // a QUIC connection takes its time to close
		}
		s.Shutdown(ctx)
	})
	return r
}

// wait gives the result of Run.
func (r *running) wait(t testing.TB) error {
	t.Helper()
	select {
	case err := <-r.ended:
		return err
	case <-time.After(mqtttest.Patience):
		t.Fatal("Run did not return")
		return nil
	}
}

// dial connects to the server over a transport.
func (r *running) dial(t testing.TB, transport string) net.Conn {
	t.Helper()
	conn, err := r.tryDial(t, transport)
	require.NoError(t, err)
	return conn
}

func (r *running) tryDial(t testing.TB, transport string) (net.Conn, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), mqtttest.Patience)
	defer cancel()
	switch transport {
	case "tcp":
		return new(net.Dialer).DialContext(ctx, "tcp", r.Addrs().TCP[0].String())
	case "tls":
		d := tls.Dialer{Config: &tls.Config{RootCAs: roots(t, r.Server), NextProtos: []string{"mqtt"}}}
		return d.DialContext(ctx, "tcp", r.Addrs().TLS[0].String())
	case "unix":
		return new(net.Dialer).DialContext(ctx, "unix", r.Addrs().Unix[0])
	case "ws":
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", r.Addrs().WS[0].String())
		return overWebSocket(conn, err)
	case "wss":
		d := tls.Dialer{Config: &tls.Config{RootCAs: roots(t, r.Server), NextProtos: []string{"http/1.1"}}}
		conn, err := d.DialContext(ctx, "tcp", r.Addrs().WSS[0].String())
		return overWebSocket(conn, err)
	}
	return r.dialQUIC(t, ctx)
}

// overWebSocket does the client's part of the opening handshake.
func overWebSocket(conn net.Conn, err error) (net.Conn, error) {
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(mqtttest.Patience))
	c, err := websocket.Client(conn, &url.URL{Scheme: "ws", Host: "localhost", Path: websocket.Path}, 1<<30)
	if err != nil {
		conn.Close()
		return nil, err
	}
	conn.SetDeadline(time.Time{})
	return c, nil
}

func roots(t testing.TB, s *server.Server) *x509.CertPool {
	t.Helper()
	pem, err := os.ReadFile(s.CAFile())
	require.NoError(t, err)
	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(pem))
	return pool
}

// client connects a raw MQTT client over a transport; CONNECT is not sent yet.
func client(t testing.TB, s *running, transport string, v packet.Version) *mqtttest.Client {
	t.Helper()
	return mqtttest.New(t, s.dial(t, transport), v)
}

// connected is a client after a clean CONNECT.
func connected(t testing.TB, s *running, transport string, v packet.Version, id string) *mqtttest.Client {
	t.Helper()
	c := client(t, s, transport, v)
	c.ConnectAs(id)
	return c
}

func tcpConn(addr netip.AddrPort) (net.Conn, error) { return net.Dial("tcp", addr.String()) }

// refused tries to connect to a server that is full.
func refused(t *testing.T, s *running, transport string) {
	t.Helper()
	conn, err := s.tryDial(t, transport)
	if err != nil {
		return // refused before the handshake
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(mqtttest.Patience))
	conn.Write((&packet.Connect{ClientID: "excess", CleanStart: true}).AppendTo(nil, packet.V50))
	d := packet.NewDecoder(0)
	d.SetVersion(packet.V50)
	p, err := d.ReadPacket(conn, make([]byte, 1024))
	if ack, ok := p.(*packet.Connack); ok {
		require.Equal(t, packet.ServerBusy, ack.ReasonCode)
		return
	}
	var timeout net.Error
	require.Error(t, err)
	require.False(t, errors.As(err, &timeout) && timeout.Timeout(), "left hanging")
}
