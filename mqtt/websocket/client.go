package websocket

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"

	"github.com/gobwas/ws"
)

// clientFrame is the largest frame that a Conn writes, in bytes, and so about the size
// of its buffer.
const clientFrame = 64 << 10

// Conn is the client's end of a WebSocket connection, as the byte stream that MQTT wants.
type Conn struct {
	net.Conn
	decoder Decoder
	early   *bufio.Reader // frames that came with the handshake, until they are read
	err     error         // why there is nothing more to read

	mu     sync.Mutex // writing
	buf    []byte
	closed bool // the Close frame has been sent
}

// Client does the client's part of the opening handshake on nc, for the resource u. It
// takes frames of up to maxFrame bytes. The caller bounds it by a deadline of nc, and
// closes nc after an error.
func Client(nc net.Conn, u *url.URL, maxFrame int64) (*Conn, error) {
	d := ws.Dialer{Protocols: Subprotocols[:1]}
	early, hs, err := d.Upgrade(nc, u)
	var status ws.StatusError
	switch {
	case errors.As(err, &status):
		return nil, fmt.Errorf("websocket: the server answered %d %s to %s", int(status), http.StatusText(int(status)), u.Path)
	case err != nil:
		return nil, fmt.Errorf("websocket: %w", err)
	case hs.Protocol == "":
		return nil, errors.New("websocket: the server does not speak the subprotocol mqtt [MQTT-6.0.0-4]")
	}
	c := &Conn{Conn: nc, early: early}
	c.decoder.Init(false, maxFrame)
	return c, nil
}

// Read gives the next bytes of MQTT; io.EOF after an orderly Close frame.
func (c *Conn) Read(p []byte) (int, error) {
	for c.err == nil {
		n, err := c.receive(p)
		payload, bad := c.decoder.Decode(p[:n])
		if ping := c.decoder.TakePing(); ping != nil {
			c.control(ws.OpPong, ping)
		}
		c.err = err
		if bad != nil {
			c.err = c.end(bad)
		}
		if len(payload) > 0 {
			return len(payload), nil
		}
		if len(p) == 0 {
			return 0, c.err
		}
	}
	return 0, c.err
}

// receive reads what came with the handshake first.
func (c *Conn) receive(p []byte) (int, error) {
	if c.early == nil {
		return c.Conn.Read(p)
	}
	n, err := c.early.Read(p[:min(len(p), c.early.Buffered())])
	if c.early.Buffered() == 0 {
		ws.PutReader(c.early)
		c.early = nil
	}
	return n, err
}

// end answers the Close frame or the mistake of the server.
func (c *Conn) end(bad error) error {
	var e *Error
	if !errors.As(bad, &e) {
		return bad
	}
	c.close(e.Code)
	if e.Normal() {
		return io.EOF
	}
	return e
}

// Write sends p in binary frames.
func (c *Conn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for at := 0; at < len(p); at += clientFrame {
		c.buf = appendMasked(c.buf[:0], ws.OpBinary, p[at:min(at+clientFrame, len(p))])
		if _, err := c.Conn.Write(c.buf); err != nil {
			return at, err
		}
	}
	return len(p), nil
}

func (c *Conn) control(op ws.OpCode, payload []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Conn.Write(appendMasked(nil, op, payload))
}

// CloseWrite sends a Close frame; the server answers it and ends the connection.
func (c *Conn) CloseWrite() error { return c.close(ws.StatusNormalClosure) }

func (c *Conn) close(code ws.StatusCode) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	c.closed = true
	_, err := c.Conn.Write(appendMasked(nil, ws.OpClose, closeBody(code, "")))
	return err
}
