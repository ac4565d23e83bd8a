package endpoint

import (
	"sync"
	"sync/atomic"

	"github.com/ngmq/ngmq/ngtcp2/endpoint/internal/udp"
)

// inbox is how other goroutines reach a worker. Wakes are an intrusive list
// with one entry per connection, so they need neither lock nor memory.
type inbox struct {
	woken    atomic.Pointer[Conn] // stack of connections to mark dirty
	mu       sync.Mutex
	posts    []func()
	posted   atomic.Bool   // posts is not empty
	signal   chan struct{} // has a token when there may be something
	attended atomic.Bool   // a turn is under way, which looks again before it ends

	reader atomic.Pointer[udp.Socket] // its reader waits in WaitBatch and is told, not signal
}

func newInbox() inbox { return inbox{signal: make(chan struct{}, 1)} }

// wake asks for c to be marked dirty. Any goroutine.
func (b *inbox) wake(c *Conn) {
	if c.woken.Swap(true) {
		return
	}
	for {
		head := b.woken.Load()
		c.nextWoken = head
		if b.woken.CompareAndSwap(head, c) {
			if head == nil {
				b.ring()
			}
			return
		}
	}
}

// post asks for f to be run. Any goroutine.
func (b *inbox) post(f func()) {
	b.mu.Lock()
	b.posts = append(b.posts, f)
	b.posted.Store(true)
	b.mu.Unlock()
	b.ring()
}

func (b *inbox) ring() {
	if b.attended.Load() {
		return
	}
	if s := b.reader.Load(); s != nil {
		s.Interrupt()
		return
	}
	b.token()
}

// token fills signal.
func (b *inbox) token() {
	select {
	case b.signal <- struct{}{}:
	default:
	}
}

// drain runs what has come in. Worker only.
func (b *inbox) drain(dirty func(*Conn)) {
	for c := b.woken.Swap(nil); c != nil; {
		next := c.nextWoken
		c.nextWoken = nil
		c.woken.Store(false)
		dirty(c)
		c = next
	}
	if !b.posted.Load() {
		return
	}
	b.mu.Lock()
	posts := b.posts
	b.posts = nil
	b.posted.Store(false)
	b.mu.Unlock()
	for _, f := range posts {
		f()
	}
}

// attend begins a turn: nothing has to be signalled until leave. Worker only.
func (b *inbox) attend() { b.attended.Store(true) }

// leave ends a turn. It reports whether something came in that was not drained.
func (b *inbox) leave() bool {
	b.attended.Store(false)
	return b.woken.Load() != nil || b.posted.Load()
}
