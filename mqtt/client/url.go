package client

import (
	"cmp"
	"fmt"
	"net"
	"net/url"

	"github.com/ngmq/ngmq/mqtt/websocket"
)

// server is where a URL leads to.
type server struct {
	scheme   string // "quic", "tcp", "tls", "ws", "wss" or "unix"
	host     string
	addr     string   // host:port, of "unix" the path
	resource *url.URL // of "ws" and "wss", without user
	username string
	password []byte // nil: none
}

// encrypted says whether TLS protects the connection.
func (s *server) encrypted() bool {
	return s.scheme == "quic" || s.scheme == "tls" || s.scheme == "wss"
}

// schemes maps URL schemes to transports and their default ports.
var schemes = map[string]struct{ transport, port string }{
	"quic":  {"quic", "14567"},
	"mqtt":  {"tcp", "1883"},
	"tcp":   {"tcp", "1883"},
	"mqtts": {"tls", "8883"},
	"ssl":   {"tls", "8883"},
	"ws":    {"ws", "80"},
	"wss":   {"wss", "443"},
	"unix":  {"unix", ""},
}

// parseURL reads scheme://[user[:password]@]host[:port]. A path means something with ws
// and wss, where it is /mqtt by default, and with unix, unix:///path, alone.
func parseURL(raw string) (server, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return server{}, fmt.Errorf("client: server %q: %w", raw, err)
	}
	scheme, ok := schemes[u.Scheme]
	if !ok {
		return server{}, fmt.Errorf("client: server %q: scheme must be quic, mqtt, mqtts, tcp, ssl, ws, wss or unix, e.g. quic://localhost:14567", u.Redacted())
	}
	if scheme.transport == "unix" {
		return parseUnix(u)
	}
	if u.Hostname() == "" {
		return server{}, fmt.Errorf("client: server %q has no host: it stands behind //, e.g. %s://localhost", u.Redacted(), u.Scheme)
	}
	port := u.Port()
	if port == "" {
		port = scheme.port
	}
	s := server{scheme: scheme.transport, host: u.Hostname(), addr: net.JoinHostPort(u.Hostname(), port)}
	if s.scheme == "ws" || s.scheme == "wss" {
		s.resource = &url.URL{Scheme: s.scheme, Host: u.Host, Path: cmp.Or(u.Path, websocket.Path), RawPath: u.RawPath, RawQuery: u.RawQuery}
	}
	s.credentials(u)
	return s, nil
}

// parseUnix reads unix:///path.
func parseUnix(u *url.URL) (server, error) {
	if u.Host != "" || u.Path == "" {
		return server{}, fmt.Errorf("client: server %q: a Unix socket needs its path from the root: unix:///run/ngmq.sock", u.Redacted())
	}
	s := server{scheme: "unix", addr: u.Path}
	s.credentials(u)
	return s, nil
}

func (s *server) credentials(u *url.URL) {
	s.username = u.User.Username()
	if password, ok := u.User.Password(); ok {
		s.password = []byte(password)
	}
}
