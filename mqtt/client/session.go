package client

import (
	"bytes"
	"cmp"
	"errors"
	"slices"
	"sync"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// session is what outlives a network connection (MQTT 5.0 section 4.1). All
// methods may be called by any goroutine; none blocks.
type session struct {
	keeps    bool           // Options.Reconnect: publishing calls wait beyond the connection's end
	store    store          // where messages survive the program
	finished func(*Pending) // is told of every message that is over; nil = nobody

	mu        sync.Mutex
	lastID    uint16
	lastOrder uint64
	exchanges map[uint16]*exchange // by packet identifier
	received  map[uint16]struct{}  // QoS 2 from the server, PUBREL not yet here
	queue     queue                // messages that have not been sent yet
	subs      []subscribed         // in effect, in their order
	closed    bool                 // nothing is queued: Disconnect or Close was called
}

// exchange is a packet of the client that waits for an answer, or for being sent.
type exchange struct {
	id    uint16 // 0: it has not been sent
	order uint64 // order of sending
	// kind is PUBLISH, SUBSCRIBE or UNSUBSCRIBE.
	kind packet.Type
	// qos of a PUBLISH; released: PUBREC is here, PUBCOMP is due.
	qos      byte
	released bool
	stream   string // Message.Stream
	lane     *lane  // it was sent on; nil = the control lane
	// pub is the PUBLISH, kept to send it again; nil when released.
	pub  *packet.Publish
	size int // bytes that it counts for in the queue's limit
	// durable, when not nil, is closed when the store has the message.
	durable <-chan struct{}
	pending *Pending
}

// answer is the outcome of an exchange.
type answer struct {
	codes []packet.ReasonCode
	code  packet.ReasonCode
	props packet.Properties
	err   error
}

var errNoPacketID = errors.New("client: all 65535 packet identifiers are in use")

func newSession(keeps bool) *session {
	return &session{keeps: keeps, store: memory{}, exchanges: map[uint16]*exchange{}, received: map[uint16]struct{}{}}
}

// newPublish is an exchange for a copy of p.
func newPublish(p *packet.Publish) *exchange {
	buf := make([]byte, 0, len(p.Topic)+len(p.Properties)+len(p.Payload))
	buf = append(append(append(buf, p.Topic...), p.Properties...), p.Payload...)
	pub, t, e := *p, len(p.Topic), len(p.Topic)+len(p.Properties)
	pub.Topic, pub.Properties, pub.Payload = buf[:t:t], packet.Properties(buf[t:e:e]), buf[e:]
	return &exchange{kind: packet.PUBLISH, qos: p.QoS, pub: &pub, size: len(buf) + messageOverhead, pending: newPending(string(p.Topic))}
}

// begin gives x an identifier that is not in use [MQTT-2.2.1-3]; it is about to be
// sent on a, or if that has ended on the lane that begin gives.
func (s *session) begin(a *lane, x *exchange) (*lane, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, err := s.enter(a, x)
	if err != nil {
		return nil, err
	}
	s.lastOrder++
	x.order = s.lastOrder
	return a, s.identify(x)
}

// enter notes the lane of x. A lane that has ended would not be looked after any more.
func (s *session) enter(a *lane, x *exchange) (*lane, error) {
	l := a.link
	if l.interrupted {
		return nil, l.reason()
	}
	if a.isEnded() {
		a = l.lane
	}
	x.lane = nil
	if a != l.lane {
		x.lane = a
	}
	l.inbox.wake()
	return a, nil
}

// awaitsAnswer tells whether anything that was sent waits for its answer.
func (s *session) awaitsAnswer() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.exchanges) > 0
}

// gather has everything on the control lane: those of the connection before are gone.
func (s *session) gather() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range s.exchanges {
		x.lane = nil
	}
	for i := range s.subs {
		s.subs[i].lane = nil
	}
}

// identify is begin, locked.
func (s *session) identify(x *exchange) error {
	if len(s.exchanges) == 65535 {
		return errNoPacketID
	}
	for {
		s.lastID++
		if _, used := s.exchanges[s.lastID]; s.lastID != 0 && !used {
			break
		}
	}
	x.id = s.lastID
	if x.pub != nil {
		x.pub.PacketID = x.id
	}
	s.exchanges[x.id] = x
	return nil
}

// forget ends x without an answer: it was never sent.
func (s *session) forget(x *exchange) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.exchanges, x.id)
}

// finish ends the exchange of id if it matches, and gives it; nil when there was none.
func (s *session) finish(id uint16, match func(*exchange) bool, a answer) *exchange {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.exchanges[id]
	if x == nil || !match(x) {
		return nil
	}
	s.remove(x)
	s.complete(x, a)
	return x
}

// complete tells the outcome of x, which has been removed.
func (s *session) complete(x *exchange, a answer) {
	x.pending.complete(a)
	if x.kind == packet.PUBLISH && s.finished != nil {
		s.finished(x.pending)
	}
}

