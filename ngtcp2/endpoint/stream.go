package endpoint

import (
	"github.com/ngmq/ngmq/ngtcp2"
)

const (
	// firstBuffer and lastBuffer are the sizes in bytes of the blocks that
	// Stream.Write copies into: they double from the first to the last while
	// data is outstanding, and start again when all is acknowledged.
	firstBuffer = 2 << 10
	lastBuffer  = 16 << 10
	// spareBuffers bounds the first blocks a worker keeps for its streams,
	// and spareChunks its slices of chunks.
	spareBuffers = 64
	spareChunks  = 64
	// keptChunks is the longest slice of chunks that is kept.
	keptChunks = 1024
)

// Stream is one QUIC stream. Worker only, see Conn.
type Stream struct {
	// UserData is the application's.
	UserData any

	conn     *Conn
	id       int64
	buffered int           // bytes queued or not acknowledged
	unread   uint64        // bytes delivered and not consumed
	tail     ngtcp2.Buffer // block that Write appends to; zero when idle
	tailOff  uint32
	tailSize uint32
	open     bool // known to the transport
	finished bool // this side has sent FIN or RESET, or may not send
	early    bool // what was delivered last came in a 0-RTT packet
	discard  bool // StopReading: what still comes is dropped
}

// addStream makes the Go side of stream id.
func (c *Conn) addStream(id int64) *Stream {
	s := &c.first
	if c.started {
		s = new(Stream)
		if c.others == nil {
			c.others = make(map[int64]*Stream)
		}
		c.others[id] = s
	}
	c.started = true
	s.conn, s.id, s.open = c, id, true
	s.finished = !ngtcp2.IsBidiStream(id) && !c.local(id)
	return s
}

// stream finds stream id, nil when it is unknown.
func (c *Conn) stream(id int64) *Stream {
	if c.first.open && c.first.id == id {
		return &c.first
	}
	return c.others[id]
}

// local reports whether this side opens streams of id's kind (RFC 9000 2.1).
func (c *Conn) local(id int64) bool { return (id&1 != 0) == c.server }

// eachStream calls f for every open stream.
func (c *Conn) eachStream(f func(*Stream)) {
	if c.first.open {
		f(&c.first)
	}
	for _, s := range c.others {
		f(s)
	}
}

// removeStream forgets s, which the transport has closed.
func (c *Conn) removeStream(s *Stream) {
	s.open, s.finished = false, true
	s.dropOutput()
	if s == &c.first {
		return
	}
	delete(c.others, s.id)
	if len(c.others) == 0 {
		c.others = nil
	}
}

// releaseStreams frees what all streams hold, when the connection ends.
func (c *Conn) releaseStreams() {
	c.eachStream(func(s *Stream) {
		s.open, s.finished = false, true
		s.dropOutput()
	})
	c.releasePending()
	c.dropEarly()
	c.others = nil
}

// releasePending gives up chunks that the transport has not got.
func (c *Conn) releasePending() {
	for i := range c.pending {
		c.pending[i].Buf.Release()
	}
	c.dropPending()
}

// finishStreams queues FIN on every stream that is still open for sending.
func (c *Conn) finishStreams() (any bool) {
	c.eachStream(func(s *Stream) {
		if !s.finished {
			s.finish()
			any = true
		}
	})
	return any
}

// chunk queues ch. It takes over the reference.
func (c *Conn) chunk(ch ngtcp2.StreamChunk) {
	if c.early != nil && c.early.keep(ch) {
		return
	}
	if c.pending == nil {
		c.pending = c.core.takeChunks()
	}
	c.pending = appendChunk(c.pending, ch)
	c.core.markDirty(c)
}

// appendChunk adds ch, merged into the one before it when they are adjacent. It
// takes over the reference.
func appendChunk(list []ngtcp2.StreamChunk, ch ngtcp2.StreamChunk) []ngtcp2.StreamChunk {
	if n := len(list); n > 0 && ch.Len > 0 {
		last := &list[n-1]
		if last.StreamID == ch.StreamID && last.Buf == ch.Buf && last.Off+last.Len == ch.Off && !last.Fin {
			last.Len += ch.Len
			ch.Buf.Release()
			return list
		}
	}
	return append(list, ch)
}

// dropPending gives the slice of chunks back, after WritePkts took them over.
func (c *Conn) dropPending() {
	if c.pending != nil {
		c.core.giveChunks(c.pending)
		c.pending = nil
	}
}

func (c *Core) takeChunks() []ngtcp2.StreamChunk {
	n := len(c.chunks)
	if n == 0 {
		return make([]ngtcp2.StreamChunk, 0, 8)
	}
	s := c.chunks[n-1]
	c.chunks = c.chunks[:n-1]
	return s
}

func (c *Core) giveChunks(s []ngtcp2.StreamChunk) {
	clear(s)
	if len(c.chunks) < spareChunks && cap(s) <= keptChunks {
		c.chunks = append(c.chunks, s[:0])
	}
}

// ID is the stream's id (RFC 9000 section 2.1) (any).
func (s *Stream) ID() int64 { return s.id }

// Conn is the stream's connection (any).
func (s *Stream) Conn() *Conn { return s.conn }

// Bidi reports whether both sides may send (any).
func (s *Stream) Bidi() bool { return ngtcp2.IsBidiStream(s.id) }

// Buffered is the number of bytes that were written and are not acknowledged.
// When some are, OnFlush is called: refill the stream up to a limit there.
func (s *Stream) Buffered() int { return s.buffered }

