package stream

import (
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/gobwas/ws"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/mqtt/websocket"
	"github.com/ngmq/ngmq/server/internal/broker"
)

// WebSocket is the configuration of a Listener for MQTT over WebSocket.
type WebSocket struct {
	// Origins are the web pages that may connect, such as "https://example.org"; none:
	// all of them.
	Origins []string
	// MaxFrame is the largest frame taken, in bytes.
	MaxFrame int64
}

// wsState is what a connection over WebSocket has besides.
type wsState struct {
	decoder websocket.Decoder      // reader
	ping    atomic.Pointer[[]byte] // payload of a ping that waits for the writer
	code    atomic.Uint32          // status code for the Close frame; 0: normal
}

// upgrade does the opening handshake and gives what came after it, at the beginning of
// buf, which has room for more than a header.
func (c *conn) upgrade(buf []byte) (early []byte, err error) {
	n := 0
	for end := 0; end == 0; end = websocket.HeaderEnd(buf[:n]) {
		if n >= websocket.MaxHeader {
			return nil, errors.Join(errors.New("request header of more than 8 KiB"), websocket.RefuseHeader(c.net))
		}
		more, err := c.net.Read(buf[n:websocket.MaxHeader])
		n += more
		if hint := misdirected(buf[:n], speaksHTTP); hint != "" {
			return nil, errors.New(hint)
		}
		if err != nil {
			return nil, err
		}
	}
	end := websocket.HeaderEnd(buf[:n])
	err = websocket.Accept(c.net, buf[:end], c.l.cfg.WebSocket.Origins)
	return buf[end:n], err
}

// decode gives the payload of the frames in b and sees to pings. An error is a mistake
// of the peer, or its Close frame: io.EOF.
func (c *conn) decode(b []byte) ([]byte, error) {
	payload, err := c.ws.decoder.Decode(b)
	if ping := c.ws.decoder.TakePing(); ping != nil {
		c.ws.ping.Store(&ping)
		c.Wake()
	}
	var e *websocket.Error
	if !errors.As(err, &e) {
		return payload, nil
	}
	c.ws.code.CompareAndSwap(0, uint32(e.Code))
	if e.Peer {
		return payload, io.EOF
	}
	return payload, e
}

// wsReason is the error for the broker.
func wsReason(e *websocket.Error) *broker.Error {
	code := packet.ProtocolError
	if e.Code == ws.StatusMessageTooBig {
		code = packet.PacketTooLarge
	}
	return &broker.Error{Code: code, Reason: e.Error()}
}

// answerPing sends the pong that is due.
func (c *conn) answerPing() error {
	if c.ws == nil {
		return nil
	}
	ping := c.ws.ping.Swap(nil)
	if ping == nil {
		return nil
	}
	c.setWriteDeadline()
	_, err := c.net.Write(websocket.AppendControl(nil, ws.OpPong, *ping))
	return err
}

// sendClose sends the Close frame, the last one (RFC 6455 section 5.5.1).
func (c *conn) sendClose() {
	code := ws.StatusCode(c.ws.code.Load())
	if code == 0 {
		code = ws.StatusNormalClosure
	}
	c.net.SetWriteDeadline(time.Now().Add(lingerTime))
	c.net.Write(websocket.AppendClose(nil, code, ""))
}

// upgradeError says who was refused and why.
func upgradeError(err error) error { return fmt.Errorf("websocket handshake: %w", err) }
