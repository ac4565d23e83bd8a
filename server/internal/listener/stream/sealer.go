package stream

import (
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"time"
)

const (
	// sealBytes is how much is encrypted before it is written, in bytes.
	sealBytes = 64 << 10
	// mostSealed is the most that waits encrypted, in bytes: a step of sealBytes, with a
	// piece of pieceBytes too many, and what TLS adds to it. A peer that asks for more by
	// updating keys without reading is cut off.
	mostSealed = 4 * sealBytes
)

var errSealed = errors.New("the peer does not read its TLS messages")

// sealer stands between a TLS connection and its socket. TLS records are kept for who has
// the duty to write, so that several of them are one system call and TLS never waits for the
// network. During the handshake they go out at once.
type sealer struct {
	socket
	conn *tls.Conn

	mu      sync.Mutex
	keeping bool
	kept    *[]byte // from sealedBuffers; nil: none

	// Of who has the duty.
	buf *[]byte     // what is being written
	one [1][]byte   // it
	now net.Buffers // what is left of one
}

var sealedBuffers = sync.Pool{New: func() any { return newBuffer(0) }}

func newSealer(raw socket, cfg *tls.Config) *sealer {
	s := &sealer{socket: raw}
	s.conn = tls.Server(s, cfg)
	return s
}

// keep ends writing at once.
func (s *sealer) keep() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keeping = true
}

// SetWriteDeadline implements net.Conn for the TLS connection, which allows no writes after
// its close_notify: that is kept, and is still to be written.
func (s *sealer) SetWriteDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keeping {
		return nil
	}
	return s.socket.SetWriteDeadline(t)
}

// Write implements net.Conn for the TLS connection. Any goroutine.
func (s *sealer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.keeping {
		return s.socket.Write(p)
	}
	if s.kept == nil {
		s.kept = sealedBuffers.Get().(*[]byte)
	}
	if len(*s.kept)+len(p) > mostSealed {
		return 0, errSealed
	}
	*s.kept = append(*s.kept, p...)
	return len(p), nil
}

// has reports whether records wait. Any goroutine.
func (s *sealer) has() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kept != nil
}

// take gives the records that wait, nil when there are none.
func (s *sealer) take() *[]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.kept
	s.kept = nil
	return b
}

// next is what is to be written next: the rest of what was taken, or else of what waits.
func (s *sealer) next() *net.Buffers {
	if len(s.now) == 0 {
		s.release()
		if s.buf = s.take(); s.buf != nil {
			s.one[0] = *s.buf
			s.now = s.one[:]
		}
	}
	return &s.now
}

// release gives the buffer back that has been written.
func (s *sealer) release() {
	if s.buf != nil {
		*s.buf = (*s.buf)[:0]
		sealedBuffers.Put(s.buf)
		s.buf = nil
	}
}

// seal encrypts about sealBytes of what is to be sent.
func (s *sealer) seal(plain *net.Buffers) error {
	for size := 0; size < sealBytes && len(*plain) > 0; {
		n, err := s.conn.Write((*plain)[0])
		if err != nil {
			return err
		}
		size += n
		advance(plain, n)
	}
	return nil
}

// sealed is the ciphertext to be written next: what waits, or else made of c.out.
func (c *conn) sealed() (*net.Buffers, error) {
	part := c.tls.next()
	if len(*part) > 0 {
		return part, nil
	}
	if err := c.tls.seal(&c.out.now); err != nil {
		return nil, err
	}
	return c.tls.next(), nil
}
