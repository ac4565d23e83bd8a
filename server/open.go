package server

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/ngmq/ngmq/crypto/devcert"
	"github.com/ngmq/ngmq/crypto/keylog"
	"github.com/ngmq/ngmq/server/internal/broker"
	"github.com/ngmq/ngmq/server/internal/listener/stream"
)

// open loads the certificate, if a listener needs one, and opens all sockets. The
// error names every address that could not be opened.
func (s *Server) open(r resolved) error {
	id, err := s.identity(r)
	if err = errors.Join(err, s.openKeyLog(), checkQlogDir(s.cfg.QlogDir)); err != nil {
		return err
	}
	return errors.Join(
		s.openStreams("TCP", r.tcp, nil),
		s.openStreams("TLS", r.tls, s.tlsConfig(id)),
		s.openQUIC(r.quic, id),
	)
}

func (s *Server) openStreams(field string, addrs []netip.AddrPort, tc *tls.Config) error {
	var errs []error
	for _, addr := range addrs {
		l, err := stream.Listen(addr, stream.Config{
			Broker: s.broker, TLS: tc, Logger: s.log,
			HandshakeTimeout: s.cfg.Timeouts.Handshake, WriteTimeout: s.cfg.Timeouts.Write,
		})
		if err != nil {
			errs = append(errs, listenError(field, addr.String(), err))
			continue
		}
		s.streams = append(s.streams, l)
		bound := l.Addr().(*net.TCPAddr).AddrPort()
		if tc == nil {
			s.addrs.TCP = append(s.addrs.TCP, bound)
		} else {
			s.addrs.TLS = append(s.addrs.TLS, bound)
		}
	}
	return errors.Join(errs...)
}

func listenError(field, addr string, err error) error {
	return &ConfigError{
		Field: field, Value: addr, Problem: "cannot listen", Err: err,
		Remedy: fmt.Sprintf("%s, or choose another address (ngmqd: --%s HOST:PORT, or off)", listenRemedy(err), strings.ToLower(field)),
	}
}

// listenRemedy is what to do about the system's refusal.
func listenRemedy(err error) string {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return "stop the program that uses the address (ss -lntup shows it)"
	case errors.Is(err, syscall.EACCES):
		return "allow this program ports below 1024 (capability CAP_NET_BIND_SERVICE)"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "give this machine the address (ip addr shows those that it has)"
	}
	return "see that the system lets this program use the address"
}

// identity is the certificate chain and key that the server shows.
type identity struct {
	certPEM, keyPEM []byte
	pair            tls.Certificate
}

// identity reads CertFile and KeyFile, or makes a development certificate. It gives
// nil when no listener needs one.
func (s *Server) identity(r resolved) (*identity, error) {
	if len(r.quic)+len(r.tls) == 0 {
		return nil, nil
	}
	if r.certificate != nil {
		return readIdentity(s.cfg.CertFile, s.cfg.KeyFile)
	}
	dir := s.cfg.DataDir
	if dir == "" {
		temp, err := os.MkdirTemp("", "ngmq-dev-")
		if err != nil {
			return nil, err
		}
		defer os.RemoveAll(temp)
		dir = temp
	}
	dev, err := devcert.Generate(dir, hosts(r.quic, r.tls)...)
	if err != nil {
		return nil, &ConfigError{
			Field: "DataDir", Value: s.cfg.DataDir, Problem: "no development certificate", Err: err,
			Remedy: "name a directory that can be written to (ngmqd: --data-dir), or give a certificate with CertFile and KeyFile (ngmqd: --cert and --key)",
		}
	}
	s.announce(dev)
	return readIdentity(dev.CertFile, dev.KeyFile)
}

// announce logs which development certificate is in use.
func (s *Server) announce(dev devcert.Cert) {
	attrs := []any{"sha256", dev.Fingerprint, "expires", dev.NotAfter.Format(time.DateOnly), "created", dev.Created}
	if s.cfg.DataDir != "" {
		s.caFile = dev.CAFile
		attrs = append(attrs, "ca", dev.CAFile)
	}
	s.log.Info("using a development certificate", attrs...)
}

