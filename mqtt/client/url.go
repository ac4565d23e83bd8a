package client

import (
	"fmt"
	"net"
	"net/url"
)

// server is where a URL leads to.
type server struct {
	scheme   string // "quic", "tcp" or "tls"
	host     string
	addr     string // host:port
	username string
	password []byte // nil: none
}

// schemes maps URL schemes to transports and their default ports.
var schemes = map[string]struct{ transport, port string }{
	"quic":  {"quic", "14567"},
	"mqtt":  {"tcp", "1883"},
	"tcp":   {"tcp", "1883"},
	"mqtts": {"tls", "8883"},
	"ssl":   {"tls", "8883"},
}

// parseURL reads scheme://[user[:password]@]host[:port]; a path is not looked at.
func parseURL(raw string) (server, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return server{}, fmt.Errorf("client: server %q: %w", raw, err)
	}
	scheme, ok := schemes[u.Scheme]
	if !ok {
		return server{}, fmt.Errorf("client: server %q: scheme must be quic, mqtt, mqtts, tcp or ssl, e.g. quic://localhost:14567", u.Redacted())
	}
	if u.Hostname() == "" {
		return server{}, fmt.Errorf("client: server %q has no host", u.Redacted())
	}
	port := u.Port()
	if port == "" {
		port = scheme.port
	}
	s := server{scheme: scheme.transport, host: u.Hostname(), addr: net.JoinHostPort(u.Hostname(), port)}
	s.username = u.User.Username()
	if password, ok := u.User.Password(); ok {
		s.password = []byte(password)
	}
	return s, nil
}
