package conformance

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

// patience is how long a test waits for anything, generous for a loaded machine.
const patience = 20 * time.Second

// client is one raw connection to the server. One goroutine at a time.
type client struct {
	t      *T
	conn   net.Conn
	r      *bufio.Reader
	id     string // client identifier
	answer connack
	kept   []packet // PUBLISH packets that came before what was waited for
	lastID int      // packet identifier used last by the client
	fences int      // calls of fence
	marker string   // topic of fence
}

// dial opens a connection; nothing has been sent.
func (t *T) dial() *client {
	t.Helper()
	conn, err := t.dialTransport()
	if err != nil {
		t.Fatalf("dial: %s", err)
	}
	t.Cleanup(func() { conn.Close() })
	return &client{t: t, conn: conn, r: bufio.NewReader(conn)}
}

// write sends bytes as they are.
func (c *client) write(parts ...[]byte) {
	c.t.Helper()
	if err := c.tryWrite(parts...); err != nil {
		c.t.Fatalf("write: %s", err)
	}
}

// tryWrite sends bytes on a connection that the server may have closed.
func (c *client) tryWrite(parts ...[]byte) error {
	c.conn.SetWriteDeadline(time.Now().Add(patience))
	_, err := c.conn.Write(cat(parts...))
	return err
}

// read gives the next packet, or the error with which the connection has ended.
func (c *client) read() (packet, error) {
	if len(c.kept) > 0 {
		p := c.kept[0]
		c.kept = c.kept[1:]
		return p, nil
	}
	return c.receivePacket()
}

// receivePacket takes a packet from the connection.
func (c *client) receivePacket() (p packet, err error) {
	c.conn.SetReadDeadline(time.Now().Add(patience))
	if p.first, err = c.r.ReadByte(); err != nil {
		return p, err
	}
	size, err := c.readLength()
	if err != nil {
		return p, err
	}
	p.body = make([]byte, size)
	if _, err = io.ReadFull(c.r, p.body); err != nil {
		return p, fmt.Errorf("within a %s: %w", typeName(p.first), err)
	}
	return p, checkFlags(p)
}

func (c *client) readLength() (n int, err error) {
	for shift := 0; shift < 28; shift += 7 {
		b, err := c.r.ReadByte()
		if err != nil {
			return 0, err
		}
		n |= int(b&127) << shift
		if b < 128 {
			if b == 0 && shift > 0 {
				return 0, errBroken
			}
			return n, nil
		}
	}
	return 0, errBroken
}

var errBroken = errors.New("the server sent bytes that are no packet")

// checkFlags refuses fixed header flags that are not those of the type [MQTT-2.1.3-1].
func checkFlags(p packet) error {
	want := byte(0)
	switch p.first >> 4 {
	case PUBLISH >> 4:
		return nil
	case PUBREL >> 4:
		want = 2
	}
	if p.first&15 != want {
		return fmt.Errorf("%w: flags of %s", errBroken, p)
	}
	return nil
}

// next gives the next packet. It fails the test when the connection has ended.
func (c *client) next() packet {
	c.t.Helper()
	p, err := c.read()
	if err != nil {
		c.t.Fatalf("waiting for a packet: %s", err)
	}
	return p
}

// expect gives the next packet, which must be of a type, named by its first byte.
func (c *client) expect(first byte) packet {
	c.t.Helper()
	p := c.next()
	if p.first>>4 != first>>4 {
		c.t.Fatalf("got %s, not a %s", p, typeName(first))
	}
	return p
}

// await gives the next packet that is no PUBLISH, which must be of a type. PUBLISH packets
// that come before are kept for next.
func (c *client) await(first byte) packet {
	c.t.Helper()
	for {
		p, err := c.receivePacket()
		if err != nil {
			c.t.Fatalf("waiting for a %s: %s", typeName(first), err)
		}
		if p.first>>4 != PUBLISH>>4 {
			if p.first>>4 != first>>4 {
				c.t.Fatalf("got %s, not a %s", p, typeName(first))
			}
			return p
		}
		c.kept = append(c.kept, p)
	}
}

// end waits until the server has closed the connection, without another packet.
func (c *client) end() {
	c.t.Helper()
	p, err := c.read()
	switch {
	case err == nil:
		c.t.Fatalf("got %s, not the end of the connection", p)
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.t.Fatal("the server did not close the connection")
	case errors.Is(err, errBroken), errors.Is(err, io.ErrUnexpectedEOF):
		c.t.Fatalf("not the end of the connection: %s", err)
	}
}

// close ends the network connection without DISCONNECT.
func (c *client) close() { c.conn.Close() }
