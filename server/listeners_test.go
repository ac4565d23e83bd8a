package server_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/server"
	"github.com/ngmq/ngmq/server/internal/mqtttest"
)

func unixServer(t *testing.T, address string) *running {
	t.Helper()
	return start(t, server.Config{Unix: []string{address}, TCP: []string{server.Off}, QUIC: []string{server.Off}})
}

func TestUnixSocketFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	s := unixServer(t, path)
	assertMode(t, path, 0o600)
	connected(t, s, "unix", packet.V50, "c").Ping()

	_, err := server.New(server.Config{Unix: []string{path}, TCP: []string{server.Off}, QUIC: []string{server.Off}})
	var wrong *server.ConfigError
	require.ErrorAs(t, err, &wrong)
	assert.Equal(t, "Unix", wrong.Field)
	assert.ErrorContains(t, err, "in use")
	connected(t, s, "unix", packet.V50, "still").Ping()

	s.stop()
	require.NoError(t, s.wait(t))
	assert.NoFileExists(t, path)
}

func TestUnixSocketOfADeadServerIsReplaced(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	require.NoError(t, err)
	dead.SetUnlinkOnClose(false)
	dead.Close()
	assert.FileExists(t, path)
	s := unixServer(t, "unix://"+path+"?mode=0660")
	assertMode(t, path, 0o660)
	connected(t, s, "unix", packet.V50, "c").Ping()
}

func TestUnixSocketReplacesNothingElse(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	require.NoError(t, os.WriteFile(path, []byte("precious"), 0o600))
	_, err := server.New(server.Config{Unix: []string{path}, TCP: []string{server.Off}, QUIC: []string{server.Off}})
	require.ErrorContains(t, err, "no socket")
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, "precious", string(text))
}

func assertMode(t *testing.T, path string, want os.FileMode) {
	t.Helper()
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.Equal(t, want, info.Mode().Perm())
}

// behindProxy is a server whose TCP, TLS, WS and WSS listeners believe proxies on 127.0.0.2
// alone, and the clients that it let in.
func behindProxy(t *testing.T, log *mqtttest.Log) (*running, chan *server.Client) {
	seen := make(chan *server.Client, 10)
	addr := []string{"127.0.0.1:0?proxy=127.0.0.2&proxy=10.0.0.0/8"}
	return start(t, server.Config{
		TCP: addr, TLS: addr, WS: addr, WSS: addr, QUIC: []string{server.Off},
		Handlers: server.Handlers{Connect: func(e *server.ConnectEvent) error { seen <- e.Client; return nil }},
		Logger:   slog.New(slog.NewTextHandler(log, nil)),
		Limits:   server.Limits{MaxConnectionsPerIP: 1},
	}), seen
}

// from connects from an address of this machine and sends a header.
func from(t *testing.T, ip, to, header string) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
	conn, err := d.Dial("tcp", to)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(mqtttest.Patience))
	_, err = io.WriteString(conn, header)
	require.NoError(t, err)
	return conn
}

func TestProxyProtocol(t *testing.T) {
	t.Parallel()
	s, seen := behindProxy(t, new(mqtttest.Log))
	a := s.Addrs()
	secure := func(c net.Conn) net.Conn { return tls.Client(c, &tls.Config{InsecureSkipVerify: true}) }
	web := func(c net.Conn) net.Conn {
		w, err := overWebSocket(c, nil)
		require.NoError(t, err)
		return w
	}
	for i, l := range []struct {
		addr string
		over func(net.Conn) net.Conn
	}{
		{a.TCP[0].String(), func(c net.Conn) net.Conn { return c }}, {a.TLS[0].String(), secure},
		{a.WS[0].String(), web}, {a.WSS[0].String(), func(c net.Conn) net.Conn { return web(secure(c)) }},
	} {
		v2 := fmt.Sprintf("\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\x05\x06\x07%c\x01\x01\x01\x01\x00\x07\x00\x08", 10+i)
		for header, want := range map[string]string{
			fmt.Sprintf("PROXY TCP4 1.2.3.%d 4.3.2.1 99 1883\r\n", i): fmt.Sprintf("1.2.3.%d:99", i), v2: fmt.Sprintf("5.6.7.%d:7", 10+i),
		} {
			c := mqtttest.New(t, l.over(from(t, "127.0.0.2", l.addr, header)), packet.V50)
			c.ConnectAs(want)
			assert.Equal(t, want, (<-seen).Conn.Remote.String())
		}
	}
	// The limit per address counts that of the client, not that of the proxy.
	c := mqtttest.New(t, from(t, "127.0.0.2", a.TCP[0].String(), "PROXY TCP4 1.2.3.0 4.3.2.1 98 1883\r\n"), packet.V50)
	c.Send(&packet.Connect{ClientID: "second", CleanStart: true})
	assert.Equal(t, packet.QuotaExceeded, mqtttest.Expect[*packet.Connack](c).ReasonCode)
}

