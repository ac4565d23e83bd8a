package endpoint

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/ngmq/ngmq/crypto"
	"github.com/ngmq/ngmq/ngtcp2"
)

const (
	// writeLimit is how many bytes of a StreamConn may wait for the worker, and
	// streamLimit how many may be unacknowledged, before Write blocks.
	writeLimit  = 64 << 10
	streamLimit = 256 << 10
	// creditStep: credit goes back when this part of the window has been read,
	// or with the next flush for another reason.
	creditStep = 4
	// keptBuffer is the largest buffer in bytes that an idle StreamConn keeps.
	keptBuffer = 4 << 10
)

// Application error codes of the net adapters.
const (
	CodeOK       uint64 = 0 // normal end
	CodeAbnormal uint64 = 1 // the control stream ended before the connection
	CodeOverload uint64 = 2 // the accept backlog is full
	CodeRefused  uint64 = 3 // for streams: this connection carries one only
)

// StreamConn is a connection and its first stream as a net.Conn. Reading grants
// credit as the application reads, so a slow reader holds the peer back; Write
// blocks when too much is unacknowledged. Any goroutine may call its methods.
type StreamConn struct {
	conn   *Conn
	stream *Stream // worker only
	// children are the further streams of Open, stopped says that one was closed and the
	// peer told. Worker only.
	children map[*Stream]*StreamConn
	stopped  bool
	further  bool   // this is one of them
	closed   func() // after the end, once; may be nil

	readDeadline, writeDeadline deadline
	readable, writable          chan struct{} // tokens

	secured chan struct{} // closed when the handshake is complete

	mu       sync.Mutex
	state    crypto.ConnectionState
	identity crypto.Identity
	rblock   *block // pool's memory behind rbuf, nil while it is small
	wblock   *block // the same behind wbuf
	rbuf     []byte // received and not read: rbuf[rpos:]
	rpos     int
	eof      bool
	consumed int    // read, and credit not yet given back
	wbuf     []byte // written, and not yet with the stream
	unacked  int    // Stream.Buffered as of the last flush
	noWrite  bool   // CloseWrite
	shut     bool   // Close
	err      error  // the connection has ended
	over     chan struct{}
}

func newStreamConn() *StreamConn {
	return &StreamConn{
		readDeadline: newDeadline(), writeDeadline: newDeadline(),
		readable: make(chan struct{}, 1), writable: make(chan struct{}, 1),
		over: make(chan struct{}), secured: make(chan struct{}),
	}
}

// attach ties the StreamConn to its connection. Worker only.
func (s *StreamConn) attach(c *Conn) {
	s.conn = c
	s.readTLS()
}

// readTLS takes over what TLS knows now. Worker only.
func (s *StreamConn) readTLS() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn.HandshakeCompleted() {
		close(s.secured)
	}
	s.state = s.conn.TLS()
	s.identity, _ = s.conn.PeerIdentity()
}

// Handshake waits until the handshake is complete: that is so from the beginning,
// unless there is early data. A server that has to act once on what it read before
// calls Handshake first (see Config.EarlyData).
func (s *StreamConn) Handshake(ctx context.Context) error {
	if isClosed(s.secured) {
		return nil
	}
	select {
	case <-s.secured:
		return nil
	case <-s.over:
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Conn is the connection below, for what net.Conn has no words for, such as
// Migrate. It is not to be read from, written to or closed directly.
func (s *StreamConn) Conn() *Conn { return s.conn }

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Read reads what has arrived. After the peer's FIN it returns io.EOF, after
// Close net.ErrClosed, after the connection's end its reason (io.EOF when the
// peer closed with application code 0).
func (s *StreamConn) Read(p []byte) (int, error) {
	for {
		if isClosed(s.readDeadline.passed()) {
			return 0, os.ErrDeadlineExceeded
		}
		n, err, ok := s.tryRead(p)
		if ok {
			return n, err
		}
		select {
		case <-s.readable:
		case <-s.over:
		case <-s.readDeadline.passed():
		}
	}
}

func (s *StreamConn) tryRead(p []byte) (n int, err error, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.shut:
		return 0, net.ErrClosed, true
	case s.rpos < len(s.rbuf):
		n = copy(p, s.rbuf[s.rpos:])
		s.rpos += n
		s.consumed += n
		if s.rpos == len(s.rbuf) {
			s.resetRead()
		} else {
			signal(s.readable) // for other readers
		}
		if s.consumed >= s.conn.core.cfg.StreamWindow/creditStep {
			s.conn.Wake()
		}
		return n, nil, true
	case s.eof:
		return 0, io.EOF, true
	case s.err != nil:
		return 0, s.err, true
	}
	return 0, nil, len(p) == 0
}

// resetRead empties rbuf, and lets a large one go.
func (s *StreamConn) resetRead() {
	s.rbuf, s.rpos = drop(s.rbuf, &s.rblock), 0
}

// block is a large buffer that connections lend each other: an idle one has
// none, a busy one does not allocate.
type block struct{ b []byte }

var blocks = sync.Pool{New: func() any { return &block{make([]byte, 0, writeLimit)} }}

// grow appends p to buf, moving it into a block when it becomes large.
func grow(buf, p []byte, bl **block) []byte {
	if n := len(buf) + len(p); n > keptBuffer && n > cap(buf) && *bl == nil {
		*bl = blocks.Get().(*block)
		buf = append((*bl).b[:0], buf...)
	}
	return append(buf, p...)
}

// drop gives the block behind an empty buf back.
func drop(buf []byte, bl **block) []byte {
	if *bl == nil {
		return buf[:0]
	}
	(*bl).b = buf[:0]
	blocks.Put(*bl)
	*bl = nil
	return nil
}

// Write queues p. It blocks while writeLimit bytes wait or streamLimit are
// unacknowledged.
func (s *StreamConn) Write(p []byte) (n int, err error) {
	for {
		if isClosed(s.writeDeadline.passed()) {
			return n, os.ErrDeadlineExceeded
		}
		k, err := s.tryWrite(p[n:])
		n += k
		if err != nil || n == len(p) {
			return n, err
		}
		select {
		case <-s.writable:
		case <-s.over:
		case <-s.writeDeadline.passed():
		}
	}
}

func (s *StreamConn) tryWrite(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.shut || s.noWrite:
		return 0, net.ErrClosed
	case s.err != nil:
		return 0, s.err
	}
	room := min(writeLimit-len(s.wbuf), streamLimit-s.unacked)
	if room <= 0 || len(p) == 0 {
		return 0, nil
	}
	k := min(room, len(p))
	s.wbuf = grow(s.wbuf, p[:k], &s.wblock)
	if k < len(p) || room > k {
		signal(s.writable) // for other writers, and this one
	}
	s.conn.Wake()
	return k, nil
}

