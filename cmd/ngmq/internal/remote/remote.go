// Package remote knows where a URL leads and how to get there in steps that can be
// timed, for the commands that look below package mqtt/client: ping and bench.
//
//	URL -> Parse -> Server -> Resolve -> Dial (TCP, TLS, WebSocket, Unix)
//	                                  -> client.TLS.QUICContext, endpoint.Dial (QUIC)
package remote

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"slices"

	"github.com/ngmq/ngmq/crypto/keylog"
	"github.com/ngmq/ngmq/mqtt/client"
	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/mqtt/websocket"
)

// Server is where a URL leads to.
type Server struct {
	Transport string // "quic", "tcp", "tls", "ws", "wss" or "unix"
	Host      string // name or address, for TLS
	Addr      string // host:port, of "unix" the path
	Resource  *url.URL
	Username  string
	Password  []byte     // nil: none
	Local     netip.Addr // to connect from; zero: the system chooses
	Proxy     string     // leads there, and looks the name up; "": none. See client.Options
}

var schemes = map[string]struct{ transport, port string }{
	"quic": {"quic", "14567"}, "mqtt": {"tcp", "1883"}, "tcp": {"tcp", "1883"}, "mqtts": {"tls", "8883"}, "ssl": {"tls", "8883"},
	"ws": {"ws", "80"}, "wss": {"wss", "443"}, "unix": {"unix", ""},
}

// Parse reads scheme://[user[:password]@]host[:port][/path], as package mqtt/client does. o
// says with LocalAddr and Proxy how to get there.
func Parse(raw string, o client.Options) (Server, error) {
	if err := (&client.Options{Servers: []string{raw}, Proxy: o.Proxy}).Validate(); err != nil {
		return Server{}, err
	}
	u, err := url.Parse(raw)
	if err != nil {
		return Server{}, err
	}
	scheme := schemes[u.Scheme]
	port := u.Port()
	if port == "" {
		port = scheme.port
	}
	s := Server{Transport: scheme.transport, Host: u.Hostname(), Addr: net.JoinHostPort(u.Hostname(), port), Username: u.User.Username(),
		Local: o.LocalAddr, Proxy: o.Proxy}
	if password, ok := u.User.Password(); ok {
		s.Password = []byte(password)
	}
	switch s.Transport {
	case "unix":
		s.Addr = u.Path
	case "ws", "wss":
		path := u.Path
		if path == "" {
			path = websocket.Path
		}
		s.Resource = &url.URL{Scheme: s.Transport, Host: u.Host, Path: path, RawQuery: u.RawQuery}
	}
	return s, nil
}

// QUIC reports whether the transport is QUIC.
func (s *Server) QUIC() bool { return s.Transport == "quic" }

// Encrypted reports whether TLS protects the connection.
func (s *Server) Encrypted() bool {
	return slices.Contains([]string{"quic", "tls", "wss"}, s.Transport)
}

// Named reports whether Resolve has to ask anybody.
func (s *Server) Named() bool {
	_, err := netip.ParseAddr(s.Host)
	return s.Transport != "unix" && s.Proxy == "" && err != nil
}

// Resolve is s with the first address of its host in place of the name. Host stays.
func (s *Server) Resolve(ctx context.Context) (Server, error) {
	if !s.Named() {
		return *s, nil
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", s.Host)
	if err != nil {
		return *s, err
	}
	slices.SortStableFunc(addrs, func(a, b netip.Addr) int { // a server on one family alone is more often on IPv4
		return familyOrder(a) - familyOrder(b)
	})
	_, port, err := net.SplitHostPort(s.Addr)
	resolved := *s
	resolved.Addr = net.JoinHostPort(addrs[0].Unmap().String(), port)
	return resolved, err
}

func familyOrder(a netip.Addr) int {
	if a.Unmap().Is4() {
		return 0
	}
	return 1
}

// Connect is the CONNECT for a new session with the given id, which may be empty but in
// MQTT 3.1.
func (s *Server) Connect(v packet.Version, id, username string, password []byte) *packet.Connect {
	p := &packet.Connect{Version: v, CleanStart: true, KeepAlive: 60, ClientID: id, Password: password}
	if s.Username != "" {
		username = s.Username
	}
	if s.Password != nil {
		p.Password = s.Password
	}
	if username != "" || p.Password != nil && v != packet.V50 {
		p.Username = &username
	}
	return p
}

// TLSConfig is the configuration of TLS over TCP towards s, and what to close when it is
// no longer used: the key log.
func (s *Server) TLSConfig(t *client.TLS) (*tls.Config, io.Closer, error) {
	c, err := t.Config(s.Host)
	if err == nil && s.Transport == "tls" {
		c.NextProtos = t.ALPN
	}
	if err != nil || t.KeyLogFile == "" {
		return c, io.NopCloser(nil), err
	}
	f, err := keylog.Open(t.KeyLogFile)
	if err != nil {
		return nil, nil, fmt.Errorf("--keylog-file: %w; %s", err, keylog.Remedy)
	}
	c.KeyLogWriter = f
	return c, f, nil
}

// ServerName is the name that is asked for and verified.
func (s *Server) ServerName(t *client.TLS) string {
	if t.ServerName != "" {
		return t.ServerName
	}
	return s.Host
}

// ErrNoQUIC says that this program has been built without QUIC.
var ErrNoQUIC = errors.New("this program was built without QUIC (build tag noquic): use mqtts:// or mqtt://")

// Dial opens the TCP or Unix connection below everything but QUIC.
func (s *Server) Dial(ctx context.Context) (net.Conn, error) {
	d := client.Dialer{Proxy: s.Proxy, LocalAddr: s.Local}
	if s.Transport == "unix" {
		return d.Dial(ctx, (&url.URL{Scheme: "unix", Path: s.Addr}).String())
	}
	return d.Dial(ctx, "tcp://"+s.Addr)
}