// Write copies p into the send queue; it never blocks and has no limit of its
// own, see Buffered. Small writes share a block. ErrClosed: the stream or the
// connection can not send any more.
func (s *Stream) Write(p []byte) (int, error) {
	if !s.canSend() {
		return 0, ErrClosed
	}
	n := len(p)
	for len(p) > 0 {
		if s.tailOff == s.tailSize {
			s.nextTail(len(p))
		}
		k := copy(s.tail.Bytes()[s.tailOff:], p)
		s.tail.Retain()
		s.queue(ngtcp2.StreamChunk{Buf: s.tail, Off: s.tailOff, Len: uint32(k)})
		s.tailOff += uint32(k)
		p = p[k:]
	}
	return n, nil
}

// WriteBuffer queues n bytes of b from off without copying them. The stream
// takes a reference of its own and drops it when they are acknowledged; the
// bytes must not change any more.
func (s *Stream) WriteBuffer(b ngtcp2.Buffer, off, n int) error {
	if !s.canSend() {
		return ErrClosed
	}
	if off < 0 || n < 0 || off+n > len(b.Bytes()) {
		return ngtcp2.ErrInvalidArgument
	}
	if n > 0 {
		b.Retain()
		s.queue(ngtcp2.StreamChunk{Buf: b, Off: uint32(off), Len: uint32(n)})
	}
	return nil
}

func (s *Stream) canSend() bool { return s.open && !s.finished && !s.conn.Closed() }

func (s *Stream) queue(ch ngtcp2.StreamChunk) {
	ch.StreamID = s.id
	s.buffered += int(ch.Len)
	s.conn.buffered += int(ch.Len)
	s.conn.chunk(ch)
}

// nextTail gets another block, sized by what is outstanding.
func (s *Stream) nextTail(want int) {
	size := uint32(firstBuffer)
	if !s.tail.IsZero() {
		size = min(2*s.tailSize, lastBuffer)
	}
	for size < lastBuffer && int(size) < want {
		size *= 2
	}
	s.tail.Release()
	s.tail, s.tailSize, s.tailOff = s.conn.core.takeBuffer(size), size, 0
}

// dropTail lets the block go: nothing is outstanding in it.
func (s *Stream) dropTail() {
	if !s.tail.IsZero() {
		s.conn.core.giveBuffer(s.tail, s.tailSize)
		s.tail, s.tailOff, s.tailSize = ngtcp2.Buffer{}, 0, 0
	}
}

func (c *Core) takeBuffer(size uint32) ngtcp2.Buffer {
	n := len(c.buffers)
	if size != firstBuffer || n == 0 {
		return ngtcp2.NewBuffer(int(size))
	}
	b := c.buffers[n-1]
	c.buffers = c.buffers[:n-1]
	return b
}

// giveBuffer takes over the last reference to b.
func (c *Core) giveBuffer(b ngtcp2.Buffer, size uint32) {
	if size == firstBuffer && len(c.buffers) < spareBuffers {
		c.buffers = append(c.buffers, b)
	} else {
		b.Release()
	}
}

// acked accounts for n acknowledged bytes.
func (s *Stream) acked(n uint64) {
	k := min(int(n), s.buffered)
	s.buffered -= k
	s.conn.buffered -= k
	if s.buffered == 0 {
		s.dropTail()
	}
}

// dropOutput forgets what is outstanding: the stream sends no more. The block
// may still be referenced by packets in flight, so it is not reused.
func (s *Stream) dropOutput() {
	s.conn.buffered -= s.buffered
	s.buffered = 0
	s.tail.Release()
	s.tail, s.tailOff, s.tailSize = ngtcp2.Buffer{}, 0, 0
}

// CloseWrite sends FIN after what was written. Writing ends.
func (s *Stream) CloseWrite() error {
	if !s.canSend() {
		return ErrClosed
	}
	s.finish()
	return nil
}

func (s *Stream) finish() {
	s.finished = true
	s.queue(ngtcp2.StreamChunk{Fin: true})
}

// Reset abandons sending (RESET_STREAM with code): what is not yet sent is
// dropped.
func (s *Stream) Reset(code uint64) {
	if s.open && s.conn.nc != nil && (s.Bidi() || s.conn.local(s.id)) {
		s.finished = true
		s.flushPending()
		if e := s.conn.early.stream(s.id); e != nil {
			e.release()
			e.reset = &code
		}
		_ = s.conn.nc.ShutdownStreamWrite(s.id, code)
		s.dropOutput()
		s.conn.MarkDirty()
	}
}

// flushPending hands queued chunks to the transport, which then drops those of
// a stream that is being reset.
func (s *Stream) flushPending() {
	if len(s.conn.pending) > 0 {
		_, _ = s.conn.nc.WritePkts(nil, s.conn.pending, s.conn.core.now)
		s.conn.dropPending()
	}
}

// StopReading asks the peer to stop (STOP_SENDING with code). Nothing more is
// delivered, and the credit of what was delivered and is still to come is given
// back.
func (s *Stream) StopReading(code uint64) {
	if s.open && s.conn.nc != nil && !s.discard && (s.Bidi() || !s.conn.local(s.id)) {
		s.discard = true
		if e := s.conn.early.stream(s.id); e != nil {
			e.stop = &code
		}
		_ = s.conn.nc.ShutdownStreamRead(s.id, code)
		s.Consume(int(s.unread))
		s.conn.MarkDirty()
	}
}

// Refuse ends both directions with code: the way to turn down a stream that the
// peer opened.
func (s *Stream) Refuse(code uint64) {
	s.StopReading(code)
	s.Reset(code)
}

// Consume gives back credit for n delivered bytes, to the stream's and the
// connection's window. Bytes not consumed when the stream closes are given back
// to the connection's.
func (s *Stream) Consume(n int) {
	k := min(uint64(max(n, 0)), s.unread)
	if k == 0 || s.conn.nc == nil {
		return
	}
	s.unread -= k
	_ = s.conn.nc.Consume(s.id, k)
	s.conn.MarkDirty()
}