// CloseWrite sends FIN after what was written.
func (s *StreamConn) CloseWrite() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shut || s.noWrite {
		return net.ErrClosed
	}
	s.noWrite = true
	s.conn.Wake()
	return nil
}

// Close ends the connection gracefully: what was written is delivered first, for
// at most Config.CloseTimeout. It does not wait for that; see Closed.
func (s *StreamConn) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shut {
		return net.ErrClosed
	}
	s.shut = true
	signal(s.readable)
	signal(s.writable)
	s.conn.Wake()
	return nil
}

// Closed is closed when the connection has ended.
func (s *StreamConn) Closed() <-chan struct{} { return s.over }

// TLS is what the handshake settled on; complete after Handshake.
func (s *StreamConn) TLS() crypto.ConnectionState {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// PeerIdentity is the peer's certificate chain and whether it was verified; complete
// after Handshake.
func (s *StreamConn) PeerIdentity() crypto.Identity {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.identity
}

// LocalAddr is the address that the peer reached.
func (s *StreamConn) LocalAddr() net.Addr { return s.conn.LocalAddr() }

// RemoteAddr is the peer's address; it changes when the peer migrates.
func (s *StreamConn) RemoteAddr() net.Addr { return s.conn.RemoteAddr() }

// SetDeadline sets both deadlines; the zero time means none.
func (s *StreamConn) SetDeadline(t time.Time) error {
	s.readDeadline.set(t)
	s.writeDeadline.set(t)
	return nil
}

// SetReadDeadline sets the deadline of Read.
func (s *StreamConn) SetReadDeadline(t time.Time) error {
	s.readDeadline.set(t)
	return nil
}

// SetWriteDeadline sets the deadline of Write.
func (s *StreamConn) SetWriteDeadline(t time.Time) error {
	s.writeDeadline.set(t)
	return nil
}

// The worker's side: streamHandler is the ConnHandler of a StreamConn.
type streamHandler struct{ *StreamConn }

// OnHandshakeCompleted lets Handshake return (HandshakeHandler).
func (s streamHandler) OnHandshakeCompleted() {
	if !isClosed(s.secured) {
		s.readTLS()
	}
}

// OnStreamOpen refuses every stream but the first.
func (s streamHandler) OnStreamOpen(st *Stream) {
	if s.stream == nil && st.Bidi() {
		s.stream = st
		return
	}
	st.Refuse(CodeRefused)
}

// OnStreamData keeps data until it is read; the stream's window bounds it.
func (s streamHandler) OnStreamData(st *Stream, data []byte, fin bool) {
	if sc := s.of(st); sc != nil {
		sc.receive(data, fin)
	} else {
		st.Consume(len(data))
	}
}

// receive keeps data until it is read.
func (s *StreamConn) receive(data []byte, fin bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shut && s.further {
		s.consumed += len(data)
		s.eof = s.eof || fin
		s.conn.MarkDirty()
		return
	}
	if s.rpos > 0 && len(s.rbuf)+len(data) > cap(s.rbuf) {
		s.rbuf = s.rbuf[:copy(s.rbuf, s.rbuf[s.rpos:])]
		s.rpos = 0
	}
	s.rbuf = grow(s.rbuf, data, &s.rblock)
	s.eof = s.eof || fin
	signal(s.readable)
}

// OnStreamReset ends reading: the peer abandoned the stream.
func (s streamHandler) OnStreamReset(st *Stream, code uint64) {
	if sc := s.of(st); sc != nil {
		sc.fail(resetError(code, "stream reset"))
	}
}

// OnStopSending ends writing.
func (s streamHandler) OnStopSending(st *Stream, code uint64) {
	if sc := s.of(st); sc != nil {
		sc.fail(resetError(code, "stream stopped"))
	}
}

// OnStreamClosed: both directions are finished.
func (s streamHandler) OnStreamClosed(st *Stream) { s.closeChild(st) }

// OnFlush moves credit and data between the application and the stream.
func (s streamHandler) OnFlush() {
	for _, child := range s.children {
		child.flushChild()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stream == nil {
		if s.shut {
			s.conn.CloseAfterFlush(CodeOK, "")
		}
		return
	}
	s.exchange()
	if len(s.wbuf) > 0 && s.err == nil {
		return
	}
	switch {
	case s.shut:
		s.conn.CloseAfterFlush(CodeOK, "")
	case s.noWrite:
		_ = s.stream.CloseWrite() // after the first time it has no effect
	}
}

// exchange gives credit back and written bytes to the stream. The caller has the lock.
func (s *StreamConn) exchange() {
	if s.consumed > 0 {
		s.stream.Consume(s.consumed)
		s.consumed = 0
	}
	if s.err == nil {
		s.moveOutput()
	}
	s.unacked = s.stream.Buffered()
	if len(s.wbuf) < writeLimit && s.unacked < streamLimit {
		signal(s.writable)
	}
}

// moveOutput gives written bytes to the stream, up to streamLimit.
func (s *StreamConn) moveOutput() {
	n := min(len(s.wbuf), max(streamLimit+writeLimit-s.stream.Buffered(), 0))
	if n == 0 {
		return
	}
	if _, err := s.stream.Write(s.wbuf[:n]); err != nil {
		s.err = err
		return
	}
	s.wbuf = s.wbuf[:copy(s.wbuf, s.wbuf[n:])]
	if len(s.wbuf) == 0 {
		s.wbuf = drop(s.wbuf, &s.wblock)
	}
}

// fail ends reading and writing with err, the first time.
func (s *StreamConn) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
	}
	signal(s.readable)
	signal(s.writable)
}