// giveUp tells those who wait for x that they wait in vain; x goes on.
func (x *exchange) giveUp(err error) {
	x.pending.complete(answer{err: err})
	x.pending = newPending(x.pending.topic)
}

// remove takes x out of the session: it is over.
func (s *session) remove(x *exchange) {
	delete(s.exchanges, x.id)
	if x.kind == packet.PUBLISH {
		s.queue.release(x)
		s.store.remove(x)
	}
}

// release notes a PUBREC: from now on PUBREL is what is sent again. It reports
// whether id is a QoS 2 exchange. then is called when the store has it.
func (s *session) release(id uint16, then func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.exchanges[id]
	if x == nil || x.kind != packet.PUBLISH || x.qos != 2 {
		return false
	}
	x.released, x.pub = true, nil
	s.store.release(x, then)
	return true
}

// interrupt ends the session's use of l. Calls that wait for SUBACK and UNSUBACK are
// told, those that wait for a message only without Reconnect. Messages stay for the next
// connection.
func (s *session) interrupt(l *link, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l.interrupted = true
	for id, x := range s.exchanges {
		switch {
		case x.kind != packet.PUBLISH:
			delete(s.exchanges, id)
			x.pending.complete(answer{err: err})
		case !s.keeps:
			x.giveUp(err)
		}
	}
}

// abandon tells every waiting call that the client has been closed, and lets no message
// be queued before open.
func (s *session) abandon(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, x := range s.exchanges {
		x.giveUp(err)
	}
	for _, x := range s.queue.waiting {
		x.giveUp(err)
	}
}

// open lets messages be queued again; false when the store is closed.
func (s *session) open() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = s.store.closed()
	return !s.closed
}

// renew follows the loss of the session on the server. What was not acknowledged is
// forgotten, or with Reconnect queued again, before everything else; but what the
// server has taken over by a PUBREC is done.
func (s *session) renew() {
	list := s.unfinished()
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.exchanges)
	for id := range s.received {
		s.store.departed(id)
	}
	clear(s.received)
	if !s.keeps {
		return
	}
	var again []*exchange
	for _, x := range list {
		if x.released {
			s.remove(x)
			s.complete(x, answer{})
			continue
		}
		x.id = 0
		s.store.sent(x, func() {})
		again = append(again, x)
	}
	s.queue.restore(again)
}

// unfinished are the messages to send again, in the order of their first sending
// [MQTT-4.4.0-1] [MQTT-4.6.0-1].
func (s *session) unfinished() []*exchange {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]*exchange, 0, len(s.exchanges))
	for _, x := range s.exchanges {
		if x.kind == packet.PUBLISH {
			list = append(list, x)
		}
	}
	slices.SortFunc(list, func(a, b *exchange) int { return cmp.Compare(a.order, b.order) })
	return list
}

// again is what to send for an unfinished exchange: PUBREL, or PUBLISH with DUP
// [MQTT-3.3.1-1]; nil when it is finished meanwhile.
func (s *session) again(x *exchange) packet.Packet {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.exchanges[x.id] != x:
		return nil
	case x.released:
		return &packet.Pubrel{PacketID: x.id}
	}
	pub := *x.pub
	pub.Dup = true
	return &pub
}

// arrive notes a QoS 2 message and reports whether it is new [MQTT-4.3.3-10].
func (s *session) arrive(id uint16) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, known := s.received[id]
	s.received[id] = struct{}{}
	return !known
}

// accepted has the store know a QoS 2 message that the application has taken; then sends
// the PUBREC.
func (s *session) accepted(id uint16, then func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.store.arrived(id, then)
}

// depart notes a PUBREL, or that a message was dropped unseen. It reports whether
// id was known.
func (s *session) depart(id uint16) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, known := s.received[id]
	delete(s.received, id)
	if known {
		s.store.departed(id)
	}
	return known
}

// subscribed is a subscription that is in effect.
type subscribed struct {
	packet.Subscription
	props  packet.Properties
	stream string
	lane   *lane // nil = the control lane
}

// noteSubscribed remembers subscriptions for the next connection without session.
func (s *session) noteSubscribed(subs []packet.Subscription, like subscribed, codes []packet.ReasonCode) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, sub := range subs {
		if i >= len(codes) || codes[i].IsError() {
			continue
		}
		s.noteUnsubscribed(sub.Filter)
		like.Subscription, like.props = sub, bytes.Clone(like.props)
		s.subs = append(s.subs, like)
	}
}

// noteUnsubscribed forgets one; the caller has the lock.
func (s *session) noteUnsubscribed(filter string) {
	s.subs = slices.DeleteFunc(s.subs, func(old subscribed) bool { return old.Filter == filter })
}

func (s *session) unsubscribed(filters []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, filter := range filters {
		s.noteUnsubscribed(filter)
	}
}

// subscriptions are those in effect.
func (s *session) subscriptions() []subscribed {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.subs)
}
