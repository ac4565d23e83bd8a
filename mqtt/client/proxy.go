package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"

	"golang.org/x/net/proxy"
)

const (
	// proxyPort is where SOCKS listens (RFC 1928 section 3).
	proxyPort = "1080"
	// maxProxyName is the longest user name, and password, in bytes (RFC 1929 section 2).
	maxProxyName = 255
)

// socks is what Options.Proxy says; nil: no proxy.
type socks struct {
	addr string
	auth *proxy.Auth // nil: none
}

// parseProxy reads socks5h://[user[:password]@]host[:port].
func parseProxy(raw string) (*socks, error) {
	if raw == "" {
		return nil, nil
	}
	u, err := url.Parse(raw)
	var wrong *url.Error
	if errors.As(err, &wrong) {
		return nil, fmt.Errorf("client: Options.Proxy: %w", wrong.Err) // without the URL, where a password may be
	}
	if u.Scheme != "socks5h" || u.Hostname() == "" || u.Path != "" && u.Path != "/" {
		return nil, fmt.Errorf("client: Options.Proxy %q: it has the form socks5h://[user[:password]@]host[:port]; the proxy looks names up", u.Redacted())
	}
	s := &socks{addr: net.JoinHostPort(u.Hostname(), u.Port())}
	if u.Port() == "" {
		s.addr = net.JoinHostPort(u.Hostname(), proxyPort)
	}
	if u.User != nil {
		password, _ := u.User.Password()
		s.auth = &proxy.Auth{User: u.User.Username(), Password: password}
		if s.auth.User == "" || len(s.auth.User) > maxProxyName || len(password) > maxProxyName {
			return nil, fmt.Errorf("client: Options.Proxy %q: a user name has 1 to %d bytes, a password up to as many", u.Redacted(), maxProxyName)
		}
	}
	return s, nil
}

// validateProxy wants a proxy that is used.
func (o *Options) validateProxy() error {
	if o.Proxy == "" {
		return nil
	}
	if _, err := parseProxy(o.Proxy); err != nil {
		return err
	}
	if o.Dial != nil {
		return errors.New("client: Options.Proxy has no effect with Dial: leave one out")
	}
	if len(o.Servers) == 0 || o.Fallback || slices.ContainsFunc(o.Servers, throughProxy) {
		return nil
	}
	return errors.New("client: Options.Proxy leads to servers over TCP, TLS and WebSocket alone: SOCKS would need UDP ASSOCIATE for quic://, which this client does not use. Give an mqtts:// or wss:// server too, set Fallback, or leave Proxy out")
}

// throughProxy says whether a proxy leads to a server; those that cannot be parsed have
// their own error.
func throughProxy(server string) bool {
	srv, err := parseURL(server)
	return err != nil || srv.scheme != "quic" && srv.scheme != "unix"
}

// besideProxy says whether a server would be reached past the proxy, over the network.
func besideProxy(server string) bool {
	srv, err := parseURL(server)
	return err == nil && srv.scheme == "quic"
}

// dialTCP opens a TCP connection, through the proxy if there is one.
func (o *dialer) dialTCP(ctx context.Context, addr string) (net.Conn, error) {
	d := new(net.Dialer)
	if o.LocalAddr.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(o.LocalAddr, 0))
	}
	p, err := parseProxy(o.Proxy)
	if err != nil {
		return nil, err
	}
	if p == nil {
		return d.DialContext(ctx, "tcp", addr)
	}
	through, err := proxy.SOCKS5("tcp", p.addr, p.auth, d)
	if err != nil {
		return nil, err
	}
	return through.(proxy.ContextDialer).DialContext(ctx, "tcp", addr)
}