func readIdentity(certFile, keyFile string) (*identity, error) {
	cert, err := os.ReadFile(certFile)
	if err != nil {
		return nil, err
	}
	key, err := os.ReadFile(keyFile)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	return &identity{certPEM: cert, keyPEM: key, pair: pair}, err
}

// hosts are the addresses that clients may name, for the development certificate.
func hosts(lists ...[]netip.AddrPort) []string {
	var names []string
	for _, list := range lists {
		for _, a := range list {
			if !a.Addr().IsUnspecified() {
				names = append(names, a.Addr().WithZone("").String())
			}
		}
	}
	return names
}

// tlsConfig is for TLS over TCP; clients need not offer an ALPN.
func (s *Server) tlsConfig(id *identity) *tls.Config {
	if id == nil {
		return nil
	}
	c := &tls.Config{Certificates: []tls.Certificate{id.pair}, MinVersion: minTLS, NextProtos: []string{alpn}}
	if s.keyLog != nil {
		c.KeyLogWriter = s.keyLog
	}
	return c
}

// openKeyLog opens the key log for TLS over TCP; QUIC opens it again by its name.
func (s *Server) openKeyLog() (err error) {
	name := s.cfg.KeyLogFile
	if name == "" {
		return nil
	}
	if s.keyLog, err = keylog.Open(name); err != nil {
		return &ConfigError{
			Field: "KeyLogFile", Value: name, Problem: "cannot be used", Err: err,
			Remedy: keylog.Remedy + " (ngmqd: --keylog-file)",
		}
	}
	s.log.Warn("INSECURE: the secrets of all connections are written to a file; whoever reads it can decrypt the traffic", "file", name)
	return nil
}

// brokerConfig is the part of c that the broker goes by.
func (c *Config) brokerConfig() broker.Config {
	l := c.Limits
	return broker.Config{
		// resolve has made sure that only this machine can be anonymous otherwise.
		AllowAnonymous:            true,
		Handlers:                  c.Handlers,
		ConnectTimeout:            c.Timeouts.Connect,
		MaxClients:                l.MaxConnections,
		MaxSessions:               l.MaxSessions,
		MaxPacketSize:             l.MaxPacketSize,
		ReceiveMaximum:            l.ReceiveMaximum,
		MaxInflight:               l.MaxInflight,
		TopicAliasMaximum:         l.TopicAliasMaximum,
		OutgoingTopicAliasMaximum: l.OutgoingTopicAliasMaximum,
		MaxQueuedMessages:         l.MaxQueuedMessages,
		MaxQueuedBytes:            l.MaxQueuedBytes,
		MaxConnectionsPerIP:       l.MaxConnectionsPerIP,
		MaxConnectRate:            l.MaxConnectRate,
		MaxConnectRatePerIP:       l.MaxConnectRatePerIP,
		MaxSubscribeRate:          l.MaxSubscribeRate,
		MaxMessageRate:            l.MaxMessageRate,
		MaxByteRate:               l.MaxByteRate,
		RatePolicy:                l.RatePolicy,
		MaxTopicLength:            l.MaxTopicLength,
		MaxTopicLevels:            l.MaxTopicLevels,
		MaxWillDelay:              l.MaxWillDelay,
		MaxQueuedAge:              l.MaxQueuedAge,
		QueuePolicy:               l.QueuePolicy,
		MaxSubscriptions:          l.MaxSubscriptions,
		MaxOfflineBytes:           l.MaxOfflineBytes,
		MaxSessionExpiry:          l.MaxSessionExpiry,
		MaxKeepAlive:              l.MaxKeepAlive,
		ResponsePrefix:            c.ResponsePrefix,
		CheckPayloadFormat:        c.CheckPayloadFormat,
		SysInterval:               max(c.SysInterval, 0),
		Version:                   c.Version,
		Logger:                    c.Logger,
	}
}

// join lists addresses for the log; "off" when there is none.
func join(addrs []netip.AddrPort) string {
	if len(addrs) == 0 {
		return Off
	}
	names := make([]string, len(addrs))
	for i, a := range addrs {
		names[i] = a.String()
	}
	return strings.Join(names, ",")
}
