package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// link is a network connection that carries one byte stream, or several.
type link interface {
	// send queues p, which is copied, on a stream; it never blocks.
	send(stream int, p []byte)
	// datagram sends p, which is copied, in a QUIC datagram if that can be; else as send does.
	datagram(stream int, p []byte)
	// room waits until little is queued.
	room(ctx context.Context) error
	// end closes the connection; onClosed of its owner follows.
	end()
}

// owner gets what arrives. Calls for one connection come one after the other.
type owner interface {
	onData(stream int, p []byte)
	// onDatagram gets a datagram; onDatagramLost tells that one is taken for lost.
	onDatagram(p []byte)
	onDatagramLost()
	// onClosed is the last call; err is nil when this side has ended the connection.
	onClosed(err error)
}

const (
	// highWater is how much may be queued before room waits, in bytes of a connection.
	highWater = 64 << 10
	// keptBuffer is the largest buffer that a silent connection keeps, in bytes.
	keptBuffer = 1 << 10
)

// errEnded says that the connection has ended.
var errEnded = errors.New("the connection has ended")

// StreamError says that the server has reset a data stream.
type StreamError struct {
	ID   int64
	Code uint64
}

// Error says what to do.
func (e *StreamError) Error() string {
	return fmt.Sprintf("the server has reset data stream %d with code %d: if it takes one stream alone, leave --streams out", e.ID, e.Code)
}

// outbox is what waits to be written to one connection.
type outbox struct {
	mu     sync.Mutex
	queued [][]byte // by stream
	total  int
	waits  chan struct{} // closed when there is room; nil: nobody waits
	ended  bool
}

// put queues p and reports whether nothing was queued on the stream before.
func (o *outbox) put(stream int, p []byte) (first bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return !o.ended && o.append(stream, p)
}

// append is put for who holds o.mu.
func (o *outbox) append(stream int, p []byte) (first bool) {
	for len(o.queued) <= stream {
		o.queued = append(o.queued, nil)
	}
	first = len(o.queued[stream]) == 0
	o.queued[stream] = append(o.queued[stream], p...)
	o.total += len(p)
	return first
}

// room waits until less than highWater is queued.
func (o *outbox) room(ctx context.Context) error {
	for {
		o.mu.Lock()
		if o.ended || o.total < highWater {
			ended := o.ended
			o.mu.Unlock()
			if ended {
				return errEnded
			}
			return nil
		}
		if o.waits == nil {
			o.waits = make(chan struct{})
		}
		waits := o.waits
		o.mu.Unlock()
		select {
		case <-waits:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// take removes the first n bytes of a stream, which have been written. o.mu is held.
func (o *outbox) take(stream, n int) {
	q := o.queued[stream]
	rest := copy(q, q[n:])
	o.queued[stream] = q[:rest]
	if rest == 0 && cap(q) > keptBuffer {
		o.queued[stream] = nil
	}
	o.total -= n
	if o.total < highWater {
		o.wake()
	}
}

// wake ends the waiting in room. o.mu is held.
func (o *outbox) wake() {
	if o.waits != nil {
		close(o.waits)
		o.waits = nil
	}
}

// close lets nothing more in.
func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ended, o.queued, o.total = true, nil, 0
	o.wake()
}
