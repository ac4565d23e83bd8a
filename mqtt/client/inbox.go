package client

import (
	"sync"
	"time"
)

const (
	// inboxSize is how many messages may wait for the handlers before the reader stops and so
	// slows the server down, while nothing waits for an answer of the server.
	inboxSize = 128
	// DefaultInboxBytes is a second or so of a busy connection; see Options.InboxBytes.
	DefaultInboxBytes = 32 << 20
	// backlogQoS0 messages may wait before those of QoS 0 are dropped, while something waits
	// for an answer that comes behind them: a second or so too.
	backlogQoS0 = 16 << 10
	// backlogSize has room for as many messages of QoS 1 and 2 as there are packet
	// identifiers: no server has more of them in flight, whatever the protocol's version.
	backlogSize = backlogQoS0 + 65535
	// dropAfter is how long the handlers have to take one message before any is dropped:
	// those that go on, if slowly, slow the server down even so.
	dropAfter = 50 * time.Millisecond
)

// inbox are the messages that wait for the deliverer. Methods may be called by any
// goroutine and do not block, except take, which is the deliverer's.
type inbox struct {
	filled chan struct{} // capacity 1: there is something for take
	limit  int           // bytes of those that wait: Options.InboxBytes

	mu       sync.Mutex
	waiting  []delivery
	head     int // of waiting: the first that has not been taken
	bytes    int // of those that wait
	closed   bool
	dropping bool          // there has been no room for QoS 0 for dropAfter
	changed  chan struct{} // closed when there may be room; nil = nobody waits for that
}

func newInbox(limit int) *inbox { return &inbox{filled: make(chan struct{}, 1), limit: limit} }

// put appends d, if there is room for it. awaited tells that an answer of the server may be
// behind it.
func (b *inbox) put(d delivery, awaited bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.full(&d, awaited) {
		return false
	}
	if len(b.waiting) == cap(b.waiting) && b.head > len(b.waiting)/2 {
		n := copy(b.waiting, b.waiting[b.head:])
		clear(b.waiting[n:])
		b.waiting, b.head = b.waiting[:n], 0
	}
	b.waiting = append(b.waiting, d)
	b.bytes += d.size()
	b.dropping = b.dropping && d.message.QoS > 0
	b.signal()
	return true
}

func (b *inbox) full(d *delivery, awaited bool) bool {
	n := len(b.waiting) - b.head
	switch {
	case n < inboxSize && b.bytes < b.limit:
		return false
	case !awaited:
		return true
	case d.message.QoS == 0:
		return n >= backlogQoS0 || b.bytes >= b.limit
	}
	return n >= backlogSize || b.bytes >= 2*b.limit // they are never dropped: beyond, the reader stops
}

func (b *inbox) signal() {
	select {
	case b.filled <- struct{}{}:
	default:
	}
}

// take waits for the next message; ok is false after close when there is none left.
func (b *inbox) take() (d delivery, ok bool) {
	for {
		d, ok, closed := b.pop()
		if ok || closed {
			return d, ok
		}
		<-b.filled
	}
}

func (b *inbox) pop() (d delivery, ok, closed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.head == len(b.waiting) {
		return d, false, b.closed
	}
	d, b.waiting[b.head] = b.waiting[b.head], d
	b.head++
	b.bytes -= d.size()
	if b.head == len(b.waiting) {
		b.waiting, b.head = b.waiting[:0], 0
		if cap(b.waiting) > 4*inboxSize { // what a burst took is not kept
			b.waiting = nil
		}
	}
	b.wakeLocked()
	return d, true, b.closed
}

// watch gives a channel that is closed when there may be room.
func (b *inbox) watch() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.changed == nil {
		b.changed = make(chan struct{})
	}
	return b.changed
}

// wake has the readers look again: something waits for the server from now on.
func (b *inbox) wake() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wakeLocked()
}

func (b *inbox) wakeLocked() {
	if b.changed != nil {
		close(b.changed)
		b.changed = nil
	}
}

// close lets nothing more come.
func (b *inbox) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.signal()
}

// drops tells whether messages of QoS 0 are being dropped, until there is room for one.
func (b *inbox) drops() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.dropping
}

// startDropping begins that; false when another reader did.
func (b *inbox) startDropping() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	started := !b.dropping
	b.dropping = true
	return started
}

// receive puts a delivery into the inbox. While there is no room it waits, unless it is a
// message of QoS 0 that holds up an answer of the server.
func (l *link) receive(d delivery) {
	var late <-chan time.Time
	for !l.inbox.put(d, false) {
		changed := l.inbox.watch() // before the look at what waits
		awaited := l.awaitsAnswer()
		if awaited && l.inbox.put(d, true) {
			return
		}
		if droppable := awaited && d.message.QoS == 0; !droppable {
			late = nil
		} else if l.inbox.drops() {
			l.c.dropped.Add(1)
			return
		} else if late == nil {
			late = time.After(dropAfter)
		}
		select {
		case <-changed:
		case <-late:
			late = nil
			l.startDropping()
		case <-l.done:
			l.drop(d)
			return
		}
	}
}

// awaitsAnswer tells whether something of this client waits for a packet of the server: a
// handler may be waiting for it.
func (l *link) awaitsAnswer() bool { return l.pinged.Load() != 0 || l.c.session.awaitsAnswer() }

func (l *link) startDropping() {
	if l.inbox.startDropping() {
		l.c.opts.Logger.Warn("the handlers are too slow: messages of QoS 0 are dropped", "before", l.c.dropped.Load())
	}
}
