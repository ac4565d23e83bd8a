package server

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"slices"
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
	s.warnOfFaults()
	if err = errors.Join(err, s.openKeyLog(), checkQlogDir(s.cfg.QlogDir)); err != nil {
		return err
	}
	tc := s.tlsConfig(id, r.clientCAs)
	s.revoked = newRevocations(s.cfg.ClientCRLFile, r.clientCRLs, s.log)
	s.revoked.watch(tc)
	wssConfig := overHTTP(tc)
	s.rotation = &rotation{watchedFile: newWatchedFile(s.cfg.LoadBalancerKeyFile, s.log)}
	if r.loadBalancer != nil {
		s.rotation.form = *r.loadBalancer
	}
	s.tickets = newTickets(s.cfg.TicketKeysFile, r.ticketKeys, s.log)
	s.tickets.addTLS(tc)
	s.tickets.addTLS(wssConfig)
	if len(r.tcp)+len(r.unix) > 0 {
		if s.loop, err = stream.NewLoop(s.broker); err != nil {
			return fmt.Errorf("event loops: %w", err)
		}
	}
	a := &s.addrs
	return errors.Join(
		s.openStreams("TCP", r.tcp, stream.Config{}, &a.TCP),
		s.openStreams("TLS", r.tls, stream.Config{TLS: tc}, &a.TLS),
		s.openStreams("WS", r.ws, stream.Config{WebSocket: s.webSocket()}, &a.WS),
		s.openStreams("WSS", r.wss, stream.Config{WebSocket: s.webSocket(), TLS: wssConfig}, &a.WSS),
		s.openUnix(r.unix),
		s.openQUIC(r, id),
		s.openPipe(),
	)
}

// openStreams opens the TCP sockets of one transport and notes where they are.
func (s *Server) openStreams(field string, addrs []tcpAddress, cfg stream.Config, bound *[]netip.AddrPort) error {
	var errs []error
	for _, addr := range addrs {
		cfg.ProxyFrom = addr.proxies
		l, err := stream.Listen(addr.AddrPort, s.streamConfig(cfg))
		if err != nil {
			errs = append(errs, listenError(field, addr.String(), err))
			continue
		}
		s.streams = append(s.streams, l)
		*bound = append(*bound, l.Addr().(*net.TCPAddr).AddrPort())
	}
	return errors.Join(errs...)
}

// openPipe lets Dial connect.
func (s *Server) openPipe() error {
	s.pipe = stream.Pipe(s.streamConfig(stream.Config{}))
	s.streams = append(s.streams, s.pipe)
	return nil
}

func (s *Server) openUnix(addrs []unixAddress) error {
	var errs []error
	for _, addr := range addrs {
		l, err := stream.ListenUnix(addr.path, addr.mode, s.streamConfig(stream.Config{}))
		if err != nil {
			errs = append(errs, &ConfigError{
				Field: "Unix", Value: addr.path, Problem: "cannot listen", Err: err,
				Remedy: unixRemedy(err) + " (ngmqd: --unix PATH, or off)",
			})
			continue
		}
		s.streams = append(s.streams, l)
		s.addrs.Unix = append(s.addrs.Unix, addr.path)
	}
	return errors.Join(errs...)
}

// unixRemedy is what to do about a Unix socket that cannot be made.
func unixRemedy(err error) string {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return "stop the program that listens there, or choose another path"
	case errors.Is(err, fs.ErrExist):
		return "remove the file, or choose another path"
	}
	return "choose a path in a directory that this program can write to"
}

// streamConfig adds what all listeners on byte streams share.
func (s *Server) streamConfig(c stream.Config) stream.Config {
	c.Broker, c.Loop, c.Logger = s.broker, s.loop, s.log
	c.HandshakeTimeout, c.WriteTimeout = s.cfg.Timeouts.Handshake, s.cfg.Timeouts.Write
	return c
}

// frameRoom is how much larger than a packet a WebSocket frame may be, in bytes: clients
// put several packets into one.
const frameRoom = 64 << 10

func (s *Server) webSocket() *stream.WebSocket {
	return &stream.WebSocket{
		Origins:  s.cfg.Origins,
		MaxFrame: int64(s.broker.MaxPacketSize()) + frameRoom,
	}
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
	if len(r.quic)+len(r.tls)+len(r.wss) == 0 {
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
	dev, err := devcert.Generate(dir, r.hosts()...)
	if err != nil {
		return nil, &ConfigError{
			Field: "DataDir", Value: s.cfg.DataDir, Problem: "no development certificate", Err: err,
			Remedy: "name a directory that can be written to (ngmqd: --data-dir), or give a certificate with CertFile and KeyFile (ngmqd: --cert and --key)",
		}
	}
	if s.caPEM, err = os.ReadFile(dev.CAFile); err != nil {
		return nil, err
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
func (r resolved) hosts() []string {
	addrs := slices.Clone(r.quic)
	for _, a := range slices.Concat(r.tls, r.wss) {
		addrs = append(addrs, a.AddrPort)
	}
	var names []string
	for _, a := range addrs {
		if !a.Addr().IsUnspecified() {
			names = append(names, a.Addr().WithZone("").String())
		}
	}
	return names
}

// tlsConfig is for TLS over TCP; clients need not offer an ALPN.
func (s *Server) tlsConfig(id *identity, clientCAs []byte) *tls.Config {
	if id == nil {
		return nil
	}
	c := &tls.Config{Certificates: []tls.Certificate{id.pair}, MinVersion: minTLS, NextProtos: []string{alpn}}
	s.askForCertificates(c, clientCAs)
	if s.keyLog != nil {
		c.KeyLogWriter = s.keyLog
	}
	return c
}

// overHTTP is c for WebSocket, which begins as HTTP/1.1: browsers offer that ALPN.
func overHTTP(c *tls.Config) *tls.Config {
	if c == nil {
		return nil
	}
	c = c.Clone()
	c.NextProtos = []string{"http/1.1"}
	return c
}

// warnOfFaults says that nobody should rely on this server.
func (s *Server) warnOfFaults() {
	if len(s.cfg.Faults) > 0 {
		s.log.Warn("FAULTS: this server misbehaves on purpose; use it for tests of clients alone", "faults", fmt.Sprint(s.cfg.Faults))
	}
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
		AllowAnonymous:            c.AllowAnonymous || len(c.Authenticators) == 0,
		Authenticators:            c.Authenticators,
		Handlers:                  c.Handlers,
		CertUsername:              c.CertUsername.of(),
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
		SingleSubscription:        c.SingleSubscription,
		Datagrams:                 c.Datagrams,
		Faults:                    c.Faults,
		SysInterval:               max(c.SysInterval, 0),
		Version:                   c.Version,
		Logger:                    c.Logger,
	}
}

// join lists addresses for the log; "off" when there is none.
func join(addrs []netip.AddrPort) string {
	names := make([]string, len(addrs))
	for i, a := range addrs {
		names[i] = a.String()
	}
	return joinNames(names)
}

func joinNames(names []string) string {
	if len(names) == 0 {
		return Off
	}
	return strings.Join(names, ",")
}
