package client

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"time"

	"github.com/ngmq/ngmq/crypto/keylog"
	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/mqtt/websocket"
)

// dialer opens network connections.
type dialer struct {
	*Options
	sessions *sessions
}

// dial opens the network connection to a server; ctx bounds it. early: the CONNECT may be
// sent before the handshake is complete.
func (o *dialer) dial(ctx context.Context, srv server, early bool) (net.Conn, error) {
	nc, err := o.open(ctx, srv, early)
	if errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("%w: %w", err, context.DeadlineExceeded) // the socket's timer was ahead of that of ctx
	}
	return nc, err
}

func (o *dialer) open(ctx context.Context, srv server, early bool) (net.Conn, error) {
	if o.Dial != nil {
		return o.Dial(ctx)
	}
	if o.TLS.Insecure && srv.encrypted() {
		o.Logger.Warn("the server's certificate is NOT verified: TLS.Insecure is set", "server", srv.addr)
	}
	if o.TLS.KeyLogFile != "" && srv.encrypted() {
		o.Logger.Warn("the secrets of the connection are written to a file: TLS.KeyLogFile is set", "file", o.TLS.KeyLogFile)
	}
	switch srv.scheme {
	case "quic":
		return o.dialQUIC(ctx, srv, early)
	case "tls":
		return o.dialTLS(ctx, srv)
	case "ws", "wss":
		return o.dialWebSocket(ctx, srv)
	case "unix":
		return new(net.Dialer).DialContext(ctx, "unix", srv.addr)
	}
	return o.dialTCP(ctx, srv.addr)
}

// sessionKey is where sessions of a server are kept.
func (o *dialer) sessionKey(srv server) string {
	return "quic " + o.TLS.serverName(srv.host) + " " + srv.addr
}

// frameRoom is how much larger than a packet a WebSocket frame of the server may be, in
// bytes: it may put several packets into one.
const frameRoom = 1 << 20

// dialWebSocket opens a connection and does the opening handshake of WebSocket.
func (o *dialer) dialWebSocket(ctx context.Context, srv server) (net.Conn, error) {
	var nc net.Conn // no result: what stops the handshake may still use it after the return
	var err error
	if srv.scheme == "wss" {
		nc, err = o.dialTLS(ctx, srv)
	} else {
		nc, err = o.dialTCP(ctx, srv.addr)
	}
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { nc.SetDeadline(time.Unix(1, 0)) })
	largest := int64(cmp.Or(o.MaxPacketSize, packet.MaxPacketSize)) + frameRoom
	conn, err := websocket.Client(nc, srv.resource, largest)
	if !stop() {
		err = ctx.Err()
	}
	if err != nil {
		nc.Close()
		return nil, err
	}
	return conn, nil
}

func (o *dialer) dialTLS(ctx context.Context, srv server) (net.Conn, error) {
	t := &o.TLS
	config, err := t.Config(srv.host)
	if err != nil {
		return nil, err
	}
	if srv.scheme == "tls" {
		config.NextProtos = t.ALPN
	}
	if !t.NoResumption {
		config.ClientSessionCache = o.sessions
	}
	if t.KeyLogFile != "" {
		f, err := keylog.Open(t.KeyLogFile)
		if err != nil {
			return nil, fmt.Errorf("client: TLS.KeyLogFile: %w; %s", err, keylog.Remedy)
		}
		defer f.Close() // the handshake alone writes
		config.KeyLogWriter = f
	}
	nc, err := o.dialTCP(ctx, srv.addr)
	if err != nil {
		return nil, err
	}
	secured := tls.Client(nc, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		nc.Close()
		return nil, err
	}
	return secured, nil
}

// redacted is a URL without its password.
func redacted(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return raw
	}
	return u.Redacted()
}
