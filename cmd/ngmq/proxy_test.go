package main

import (
	"io"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Answers of a SOCKS5 proxy (RFC 1928).
const (
	socksNoAuth   = "\x05\x00"
	socksNoMethod = "\x05\xff"
	socksRefused  = "\x05\x05\x00\x01\x00\x00\x00\x00\x00\x00"
	socksDone     = "\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00"
)

// socksProxy gives these answers to every client and then leads it to target.
func socksProxy(t *testing.T, target string, answers ...string) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	serve := func(nc net.Conn) {
		defer nc.Close()
		buf := make([]byte, 512)
		for _, answer := range answers {
			nc.Read(buf)
			io.WriteString(nc, answer)
		}
		if to, err := net.Dial("tcp", target); err == nil {
			defer to.Close()
			go io.Copy(to, nc)
			io.Copy(nc, to)
		}
	}
	go func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			go serve(nc)
		}
	}()
	return "socks5h://" + l.Addr().String()
}

// Every command goes through the proxy, which alone knows the name of the server.
func TestProxy(t *testing.T) {
	b := startServer(t, nil)
	tcp := socksProxy(t, b.addrs.TCP[0].String(), socksNoAuth, socksDone)
	tls := socksProxy(t, b.addrs.TLS[0].String(), socksNoAuth, socksDone)
	for _, command := range []string{"pub -t a -m x", "sub -t a -E", "ping", "bench conn"} {
		for _, path := range []string{"mqtt://broker.invalid --proxy " + tcp, "mqtts://broker.invalid --servername localhost --cafile " + b.ca + " --proxy " + tls} {
			got := ngmq(t.Context(), "", strings.Fields(command+" --url "+path)...)
			assert.Equal(t, exitOK, got.status, command+path+got.stderr)
		}
	}
	got := ngmq(t.Context(), "", "ping", "--url", "mqtt://broker.invalid", "--proxy", tcp)
	assert.Regexp(t, `(?m)^full     proxy \d`, got.stdout, "no DNS of this machine")
}

func TestProxyHints(t *testing.T) {
	broker := startLoopback(t)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	closed.Close()
	for want, proxy := range map[string]string{
		"the proxy is not there":              "socks5h://" + closed.Addr().String(),
		"--proxy socks5h://USER:PASSWORD@":    socksProxy(t, "", socksNoMethod),
		"the proxy answers, but does not get": socksProxy(t, "", socksNoAuth, socksRefused),
		"no SOCKS5 proxy":                     socksProxy(t, "", "HTTP/1.1 400 Bad Request\r\n\r\n"),
	} {
		for _, command := range []string{"pub -t a -m x", "ping", "bench conn"} {
			got := ngmq(t.Context(), "", append(strings.Fields(command+" --proxy "+proxy), broker.host()...)...)
			assert.Equal(t, exitNoServer, got.status, command)
			assert.Contains(t, got.stderr, want, command)
		}
	}
	for line, want := range map[string]string{
		"pub -t a -m x --url quic://h --proxy socks5h://p":     "use mqtts:// or wss:// in place of quic://, or add --fallback",
		"ping --url quic://h --proxy socks5h://p":              "or add --fallback",
		"bench conn --url quic://h --proxy socks5h://p":        "use mqtts:// or wss://",
		"bench compare quic://h mqtts://h --proxy socks5h://p": "use mqtts:// or wss://",
		"bench conn --netem loss=1% --proxy socks5h://p":       "--netem is a proxy itself",
		"pub -t a -m x --unix /s --proxy socks5h://p":          "leave --proxy out",
		"pub -t a -m x --proxy socks5://u:secret@p":            `--proxy "socks5://u:xxxxx@p": it has the form socks5h://[user[:password]@]host[:port]`,
	} {
		got := ngmq(t.Context(), "", strings.Fields(line)...)
		assert.Equal(t, exitUsage, got.status, line)
		assert.Contains(t, got.stderr, want, line)
	}
}
