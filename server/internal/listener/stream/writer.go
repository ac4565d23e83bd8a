package stream

import (
	"crypto/tls"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/ngmq/ngmq/mqtt/websocket"
	"github.com/ngmq/ngmq/server/internal/broker"
)

const (
	// batchBytes is how much one Flush may take: the bound of what waits in memory
	// for a slow client besides its session's queue.
	batchBytes = 64 << 10
	// shareFrom is the size from which a payload is referenced instead of copied, in
	// bytes. Below it a copy is cheaper than one more element of the write vector.
	shareFrom = 4 << 10
	// writeBytes is how much of a batch is written under one deadline: a client that
	// takes this much per write timeout is slow, but alive.
	writeBytes = 256 << 10
	// pieceBytes is what a shared payload is cut into for that.
	pieceBytes = 64 << 10
)

// write is the writer.
func (c *conn) write() {
	defer close(c.written)
	if err := c.l.cfg.Broker.Protect("writer", c.writeAll); err != nil {
		c.fail(err)
	}
}

// writeAll sleeps until Wake and sends what the client has, until the end.
func (c *conn) writeAll() error {
	for range c.wake {
		last := c.closing.Load()
		err := c.answerPing()
		if err == nil {
			err = c.drain()
		}
		if err != nil {
			return err
		}
		if last {
			c.closeWrite()
			break
		}
	}
	return nil
}

// drain flushes until the client has nothing more.
func (c *conn) drain() error {
	c.out = batches.Get().(*batch)
	defer c.returnBatch()
	for {
		c.client.Flush(c.out)
		if c.out.size == 0 {
			return nil
		}
		if err := c.writeBatch(); err != nil {
			return err
		}
		c.out.reset()
	}
}

// writeBatch writes everything in c.out, with one system call per writeBytes on TCP.
func (c *conn) writeBatch() error {
	vec := c.out.vector(c.ws != nil)
	defer clear(vec)
	for len(vec) > 0 {
		n, size := 0, 0
		for n < len(vec) && size < writeBytes {
			size += len(vec[n])
			n++
		}
		c.setWriteDeadline()
		c.out.now = vec[:n]
		if _, err := c.out.now.WriteTo(c.net); err != nil {
			return err
		}
		vec = vec[n:]
	}
	return nil
}

func (c *conn) returnBatch() {
	c.out.reset()
	batches.Put(c.out)
	c.out = nil
}

func (c *conn) setWriteDeadline() {
	c.net.SetWriteDeadline(time.Now().Add(c.l.cfg.WriteTimeout))
	if c.closing.Load() { // its deadline must not be put off
		c.net.SetWriteDeadline(time.Now().Add(lingerTime))
	}
}

// closeWrite tells the peer that nothing more comes.
func (c *conn) closeWrite() {
	if c.ws != nil {
		c.sendClose()
	}
	if t, ok := c.net.(*tls.Conn); ok {
		t.CloseWrite()
	}
	c.raw.CloseWrite()
}

// batch collects what one Flush gives. It implements broker.Sink.
type batch struct {
	size  int
	buf   []byte // copied bytes, after room for a WebSocket header
	parts []part
	vec   net.Buffers // see vector
	now   net.Buffers // the part of vec that is being written
}

// part is a shared payload and where in buf it belongs.
type part struct {
	at      int
	payload []byte
	message *broker.Message
}

var batches = sync.Pool{New: func() any { return newBatch() }}

func newBatch() *batch { return &batch{buf: make([]byte, websocket.HeadRoom)} }

// Room implements broker.Sink.
func (b *batch) Room() int { return batchBytes - b.size }

// Write implements broker.Sink.
func (b *batch) Write(p []byte) {
	b.buf = append(b.buf, p...)
	b.size += len(p)
}

// WritePayload implements broker.Sink.
func (b *batch) WritePayload(p []byte, m *broker.Message) {
	if len(p) < shareFrom {
		b.Write(p)
		return
	}
	m.Retain()
	b.parts = append(b.parts, part{at: len(b.buf), payload: p, message: m})
	b.size += len(p)
}

// vector is everything in order, as one WebSocket frame when it is to be framed; valid
// until the next call of a method.
func (b *batch) vector(framed bool) net.Buffers {
	vec, from := b.vec[:0], websocket.HeadRoom
	if framed {
		from -= websocket.PutHeader(b.buf[:from], b.size)
	}
	for _, p := range b.parts {
		vec = appendPiece(vec, b.buf[from:p.at])
		for piece := range slices.Chunk(p.payload, pieceBytes) {
			vec = append(vec, piece)
		}
		from = p.at
	}
	b.vec = appendPiece(vec, b.buf[from:])
	return b.vec
}

func appendPiece(vec net.Buffers, p []byte) net.Buffers {
	if len(p) == 0 {
		return vec
	}
	return append(vec, p)
}

// reset forgets everything and gives the messages back. A buffer that one large
// control packet has blown up is left to the garbage collector.
func (b *batch) reset() {
	for i := range b.parts {
		b.parts[i].message.Release()
	}
	clear(b.parts)
	b.parts = b.parts[:0]
	if cap(b.buf) > 2*batchBytes {
		b.buf = make([]byte, websocket.HeadRoom)
	}
	b.buf, b.size = b.buf[:websocket.HeadRoom], 0
}
