package broker

import (
	"sync"
)

// Session is what the broker keeps of a client identifier across connections:
// subscriptions, messages that wait, packet identifiers, the will [MQTT-3.1.3-2].
//
// Two locks guard it, see the package doc: mu for what messages need, subMu for the
// set of subscriptions.
type Session struct {
	id string
	b  *Broker

	order uint64 // the place of its connection among all CONNECTs; guarded by Broker.mu

	mu       sync.Mutex
	client   *Client // the connection that has the session, nil = offline
	ended    bool    // the session is over; nothing may be added
	numbered uint32  // data streams that there have been
	outlet           // of the control stream

	out   inflight // QoS 1 and 2 messages that have been sent and are not finished
	quota int      // how many more may be sent: the rest of Receive Maximum [MQTT-4.9.0-1]
	// Of the data streams that have had subscriptions. Changed under both locks; those of a
	// connection that is gone are closed, until rehome, or until their flow is opened again.
	streams []*outlet
	flows   *flows // nil: no stream has joined one

	in      inbound // QoS 2 messages from the client, until PUBREL
	will    *will   // to be published when the connection is lost; nil = none
	expiry  uint32  // Session Expiry Interval in seconds, math.MaxUint32 = never
	offline int     // bytes that are counted in MaxOfflineBytes
	// When offline, broker time; 0 = not.
	expiresAt, willAt int64
	purgeAt           int64 // broker time from which purge may look again

	timer timer // for expiresAt and willAt

	subMu    sync.Mutex
	filters  int       // subscriptions of all streams, and of swept
	cost     int       // sum of filterCost
	swept    []*outlet // of data streams that the client has closed: their subscriptions go in slices, see sweep
	sweeping bool      // in the background

	memberships []*member // of shared subscriptions; guarded by mu
}

// newSession makes the session of a client identifier.
func (b *Broker) newSession(id string) *Session {
	s := &Session{id: id, b: b}
	s.outlet.s = s
	return s
}

// ID is the client identifier.
func (s *Session) ID() string { return s.id }

// collect moves what can be sent to c now into w: what has to be sent again, then the queue.
// It stops when room, in bytes, is used up or w is full. One queue keeps the order of all
// messages of a stream; a QoS 0 message waits behind one for which Receive Maximum leaves
// no room.
func (o *outlet) collect(c *Client, w *writer, room int) {
	s := o.s
	s.mu.Lock()
	defer s.mu.Unlock()
	again := o.again()
	resend := again != nil && len(*again) > 0
	if s.client != c || o.queue.n == 0 && !resend {
		return
	}
	now := s.b.now()
	for resend && room > 0 && !w.full() && len(*again) > 0 {
		if !o.resend(again, c, w, now, &room) {
			o.announce()
			return
		}
	}
	o.announce() // for what stays
	for room > 0 && !w.full() && o.queue.n > 0 {
		if !o.sendNext(c, w, now, &room) {
			return
		}
	}
}

// again is what has to be sent again on the control stream, or on that of a flow; nil: nothing.
func (o *outlet) again() *[]uint16 {
	switch st := o.stream; {
	case st == nil:
		return &o.s.out.resend
	case st.flow != nil:
		return &st.flow.resend
	}
	return nil
}

// resend moves the next entry of the window that this connection has not seen yet.
// false: Receive Maximum is used up.
func (o *outlet) resend(again *[]uint16, c *Client, w *writer, now int64, room *int) bool {
	s := o.s
	f := s.out.find((*again)[0])
	switch {
	case f == nil || o.stream != nil && f.stream != o.stream.number: // acknowledged without having been sent again
	case f.state == flightReleased:
		s.charge(f)
		w.next().id = f.id
		*room -= 4
	case f.size(c.version) > c.maxPacket:
		s.settle(f, true)
		w.drop(s.out.finish(f), DropTooLarge)
	case s.quota == 0 && !f.charged:
		return false
	default:
		s.charge(f)
		f.m.Retain()
		p := w.next()
		p.delivery, p.id, p.dup = f.delivery, f.id, true
		p.setExpiry(now)
		*room -= f.size(c.version)
	}
	if *again = (*again)[1:]; len(*again) == 0 {
		*again = nil
	}
	return true
}

