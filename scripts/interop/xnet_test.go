package interop

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	xquic "golang.org/x/net/quic"
)

// xnetTo dials with golang.org/x/net/quic an address that leads to a server with the broker's certificate.
func xnetTo(addr string) dialer {
	return func(ctx context.Context) (abortableConn, error) {
		config, err := broker.tlsConfig("mqtt")
		if err != nil {
			return nil, err
		}
		endpoint, err := xquic.Listen("udp", ":0", nil)
		if err != nil {
			return nil, err
		}
		conn, err := endpoint.Dial(ctx, "udp", addr, &xquic.Config{TLSConfig: config})
		if err != nil {
			endEndpoint(endpoint)
			return nil, err
		}
		stream, err := conn.NewStream(ctx)
		if err != nil {
			endEndpoint(endpoint)
			return nil, err
		}
		return &xnetConn{stream: stream, conn: conn, endpoint: endpoint}, nil
	}
}

// endEndpoint gives the peers a moment to answer the end of the connections.
func endEndpoint(e *xquic.Endpoint) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	e.Close(ctx)
}

// xnetConn is one stream of an x/net connection as a net.Conn. A deadline holds for the calls of
// Read and Write after it.
type xnetConn struct {
	stream   *xquic.Stream
	conn     *xquic.Conn
	endpoint *xquic.Endpoint // a client's, which ends with the connection; nil on the server

	readBy, writeBy atomic.Pointer[time.Time]
	writing         sync.Mutex
}

func (c *xnetConn) Read(p []byte) (int, error) {
	ctx, cancel := until(&c.readBy)
	defer cancel()
	c.stream.SetReadContext(ctx)
	n, err := c.stream.Read(p)
	return n, timeout(err)
}

func (c *xnetConn) Write(p []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	ctx, cancel := until(&c.writeBy)
	defer cancel()
	c.stream.SetWriteContext(ctx)
	n, err := c.stream.Write(p)
	if err == nil {
		err = c.stream.Flush()
	}
	return n, timeout(err)
}

// until is a context that ends at a deadline.
func until(deadline *atomic.Pointer[time.Time]) (context.Context, context.CancelFunc) {
	if t := deadline.Load(); t != nil && !t.IsZero() {
		return context.WithDeadline(context.Background(), *t)
	}
	return context.WithCancel(context.Background())
}

// timeout turns the end of a context into the error that a net.Conn gives.
func timeout(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return os.ErrDeadlineExceeded
	}
	return err
}

func (c *xnetConn) LocalAddr() net.Addr  { return net.UDPAddrFromAddrPort(c.conn.LocalAddr()) }
func (c *xnetConn) RemoteAddr() net.Addr { return net.UDPAddrFromAddrPort(c.conn.RemoteAddr()) }

func (c *xnetConn) SetReadDeadline(t time.Time) error  { c.readBy.Store(&t); return nil }
func (c *xnetConn) SetWriteDeadline(t time.Time) error { c.writeBy.Store(&t); return nil }
func (c *xnetConn) SetDeadline(t time.Time) error {
	c.readBy.Store(&t)
	c.writeBy.Store(&t)
	return nil
}

// Close sends FIN and gives the peer a moment to end the connection.
func (c *xnetConn) Close() error {
	c.stream.CloseWrite()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	c.conn.Wait(ctx)
	c.end(0)
	return nil
}

func (c *xnetConn) abort() { c.end(1) }

func (c *xnetConn) end(code uint64) {
	c.conn.Abort(&xquic.ConnectionCloseError{Code: code})
	if c.endpoint != nil {
		go endEndpoint(c.endpoint)
	}
}
