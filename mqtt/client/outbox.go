package client

import (
	"context"
	"io"
	"sync"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// outbox collects encoded packets of any goroutine for the one that writes them,
// so that many small packets become one write.
type outbox struct {
	version packet.Version

	mu       sync.Mutex
	buf      []byte        // to be written
	spare    []byte        // buffer of the last write, to be reused
	writing  bool          // a write is under way
	filled   chan struct{} // capacity 1: buf has become non-empty
	progress chan struct{} // closed and replaced after each write
}

func newOutbox(v packet.Version) *outbox {
	return &outbox{version: v, filled: make(chan struct{}, 1), progress: make(chan struct{})}
}

// put appends a packet. When outboxSize bytes are waiting it waits for a write,
// for ctx or for the end of the connection.
func (o *outbox) put(ctx context.Context, l *link, p packet.Packet) error {
	o.mu.Lock()
	for len(o.buf) >= outboxSize {
		progress := o.progress
		o.mu.Unlock()
		if err := l.wait(ctx, progress); err != nil {
			return err
		}
		o.mu.Lock()
	}
	o.append(p)
	o.mu.Unlock()
	return nil
}

// hasRoom waits until less than outboxSize bytes are waiting.
func (o *outbox) hasRoom(ctx context.Context, l *link) error {
	for {
		o.mu.Lock()
		full, progress := len(o.buf) >= outboxSize, o.progress
		o.mu.Unlock()
		if !full {
			return nil
		}
		if err := l.wait(ctx, progress); err != nil {
			return err
		}
	}
}

// putNow appends a packet without waiting: acks, whose number the Receive Maximum
// bounds, pings and DISCONNECT.
func (o *outbox) putNow(p packet.Packet) {
	o.mu.Lock()
	o.append(p)
	o.mu.Unlock()
}

func (o *outbox) append(p packet.Packet) {
	o.buf = p.AppendTo(o.buf, o.version)
	select {
	case o.filled <- struct{}{}:
	default:
	}
}

// flush waits until everything has been written.
func (o *outbox) flush(ctx context.Context, l *link) error {
	for {
		o.mu.Lock()
		idle, progress := len(o.buf) == 0 && !o.writing, o.progress
		o.mu.Unlock()
		if idle {
			return nil
		}
		if err := l.wait(ctx, progress); err != nil {
			return err
		}
	}
}

// writeTo writes until the connection ends. written is called after each write.
func (o *outbox) writeTo(w io.Writer, done <-chan struct{}, written func()) error {
	for {
		select {
		case <-done:
			return nil
		case <-o.filled:
		}
		b := o.take()
		if len(b) == 0 {
			continue
		}
		_, err := w.Write(b)
		o.release(b)
		if err != nil {
			return err
		}
		written()
	}
}

// take gives the bytes to write and puts the other buffer in place.
func (o *outbox) take() []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.buf) == 0 {
		return nil
	}
	b := o.buf
	o.buf, o.spare = o.spare[:0], nil
	o.writing = true
	return b
}

// release takes the written buffer back and wakes those who wait. A buffer that
// has become very large is not kept.
func (o *outbox) release(b []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if cap(b) <= outboxSize {
		o.spare = b
	}
	o.writing = false
	close(o.progress)
	o.progress = make(chan struct{})
}
