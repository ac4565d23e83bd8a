package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/ngmq/ngmq/mqtt/client"
	"github.com/ngmq/ngmq/server"
)

// healthTimeout bounds the health command as a whole. It is below the 5 s that the
// Dockerfile's HEALTHCHECK grants, so that what is wrong is said and not cut off.
const healthTimeout = 4 * time.Second

// health is the command for HEALTHCHECK and the like: it takes the flags and the
// environment of the server that it looks at.
type health struct{}

// Run implements the health command: CONNECT, CONNACK, DISCONNECT on every address
// that the server was told to listen on.
func (health) Run(c *cli) error {
	ctx, cancel := context.WithTimeout(context.Background(), healthTimeout)
	defer cancel()
	urls, err := c.urls()
	switch {
	case err != nil:
		return err
	case len(urls) == 0:
		return errors.New("all listeners are off; name one with --quic, --tcp, --tls, --ws, --wss or --unix as for the server")
	}
	errs := make([]error, len(urls))
	var all sync.WaitGroup
	for i, url := range urls {
		all.Go(func() { errs[i] = c.checkHealth(ctx, url) })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("%w\nif the server runs, give this command the flags and NGMQ_* variables that it was started with; this one looked at %s.\nIf it does not run, its log says why", err, strings.Join(urls, ", "))
	}
	return nil
}

// checkHealth connects and disconnects. The question is whether the server answers,
// not who it is, and no credentials are sent: a certificate that names other hosts
// than this one will do.
func (c *cli) checkHealth(ctx context.Context, url string) error {
	conn, err := client.Dial(ctx, url, client.Options{TLS: client.TLS{Insecure: true}})
	if c.ClientCA != "" && asksForCertificate(err) {
		return nil
	}
	if c.Protocol.ScramUsers != "" && asksForCredentials(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := conn.Disconnect(ctx); err != nil {
		return fmt.Errorf("%s: %w", url, err)
	}
	return nil
}

// asksForCertificate says whether a server has refused a client without a certificate
// (alert certificate_required, RFC 8446 section 6.2), and so answers.
func asksForCertificate(err error) bool {
	if err == nil {
		return false
	}
	text := err.Error() // crypto/tls gives the alert a name, ngtcp2 a number
	return strings.Contains(text, "tls: certificate required") || strings.Contains(text, "TLS alert 116")
}

// urls are where a client on this machine finds the listeners.
func (c *cli) urls() (all []string, err error) {
	var errs []error
	for _, transport := range []struct {
		scheme string
		addrs  []string
		local  func(string) (string, error)
	}{
		{"quic", c.QUIC, localAddr}, {"mqtt", c.TCP, localAddr}, {"mqtts", c.TLS, localAddr},
		{"ws", c.WS, localAddr}, {"wss", c.WSS, localAddr}, {"unix", c.Unix, localPath},
	} {
		for _, addr := range transport.addrs {
			if addr == server.Off {
				continue
			}
			local, err := transport.local(addr)
			errs = append(errs, err)
			all = append(all, transport.scheme+"://"+local)
		}
	}
	return all, errors.Join(errs...)
}

// localPath is the path of a Unix socket, from the root.
func localPath(addr string) (string, error) {
	path, _, _ := strings.Cut(strings.TrimPrefix(addr, "unix://"), "?")
	return filepath.Abs(path)
}

// localAddr is addr with the loopback address in place of "any address".
func localAddr(addr string) (string, error) {
	addr, _, _ = strings.Cut(addr, "?") // options of the listener
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", err
	}
	if port == "0" {
		return "", fmt.Errorf("%s: the system chose the port of this address; name it", addr)
	}
	switch ip, err := netip.ParseAddr(host); {
	case host == "", err == nil && ip == netip.IPv4Unspecified():
		host = "127.0.0.1"
	case err == nil && ip.IsUnspecified():
		host = "::1"
	}
	return net.JoinHostPort(host, port), nil
}