// OnClosed ends everything that still waits.
func (s streamHandler) OnClosed(err error) {
	var ae *ngtcp2.ApplicationError
	switch {
	case err == nil:
		err = net.ErrClosed
	case errors.As(err, &ae) && ae.Code == CodeOK:
		err = io.EOF
	}
	for st, child := range s.children {
		delete(s.children, st)
		child.fail(err)
		close(child.over)
	}
	s.fail(err)
	close(s.over)
	if s.closed != nil {
		s.closed()
	}
}

// withDatagrams is the ConnHandler of a StreamConn with DialConfig.Datagrams.
type withDatagrams struct {
	streamHandler
	DatagramHandler
	flusher flusher // nil: there is nothing to flush
}

type flusher interface{ OnFlush() }

// OnFlush moves datagrams first, as they are written first.
func (h withDatagrams) OnFlush() {
	if h.flusher != nil {
		h.flusher.OnFlush()
	}
	h.streamHandler.OnFlush()
}

// DialConn connects to addr and opens a stream, as a net.Conn. cfg.Handler and
// cfg.Ready are set here. With early data it returns before the handshake, and what
// is written at once goes with the first flight.
func (e *Endpoint) DialConn(ctx context.Context, addr string, cfg DialConfig) (*StreamConn, error) {
	s := newStreamConn()
	var opened error
	cfg.Handler, cfg.noDatagrams = streamHandler{s}, cfg.Datagrams == nil
	if cfg.Datagrams != nil {
		h := withDatagrams{streamHandler: streamHandler{s}, DatagramHandler: cfg.Datagrams}
		h.flusher, _ = cfg.Datagrams.(flusher)
		cfg.Handler = h
	}
	cfg.Ready = func(c *Conn) {
		s.attach(c)
		s.stream, opened = c.OpenStream()
	}
	conn, err := e.Dial(ctx, addr, cfg)
	if err != nil {
		return nil, err
	}
	if opened != nil {
		conn.Post(conn.abandon)
		return nil, opened
	}
	return s, nil
}

// DialConn connects to addr with an Endpoint of its own, which ends with the
// net.Conn. For many connections use Endpoint.DialConn.
func DialConn(ctx context.Context, addr string, cfg DialConfig) (*StreamConn, error) {
	e, err := New(Config{Workers: 1})
	if err != nil {
		return nil, err
	}
	s, err := e.DialConn(ctx, addr, cfg)
	if err != nil {
		return nil, errors.Join(err, e.Shutdown(ctx))
	}
	go func() {
		<-s.Closed()
		_ = e.Shutdown(context.WithoutCancel(ctx))
	}()
	return s, nil
}
