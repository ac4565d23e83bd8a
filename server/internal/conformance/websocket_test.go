package conformance

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/server"
)

// Chapter 6 of both standards: WebSocket, with frames made by hand (RFC 6455).

func init() {
	mqtt5(binaryFramesOnly, "MQTT-6.0.0-1").over("ws")
	mqtt5(packetsAndFrames, "MQTT-6.0.0-2").over("ws")
	mqtt5(subprotocolReturned, "MQTT-6.0.0-4").over("ws")
	mqtt311(binaryFramesOnly, "MQTT-6.0.0-1").over("ws")
	mqtt311(packetsAndFrames, "MQTT-6.0.0-2").over("ws")
	mqtt311(subprotocolReturned, "MQTT-6.0.0-4").over("ws")
}

// WebSocket opcodes.
const (
	continuation = 0
	text         = 1
	binaryData   = 2
)

// webSocket is the client's end of a WebSocket connection.
type webSocket struct {
	t    *T
	conn net.Conn
	r    *bufio.Reader
	head http.Header // of the answer to the upgrade
}

// upgrade opens a WebSocket connection to a server of this run.
func (t *T) upgrade(protocol string) *webSocket {
	t.Helper()
	if len(t.host.Addrs().WS) == 0 {
		t.serve(server.Config{TCP: []string{server.Off}, WS: []string{"127.0.0.1:0"}})
	}
	conn, err := net.Dial("tcp", t.host.Addrs().WS[0].String())
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	request := "GET /mqtt HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	if protocol != "" {
		request += "Sec-WebSocket-Protocol: " + protocol + "\r\n"
	}
	_, err = io.WriteString(conn, request+"\r\n")
	require.NoError(t, err)
	w := &webSocket{t: t, conn: conn, r: bufio.NewReader(conn)}
	answer, err := http.ReadResponse(w.r, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusSwitchingProtocols, answer.StatusCode)
	require.Equal(t, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", answer.Header.Get("Sec-WebSocket-Accept"))
	w.head = answer.Header
	return w
}

// frame sends one frame, masked as clients have to.
func (w *webSocket) frame(fin bool, opcode byte, payload []byte) {
	w.t.Helper()
	if fin {
		opcode |= 0x80
	}
	b := raw(opcode, 0x80|126)
	b = binary.BigEndian.AppendUint16(b, uint16(len(payload)))
	mask := raw(1, 2, 3, 4)
	b = append(b, mask...)
	for i, c := range payload {
		b = append(b, c^mask[i%4])
	}
	_, err := w.conn.Write(b)
	require.NoError(w.t, err)
}

// next gives the opcode and payload of the next frame; the error tells that the
// connection has ended.
func (w *webSocket) next() (opcode byte, payload []byte, err error) {
	head := make([]byte, 2)
	if _, err := io.ReadFull(w.r, head); err != nil {
		return 0, nil, err
	}
	size := int(head[1])
	require.Less(w.t, size, 127, "masked by the server, or long")
	if size == 126 {
		long := make([]byte, 2)
		if _, err := io.ReadFull(w.r, long); err != nil {
			return 0, nil, err
		}
		size = int(binary.BigEndian.Uint16(long))
	}
	payload = make([]byte, size)
	_, err = io.ReadFull(w.r, payload)
	return head[0] & 15, payload, err
}

// stream gives n bytes of binary frames.
func (w *webSocket) stream(n int) (b []byte) {
	w.t.Helper()
	for len(b) < n {
		opcode, payload, err := w.next()
		require.NoError(w.t, err)
		require.EqualValues(w.t, binaryData, opcode)
		b = append(b, payload...)
	}
	require.Len(w.t, b, n)
	return b
}

// ended waits until the server has closed the connection; a Close frame may come first.
func (w *webSocket) ended() {
	w.t.Helper()
	for {
		opcode, _, err := w.next()
		if err != nil {
			require.NotErrorIs(w.t, err, os.ErrDeadlineExceeded, "the server did not close the connection")
			return
		}
		require.NotEqualValues(w.t, text, opcode)
	}
}

// connack reads the CONNACK.
func (w *webSocket) connack() {
	w.t.Helper()
	_, payload, err := w.next()
	require.NoError(w.t, err)
	require.EqualValues(w.t, CONNACK, payload[0])
	require.Zero(w.t, payload[3])
}

func binaryFramesOnly(t *T) {
	w := t.upgrade("mqtt")
	w.frame(true, text, t.connectPacket("a"))
	w.ended()
	w = t.upgrade("mqtt")
	w.frame(true, binaryData, t.connectPacket("a"))
	w.connack()
	w.frame(true, binaryData, pkt(PINGREQ))
	assert.Equal(t, pkt(PINGRESP), w.stream(2))
	w.frame(true, text, pkt(PINGREQ))
	w.ended()
}

// packetsAndFrames: one byte in each frame, many packets in one, fragments.
func packetsAndFrames(t *T) {
	w := t.upgrade("mqtt")
	for _, b := range t.connectPacket("a") {
		w.frame(true, binaryData, raw(b))
	}
	w.connack()
	w.frame(true, binaryData, []byte(strings.Repeat("\xC0\x00", 10)+"\xC0"))
	w.frame(true, binaryData, nil)
	w.frame(true, binaryData, raw(0))
	assert.Equal(t, []byte(strings.Repeat("\xD0\x00", 11)), w.stream(22))
	w.frame(false, binaryData, raw(PINGREQ))
	w.frame(false, continuation, raw(0, PINGREQ))
	w.frame(true, continuation, raw(0, PINGREQ, 0))
	assert.Equal(t, []byte(strings.Repeat("\xD0\x00", 3)), w.stream(6))
	w.frame(true, binaryData, cat(subscribePacket(t.version, 1, nil, filter(t.topic("x"), 0)), publishPacket(t.version, 0, 0, t.topic("x"), strings.Repeat("x", 20000))[:300]))
	w.frame(true, binaryData, publishPacket(t.version, 0, 0, t.topic("x"), strings.Repeat("x", 20000))[300:])
	size := len(publishPacket(t.version, 0, 0, t.topic("x"), strings.Repeat("x", 20000))) + len(pkt(SUBACK, u16(1), raw(0)))
	if t.version == 5 {
		size++ // properties of the SUBACK
	}
	w.stream(size)
}

func subprotocolReturned(t *T) {
	for _, offer := range []string{"mqtt", "chat, mqtt", "mqtt, chat"} {
		w := t.upgrade(offer)
		assert.Equal(t, []string{"mqtt"}, w.head.Values("Sec-WebSocket-Protocol"))
		w.frame(true, binaryData, t.connectPacket("a"))
		w.connack()
	}
}