// sendNext moves the first message of the queue, or drops it. false: it has to wait
// for an acknowledgement.
func (o *outlet) sendNext(c *Client, w *writer, now int64, room *int) bool {
	s := o.s
	d := o.queue.at(0)
	size := d.size(c.version)
	switch {
	case s.stale(d, now): // [MQTT-3.3.2-5]
		w.drop(o.queue.pop().m, DropExpired)
		return true
	case size > c.maxPacket: // [MQTT-3.1.2-24] [MQTT-3.1.2-25]
		w.drop(o.queue.pop().m, DropTooLarge)
		return true
	case d.qos > 0 && (s.blocked(d) || o.greedy()): // [MQTT-4.9.0-2]
		return false
	}
	p := w.next()
	o.queue.popTo(&p.delivery)
	p.setExpiry(now)
	if p.qos > 0 {
		s.quota--
		p.m.Retain()
		f := s.out.add(p.delivery)
		o.sent(f)
		p.id = f.id
	}
	*room -= size
	return true
}

// blocked reports whether a QoS 1 or QoS 2 message has to wait for an acknowledgement.
func (s *Session) blocked(d *delivery) bool {
	return s.quota == 0 || s.out.full() ||
		s.out.bytes > 0 && s.out.bytes+d.m.Size() > s.b.cfg.MaxQueuedBytes
}

// begin gives the session to c. s.mu is held, or s is new.
func (s *Session) begin(c *Client, p *attachment) {
	s.client, s.will, s.expiry = c, p.will, p.expiry
	s.expiresAt, s.willAt = 0, 0
	s.comeHome()
	s.out.rewind()
	s.awaitFlows(c)
	s.quota = p.quota
	s.setOnline(true)
	s.setOffline(0)
	s.b.timers.stop(&s.timer)
}

// charge takes a part of Receive Maximum for f, which is sent again. A PUBREL is not
// held back when there is none left (MQTT 5.0 section 4.9).
func (s *Session) charge(f *flight) {
	if s.quota > 0 && !f.charged {
		s.quota--
		f.charged = true
	}
}

// credit gives back what f has taken.
func (s *Session) credit(f *flight) {
	if f.charged {
		s.quota++
		f.charged = false
	}
}

// transient reports whether the session ends with its connection.
func (s *Session) transient() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.expiry == 0
}

// leftovers is what remains of a session that has ended, to be freed without locks.
type leftovers struct {
	s        *Session
	messages []delivery
	shared   []delivery // for other members of their groups
	flights  []*Message
	client   *Client // was connected
	will     *will   // is due
}

// end marks the session as over and takes everything out of it. s.mu is held; the
// caller calls free when no lock is held.
func (s *Session) end() leftovers {
	s.ended = true
	s.comeHome()
	s.endFlows()
	s.leaveGroups()
	l := leftovers{s: s, client: s.client, will: s.will, shared: s.takeShared()}
	l.messages = s.queue.take(func(*delivery) bool { return true }, nil)
	for i := range s.out.slots {
		if m := s.out.slots[i].m; m != nil {
			l.flights = append(l.flights, m)
		}
	}
	s.client, s.will, s.out, s.in = nil, nil, inflight{}, inbound{}
	s.setOffline(0)
	s.b.timers.stop(&s.timer)
	return l
}

// free removes the subscriptions, gives messages of groups to other members and
// releases the others. It publishes no will and disconnects nobody.
func (l *leftovers) free() {
	if l.s == nil {
		return
	}
	n := len(l.messages) + len(l.flights)
	l.s.b.count.dropped[DropSessionEnded].Add(uint64(n))
	for _, d := range l.messages {
		d.m.Release()
	}
	for _, m := range l.flights {
		m.Release()
	}
	l.s.unsubscribeAll()
	for _, d := range l.shared {
		if !d.share.deliver(d.m) {
			l.s.b.count.dropped[DropSessionEnded].Add(1)
		}
		d.m.Release()
	}
}
