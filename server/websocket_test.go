package server_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/mqtt/websocket"
	"github.com/ngmq/ngmq/server"
	"github.com/ngmq/ngmq/server/internal/mqtttest"
)

// rawWS is a WebSocket connection past the handshake, whose frames the test makes itself.
type rawWS struct {
	t *testing.T
	net.Conn
	in *bufio.Reader
}

func dialRawWS(t *testing.T, s *running) *rawWS {
	t.Helper()
	conn, err := tcpConn(s.Addrs().WS[0])
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(mqtttest.Patience))
	c := &rawWS{t: t, Conn: conn, in: bufio.NewReader(conn)}
	io.WriteString(conn, upgradeRequest("mqtt"))
	answer, err := http.ReadResponse(c.in, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusSwitchingProtocols, answer.StatusCode)
	assert.Equal(t, "mqtt", answer.Header.Get("Sec-WebSocket-Protocol"))
	assert.Empty(t, answer.Header.Get("Sec-WebSocket-Extensions"))
	return c
}

func upgradeRequest(protocol string) string {
	return "GET /mqtt HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Extensions: permessage-deflate\r\nSec-WebSocket-Protocol: " + protocol + "\r\n\r\n"
}

// masked is a frame from a client.
func masked(op ws.OpCode, fin bool, payload []byte) []byte {
	return ws.MustCompileFrame(ws.MaskFrame(ws.NewFrame(op, fin, payload)))
}

// expect reads a whole frame, which has to be of this kind.
func (c *rawWS) expect(op ws.OpCode) []byte {
	c.t.Helper()
	h, payload := readFrame(c.t, c.in)
	require.Equal(c.t, op, h.OpCode)
	assert.True(c.t, h.Fin)
	assert.False(c.t, h.Masked)
	return payload
}

func readFrame(t *testing.T, in io.Reader) (ws.Header, []byte) {
	t.Helper()
	h, err := ws.ReadHeader(in)
	require.NoError(t, err)
	require.Less(t, h.Length, int64(1<<20))
	payload := make([]byte, h.Length)
	_, err = io.ReadFull(in, payload)
	require.NoError(t, err)
	return h, payload
}

func (c *rawWS) expectClose(code ws.StatusCode) {
	c.t.Helper()
	got, _ := ws.ParseCloseFrameData(c.expect(ws.OpClose))
	assert.Equal(c.t, code, got)
	_, err := c.in.ReadByte()
	assert.Equal(c.t, io.EOF, err)
}

var (
	rawConnect    = (&packet.Connect{ClientID: "raw", CleanStart: true}).AppendTo(nil, packet.V50)
	rawPing       = (&packet.Pingreq{}).AppendTo(nil, packet.V50)
	rawDisconnect = (&packet.Disconnect{}).AppendTo(nil, packet.V50)
	pong          = "\xd0\x00" // PINGRESP
)

// MQTT-6.0.0-2: MQTT packets are not aligned on WebSocket frames.
func TestWebSocketFragmentedAndCoalescedFrames(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{WS: anyPort, TCP: []string{server.Off}, QUIC: anyQUIC})
	c := dialRawWS(t, s)
	// A message in three fragments with a ping between them, byte by byte.
	var stream []byte
	stream = append(stream, masked(ws.OpBinary, false, rawConnect[:1])...)
	stream = append(stream, masked(ws.OpPing, true, []byte("within"))...)
	stream = append(stream, masked(ws.OpContinuation, false, rawConnect[1:9])...)
	stream = append(stream, masked(ws.OpContinuation, true, rawConnect[9:])...)
	for _, b := range stream {
		_, err := c.Write([]byte{b})
		require.NoError(t, err)
	}
	assert.Equal(t, "within", string(c.expect(ws.OpPong)))
	assert.Equal(t, byte(0x20), c.expect(ws.OpBinary)[0], "CONNACK")

	// Three packets in one frame, and two frames in one segment.
	three := append(append(append([]byte{}, rawPing...), rawPing...), rawPing[:1]...)
	c.Write(append(masked(ws.OpBinary, true, three), masked(ws.OpBinary, true, rawPing[1:])...))
	var got string
	for len(got) < 3*len(pong) {
		got += string(c.expect(ws.OpBinary))
	}
	assert.Equal(t, strings.Repeat(pong, 3), got)

	// DISCONNECT and Close frame together: the end is in order.
	c.Write(append(masked(ws.OpBinary, true, rawDisconnect), masked(ws.OpClose, true, ws.NewCloseFrameBody(1000, ""))...))
	c.expectClose(ws.StatusNormalClosure)
	assert.Eventually(t, func() bool { return s.Stats().Connections == 0 }, mqtttest.Patience, time.Millisecond)
	assert.Zero(t, s.Stats().Disconnects[packet.UnspecifiedError])
}

