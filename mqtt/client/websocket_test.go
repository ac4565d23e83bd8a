package client

import (
	"bytes"
	"context"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// wsPeer is the server's end of a WebSocket connection, made with the library alone.
type wsPeer struct {
	net.Conn
	in bytes.Buffer
}

func (p *wsPeer) Read(b []byte) (int, error) {
	for p.in.Len() == 0 {
		data, err := wsutil.ReadClientBinary(p.Conn)
		if err != nil {
			return 0, err
		}
		p.in.Write(data)
	}
	return p.in.Read(b)
}

// Write cuts each packet into two fragments with a ping between them.
func (p *wsPeer) Write(b []byte) (int, error) {
	for _, f := range []ws.Frame{
		ws.NewFrame(ws.OpBinary, false, b[:1]), ws.NewPingFrame([]byte("ping")), ws.NewFrame(ws.OpContinuation, true, b[1:]),
	} {
		if err := ws.WriteFrame(p.Conn, f); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}

// upgraded does the opening handshake and reads a CONNECT; false when the client has gone
// before that.
func (s *peer) upgraded() bool {
	_, err := ws.Upgrader{Protocol: func(p []byte) bool { return string(p) == "mqtt" }}.Upgrade(s.nc)
	if err != nil {
		return false
	}
	s.nc = &wsPeer{Conn: s.nc}
	p, err := s.dec.ReadPacket(s.nc, s.buf)
	if err != nil {
		return false
	}
	connect, ok := p.(*packet.Connect)
	require.True(s.t, ok, "got %s", p.Type())
	s.v = connect.Version
	s.dec.SetVersion(s.v)
	return true
}

func TestWebSocket(t *testing.T) {
	url, accept := listen(t)
	for address, want := range map[string]string{
		"ws" + url[len("mqtt"):]:                "/mqtt",
		"ws" + url[len("mqtt"):] + "/a%20b?c=d": "/a%20b?c=d",
	} {
		handler, messages := collect()
		c, err := New(Options{Servers: []string{address}, OnMessage: handler})
		require.NoError(t, err)
		result := async(func() error { _, err := c.Connect(within(t)); return err })
		s := accept()
		var uri string
		hs, err := ws.Upgrader{
			Protocol:  func(p []byte) bool { return string(p) == "mqtt" },
			OnRequest: func(u []byte) error { uri = string(u); return nil },
		}.Upgrade(s.nc)
		require.NoError(t, err)
		assert.Equal(t, "mqtt", hs.Protocol)
		assert.Equal(t, want, uri)
		s.nc = &wsPeer{Conn: s.nc}
		expect[*packet.Connect](s)
		s.send(&packet.Connack{})
		require.NoError(t, <-result)
		s.send(&packet.Publish{Topic: []byte("t"), Payload: []byte("hello")})
		assert.Equal(t, "hello", string(receive(t, messages).Payload))

		ended := async(func() error { return c.Disconnect(within(t)) })
		expect[*packet.Disconnect](s)
		s.expectEnd() // the Close frame
		s.nc.Close()
		require.NoError(t, <-ended)
	}
}

func TestWebSocketRefusal(t *testing.T) {
	url, accept := listen(t)
	result := async(func() error { _, err := Dial(within(t), "ws"+url[len("mqtt"):]+"/other", Options{}); return err })
	s := accept()
	s.nc.Read(make([]byte, 4096))
	s.nc.Write([]byte("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"))
	s.nc.Close()
	assert.ErrorContains(t, <-result, "404 Not Found to /other")

	// A server that says nothing is given up in time.
	ctx := within(t)
	_, err := Dial(ctx, "ws"+url[len("mqtt"):], Options{ConnectTimeout: 50 * time.Millisecond})
	assert.ErrorIs(t, err, context.DeadlineExceeded)
	assert.NoError(t, ctx.Err())
}

// TestWebSocketGivenUp: a dial that ends just when it is given up may have returned before it
// is stopped.
func TestWebSocketGivenUp(t *testing.T) {
	url, accept := listen(t)
	for range 500 {
		ctx, cancel := context.WithCancel(within(t))
		result := async(func() error { _, err := Dial(ctx, "ws"+url[len("mqtt"):], Options{}); return err })
		s := accept()
		s.nc.Read(make([]byte, 4096))
		async(s.nc.Close)
		cancel()
		require.Error(t, receive(t, result))
	}
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	require.NoError(t, err)
	defer l.Close()
	c, err := New(Options{Servers: []string{"unix://user:secret@" + path}})
	require.NoError(t, err)
	defer c.Close()
	_, connect := reconnect(t, c, func() *peer {
		nc, err := l.Accept()
		require.NoError(t, err)
		return newPeer(t, nc)
	}, packet.Connack{})
	assert.Equal(t, "user", *connect.Username)
}

func TestServerAddresses(t *testing.T) {
	for raw, want := range map[string]string{
		"ws://h": "h:80", "wss://h": "h:443", "ws://[::1]:81/mqtt": "[::1]:81", "unix:///run/s": "/run/s", "mqtts://h": "h:8883",
	} {
		s, err := parseURL(raw)
		require.NoError(t, err)
		assert.Equal(t, want, s.addr)
	}
	for _, raw := range []string{"unix://run/s", "unix://", "http://h", "ws://"} {
		_, err := parseURL(raw)
		assert.Error(t, err, raw)
	}
}
