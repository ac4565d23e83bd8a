package interop

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/quic-go/quic-go"
)

func dialTCP(ctx context.Context) (abortableConn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", broker.tcp)
	if err != nil {
		return nil, err
	}
	return tcpConn{Conn: conn, raw: conn.(*net.TCPConn)}, nil
}

func dialTLS(ctx context.Context) (abortableConn, error) {
	config, err := broker.tlsConfig()
	if err != nil {
		return nil, err
	}
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", broker.tls)
	if err != nil {
		return nil, err
	}
	conn := tls.Client(raw, config)
	return tcpConn{Conn: conn, raw: raw.(*net.TCPConn)}, conn.HandshakeContext(ctx)
}

func dialWS(context.Context) (abortableConn, error) { return dialWeb("ws://"+broker.ws, nil) }

func dialWSS(context.Context) (abortableConn, error) {
	config, err := broker.tlsConfig()
	if err != nil {
		return nil, err
	}
	return dialWeb("wss://"+broker.wss, config)
}

// dialWeb dials as paho.mqtt.golang does.
func dialWeb(url string, config *tls.Config) (abortableConn, error) {
	conn, err := mqtt.NewWebsocket(url+"/mqtt", config, patience, nil, &mqtt.WebsocketOptions{})
	if err != nil {
		return nil, err
	}
	return webConn{conn}, nil
}

// webConn ends without a Close frame.
type webConn struct{ net.Conn }

func (c webConn) abort() { c.Close() }

func dialQUIC(ctx context.Context) (abortableConn, error) { return quicTo(broker.quic)(ctx) }

// quicTo dials an address that leads to the broker's QUIC listener (itself or a proxy before it).
func quicTo(addr string) dialer {
	return func(ctx context.Context) (abortableConn, error) {
		config, err := broker.tlsConfig("mqtt")
		if err != nil {
			return nil, err
		}
		conn, err := quic.DialAddr(ctx, addr, config, &quic.Config{MaxIdleTimeout: 30 * time.Second})
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

type tcpConn struct {
	net.Conn
	raw *net.TCPConn
}

func (c tcpConn) abort() {
	c.raw.SetLinger(0)
	c.raw.Close()
}

// quicConn is the control stream of a quic-go connection as a net.Conn.
type quicConn struct {
	*quic.Stream
	conn *quic.Conn
}

func (c *quicConn) LocalAddr() net.Addr  { return c.conn.LocalAddr() }
func (c *quicConn) RemoteAddr() net.Addr { return c.conn.RemoteAddr() }

// Close sends FIN and gives the broker a moment to take the last packet before the connection goes.
func (c *quicConn) Close() error {
	c.Stream.Close()
	c.Stream.SetReadDeadline(time.Now().Add(time.Second))
	io.Copy(io.Discard, c.Stream)
	return c.conn.CloseWithError(0, "")
}

func (c *quicConn) abort() { c.conn.CloseWithError(1, "abort") }
