package broker

import (
	"math"
	"time"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// attachment is what a CONNECT brings to its session.
type attachment struct {
	clean  bool
	will   *will
	expiry uint32 // seconds
	quota  int    // messages that may be in flight to the client
}

// attach gives c the session of its client identifier: the stored one, or a new one.
// A connection that has it now loses it. present tells that the session was stored.
func (b *Broker) attach(c *Client, p *attachment) (present bool, err error) {
	old, before, err := b.claim(c, p)
	if err != nil {
		return false, err
	}
	if before.client != nil {
		b.count.takeovers.Add(1)
		before.client.kick(packet.SessionTakenOver, "another connection with this client identifier")
		before.client.finishRouting()
	}
	before.free()
	c.session.rehome()
	b.publishWill(before.will)
	if before.s != nil {
		b.callSession(c.info.ID, SessionEnded)
	}
	present = old != nil && before.s == nil
	if present {
		b.callSession(c.info.ID, SessionResumed)
	} else {
		b.callSession(c.info.ID, SessionCreated)
	}
	return present, nil
}

// finishRouting waits until the message that c may be routing is with all its receivers. c has
// lost its session, and routes no further one of QoS 1 or 2.
func (c *Client) finishRouting() {
	c.routing.Lock()
	defer c.routing.Unlock()
}

// claim finds the session, ends it, makes it and gives it to c in one step under b.mu;
// so there are never two live clients of one identifier.
func (b *Broker) claim(c *Client, p *attachment) (old *Session, before leftovers, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	old = b.cfg.Sessions.Lookup(c.info.ID)
	if old == nil && b.cfg.Sessions.Len() >= b.cfg.MaxSessions {
		return nil, before, &Error{Code: packet.QuotaExceeded, Reason: "too many sessions"}
	}
	order := b.place(c)
	if old != nil && old.order > order { // the client has gone there since it got its CONNACK
		return nil, before, errTakenOver
	}
	if old != nil {
		before = old.handOver(c, p)
	}
	s := old
	if old == nil || before.s != nil {
		s = b.newSession(c.info.ID)
		s.begin(c, p)
		b.cfg.Sessions.Store(s)
	}
	s.order, c.session = order, s
	return old, before, nil
}

// handOver prepares a stored session for a new connection: it ends with Clean Start
// [MQTT-3.1.2-4], or because it was to last no longer than the old connection
// [MQTT-3.1.2-6, 3.1.1], else c gets it [MQTT-3.1.2-5]. A will is due when the session ends,
// or when a live connection is taken over and the will has no delay; else the new
// connection is in time to cancel it [MQTT-3.1.3-9].
func (s *Session) handOver(c *Client, p *attachment) (before leftovers) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.clean || s.expiry == 0 {
		return s.end()
	}
	before.client = s.client
	if s.client != nil && s.will != nil && s.will.delay == 0 {
		before.will = s.will
	} else {
		s.will.discard()
	}
	s.begin(c, p)
	return before
}

// departure is how a client leaves its session.
type departure struct {
	keepWill bool
	expiry   *uint32 // new Session Expiry Interval, nil = unchanged
}

// detach takes the session from c, if c still has it. The session waits for its
// expiry, or ends at once when the interval is 0 [MQTT-4.1.0-2].
func (b *Broker) detach(c *Client, d departure) {
	s := c.session
	if s == nil {
		return
	}
	l, drops := b.part(c, d)
	l.free()
	s.rehome()
	s.release(drops, DropOffline)
	b.publishWill(l.will)
	if l.s != nil {
		b.callSession(s.id, SessionEnded)
	}
}

// part does the part of detach that needs b.mu.
func (b *Broker) part(c *Client, d departure) (l leftovers, drops []delivery) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l, drops = c.session.leave(c, d)
	if l.s != nil {
		b.cfg.Sessions.Delete(l.s)
	}
	return l, drops
}

// leave does the part of detach that needs s.mu. drops are QoS 0 messages, which are
// not kept for a client that is away.
func (s *Session) leave(c *Client, d departure) (l leftovers, drops []delivery) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client != c {
		return l, nil
	}
	if d.expiry != nil {
		s.expiry = *d.expiry
	}
	if !d.keepWill {
		s.will.discard()
		s.will = nil
	}
	if s.expiry == 0 {
		return s.end(), nil
	}
	s.client = nil
	s.comeHome()
	s.setOnline(false)
	drops = s.queue.take(func(d *delivery) bool { return d.qos == 0 }, nil)
	s.setOffline(s.queue.bytes + s.out.bytes)
	now := s.b.now()
	if s.will != nil && s.will.delay == 0 {
		l.will, s.will = s.will, nil
	}
	if s.will != nil {
		s.willAt = now + int64(s.will.delay)*int64(time.Second)
	}
	if s.expiry != math.MaxUint32 {
		s.expiresAt = now + int64(s.expiry)*int64(time.Second)
	}
	s.arm()
	return l, drops
}

// arm sets the timer to what comes first. s.mu is held.
func (s *Session) arm() {
	at := s.expiresAt
	if at == 0 || s.willAt != 0 && s.willAt < at {
		at = s.willAt
	}
	if at != 0 {
		s.b.timers.set(&s.timer, s, at)
	}
}

// onTimer ends a session that has been away for too long, and publishes a will whose
// delay is over. A session that ends publishes its will [MQTT-3.1.2-8].
func (s *Session) onTimer(now int64) {
	l := s.b.expire(s, now)
	l.free()
	s.b.publishWill(l.will)
	if l.s != nil {
		s.b.callSession(s.id, SessionExpired)
	}
}

// expire forgets a session whose time is over.
func (b *Broker) expire(s *Session, now int64) leftovers {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := s.expire(now)
	if l.s != nil {
		b.cfg.Sessions.Delete(s)
		b.count.expired.Add(1)
	}
	return l
}

func (s *Session) expire(now int64) (l leftovers) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.client != nil || s.ended:
		return l
	case s.expiresAt != 0 && s.expiresAt <= now:
		return s.end()
	case s.willAt != 0 && s.willAt <= now:
		l.will, s.will, s.willAt = s.will, nil, 0
	}
	s.arm()
	return l
}
