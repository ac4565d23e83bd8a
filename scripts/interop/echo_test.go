package interop

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/stretchr/testify/require"
	xquic "golang.org/x/net/quic"
)

// echoALPN is the protocol of the matrix: the server sends back what comes, on every bidirectional
// stream with its end, and in datagrams.
const echoALPN = "echo"

// conn is a QUIC connection of any stack.
type conn interface {
	open(ctx context.Context) (stream, error)
	close()
}

// stream is one bidirectional stream of any stack; Close sends FIN and reading goes on.
type stream interface {
	io.ReadWriteCloser
	SetDeadline(time.Time) error
}

// serverOptions are what cases ask of a server of any stack.
type serverOptions struct {
	addr string // default 127.0.0.1:0
	leaf string // base name of the certificate and key; default smallLeaf
	// curves are the key exchanges of servers on crypto/tls; default its own.
	curves []tls.CurveID
}

func (o serverOptions) address() string {
	if o.addr != "" {
		return o.addr
	}
	return "127.0.0.1:0"
}

// file is the path of the certificate (crt) or its key (key).
func (o serverOptions) file(kind string) string {
	leaf := o.leaf
	if leaf == "" {
		leaf = smallLeaf
	}
	return certFile(leaf + "." + kind)
}

// Certificates of the matrix: both leaves are for localhost. The large one does not fit into what a
// server may send before it knows the client's address.
const (
	caName    = "ca"
	smallLeaf = "small"
	largeLeaf = "large"
)

func certFile(name string) string { return filepath.Join(broker.dir, "echo-"+name) }

// makeCerts writes the certificates, once.
var makeCerts = sync.OnceValue(func() error {
	ca, caKey, err := makeCert(caName, x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, nil, nil)
	if err != nil {
		return err
	}
	names := []string{"localhost"}
	if _, _, err = makeCert(smallLeaf, x509.Certificate{DNSNames: names}, ca, caKey); err != nil {
		return err
	}
	for i := range 330 {
		names = append(names, fmt.Sprintf("one-of-many-names-%03d.example.org", i))
	}
	_, _, err = makeCert(largeLeaf, x509.Certificate{DNSNames: names}, ca, caKey)
	return err
})

// makeCert signs template, by itself when there is no parent.
func makeCert(name string, template x509.Certificate, parent *x509.Certificate, by *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.Subject = pkix.Name{CommonName: "interop " + name}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	if parent == nil {
		parent, by = &template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, parent, &key.PublicKey, by)
	if err != nil {
		return nil, nil, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	for file, block := range map[string]*pem.Block{name + ".crt": {Type: "CERTIFICATE", Bytes: der}, name + ".key": {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(certFile(file), pem.EncodeToMemory(block), 0o600); err != nil {
			return nil, nil, err
		}
	}
	made, err := x509.ParseCertificate(der)
	return made, key, err
}

// goServerTLS is a configuration for servers on crypto/tls.
func goServerTLS(t *testing.T, o serverOptions) *tls.Config {
	t.Helper()
	cert, err := tls.LoadX509KeyPair(o.file("crt"), o.file("key"))
	require.NoError(t, err)
	return &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{echoALPN}, MinVersion: tls.VersionTLS13, CurvePreferences: o.curves}
}

// goClientTLS is a configuration for clients on crypto/tls.
func goClientTLS(t *testing.T) *tls.Config {
	t.Helper()
	ca, err := os.ReadFile(certFile(caName + ".crt"))
	require.NoError(t, err)
	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(ca))
	return &tls.Config{RootCAs: pool, ServerName: "localhost", NextProtos: []string{echoALPN}, MinVersion: tls.VersionTLS13}
}

// quicGoMux is a connection of quic-go.
type quicGoMux struct{ *quic.Conn }

