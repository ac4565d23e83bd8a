//go:build !noquic

package server

import (
	"context"
	"net/netip"

	"github.com/ngmq/ngmq/crypto"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
	"github.com/ngmq/ngmq/server/internal/listener/quic"
)

// DefaultQUIC is the QUIC address of the zero Config; the port is what MQTT over QUIC
// brokers use. In a build without QUIC (tag noquic) it is Off.
const DefaultQUIC = "127.0.0.1:14567"

// checkQUIC says whether this build can listen on the addresses of Config.QUIC.
func checkQUIC([]string) error { return nil }

var retryPolicies = [numRetryPolicies]endpoint.RetryPolicy{
	RetryAuto: endpoint.RetryAuto, RetryNever: endpoint.RetryNever, RetryAlways: endpoint.RetryAlways,
}

// quicServer is the QUIC listener with the TLS context that it works with.
type quicServer struct {
	*quic.Listener
	tls *crypto.Context
}

// Shutdown ends the listener, then frees the context.
func (q quicServer) Shutdown(ctx context.Context) error {
	defer q.tls.Close()
	return q.Listener.Shutdown(ctx)
}

func (s *Server) openQUIC(addrs []netip.AddrPort, id *identity) error {
	if len(addrs) == 0 {
		return nil
	}
	tls, err := crypto.NewContext(crypto.Config{
		CertPEM: id.certPEM, KeyPEM: id.keyPEM, ALPN: []string{alpn},
		KeyLogFile: s.cfg.KeyLogFile, // openKeyLog has warned
	})
	if err != nil {
		return err
	}
	l, err := quic.Listen(quic.Config{
		Broker: s.broker, TLS: tls, Addrs: addrs, Logger: s.log,
		Workers: s.cfg.Workers, Retry: retryPolicies[s.cfg.Retry], MaxConnections: s.cfg.Limits.MaxConnections,
		HandshakeTimeout: s.cfg.Timeouts.Handshake, IdleTimeout: s.cfg.Timeouts.Idle,
	})
	if err != nil {
		tls.Close()
		return listenError("QUIC", join(addrs), err)
	}
	s.quic, s.addrs.QUIC = quicServer{l, tls}, l.Addrs()
	return nil
}
