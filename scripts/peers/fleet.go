package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/ngmq/ngmq/scripts/internal/generator"
)

const (
	sockets   = 16               // UDP sockets of the generator; its connections share them
	atOnce    = 16               // requests (handshakes, PINGREQs) that are under way at a time
	keepAlive = 50 * time.Second // QUIC PINGs of silent connections, below any server's idle timeout
)

// link is what a client talks over.
type link interface {
	io.ReadWriter
	state() tls.ConnectionState
	end()
}

// fleet makes the clients of one server.
type fleet struct {
	server  *server
	tls     *tls.Config
	sockets []*quic.Transport

	mu      sync.Mutex
	made    int
	clients []*client
}

// newFleet opens the sockets. tune changes the TLS configuration; nil leaves Go's defaults.
func newFleet(s *server, tune func(*tls.Config)) (*fleet, error) {
	pem, err := os.ReadFile(s.cert.CAFile)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	f := &fleet{server: s, tls: &tls.Config{RootCAs: roots, ServerName: "localhost", NextProtos: []string{alpn},
		MinVersion: tls.VersionTLS13, CurvePreferences: []tls.CurveID{tls.X25519}}}
	if tune != nil {
		tune(f.tls)
	}
	for s.transport == overQUIC && len(f.sockets) < sockets {
		conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			f.close()
			return nil, err
		}
		f.sockets = append(f.sockets, &quic.Transport{Conn: conn})
	}
	return f, nil
}

// close ends all connections.
func (f *fleet) close() {
	f.hangUp()
	for _, t := range f.sockets {
		t.Close()
		t.Conn.Close()
	}
}

// hangUp ends all connections made until now.
func (f *fleet) hangUp() {
	f.mu.Lock()
	clients := f.clients
	f.clients = nil
	f.mu.Unlock()
	generator.Each(len(clients), atOnce, func(i int) error {
		clients[i].link.end()
		<-clients[i].gone
		return nil
	})
}

// connect makes n clients without traffic.
func (f *fleet) connect(ctx context.Context, n int) ([]*client, error) {
	clients := make([]*client, n)
	return clients, generator.Each(n, atOnce, func(i int) (err error) {
		clients[i], err = f.dial(ctx, nil)
		return err
	})
}

// dial makes a client, which has its CONNACK then.
func (f *fleet) dial(ctx context.Context, t traffic) (*client, error) {
	f.mu.Lock()
	f.made++
	number := f.made
	f.mu.Unlock()
	l, err := f.open(ctx, number)
	if err != nil {
		return nil, err
	}
	c := newClient(fmt.Sprintf("peers-%d", number), l, t)
	f.mu.Lock()
	f.clients = append(f.clients, c)
	f.mu.Unlock()
	return c, c.call(ctx, typeConnack, appendConnect(nil, c.id))
}

func (f *fleet) open(ctx context.Context, number int) (link, error) {
	if f.server.transport != overQUIC {
		return f.openTCP(ctx)
	}
	addr, err := net.ResolveUDPAddr("udp4", f.server.addr)
	if err != nil {
		return nil, err
	}
	conn, err := f.sockets[number%len(f.sockets)].Dial(ctx, addr, f.tls,
		&quic.Config{MaxIdleTimeout: serverIdle, KeepAlivePeriod: keepAlive})
	if err != nil {
		return nil, err
	}
	stream, err := conn.OpenStream()
	if err != nil {
		conn.CloseWithError(0, "")
		return nil, err
	}
	return &quicLink{stream, conn}, nil
}

type quicLink struct {
	*quic.Stream
	conn *quic.Conn
}

func (l *quicLink) state() tls.ConnectionState { return l.conn.ConnectionState().TLS }
func (l *quicLink) end()                       { l.conn.CloseWithError(0, "") }

func (f *fleet) openTCP(ctx context.Context) (link, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", f.server.addr)
	if err != nil {
		return nil, err
	}
	if f.server.transport == overTCP {
		return &tcpLink{conn}, nil
	}
	secured := tls.Client(conn, f.tls)
	if err := secured.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return &tlsLink{secured}, nil
}

type tcpLink struct{ net.Conn }

func (l *tcpLink) state() tls.ConnectionState { return tls.ConnectionState{} }
func (l *tcpLink) end()                       { l.Close() }

type tlsLink struct{ *tls.Conn }

func (l *tlsLink) state() tls.ConnectionState { return l.ConnectionState() }
func (l *tlsLink) end()                       { l.Close() }