func (c quicGoMux) open(ctx context.Context) (stream, error) {
	s, err := c.OpenStreamSync(ctx)
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (c quicGoMux) close() { c.CloseWithError(0, "") }

// quicGoConfig is patient enough for handshakes that lose every third datagram.
func quicGoConfig() *quic.Config {
	return &quic.Config{MaxIdleTimeout: matrixPatience, HandshakeIdleTimeout: matrixPatience, EnableDatagrams: true, Allow0RTT: true}
}

// dialQuicGo dials with a configuration; nil = quicGoConfig.
func dialQuicGo(t *testing.T, addr string, config *quic.Config) (quicGoMux, error) {
	t.Helper()
	if config == nil {
		config = quicGoConfig()
	}
	c, err := quic.DialAddr(matrixContext(t), addr, goClientTLS(t), config)
	if err == nil {
		t.Cleanup(func() { c.CloseWithError(0, "") })
	}
	return quicGoMux{c}, err
}

// quicGoEcho is an echo server on quic-go.
type quicGoEcho struct {
	addr  net.Addr
	conns chan *quic.Conn // in the order of their handshakes
}

// echoQuicGo starts an echo server; transport and config may hold what a case needs.
func echoQuicGo(t *testing.T, o serverOptions, transport *quic.Transport, config *quic.Config) *quicGoEcho {
	t.Helper()
	if config == nil {
		config = quicGoConfig()
	}
	socket, err := net.ListenPacket("udp", o.address())
	require.NoError(t, err)
	transport.Conn = socket
	l, err := transport.ListenEarly(goServerTLS(t, o), config)
	require.NoError(t, err)
	t.Cleanup(func() {
		transport.Close()
		socket.Close()
	})
	s := &quicGoEcho{addr: l.Addr(), conns: make(chan *quic.Conn, 100)}
	go s.run(l)
	return s
}

func (s *quicGoEcho) run(l *quic.EarlyListener) {
	for {
		c, err := l.Accept(context.Background())
		if err != nil {
			return
		}
		s.conns <- c
		go echoDatagrams(c)
		go func() {
			for {
				st, err := c.AcceptStream(context.Background())
				if err != nil {
					return
				}
				go func() {
					io.Copy(st, st)
					st.Close()
				}()
			}
		}()
	}
}

func echoDatagrams(c *quic.Conn) {
	for {
		b, err := c.ReceiveDatagram(context.Background())
		if err != nil {
			return
		}
		c.SendDatagram(b)
	}
}

// xnetMux is a connection of x/net/quic.
type xnetMux struct {
	conn     *xquic.Conn
	endpoint *xquic.Endpoint
}

func (c xnetMux) open(ctx context.Context) (stream, error) {
	s, err := c.conn.NewStream(ctx)
	if err != nil {
		return nil, err
	}
	return &xnetStream{xnetConn{stream: s, conn: c.conn}}, nil
}

func (c xnetMux) close() {
	c.conn.Abort(&xquic.ConnectionCloseError{})
	endEndpoint(c.endpoint)
}

// xnetStream closes its sending side only.
type xnetStream struct{ xnetConn }

func (s *xnetStream) Close() error {
	s.stream.CloseWrite()
	return nil
}

func xnetConfig() *xquic.Config {
	return &xquic.Config{HandshakeTimeout: matrixPatience, MaxIdleTimeout: matrixPatience}
}

func dialXNetEcho(t *testing.T, addr string, tls *tls.Config) (xnetMux, error) {
	t.Helper()
	if tls == nil {
		tls = goClientTLS(t)
	}
	e, err := xquic.Listen("udp", ":0", nil)
	require.NoError(t, err)
	config := xnetConfig()
	config.TLSConfig = tls
	c, err := e.Dial(matrixContext(t), "udp", addr, config)
	mux := xnetMux{c, e}
	if err != nil {
		endEndpoint(e)
		return mux, err
	}
	t.Cleanup(mux.close)
	return mux, nil
}

// echoXNet starts an echo server on x/net/quic.
func echoXNet(t *testing.T, o serverOptions, config *xquic.Config) net.Addr {
	t.Helper()
	if config == nil {
		config = xnetConfig()
	}
	config.TLSConfig = goServerTLS(t, o)
	e, err := xquic.Listen("udp", o.address(), config)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() {
		cancel()
		endEndpoint(e)
	})
	go func() {
		for {
			c, err := e.Accept(ctx)
			if err != nil {
				return
			}
			go echoXNetConn(ctx, c)
		}
	}()
	return net.UDPAddrFromAddrPort(e.LocalAddr())
}

func echoXNetConn(ctx context.Context, c *xquic.Conn) {
	for {
		s, err := c.AcceptStream(ctx)
		if err != nil {
			return
		}
		go func() {
			st := &xnetStream{xnetConn{stream: s, conn: c}}
			io.Copy(st, st)
			s.CloseRead() // a stream is not over without
			st.Close()
		}()
	}
}
