package broker

import "github.com/ngmq/ngmq/mqtt/packet"

// OpenServerStream makes the data stream of a server flow (MQTT-next), which carries the
// messages of a subscription that was made on the control stream, and their acknowledgements.
// When it is closed they go on on the control stream. Owner only, see UseFlows.
func (c *Client) OpenServerStream(id int64) *Stream {
	st := c.OpenStream(id, false)
	st.server = true
	return st
}

// Done reports whether a server flow has nothing more to carry: its subscription has ended,
// all messages have been sent and acknowledged. The owner asks after Feed and Flush, and
// then ends the stream. Owner only.
func (st *Stream) Done() bool {
	if !st.retired {
		return false
	}
	s := st.c.session
	s.mu.Lock()
	defer s.mu.Unlock()
	return st.open == 0 && st.out.queue.n == 0 && st.out.retained.Load() == nil
}

// carriesBack refuses what is no acknowledgement, on a server flow.
func carriesBack(t packet.Type) error {
	switch t {
	case packet.PUBACK, packet.PUBREC, packet.PUBCOMP:
		return nil
	}
	return &Error{Code: packet.ProtocolError, Reason: t.String() + " is not legal on a flow of the server"}
}

// home is the server flow for a filter that is subscribed to on the control stream: the one
// that has it, or a new one. nil: the control stream has it, or there can be no more flows.
func (c *Client) home(filter string) *Stream {
	if c.openFlow == nil || !c.current.isControl() {
		return nil
	}
	st, stays := c.session.home(filter)
	if st != nil || stays {
		return st
	}
	if st = c.openFlow(); st == nil {
		return nil
	}
	if c.session.addOutlet(c, st) != nil { // taken over
		return nil
	}
	return st
}

// home finds the server flow that has a filter. stays tells that the control stream has it.
func (s *Session) home(filter string) (st *Stream, stays bool) {
	s.subMu.Lock()
	defer s.subMu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.streams {
		if o.stream != nil && o.stream.server && o.subs[filter] != nil {
			return o.stream, false
		}
	}
	old := s.subs[filter]
	return nil, old != nil && !old.orphan
}

// retireFlows has server flows end that have lost their subscription.
func (c *Client) retireFlows() {
	if c.openFlow == nil {
		return
	}
	s := c.session
	s.subMu.Lock()
	defer s.subMu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.streams {
		if st := o.stream; st != nil && st.c == c && st.server && len(o.subs) == 0 {
			st.retired = true
			st.waiting.Store(true)
			c.dirty = true
		}
	}
}
