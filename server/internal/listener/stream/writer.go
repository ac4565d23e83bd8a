package stream

import (
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

// drain sends until the client has nothing more. Without wait it returns false when it
// would have to wait, and when there is more and more: the rest is in c.out then. Who calls
// it has the duty, as have the callers of all that follows.
func (c *conn) drain(wait bool) (done bool, err error) {
	if c.out == nil {
		c.out = batches.Get().(*batch)
	}
	for turns := 0; ; turns++ {
		if sent, err := c.send(wait); !sent || err != nil {
			return false, err
		}
		all := c.out.size > 0 && c.out.Room() > 0
		c.out.reset()
		if all {
			c.returnBatch()
			return true, nil
		}
		if turns == mostTurns && !wait {
			return false, nil
		}
		if c.client.Flush(c.out); c.out.size == 0 {
			c.returnBatch()
			return true, nil
		}
		c.out.now = c.out.vector(c.ws != nil)
	}
}

// send writes what is left of c.out and of what TLS has made of it, writeBytes at a time.
// Without wait it returns false when the network does not take everything.
func (c *conn) send(wait bool) (done bool, err error) {
	for {
		part := &c.out.now
		if c.tls != nil {
			if part, err = c.sealed(); err != nil {
				return false, err
			}
		}
		if len(*part) == 0 {
			return true, nil
		}
		if done, err = c.sendPart(part, wait); !done || err != nil {
			return false, err
		}
	}
}

// sendPart writes the first writeBytes of a vector, which it shortens.
func (c *conn) sendPart(vec *net.Buffers, wait bool) (done bool, err error) {
	part, size := first(*vec)
	written := 0
	if c.fd != nil {
		written, err = c.out.try.write(c.fd, part)
	}
	advance(vec, written)
	if err != nil || written == size || !wait {
		return written == size, err
	}
	c.setWriteDeadline()
	c.out.part, _ = first(*vec)
	n := len(c.out.part)
	if _, err = c.out.part.WriteTo(c.raw); err == nil {
		*vec = (*vec)[n:]
	}
	return err == nil, err
}

// first is the beginning of a vector: writeBytes, and the rest of a piece.
func first(vec net.Buffers) (part net.Buffers, size int) {
	n := 0
	for n < len(vec) && size < writeBytes {
		size += len(vec[n])
		n++
	}
	return vec[:n:n], size
}

// advance takes n bytes off the beginning of a vector.
func advance(vec *net.Buffers, n int) {
	for n > 0 {
		first := (*vec)[0]
		if n < len(first) {
			(*vec)[0] = first[n:]
			return
		}
		n -= len(first)
		(*vec)[0] = nil
		*vec = (*vec)[1:]
	}
}

func (c *conn) returnBatch() {
	batches.Put(c.out)
	c.out = nil
}

// setWriteDeadline bounds a write that has to wait.
func (c *conn) setWriteDeadline() {
	c.timed = true
	c.raw.SetWriteDeadline(time.Now().Add(c.l.cfg.WriteTimeout))
	if c.closing.Load() { // its deadline must not be put off
		c.raw.SetWriteDeadline(time.Now().Add(lingerTime))
	}
}

// endWriteDeadline is for the writes to come, which begin without waiting.
func (c *conn) endWriteDeadline() {
	if !c.timed {
		return
	}
	c.timed = false
	c.raw.SetWriteDeadline(time.Time{})
	if c.closing.Load() {
		c.raw.SetWriteDeadline(time.Now().Add(lingerTime))
	}
}

// closeWrite tells the peer that nothing more comes. It may have gone.
func (c *conn) closeWrite() {
	if c.ws != nil {
		c.sendClose()
	}
	if c.tls != nil {
		c.tls.conn.CloseWrite()
		c.out = batches.Get().(*batch)
		c.send(true)
		c.returnBatch()
	}
	c.raw.CloseWrite()
}

// batch collects what one Flush gives. It implements broker.Sink.
type batch struct {
	size  int
	buf   []byte // copied bytes, after room for a WebSocket header
	parts []part
	vec   net.Buffers // see vector
	now   net.Buffers // the part of vec that has not been written
	part  net.Buffers // the part of that which is being written
	try   attempt
}

// part is a shared payload and where in buf it belongs.
type part struct {
	at      int
	payload []byte
	message *broker.Message
}

var batches = sync.Pool{New: func() any { return newBatch() }}

func newBatch() *batch {
	b := &batch{buf: make([]byte, websocket.HeadRoom)}
	b.try.init()
	return b
}

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
	clear(b.vec)
	b.parts, b.vec, b.now = b.parts[:0], b.vec[:0], nil
	if cap(b.buf) > 2*batchBytes {
		b.buf = make([]byte, websocket.HeadRoom)
	}
	b.buf, b.size = b.buf[:websocket.HeadRoom], 0
}
