//go:build !noquic

package server

import (
	"context"

	"github.com/ngmq/ngmq/crypto"
	"github.com/ngmq/ngmq/ngtcp2"
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

func (s *Server) openQUIC(r resolved, id *identity) error {
	addrs := r.quic
	if len(addrs) == 0 {
		return nil
	}
	qlog, err := openQlog(s.cfg.QlogDir)
	if err != nil {
		return err
	}
	tls, err := s.quicTLS(r, id)
	if err != nil {
		return err
	}
	l, err := quic.Listen(quic.Config{
		Broker: s.broker, TLS: tls, Addrs: addrs, Logger: s.log,
		ResetSecret: s.resetSecret(),
		Workers:     s.cfg.Workers, Retry: retryPolicies[s.cfg.Retry], MaxConnections: s.cfg.Limits.MaxConnections,
		HandshakeTimeout: s.cfg.Timeouts.Handshake, IdleTimeout: s.cfg.Timeouts.Idle,
		Qlog: qlog, LogQUIC: s.cfg.LogQUIC, LoadBalancer: r.loadBalancer,
		NoMigration: s.cfg.NoMigration, PreferredAddrs: r.preferred, EarlyData: s.cfg.EarlyData != EarlyDataOff,
		MaxStreams: streamLimit(s.cfg.Limits.MaxStreams), MaxUniStreams: s.cfg.Limits.MaxUniStreams, StreamClients: s.cfg.StreamClients,
		CongestionControl: ngtcp2.CongestionControlOf(s.cfg.CongestionControl),
		QoSPriority:       s.cfg.QoSPriority, Next: s.cfg.MQTTNext != MQTTNextOff, ServerFlows: s.cfg.MQTTNext == MQTTNextServerFlows, Datagrams: s.cfg.Datagrams != DatagramsOff,
	})
	if err != nil {
		tls.Close()
		return listenError("QUIC", join(append(addrs, r.preferred...)), err)
	}
	s.quic, s.addrs.QUIC = quicServer{l, tls}, l.Addrs()
	s.rotation.use = l.RotateLoadBalancer
	return nil
}

// streamLimit is Limits.MaxStreams for the listener: the control stream is always there.
func streamLimit(n int) int {
	if n < 0 {
		return 1
	}
	return n
}

// quicTLS is the TLS context of the QUIC listener.
func (s *Server) quicTLS(r resolved, id *identity) (*crypto.Context, error) {
	once := 0
	if s.cfg.EarlyData == EarlyDataSingleUse {
		once = crypto.DefaultEarlyDataOnce
	}
	tls, err := crypto.NewContext(crypto.Config{
		CertPEM: id.certPEM, KeyPEM: id.keyPEM, ALPN: s.quicALPN(),
		ClientCAPEM: r.clientCAs, ClientAuth: s.clientAuth(r), ClientCRLPEM: r.clientCRLs,
		EarlyData: s.cfg.EarlyData != EarlyDataOff, EarlyDataOnce: once, TicketKeys: s.tickets.inherited(),
		KeyLogFile: s.cfg.KeyLogFile, // openKeyLog has warned
	})
	if err != nil {
		return nil, err
	}
	s.revoked.users = append(s.revoked.users, tls.SetClientCRLs)
	if err := s.tickets.add(tls.SetTicketKeys); err != nil {
		tls.Close()
		return nil, err
	}
	return tls, nil
}

// quicALPN are the application protocols of QUIC, the preferred one first.
func (s *Server) quicALPN() []string {
	if s.cfg.MQTTNext != MQTTNextOff {
		return []string{quic.NextALPN, alpn}
	}
	return []string{alpn}
}

// clientAuth is ClientCert for QUIC.
func (s *Server) clientAuth(r resolved) crypto.ClientAuth {
	switch {
	case r.clientCAs == nil:
		return crypto.NoClientCert
	case s.cfg.ClientCert == ClientCertOptional:
		return crypto.RequestClientCert
	}
	return crypto.RequireClientCert
}

// checkQlogDir says whether qlog files can be made in dir, before anything listens.
func checkQlogDir(dir string) error {
	_, err := openQlog(dir)
	return err
}

// openQlog is what makes the qlog files in dir; nil without a directory.
func openQlog(dir string) (qlog endpoint.Qlog, err error) {
	if dir == "" {
		return nil, nil
	}
	if qlog, err = endpoint.QlogDir(dir); err != nil {
		return nil, &ConfigError{
			Field: "QlogDir", Value: dir, Problem: "no file can be made there", Err: err,
			Remedy: "name a directory that can be written to, or made (ngmqd: --qlog-dir)",
		}
	}
	return qlog, nil
}
