package client

import (
	"slices"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// messageOverhead is what a waiting message takes beside its bytes, for the limit.
const messageOverhead = 256

// queue holds the messages that wait to be sent, in their order, and counts those that
// are sent and not acknowledged too. It is part of the session, under its lock.
type queue struct {
	limit   Queue
	waiting []*exchange
	count   int           // messages of both kinds
	bytes   int           // their size
	qos0    int           // of QoS 0, until they are on their way
	filled  chan struct{} // capacity 1: waiting has become non-empty
	room    chan struct{} // closed and replaced when there is room again; nil = nobody waits
}

func (q *queue) init(limit Queue) {
	q.limit, q.filled = limit, make(chan struct{}, 1)
}

// push appends x; false when there is no room. One message always fits.
func (q *queue) push(x *exchange) bool {
	if q.count >= q.limit.Messages || q.count > 0 && q.bytes+x.size > q.limit.Bytes {
		return false
	}
	q.add(x)
	q.waiting = append(q.waiting, x)
	q.signal()
	return true
}

// add counts x.
func (q *queue) add(x *exchange) {
	q.count++
	q.bytes += x.size
	if x.qos == 0 {
		q.qos0++
	}
}

// restore puts messages, which are counted already, before all others.
func (q *queue) restore(list []*exchange) {
	if len(list) > 0 {
		q.waiting = slices.Concat(list, q.waiting)
		q.signal()
	}
}

// pop takes the first one out. It stays counted until release.
func (q *queue) pop() {
	q.waiting[0] = nil
	q.waiting = q.waiting[1:]
	if len(q.waiting) == 0 {
		q.waiting = nil
	}
}

// release ends the counting of x.
func (q *queue) release(x *exchange) {
	if q.filled == nil { // no queue
		return
	}
	q.count--
	q.bytes -= x.size
	if x.qos == 0 {
		q.qos0--
	}
	if q.room != nil && q.roomy() {
		close(q.room)
		q.room = nil
	}
}

// roomy says that those who wait for room should try again: all of them do, so not for
// each single message.
func (q *queue) roomy() bool {
	return q.count <= q.limit.Messages-max(q.limit.Messages/8, 1) && q.bytes <= q.limit.Bytes-q.limit.Bytes/8
}

func (q *queue) signal() {
	select {
	case q.filled <- struct{}{}:
	default:
	}
}

// enqueue appends a message. When there is no room it gives the channel that is closed
// when there may be.
func (s *session) enqueue(x *exchange) (room <-chan struct{}, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	if !s.queue.push(x) {
		if s.queue.room == nil {
			s.queue.room = make(chan struct{})
		}
		return s.queue.room, nil
	}
	s.lastOrder++
	x.order = s.lastOrder
	x.durable = s.store.put(x)
	return nil, nil
}

// wakeFeeder has the next connection's feeder look again: this one may have taken the
// signal that was meant for it.
func (s *session) wakeFeeder() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue.signal()
}

// first is the message that is to be sent next, with its PUBLISH, which has no identifier
// yet; nil when there is none.
func (s *session) first() (*exchange, *packet.Publish) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue.waiting) == 0 {
		return nil, nil
	}
	return s.queue.waiting[0], s.queue.waiting[0].pub
}

// take makes the first message x one that is sent on lane a. send is called when the
// store knows its identifier.
func (s *session) take(a *lane, x *exchange, send func(*lane, *packet.Publish)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, err := s.enter(a, x)
	if err != nil {
		return err
	}
	if x.qos > 0 {
		if err := s.identify(x); err != nil {
			return err
		}
		s.queue.pop()
		pub := *x.pub // the next connection may give x another identifier meanwhile
		s.store.sent(x, func() { send(a, &pub) })
		return nil
	}
	s.queue.pop()
	send(a, x.pub)
	s.remove(x)
	s.complete(x, answer{})
	return nil
}

// refuse drops the first message x: this server does not take it.
func (s *session) refuse(x *exchange, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue.waiting) > 0 && s.queue.waiting[0] == x {
		s.queue.pop()
		s.remove(x)
		s.complete(x, answer{err: err})
	}
}

// sendsDirectly says that a message of QoS 0 would overtake none.
func (s *session) sendsDirectly() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.queue.qos0 == 0
}

// load takes over what a store has kept.
func (s *session) load(messages []*exchange, received []uint16) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range messages {
		s.queue.add(x)
		s.lastOrder = max(s.lastOrder, x.order)
		if x.id == 0 {
			s.queue.waiting = append(s.queue.waiting, x)
			s.queue.signal()
		} else {
			s.exchanges[x.id] = x
			s.lastID = x.id
		}
	}
	for _, id := range received {
		s.received[id] = struct{}{}
	}
}

// store keeps what has to survive the program. Its methods are called with the
// session's lock held, in the order of what happens, and do not block; those with a
// function call it, on any goroutine, when what came before is kept.
type store interface {
	put(x *exchange) (durable <-chan struct{})
	sent(x *exchange, then func())
	release(x *exchange, then func())
	remove(x *exchange)
	arrived(id uint16, then func())
	departed(id uint16)
	failure() error // why nothing is kept any more
	close() error
	closed() bool
}

// memory keeps nothing: the session has it all.
type memory struct{}

func (memory) put(*exchange) <-chan struct{}    { return nil }
func (memory) sent(_ *exchange, then func())    { then() }
func (memory) release(_ *exchange, then func()) { then() }
func (memory) remove(*exchange)                 {}
func (memory) arrived(_ uint16, then func())    { then() }
func (memory) departed(uint16)                  {}
func (memory) failure() error                   { return nil }
func (memory) closed() bool                     { return false }
func (memory) close() error                     { return nil }