func TestProxyProtocolOfStrangers(t *testing.T) {
	t.Parallel()
	var log mqtttest.Log
	s, seen := behindProxy(t, &log)
	addr := s.Addrs().TCP[0].String()
	mqtttest.New(t, from(t, "127.0.0.3", addr, "PROXY TCP4 1.2.3.4 4.3.2.1 99 1883\r\n"), packet.V50).ExpectEnd()
	require.Eventually(t, func() bool { return strings.Contains(log.String(), "PROXY protocol header on a port") }, mqtttest.Patience, time.Millisecond)
	assert.Contains(t, log.String(), "127.0.0.3")
	assert.Empty(t, seen)

	plain := mqtttest.New(t, from(t, "127.0.0.4", addr, ""), packet.V50)
	plain.ConnectAs("plain")
	assert.Equal(t, "127.0.0.4", (<-seen).Conn.Remote.Addr().String())

	// A proxy that sends none is a mistake of the configuration.
	bare := mqtttest.New(t, from(t, "127.0.0.2", addr, ""), packet.V50)
	bare.Send(&packet.Connect{ClientID: "bare", CleanStart: true})
	bare.ExpectEnd()
	assert.Empty(t, seen)
}

// A client with the wrong port or scheme is named in the log.
func TestMisdirectedClients(t *testing.T) {
	t.Parallel()
	const hello = "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
	connect := string((&packet.Connect{ClientID: "lost", CleanStart: true}).AppendTo(nil, packet.V50))
	for name, c := range map[string]struct {
		listener, sent, want string
	}{
		"TLS to TCP":  {"tcp", hello, "a TLS client on a port for MQTT without TLS"},
		"HTTP to TCP": {"tcp", "GET / HTTP/1.1\r\n\r\n", "an HTTP client on a port for MQTT without TLS"},
		"MQTT to TLS": {"tls", connect, "an MQTT client without TLS on a port for TLS"},
		"HTTP to WSS": {"wss", "GET /mqtt HTTP/1.1\r\n\r\n", "an HTTP client on a port for TLS"},
		"MQTT to WS":  {"ws", connect, "an MQTT client without TLS on a port for MQTT over WebSocket"},
		"TLS to WS":   {"ws", hello, "a TLS client on a port for MQTT over WebSocket"},
		"no MQTT":     {"ws", "GET /mqtt HTTP/1.1\r\nHost: h\r\n\r\n", "websocket handshake"},
	} {
		t.Run(name, func(t *testing.T) {
			var log mqtttest.Log
			s := start(t, server.Config{TCP: anyPort, TLS: anyPort, WS: anyPort, WSS: anyPort, QUIC: []string{server.Off}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
			a := s.Addrs()
			addr := map[string]string{"tcp": a.TCP[0].String(), "tls": a.TLS[0].String(), "ws": a.WS[0].String(), "wss": a.WSS[0].String()}[c.listener]
			conn := from(t, "127.0.0.1", addr, c.sent)
			io.Copy(io.Discard, conn)
			require.Eventually(t, func() bool { return strings.Contains(log.String(), c.want) }, mqtttest.Patience, time.Millisecond, log.String())
			assert.Contains(t, log.String(), conn.LocalAddr().String())
			assert.NotContains(t, log.String(), "Malformed")
		})
	}
}

// Every listener of a list serves.
func TestSeveralListenersOfAKind(t *testing.T) {
	t.Parallel()
	two := []string{"127.0.0.1:0", "127.0.0.2:0"}
	dir := t.TempDir()
	var log mqtttest.Log
	s := start(t, server.Config{
		TCP: two, TLS: two, WS: two, WSS: two, Unix: []string{dir + "/a", dir + "/b"}, QUIC: []string{server.Off},
		Logger: slog.New(slog.NewTextHandler(&log, nil)),
	})
	<-s.Ready()
	a := s.Addrs()
	assert.Equal(t, []string{dir + "/a", dir + "/b"}, a.Unix)
	for _, list := range [][]string{{a.TCP[0].String(), a.TCP[1].String()}, {a.WS[0].String(), a.WS[1].String()}, {a.TLS[1].String()}, {a.WSS[1].String()}, a.Unix} {
		assert.Contains(t, log.String(), strings.Join(list, ","))
	}
	c, err := tcpConn(a.TCP[1])
	require.NoError(t, err)
	mqtttest.New(t, c, packet.V50).ConnectAs("second")
}

func TestValidateListeners(t *testing.T) {
	for name, c := range map[string]struct {
		cfg  server.Config
		want string
	}{
		"public WS":         {server.Config{WS: []string{":80"}}, `WS ":80": other machines`},
		"behind a proxy":    {server.Config{TCP: []string{"127.0.0.1:1883?proxy=127.0.0.1"}}, "other machines"},
		"unknown option":    {server.Config{WSS: []string{"127.0.0.1:1?verify=no"}, AllowAnonymous: true}, "unknown option"},
		"bad network":       {server.Config{TLS: []string{"127.0.0.1:1?proxy=all"}, AllowAnonymous: true}, "proxy=10.0.0.0/8"},
		"no path":           {server.Config{Unix: []string{"unix://"}}, "/run/ngmq.sock"},
		"bad mode":          {server.Config{Unix: []string{"unix:///s?mode=999"}}, "octal"},
		"long path":         {server.Config{Unix: []string{"/" + strings.Repeat("x", 104)}}, "103"},
		"origin with path":  {server.Config{Origins: []string{"https://example.org/"}}, "--ws-origin"},
		"origin is no URL":  {server.Config{Origins: []string{"example.org"}}, "--ws-origin"},
		"no such directory": {server.Config{Unix: []string{"/nowhere/at/all"}, TCP: []string{server.Off}, QUIC: []string{server.Off}}, "--unix PATH"},
	} {
		_, err := server.New(c.cfg)
		assert.ErrorContains(t, err, c.want, name)
	}
}
