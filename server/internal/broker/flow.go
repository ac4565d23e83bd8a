package broker

import (
	"cmp"
	"errors"
	"slices"
	"time"
)

// Flow is what a client says of a data flow of MQTT-next when it opens a stream for it. A
// flow is a part of the session: what is kept of it waits for the next stream with its ID,
// on this connection or the next one.
type Flow struct {
	ID uint64
	// Clean discards what is kept of it. NeedsState refuses the stream when nothing is.
	Clean, NeedsState bool
	// KeepQoS keeps the messages that are in flight on the stream when that ends: they are
	// sent again on the next one. Otherwise they are on the control stream.
	KeepQoS bool
	// KeepSubscriptions keeps the subscriptions. Their messages go to the control stream
	// until there is a stream again.
	KeepSubscriptions bool
	// Expiry is for how long that is kept after the end of the stream; 0: as long as the
	// session is.
	Expiry time.Duration
}

// persistent reports whether anything is kept.
func (f *Flow) persistent() bool { return f.KeepQoS || f.KeepSubscriptions }

// maxFlows is how many flows of a session are kept, open ones included. A flow takes about
// half a KB, its subscriptions and messages are limited as all are.
const maxFlows = 256

// Errors of Stream.Join.
var (
	ErrNoFlow       = errors.New("broker: nothing is kept of the flow")
	ErrTooManyFlows = errors.New("broker: too many flows are kept")
)

// flow is a data flow of which something is to be kept.
type flow struct {
	Flow
	s *Session

	// Guarded by Session.mu.
	stream *Stream  // nil: none is open
	out    *outlet  // of the stream; closed with it, and kept with its subscriptions
	parked []flight // in flight when the stream ended: id and order
	resend []uint16 // what the stream has not seen yet, in order
	until  int64    // broker time at which it is forgotten, 0 = not
	timer  timer    // for until
}

// flows are those of a session.
type flows struct{ list []*flow }

// UseFlows tells that streams of the client may join flows. If open is not nil, a SUBSCRIBE on
// the control stream gets its messages on a flow of the server's own: during Feed, open
// opens a stream for it and gives what OpenServerStream gives, nil if it cannot. Owner only,
// before Feed; later it takes open back.
func (c *Client) UseFlows(open func() *Stream) { c.flows, c.openFlow = true, open }

// Join makes a stream that has just been opened that of a flow. What has been kept of it goes
// on there; the owner has closed an earlier stream of the flow, unless one of the two is the
// client's alone. Owner only, once, before Feed; the owner calls Flush afterwards.
func (st *Stream) Join(spec Flow) error {
	s := st.c.session
	s.subMu.Lock()
	defer s.subMu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client != st.c {
		return errTakenOver
	}
	f := s.flow(spec.ID)
	switch {
	case f == nil && spec.NeedsState:
		return ErrNoFlow
	case f != nil && f.stream != nil && st.uni: // nothing of the flow can go there
		return nil
	case f != nil && spec.Clean:
		s.dropFlow(f)
		f = nil
	}
	if f == nil {
		if !spec.persistent() {
			return nil
		}
		if f = s.addFlow(); f == nil {
			return ErrTooManyFlows
		}
	}
	f.Flow = spec
	s.resume(f, st)
	return nil
}

// Discard has nothing kept of the flow of the stream when it is closed. Owner only.
func (st *Stream) Discard() {
	s := st.c.session
	s.mu.Lock()
	defer s.mu.Unlock()
	if st.flow != nil {
		st.flow.KeepQoS, st.flow.KeepSubscriptions = false, false
	}
}

// flow finds a flow, nil when nothing is to be kept of it. s.mu is held.
func (s *Session) flow(id uint64) *flow {
	if s.flows != nil {
		for _, f := range s.flows.list {
			if f.ID == id {
				return f
			}
		}
	}
	return nil
}

// addFlow makes a flow, in place of one that holds nothing if there are too many, nil if
// there is none. s.subMu and s.mu are held.
func (s *Session) addFlow() *flow {
	if s.flows == nil {
		s.flows = new(flows)
	}
	if len(s.flows.list) >= maxFlows {
		i := slices.IndexFunc(s.flows.list, (*flow).empty)
		if i < 0 {
			return nil
		}
		s.dropFlow(s.flows.list[i])
	}
	f := &flow{s: s}
	s.flows.list = append(s.flows.list, f)
	return f
}

// empty reports whether f is not open and holds nothing. s.subMu and s.mu are held.
func (f *flow) empty() bool {
	return f.stream == nil && len(f.parked) == 0 && (f.out == nil || len(f.out.subs) == 0)
}

// resume goes on with a flow on a stream. s.subMu and s.mu are held.
func (s *Session) resume(f *flow, st *Stream) {
	if f.stream != nil { // of the client alone
		f.stream.flow = nil
	}
	f.stream, st.flow, f.until = st, f, 0
	s.b.timers.stop(&f.timer)
	if st.uni || f.out == nil && len(f.parked) == 0 {
		return
	}
	if f.out == nil {
		f.out = &outlet{s: s}
		s.streams = append(s.streams, f.out)
	}
	s.numbered++
	st.number, st.out = s.numbered, f.out
	f.out.stream, f.out.closed = st, false
	s.unpark(f)
	st.waiting.Store(true)
}

