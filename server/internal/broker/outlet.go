package broker

import (
	"slices"
	"sync/atomic"
)

// outlet is where the messages of a session wait for one stream: for the control stream
// of whatever connection the session has, or for a data stream while that is open.
// Messages keep their order in an outlet; two outlets know nothing of each other.
type outlet struct {
	s      *Session
	stream *Stream // nil: the control stream

	// Guarded by Session.mu.
	closed bool  // the data stream is gone: what still comes is the control stream's
	over   bool  // its subscriptions too: nothing comes any more
	queue  queue // messages that have not been sent

	// Guarded by Session.subMu.
	subs     map[string]*subscription     // by filter
	retained atomic.Pointer[retainedWork] // nil = nothing to do
}

// current is o, or the outlet that has taken its place. Session.mu is held.
func (o *outlet) current() *outlet {
	if o.closed {
		return &o.s.outlet
	}
	return o
}

// announce tells the data stream of o that there is something to send.
func (o *outlet) announce() {
	if o.stream != nil {
		o.stream.waiting.Store(true)
	}
}

// full reports whether there is no room in the queue for one more message of a size. The
// control stream has MaxQueuedMessages and MaxQueuedBytes for itself. All data streams
// share as much again, of which none gets more than it leaves free: one that nobody
// reads takes half, and the next one that comes still has a quarter. Session.mu is held.
func (o *outlet) full(size int) bool {
	n, bytes := o.queue.n, o.queue.bytes+size
	if o.stream != nil {
		for _, x := range o.s.streams {
			n += x.queue.n
			bytes += x.queue.bytes
		}
	}
	cfg := &o.s.b.cfg
	return n >= cfg.MaxQueuedMessages || bytes > cfg.MaxQueuedBytes
}

// roomy reports whether retained messages may be queued: they leave half of the queue, of
// a data stream nearly all of what it shares, to others. Session.mu is held.
func (o *outlet) roomy() bool {
	part := 2
	if o.stream != nil {
		part = 16
	}
	cfg := &o.s.b.cfg
	return o.queue.n <= cfg.MaxQueuedMessages/part && o.queue.bytes <= cfg.MaxQueuedBytes/part
}

// greedy reports whether o has to leave what is left of Receive Maximum, and of the
// bytes that may be in flight, to other streams: a stream gets no more than it leaves
// free, so that one whose messages nobody acknowledges stops none of the others. Without
// data streams nothing is withheld. Session.mu is held.
func (o *outlet) greedy() bool {
	s := o.s
	if len(s.streams) == 0 {
		return false
	}
	n, bytes := 0, 0
	if o.stream != nil {
		n, bytes = o.stream.open, o.stream.bytes
	} else {
		alone := true
		n, bytes = s.out.open-s.flows.parked(), s.out.bytes
		for _, x := range s.streams {
			if x.stream != nil {
				n -= x.stream.open
				bytes -= x.stream.bytes
				alone = false
			}
		}
		if alone {
			return false
		}
	}
	return n > s.quota || bytes > s.b.cfg.MaxQueuedBytes-s.out.bytes
}

// sent notes that a message is in flight on o. Session.mu is held.
func (o *outlet) sent(f *flight) {
	if st := o.stream; st != nil {
		f.stream = st.number
		st.open++
		st.bytes += f.m.Size()
	}
}

// settle notes that f, which ends or loses its message, takes no more room on its stream.
// s.mu is held.
func (s *Session) settle(f *flight, ends bool) {
	if f.stream == 0 {
		return
	}
	i := slices.IndexFunc(s.streams, func(o *outlet) bool { return o.stream != nil && o.stream.number == f.stream })
	st := s.streams[i].stream // a stream that is closed leaves no flight behind
	if f.m != nil {
		st.bytes -= f.m.Size()
	}
	if ends {
		st.open--
	}
}

// addOutlet gives a data stream of c its outlet, when the first subscription comes.
func (s *Session) addOutlet(c *Client, st *Stream) error {
	s.subMu.Lock()
	defer s.subMu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client != c {
		return errTakenOver
	}
	s.numbered++
	st.number = s.numbered
	st.out = &outlet{s: s, stream: st}
	s.streams = append(s.streams, st.out)
	if st.flow != nil {
		st.flow.out = st.out
	}
	return nil
}

// waiting reports whether Flush would find something to send. s.mu is held.
func (s *Session) waiting() bool {
	return s.queue.n > 0 || len(s.out.resend) > 0 ||
		slices.ContainsFunc(s.streams, func(o *outlet) bool { return o.queue.n > 0 }) || s.flows.waiting()
}

// comeHome makes everything of the data streams the control stream's, because their
// connection is gone: it is what the next connection, on whatever transport, goes on
// with. rehome does the same for subscriptions. s.mu is held.
func (s *Session) comeHome() {
	s.in.orphanAll()
	s.suspendAll()
	if len(s.streams) == 0 {
		return
	}
	for _, o := range s.streams {
		s.inherit(o)
	}
	for i := range s.out.slots {
		s.out.slots[i].stream = 0
	}
}

// inherit closes o and takes over what waits there, as far as there is room. s.mu is held.
func (s *Session) inherit(o *outlet) {
	o.closed = true
	if cfg := &s.b.cfg; s.queue.n == 0 && o.queue.n <= cfg.MaxQueuedMessages && o.queue.bytes <= cfg.MaxQueuedBytes {
		s.queue, o.queue = o.queue, queue{}
	}
	for o.queue.n > 0 {
		d := o.queue.pop()
		if s.roomToInherit(&d) {
			s.queue.push(&d)
			continue
		}
		s.b.count.dropped[DropQueueFull].Add(1)
		d.m.Release()
	}
	o.queue, o.stream = queue{}, nil
}

