package endpoint

import (
	"context"
	"net"

	"github.com/ngmq/ngmq/ngtcp2"
)

// CodeDropped is the code with which a further stream that is closed stops what the peer
// still sends on it.
const CodeDropped uint64 = 4

// Open opens a further bidirectional stream of the connection, as a net.Conn of its own.
// Only the stream ends with its Close: what was written is delivered, what comes is
// dropped. It ends with the connection. ngtcp2.ErrStreamIDBlocked: the peer allows no
// more streams now; ErrClosed. When ctx ends first, there is no stream.
func (s *StreamConn) Open(ctx context.Context) (*StreamConn, error) {
	child := newStreamConn()
	child.conn, child.secured, child.further = s.conn, s.secured, true
	opened := make(chan error, 1)
	s.conn.Post(func() { opened <- s.adopt(child) })
	select {
	case err := <-opened:
		if err != nil {
			return nil, err
		}
		return child, nil
	case <-s.over:
		return nil, ErrClosed
	case <-ctx.Done():
		go func() {
			select {
			case err := <-opened:
				if err == nil {
					child.Close()
				}
			case <-s.over:
			}
		}()
		return nil, ctx.Err()
	}
}

// adopt opens the stream of child. Worker only.
func (s *StreamConn) adopt(child *StreamConn) error {
	if isClosed(s.over) || s.conn.Closed() {
		return ErrClosed
	}
	st, err := s.conn.OpenStream()
	if err != nil {
		return err
	}
	child.stream, st.UserData = st, child
	child.state, child.identity = s.TLS(), s.PeerIdentity()
	if s.children == nil {
		s.children = map[*Stream]*StreamConn{}
	}
	s.children[st] = child
	return nil
}

// of is the StreamConn that a stream belongs to; nil when there is none. Worker only.
func (s streamHandler) of(st *Stream) *StreamConn {
	if st == s.stream {
		return s.StreamConn
	}
	child, _ := st.UserData.(*StreamConn)
	return child
}

// flushChild moves credit and data of a further stream. Worker only.
func (s *StreamConn) flushChild() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.exchange()
	if len(s.wbuf) > 0 && s.err == nil {
		return
	}
	if s.shut || s.noWrite {
		_ = s.stream.CloseWrite() // after the first time it has no effect
	}
	if s.shut && !s.stopped {
		s.stopped = true
		if !s.eof {
			s.stream.StopReading(CodeDropped)
		}
	}
}

// closeChild: a further stream is finished. Worker only.
func (s streamHandler) closeChild(st *Stream) {
	if child := s.children[st]; child != nil {
		delete(s.children, st)
		child.fail(net.ErrClosed)
		close(child.over)
	}
}

// resetError is why a stream that the peer abandoned or stopped ends.
func resetError(code uint64, reason string) error {
	return &ngtcp2.ApplicationError{Code: code, Reason: reason}
}
