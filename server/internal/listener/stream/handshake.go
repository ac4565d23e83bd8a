package stream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/server/internal/broker"
)

// handshake does everything before MQTT, within Config.HandshakeTimeout: PROXY header,
// TLS, WebSocket. It gives input that has come already, in the buffer, which it may
// change for a larger one.
func (c *conn) handshake(buf **[]byte) (early []byte, err error) {
	if c.l.plain {
		return nil, nil
	}
	deadline := time.Now().Add(c.l.cfg.HandshakeTimeout)
	c.setReadDeadline(deadline)
	if c.trustsProxy() {
		err = c.readEnds()
	}
	if t, ok := c.net.(*tls.Conn); ok && err == nil {
		err = shakeHands(t, deadline)
	}
	if c.ws != nil && err == nil {
		putReadBuffer(*buf)
		*buf = largeBuffers.Get().(*[]byte)
		if early, err = c.upgrade(**buf); err != nil {
			err = upgradeError(err)
		}
	}
	c.setReadDeadline(time.Time{})
	if err != nil && !c.closing.Load() {
		c.report(err)
	}
	return early, err
}

// setReadDeadline does not put off the deadline that Close has set.
func (c *conn) setReadDeadline(t time.Time) {
	c.net.SetReadDeadline(t)
	if c.closing.Load() {
		c.net.SetReadDeadline(time.Now().Add(lingerTime))
	}
}

func shakeHands(t *tls.Conn, deadline time.Time) error {
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	return tlsError(t.HandshakeContext(ctx))
}

// trustsProxy says whether the connection comes from where a PROXY header is believed.
// Everybody else is served as who he is.
func (c *conn) trustsProxy() bool {
	from := c.ends.remote.Addr()
	return slices.ContainsFunc(c.l.cfg.ProxyFrom, func(p netip.Prefix) bool { return p.Contains(from) })
}

// readEnds takes the addresses of the PROXY header.
func (c *conn) readEnds() error {
	ends, err := readProxyHeader(c.raw)
	if err != nil {
		return fmt.Errorf("PROXY protocol: %w", err)
	}
	if ends.remote.IsValid() {
		c.ends = ends
	}
	if !c.client.From(c.ends.remote.Addr()) {
		return errCrowd
	}
	return nil
}

// errCrowd is why a connection is closed without a word, see broker.Client.From.
var errCrowd = errors.New("too many connections from this address")

// report has the broker log a handshake that failed, unless the peer just went away or
// never said anything: such are port scans and health checks.
func (c *conn) report(err error) {
	var timeout net.Error
	switch {
	case errors.Is(err, errCrowd), errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.As(err, &timeout) && timeout.Timeout():
	default:
		c.client.Fail(&broker.Error{Code: packet.ProtocolError, Reason: err.Error()})
	}
}