// MQTT-6.0.0-1: anything but binary frames ends the connection; a 5.0 client is told.
func TestWebSocketMistakes(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{WS: anyPort, TCP: []string{server.Off}, QUIC: anyQUIC, Limits: server.Limits{MaxPacketSize: 1 << 10}})
	for name, c := range map[string]struct {
		frame  []byte
		code   ws.StatusCode
		reason packet.ReasonCode
	}{
		"text":       {masked(ws.OpText, true, rawPing), ws.StatusUnsupportedData, packet.ProtocolError},
		"not masked": {ws.MustCompileFrame(ws.NewBinaryFrame(rawPing)), ws.StatusProtocolError, packet.ProtocolError},
		"too large":  {masked(ws.OpBinary, true, make([]byte, 70<<10))[:20], ws.StatusMessageTooBig, packet.PacketTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			w := dialRawWS(t, s)
			w.Write(masked(ws.OpBinary, true, rawConnect))
			w.expect(ws.OpBinary)
			w.Write(c.frame)
			d := packet.NewDecoder(0)
			d.SetVersion(packet.V50)
			d.Feed(w.expect(ws.OpBinary))
			p, err := d.Next()
			require.NoError(t, err)
			require.IsType(t, &packet.Disconnect{}, p)
			assert.Equal(t, c.reason, p.(*packet.Disconnect).ReasonCode)
			w.expectClose(c.code)
		})
	}
}

func TestWebSocketCloseCodeAtShutdown(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{WS: anyPort, TCP: []string{server.Off}, QUIC: anyQUIC})
	c := dialRawWS(t, s)
	c.Write(masked(ws.OpBinary, true, rawConnect))
	c.expect(ws.OpBinary)
	s.stop()
	c.expect(ws.OpBinary)
	c.expectClose(ws.StatusGoingAway)
}

// A peer that pings without end is answered with what it takes, and costs no memory.
func TestWebSocketPingFlood(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{WS: anyPort, TCP: []string{server.Off}, QUIC: anyQUIC})
	c := dialRawWS(t, s)
	flood := []byte(strings.Repeat(string(masked(ws.OpPing, true, []byte("x"))), 10_000))
	flood = append(flood, masked(ws.OpPing, true, []byte("last"))...)
	go c.Write(flood)
	for string(c.expect(ws.OpPong)) != "last" {
	}
}

func TestWebSocketHandshakeIsRefused(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{WS: anyPort, TCP: []string{server.Off}, QUIC: anyQUIC, Origins: []string{"https://example.org"}})
	withHeader := func(h string) string { return strings.Replace(upgradeRequest("mqtt"), "\r\n", "\r\n"+h+"\r\n", 1) }
	for name, c := range map[string]struct {
		request string
		status  int
	}{
		"no subprotocol": {upgradeRequest("chat"), 400},
		"other path":     {strings.Replace(upgradeRequest("mqtt"), "/mqtt", "/", 1), 404},
		"a browser":      {"GET /mqtt HTTP/1.1\r\nHost: h\r\n\r\n", 400},
		"origin":         {withHeader("Origin: https://evil.example"), 403},
		"good origin":    {withHeader("Origin: https://example.org"), 101},
		"large header":   {withHeader("Cookie: " + strings.Repeat("x", 9<<10)), 431},
		"many headers":   {withHeader(strings.TrimSuffix(strings.Repeat("a: b\r\n", 2000), "\r\n")), 431},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := tcpConn(s.Addrs().WS[0])
			require.NoError(t, err)
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(mqtttest.Patience))
			io.WriteString(conn, c.request)
			answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
			require.NoError(t, err)
			assert.Equal(t, c.status, answer.StatusCode)
		})
	}
}

// A header that does not come to its end is cut off at the handshake timeout.
func TestWebSocketHeaderDeadline(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{WS: anyPort, WSS: anyPort, TCP: []string{server.Off}, QUIC: anyQUIC, Timeouts: server.Timeouts{Handshake: 100 * time.Millisecond}})
	for _, addr := range []string{s.Addrs().WS[0].String(), s.Addrs().WSS[0].String()} {
		conn, err := net.Dial("tcp", addr)
		require.NoError(t, err)
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(mqtttest.Patience))
		io.WriteString(conn, "GET /mqtt HTTP/1.1\r\nHost")
		_, err = io.Copy(io.Discard, conn)
		var timeout net.Error
		assert.False(t, errors.As(err, &timeout) && timeout.Timeout(), "left hanging")
	}
	assert.Eventually(t, func() bool { return s.Stats().Connections == 0 }, mqtttest.Patience, time.Millisecond)
}

// Frames that come in one segment with the handshake are not lost.
func TestWebSocketEagerClient(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{WS: anyPort, TCP: []string{server.Off}, QUIC: anyQUIC})
	conn, err := tcpConn(s.Addrs().WS[0])
	require.NoError(t, err)
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(mqtttest.Patience))
	conn.Write(append([]byte(upgradeRequest("mqttv3.1")), masked(ws.OpBinary, true, rawConnect)...))
	in := bufio.NewReader(conn)
	answer, err := http.ReadResponse(in, nil)
	require.NoError(t, err)
	assert.Equal(t, "mqttv3.1", answer.Header.Get("Sec-WebSocket-Protocol"))
	_, payload := readFrame(t, in)
	assert.Equal(t, byte(0x20), payload[0])
}

func TestWebSocketIsVisible(t *testing.T) {
	t.Parallel()
	seen := make(chan *server.Client, 1)
	s := start(t, server.Config{Handlers: server.Handlers{Connect: func(e *server.ConnectEvent) error { seen <- e.Client; return nil }}})
	for _, transport := range transports {
		c := connected(t, s, transport, packet.V50, transport)
		info := (<-seen).Conn
		assert.Equal(t, transport, info.Transport)
		assert.Equal(t, transport == "tls" || transport == "wss" || transport == "quic", info.TLS != nil)
		assert.Equal(t, transport != "unix", info.Remote.IsValid())
		c.Send(&packet.Disconnect{})
		c.ExpectEnd()
	}
	assert.Equal(t, "/mqtt", websocket.Path)
}
