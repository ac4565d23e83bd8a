package websocket

import (
	"io"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// request is an opening handshake with some headers changed; "" removes one.
func request(line string, changes map[string]string) []byte {
	headers := map[string]string{
		"Host": "h", "Upgrade": "websocket", "Connection": "keep-alive, Upgrade", "Sec-WebSocket-Version": "13",
		"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol": "other, mqtt",
		"Sec-WebSocket-Extensions": "permessage-deflate",
	}
	var b strings.Builder
	b.WriteString(line + "\r\n")
	for name, value := range changes {
		headers[name] = value
	}
	for name, value := range headers {
		if value != "" {
			b.WriteString(name + ": " + value + "\r\n")
		}
	}
	return []byte(b.String() + "\r\n")
}

func TestAccept(t *testing.T) {
	const get = "GET /mqtt HTTP/1.1"
	page := []string{"https://example.org"}
	for name, c := range map[string]struct {
		line    string
		changes map[string]string
		origins []string
		want    string
	}{
		"good":              {get, nil, nil, "101"},
		"query":             {"GET /mqtt?token=1 HTTP/1.1", nil, nil, "101"},
		"3.1":               {get, map[string]string{"Sec-WebSocket-Protocol": "mqttv3.1"}, nil, "101"},
		"any origin":        {get, map[string]string{"Origin": "https://elsewhere.org"}, nil, "101"},
		"allowed origin":    {get, map[string]string{"Origin": "https://EXAMPLE.org"}, page, "101"},
		"no origin":         {get, nil, page, "101"},
		"other origin":      {get, map[string]string{"Origin": "https://elsewhere.org"}, page, "403"},
		"null origin":       {get, map[string]string{"Origin": "null"}, page, "403"},
		"no subprotocol":    {get, map[string]string{"Sec-WebSocket-Protocol": ""}, nil, "400"},
		"other subprotocol": {get, map[string]string{"Sec-WebSocket-Protocol": "wamp, MQTT"}, nil, "400"},
		"other path":        {"GET / HTTP/1.1", nil, nil, "404"},
		"other version":     {get, map[string]string{"Sec-WebSocket-Version": "8"}, nil, "426"},
		"no upgrade":        {get, map[string]string{"Upgrade": ""}, nil, "400"},
		"no key":            {get, map[string]string{"Sec-WebSocket-Key": ""}, nil, "400"},
		"POST":              {"POST /mqtt HTTP/1.1", nil, nil, "405"},
		"HTTP/1.0":          {"GET /mqtt HTTP/1.0", nil, nil, "505"},
	} {
		t.Run(name, func(t *testing.T) {
			var answer strings.Builder
			err := Accept(&answer, request(c.line, c.changes), c.origins)
			assert.True(t, strings.HasPrefix(answer.String(), "HTTP/1.1 "+c.want), answer.String())
			assert.Equal(t, c.want != "101", err != nil)
			if err == nil {
				assert.Contains(t, answer.String(), "Sec-WebSocket-Protocol: mqtt")
				assert.Contains(t, answer.String(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "RFC 6455 section 1.3")
				assert.NotContains(t, answer.String(), "Extensions")
			}
		})
	}
}

func TestHeaderEnd(t *testing.T) {
	assert.Zero(t, HeaderEnd([]byte("GET / HTTP/1.1\r\nHost: h\r\n")))
	assert.Equal(t, 18, HeaderEnd([]byte("GET / HTTP/1.1\r\n\r\nmore")))
}

// served is a Conn and the server's end of it, past the handshake, to which early was
// written with the answer.
func served(t *testing.T, early []byte) (*Conn, net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	near, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	far, err := l.Accept()
	require.NoError(t, err)
	for _, c := range []net.Conn{near, far} {
		t.Cleanup(func() { c.Close() })
		c.SetDeadline(time.Now().Add(10 * time.Second))
	}
	done := make(chan error, 1)
	go func() {
		b := make([]byte, MaxHeader)
		n := 0
		for HeaderEnd(b[:n]) == 0 {
			more, err := far.Read(b[n:])
			if n += more; err != nil {
				done <- err
				return
			}
		}
		var answer strings.Builder
		err := Accept(&answer, b[:n], nil)
		far.Write(append([]byte(answer.String()), early...))
		done <- err
	}()
	c, err := Client(near, &url.URL{Scheme: "ws", Host: "h", Path: Path}, 1<<20)
	require.NoError(t, err)
	require.NoError(t, <-done)
	return c, far
}

func TestConn(t *testing.T) {
	c, far := served(t, []byte("\x82\x05early\x89\x02hi\x82\x05 bir"))
	buf := make([]byte, 3)
	n, err := io.ReadFull(c, buf)
	require.NoError(t, err)
	assert.Equal(t, "ear", string(buf[:n]))
	far.Write([]byte("d\x02\x01!\x80\x01?"))
	rest := make([]byte, 9)
	_, err = io.ReadFull(c, rest)
	require.NoError(t, err)
	assert.Equal(t, "ly bird!?", string(rest))

	var d Decoder
	d.Init(true, 1<<20)
	large := strings.Repeat("x", 200_000)
	go io.WriteString(c, large)
	got := 0
	pong := false
	for got < len(large) {
		b := make([]byte, 4096)
		n, err := far.Read(b)
		require.NoError(t, err)
		pong = pong || b[0] == 0x8A
		p, err := d.Decode(b[:n])
		require.NoError(t, err)
		got += len(p)
	}
	assert.True(t, pong, "the ping is answered first")

	far.Write(AppendClose(nil, ws.StatusNormalClosure, ""))
	_, err = c.Read(rest)
	assert.Equal(t, io.EOF, err)
	b := make([]byte, 100)
	n, err = far.Read(b)
	require.NoError(t, err)
	_, err = d.Decode(b[:n])
	var e *Error
	require.ErrorAs(t, err, &e, "the Close frame is answered")
	assert.True(t, e.Normal())
	assert.NoError(t, c.CloseWrite(), "once")
}

func TestConnSaysWhyTheServerClosed(t *testing.T) {
	c, _ := served(t, AppendClose(nil, ws.StatusUnsupportedData, "no text"))
	_, err := c.Read(make([]byte, 10))
	assert.ErrorContains(t, err, "1003 no text")
}

func TestClientIsRefused(t *testing.T) {
	for answer, want := range map[string]string{
		"HTTP/1.1 404 Not Found\r\n\r\n": "404 Not Found to /mqtt",
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n": "websocket:",
		"\x20\x02\x00\x00": "websocket:",
	} {
		near, far := net.Pipe()
		go func() {
			far.Read(make([]byte, MaxHeader))
			io.WriteString(far, answer)
			far.Close()
		}()
		_, err := Client(near, &url.URL{Scheme: "ws", Host: "h", Path: Path}, 1<<20)
		assert.ErrorContains(t, err, want)
		near.Close()
	}
}
