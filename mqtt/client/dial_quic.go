//go:build !noquic

package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/ngmq/ngmq/crypto"
	"github.com/ngmq/ngmq/ngtcp2"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
)

const (
	// alpn is the application protocol of MQTT over QUIC.
	alpn = "mqtt"
	// quicKeepAlive is the silence after which QUIC sends a PING of its own: below
	// the 30 s that many NATs and some servers keep an idle UDP flow.
	quicKeepAlive = 25 * time.Second
	// quicCloseTimeout bounds the wait for the acknowledgement of DISCONNECT: the
	// endpoint's own three seconds and the closing after it.
	quicCloseTimeout = 4 * time.Second
)

// quicConn is a QUIC connection.
type quicConn struct {
	*endpoint.StreamConn
	*datagrams
	ended <-chan struct{} // closed when it has ended, and what ends with it
}

// checkQUIC says whether this build can reach the server.
func checkQUIC(server) error { return nil }

// dialQUIC opens a QUIC connection and its first stream, which carries MQTT.
func (o *dialer) dialQUIC(ctx context.Context, srv server, early bool) (net.Conn, error) {
	b, err := o.base()
	if err != nil {
		return nil, err
	}
	defer b.release()
	data, config := newDatagrams(o.Datagrams), o.resumption(srv, early)
	config.TLS, config.Settings = b.tls, o.settings
	if o.Datagrams {
		config.Datagrams = data
	}
	conn, err := b.quic.DialConn(ctx, srv.addr, config)
	if errors.Is(err, ngtcp2.ErrSessionInvalid) { // made under other CAs, for instance
		o.sessions.forget(o.sessionKey(srv))
		config.Session = nil
		conn, err = b.quic.DialConn(ctx, srv.addr, config)
	}
	if err != nil {
		b.end()
		return nil, explainQUIC(err)
	}
	return &quicConn{StreamConn: conn, datagrams: data, ended: b.endsWith(conn)}, nil
}

// settings are those of the transport.
func (o *dialer) settings(s *ngtcp2.Settings) {
	s.CCAlgo = ngtcp2.CongestionControlOf(o.CongestionControl)
}

// QUICContext is what t means for QUIC: a context of the client role, which the caller closes.
// A program built with the tag noquic has no such method.
func (t *TLS) QUICContext() (*crypto.Context, error) {
	c := crypto.Config{
		Role: crypto.Client, ALPN: t.ALPN, CAFile: t.CAFile,
		CertFile: t.CertFile, KeyFile: t.KeyFile, InsecureSkipVerify: t.Insecure, KeyLogFile: t.KeyLogFile,
	}
	if len(c.ALPN) == 0 {
		c.ALPN = []string{alpn}
	}
	if t.CADir != "" || t.CAPEM != nil {
		roots, err := t.RootCAs()
		if err != nil {
			return nil, err
		}
		c.CAFile, c.CAPEM = "", roots
	}
	return crypto.NewContext(c)
}

// noApplicationProtocol is the TLS alert of a server that does not know the ALPN (RFC 7301
// section 3.2).
const noApplicationProtocol = 120

// explainQUIC is the cause of a Dial that failed, without the address, which the caller adds,
// and with what it means where the cause does not say so.
func explainQUIC(err error) error {
	var failed *endpoint.DialError
	if errors.As(err, &failed) {
		err = failed.Err
	}
	var refused *ngtcp2.TransportError
	errors.As(err, &refused)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w: nobody listens on this UDP port", err)
	case errors.Is(err, ngtcp2.ErrHandshakeTimeout), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w: no answer over UDP; where that is closed, mqtts:// or wss:// may get through", err)
	case refused != nil && refused.Code == ngtcp2.CryptoError+noApplicationProtocol:
		return fmt.Errorf("%w: the server has no MQTT (by ALPN) on this port", err)
	}
	return err
}

// resumption is how to take up what an earlier connection has left, and to keep what this
// one leaves.
func (o *dialer) resumption(srv server, early bool) endpoint.DialConfig {
	config := endpoint.DialConfig{ServerName: o.TLS.serverName(srv.host)}
	if o.TLS.NoResumption {
		return config
	}
	key := o.sessionKey(srv)
	known := o.sessions.take(key)
	config.Session, config.Token = known.Session, known.Token
	config.EarlyData = early && known.Session != nil
	config.OnSession = func(b []byte) { o.sessions.change(key, func(r *rememberedServer) { r.Session = b }) }
	config.OnToken = func(b []byte) { o.sessions.change(key, func(r *rememberedServer) { r.Token = b }) }
	return config
}

// openStream opens a further stream.
func (c *quicConn) openStream(ctx context.Context) (net.Conn, error) {
	return c.StreamConn.Open(ctx)
}

// info is what the transport knows (quicTransport).
func (c *quicConn) info(ctx context.Context) (*QUICInfo, error) {
	result := make(chan *QUICInfo, 1)
	conn := c.Conn()
	conn.Post(func() {
		i, state := conn.Info(), conn.TLS()
		result <- &QUICInfo{
			Resumed: state.Resumed, EarlyData: state.EarlyData, RTT: i.SmoothedRTT, MinRTT: i.MinRTT,
			CongestionWindow: i.CWND, BytesInFlight: i.BytesInFlight,
			PacketsSent: i.PktSent, PacketsReceived: i.PktRecv, PacketsLost: i.PktLost,
			BytesSent: i.BytesSent, BytesReceived: i.BytesRecv, Datagrams: c.datagrams.info(),
		}
	})
	select {
	case i := <-result:
		return i, nil
	case <-c.Closed():
		return nil, ErrNotConnected
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// rebind migrates (quicTransport).
func (c *quicConn) rebind(ctx context.Context, local netip.AddrPort, immediate bool) error {
	return c.Conn().Migrate(ctx, endpoint.Migration{Local: local, Immediate: immediate})
}

// openQlog is what makes the qlog files in dir; nil without a directory.
func openQlog(dir string) (endpoint.Qlog, error) {
	if dir == "" {
		return nil, nil
	}
	qlog, err := endpoint.QlogDir(dir)
	if err != nil {
		return nil, fmt.Errorf("client: Options.QlogDir: %w", err)
	}
	return qlog, nil
}

// linger closes gracefully: what was written is acknowledged first, then the
// connection is closed.
func (c *quicConn) linger(ctx context.Context) {
	c.Close()
	ctx, cancel := context.WithTimeout(ctx, quicCloseTimeout)
	defer cancel()
	select {
	case <-c.ended:
	case <-ctx.Done():
	}
}