// unpark has the messages that have waited sent again on the stream of f. s.mu is held.
func (s *Session) unpark(f *flow) {
	for i := range f.parked {
		if x := s.parked(&f.parked[i]); x != nil {
			x.stream = f.stream.number
			f.stream.open++
			if x.m != nil {
				f.stream.bytes += x.m.Size()
			}
			f.resend = append(f.resend, x.id)
		}
	}
	f.parked = nil
}

// parked finds what has been noted as parked, nil when it is finished. s.mu is held.
func (s *Session) parked(note *flight) *flight {
	if x := s.out.find(note.id); x != nil && x.order == note.order {
		return x
	}
	return nil
}

// park notes what is in flight on a data stream as waiting for the next stream of f. s.mu is
// held.
func (f *flow) park(number uint32) {
	slots := f.s.out.slots
	for i := range slots {
		if x := &slots[i]; x.id != 0 && x.stream == number {
			x.stream = 0
			f.parked = append(f.parked, flight{id: x.id, order: x.order})
		}
	}
	slices.SortFunc(f.parked, func(a, b flight) int { return cmp.Compare(a.order, b.order) })
}

// suspend notes that the stream of f is gone. s.mu is held.
func (s *Session) suspend(f *flow) {
	number := f.stream.number
	f.stream.flow, f.stream, f.resend = nil, nil, nil
	if !f.persistent() {
		s.forgetFlow(f)
		return
	}
	if f.KeepQoS && number != 0 {
		f.park(number)
	}
	if !f.KeepSubscriptions {
		f.out = nil
	}
	if f.Expiry > 0 {
		f.until = s.b.now() + int64(f.Expiry)
		s.b.timers.set(&f.timer, f, f.until)
	}
}

// suspendAll notes that all streams are gone. s.mu is held.
func (s *Session) suspendAll() {
	if s.flows == nil {
		return
	}
	for _, f := range slices.Clone(s.flows.list) {
		if f.stream != nil {
			s.suspend(f)
		}
	}
}

// keeps reports whether an outlet that is closed is to be opened again. s.mu is held.
func (s *Session) keeps(o *outlet) bool {
	return s.flows != nil && slices.ContainsFunc(s.flows.list, func(f *flow) bool { return f.out == o })
}

// forgetFlow forgets a flow, but not what its outlet holds. s.mu is held.
func (s *Session) forgetFlow(f *flow) {
	s.flows.list = slices.DeleteFunc(s.flows.list, func(x *flow) bool { return x == f })
	s.b.timers.stop(&f.timer)
	f.until = 0
	if f.stream != nil {
		f.stream.flow, f.stream = nil, nil
	}
}

// dropFlow forgets a flow that is not open: its subscriptions go, and what it has in flight
// goes on on the control stream. s.subMu and s.mu are held.
func (s *Session) dropFlow(f *flow) {
	s.forgetFlow(f)
	for i := range f.parked {
		if s.parked(&f.parked[i]) != nil {
			s.out.resend = append(s.out.resend, f.parked[i].id)
		}
	}
	o := f.out
	if o == nil {
		return
	}
	o.retained.Swap(nil).stop()
	s.streams = slices.DeleteFunc(s.streams, func(x *outlet) bool { return x == o })
	if o.over = true; len(o.subs) > sweepSlice {
		s.sweepLater(o)
		return
	}
	for filter, sub := range o.subs {
		s.remove(filter, sub)
	}
}

// endFlows forgets all flows of a session that has ended. s.mu is held.
func (s *Session) endFlows() {
	if s.flows == nil {
		return
	}
	for _, f := range s.flows.list {
		s.b.timers.stop(&f.timer)
	}
	s.flows = nil
}

// awaitFlows takes what is parked out of what c, a new connection, is sent again at once. A
// connection without flows gets all of it. s.mu is held.
func (s *Session) awaitFlows(c *Client) {
	if s.flows == nil {
		return
	}
	waits := make(map[uint16]bool)
	for _, f := range s.flows.list {
		if !c.flows {
			f.parked = nil
		}
		for i := range f.parked {
			if s.parked(&f.parked[i]) != nil {
				waits[f.parked[i].id] = true
			}
		}
	}
	s.out.resend = slices.DeleteFunc(s.out.resend, func(id uint16) bool { return waits[id] })
}

// parked is about how many messages wait for their flow to be opened. Session.mu is held.
func (x *flows) parked() (n int) {
	if x != nil {
		for _, f := range x.list {
			n += len(f.parked)
		}
	}
	return n
}

// waiting reports whether a stream has messages to send again. Session.mu is held.
func (x *flows) waiting() bool {
	return x != nil && slices.ContainsFunc(x.list, func(f *flow) bool { return len(f.resend) > 0 })
}

// onTimer forgets a flow whose time is over.
func (f *flow) onTimer(now int64) {
	if c := f.s.expireFlow(f, now); c != nil {
		c.wake()
	}
}

// expireFlow gives the client, which may have something to be sent now.
func (s *Session) expireFlow(f *flow, now int64) *Client {
	s.subMu.Lock()
	defer s.subMu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.until == 0 || f.until > now {
		return nil
	}
	s.dropFlow(f)
	return s.client
}