// roomToInherit reports whether the control stream takes d over from a data stream. It has
// room for all that may wait on it and on data streams together (see full), and no more, so
// that a client that opens and closes streams and reads nothing takes no more memory than
// one that does not. s.mu is held.
func (s *Session) roomToInherit(d *delivery) bool {
	cfg := &s.b.cfg
	return s.queue.n == 0 || s.queue.n < 2*cfg.MaxQueuedMessages && s.queue.bytes+d.m.Size() <= 2*cfg.MaxQueuedBytes
}

// closeStream forgets a data stream of c that has been closed while the connection
// lives. What has been sent on it at QoS 1 and 2 and is not acknowledged is sent again
// on the control stream, and what waits there is sent on the control stream too, but
// for QoS 0. Its subscriptions go. A flow may keep them, and what has been sent; those of a
// server flow, and all that waits, are the control stream's.
func (s *Session) closeStream(c *Client, st *Stream) {
	s.subMu.Lock()
	defer s.subMu.Unlock()
	drops, o := s.dissolve(c, st)
	s.release(drops, DropStreamClosed)
	switch {
	case o == nil:
		return
	case st.server:
		s.takeHome(o)
		return
	}
	o.retained.Swap(nil).stop()
	if s.swept = append(s.swept, o); s.sweep() {
		s.sweepLater()
	}
}

// sweepSlice is how many subscriptions of a stream that is closed are removed at once. One
// takes up to 10 us, during which the clients of the same worker wait.
const sweepSlice = 500

// sweep removes a slice of the subscriptions of streams that are closed, to which nothing
// comes any more, and reports whether there are others. Until then they count. s.subMu is
// held.
func (s *Session) sweep() (more bool) {
	for n := 0; len(s.swept) > 0; s.swept = s.swept[1:] {
		o := s.swept[0]
		for filter, sub := range o.subs {
			if n == sweepSlice {
				return true
			}
			n++
			s.mu.Lock()
			s.remove(filter, sub)
			s.mu.Unlock()
		}
	}
	s.swept = nil
	return false
}

// sweepLater removes the subscriptions of further outlets, which are over, and of those that
// there are, in the background. s.subMu is held.
func (s *Session) sweepLater(further ...*outlet) {
	s.swept = append(s.swept, further...)
	if !s.sweeping {
		s.sweeping = true
		s.b.later("end of a stream", s.sweepAll)
	}
}

// sweepAll sweeps until there is nothing left, and lets others in between.
func (s *Session) sweepAll() error {
	for s.sweepNext() {
	}
	return nil
}

func (s *Session) sweepNext() (more bool) {
	s.subMu.Lock()
	defer s.subMu.Unlock()
	s.sweeping = s.sweep()
	return s.sweeping
}

// dissolve does the part of closeStream that needs s.mu. gone is the outlet, nil when there
// was none or it is kept.
func (s *Session) dissolve(c *Client, st *Stream) (drops []delivery, gone *outlet) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client != c {
		return nil, nil
	}
	s.in.orphan(st.id)
	if st.flow != nil {
		s.suspend(st.flow)
	}
	o := st.out
	if o == nil {
		return nil, nil
	}
	if !st.server {
		drops = o.queue.take(func(d *delivery) bool { return d.qos == 0 }, nil)
	}
	s.inherit(o)
	s.out.rehome(st.number)
	if s.keeps(o) {
		return drops, nil
	}
	o.over = !st.server
	s.streams = slices.DeleteFunc(s.streams, func(x *outlet) bool { return x == o })
	return drops, o
}

// rehome makes the subscriptions of data streams whose connection is gone orphans of
// the control stream.
func (s *Session) rehome() {
	s.subMu.Lock()
	defer s.subMu.Unlock()
	for _, o := range s.forgetClosed() {
		s.takeHome(o)
	}
}

// takeHome makes the subscriptions of an outlet that is closed those of the control stream.
// s.subMu is held.
func (s *Session) takeHome(o *outlet) {
	for filter, sub := range o.subs {
		s.adopt(filter, sub)
	}
	o.subs = nil
	s.adoptRetained(o.retained.Swap(nil))
}

// forgetClosed takes the outlets that are closed out of the list. s.subMu is held.
func (s *Session) forgetClosed() (closed []*outlet) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.streams) == 0 {
		return nil
	}
	s.streams = slices.DeleteFunc(s.streams, func(o *outlet) bool {
		gone := o.closed && !s.keeps(o)
		if gone {
			closed = append(closed, o)
		}
		return gone
	})
	return closed
}

// adopt makes the subscription of a stream that is gone one of the control stream. There
// is one per filter: the one with the higher QoS stays. The tree changes in one step: no
// message is lost, none comes twice. s.subMu is held.
func (s *Session) adopt(filter string, sub *subscription) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if have := s.subs[filter]; have != nil {
		if have.qos >= sub.qos {
			s.remove(filter, sub)
			return
		}
		s.remove(filter, have)
	}
	moved := *sub
	moved.to, moved.orphan = &s.outlet, true
	if s.subs == nil {
		s.subs = make(map[string]*subscription)
	}
	s.subs[filter] = &moved
	if moved.member != nil {
		moved.member.replace(&moved)
	} else {
		s.b.subs.Insert(filter, moved.key, &moved)
	}
}

// adoptRetained goes on with the retained messages that a stream that is gone was to
// get. s.subMu is held.
func (s *Session) adoptRetained(work *retainedWork) {
	if work == nil {
		return
	}
	work.chain(s.retained.Load())
	s.retained.Store(work)
}
