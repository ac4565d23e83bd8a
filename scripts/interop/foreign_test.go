package interop

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/quic-go/quic-go"
	"github.com/stretchr/testify/require"
	xquic "golang.org/x/net/quic"
)

// serveMochi runs a mochi-mqtt broker behind a listener until the test ends.
func serveMochi(t *testing.T, l net.Listener) {
	t.Helper()
	server := mochi.New(&mochi.Options{Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, server.AddHook(new(auth.AllowHook), nil))
	require.NoError(t, server.AddListener(listeners.NewNet("quic", l)))
	require.NoError(t, server.Serve())
	t.Cleanup(func() { server.Close() })
}

// serverTLS is our broker's certificate, for servers that are not ours.
func serverTLS(t *testing.T) *tls.Config {
	t.Helper()
	cert, err := tls.LoadX509KeyPair(filepath.Join(broker.dir, "dev.crt"), filepath.Join(broker.dir, "dev.key"))
	require.NoError(t, err)
	return &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"mqtt"}, MinVersion: tls.VersionTLS13}
}

// streamListener gives the first stream of every connection as a net.Conn.
type streamListener struct {
	addr   net.Addr
	accept chan net.Conn
	ctx    context.Context
	cancel context.CancelFunc
	end    func()
	once   sync.Once
}

func newStreamListener(addr net.Addr, end func()) *streamListener {
	l := &streamListener{addr: addr, accept: make(chan net.Conn), end: end}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l
}

func (l *streamListener) Addr() net.Addr { return l.addr }

func (l *streamListener) Close() error {
	l.cancel()
	l.once.Do(l.end)
	return nil
}

func (l *streamListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.accept:
		return conn, nil
	case <-l.ctx.Done():
		return nil, net.ErrClosed
	}
}

func (l *streamListener) hand(conn net.Conn) {
	select {
	case l.accept <- conn:
	case <-l.ctx.Done():
	}
}

// quicGoServer is mochi-mqtt behind quic-go.
type quicGoServer struct {
	*streamListener
	conns chan *quic.Conn // in the order of their handshakes
}

// serveQuicGo starts a server on addr; transport and config may hold what a case needs.
func serveQuicGo(t *testing.T, addr string, transport *quic.Transport, config *quic.Config) *quicGoServer {
	t.Helper()
	socket, err := net.ListenPacket("udp", addr)
	require.NoError(t, err)
	transport.Conn = socket
	l, err := transport.Listen(serverTLS(t), config)
	require.NoError(t, err)
	s := &quicGoServer{conns: make(chan *quic.Conn, 1000)}
	s.streamListener = newStreamListener(l.Addr(), func() {
		transport.Close()
		socket.Close()
	})
	go s.run(l)
	serveMochi(t, s)
	return s
}

func (s *quicGoServer) run(l *quic.Listener) {
	for {
		conn, err := l.Accept(s.ctx)
		if err != nil {
			return
		}
		s.conns <- conn
		go func() {
			if stream, err := conn.AcceptStream(s.ctx); err == nil {
				s.hand(&servedConn{quicConn{Stream: stream, conn: conn}})
			}
		}()
	}
}

// servedConn does not make the server wait for the client's end.
type servedConn struct{ quicConn }

func (c *servedConn) Close() error {
	go c.quicConn.Close()
	return nil
}

// serveXNet is mochi-mqtt behind x/net/quic.
func serveXNet(t *testing.T, addr string, config *xquic.Config) *streamListener {
	t.Helper()
	config.TLSConfig = serverTLS(t)
	endpoint, err := xquic.Listen("udp", addr, config)
	require.NoError(t, err)
	l := newStreamListener(net.UDPAddrFromAddrPort(endpoint.LocalAddr()), func() { endEndpoint(endpoint) })
	go acceptXNet(l, endpoint)
	serveMochi(t, l)
	return l
}

func acceptXNet(l *streamListener, endpoint *xquic.Endpoint) {
	for {
		conn, err := endpoint.Accept(l.ctx)
		if err != nil {
			return
		}
		go func() {
			if stream, err := conn.AcceptStream(l.ctx); err == nil {
				l.hand(&servedXNet{xnetConn{stream: stream, conn: conn}})
			}
		}()
	}
}

// servedXNet does not make the server wait for the client's end.
type servedXNet struct{ xnetConn }

func (c *servedXNet) Close() error {
	c.stream.CloseRead()
	go c.xnetConn.Close()
	return nil
}

// idle is longer than any test waits.
const idle = 30 * time.Second
