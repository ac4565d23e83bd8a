//go:build !noquic

package probe

import (
	"context"
	"fmt"
	"time"

	"github.com/ngmq/ngmq/cmd/ngmq/internal/remote"
	"github.com/ngmq/ngmq/crypto"
	"github.com/ngmq/ngmq/ngtcp2"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
)

// ticketWait is how long a probe waits for the session ticket after the last answer:
// servers send it right after the handshake.
const ticketWait = 200 * time.Millisecond

// quicDialer is an endpoint and the session of its last connection.
type quicDialer struct {
	cfg      Config
	tls      *crypto.Context
	endpoint *endpoint.Endpoint
	session  []byte
}

func newQUICDialer(cfg Config) (*quicDialer, error) {
	tls, err := cfg.TLS.QUICContext()
	if err != nil {
		return nil, err
	}
	config := endpoint.Config{Workers: 1, LocalAddr: cfg.Server.Local, Settings: remote.QUICSettings(cfg.CongestionControl), Logger: cfg.Logger}
	var e *endpoint.Endpoint
	if cfg.QlogDir != "" {
		config.Qlog, err = endpoint.QlogDir(cfg.QlogDir)
	}
	if err == nil {
		e, err = endpoint.New(config)
	}
	if err != nil {
		tls.Close()
		return nil, err
	}
	return &quicDialer{cfg: cfg, tls: tls, endpoint: e}, nil
}

func (q *quicDialer) close() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = q.endpoint.Shutdown(ctx) // the error of ctx
	q.tls.Close()
}

func (q *quicDialer) dial(ctx context.Context, server remote.Server, kind Kind) (*dialed, error) {
	sessions := make(chan []byte, 8) // servers send one or two
	cfg := endpoint.DialConfig{TLS: q.tls, ServerName: server.ServerName(&q.cfg.TLS), EarlyData: kind == Early,
		OnSession: func(s []byte) {
			select {
			case sessions <- s:
			default:
			}
		}}
	if kind != Full {
		cfg.Session = q.session
	}
	c, err := q.endpoint.DialConn(ctx, server.Addr, cfg)
	if err != nil {
		return nil, err
	}
	end := func(ctx context.Context) {
		q.keep(ctx, sessions)
		c.Close()
	}
	return &dialed{Conn: c, detail: func() string { return quicDetail(ctx, c, kind) }, end: end}, nil
}

// keep waits for a session to resume.
func (q *quicDialer) keep(ctx context.Context, sessions <-chan []byte) {
	ctx, cancel := context.WithTimeout(ctx, ticketWait)
	defer cancel()
	select {
	case q.session = <-sessions:
	case <-ctx.Done():
	}
}

func quicDetail(ctx context.Context, c *endpoint.StreamConn, kind Kind) string {
	if err := c.Handshake(ctx); err != nil {
		return err.Error()
	}
	state := c.TLS()
	text := fmt.Sprintf("QUIC %s %s %s %s", quicVersion(ctx, c.Conn()), state.Version, state.CipherSuite, state.Group)
	switch {
	case state.EarlyData:
		text += ", resumed, early data accepted"
	case state.EarlyDataRejected:
		text += ", early data rejected"
	case state.Resumed && kind == Early:
		text += ", resumed, the server takes no early data"
	case state.Resumed:
		text += ", resumed"
	}
	return text
}

// quicVersion asks the worker of the connection.
func quicVersion(ctx context.Context, c *endpoint.Conn) string {
	version := make(chan uint32, 1)
	c.Post(func() { version <- c.Version() })
	select {
	case v := <-version:
		switch v {
		case ngtcp2.VersionV1:
			return "v1"
		case ngtcp2.VersionV2:
			return "v2"
		}
		return fmt.Sprintf("%#x", v)
	case <-ctx.Done():
		return "of unknown version"
	}
}
