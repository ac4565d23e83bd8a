package broker

import (
	"fmt"
	"time"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// QueuePolicy says what happens to a message for a session whose queue is full
// (Config.MaxQueuedMessages, MaxQueuedBytes, for a session without a connection also
// MaxOfflineBytes). Messages that have expired make room first, whatever the policy.
type QueuePolicy uint8

const (
	// DropNew drops the message.
	DropNew QueuePolicy = iota
	// DropOld drops those that have waited longest in that session's queue.
	DropOld
	// DropClient drops the message and disconnects the client (0x97, Quota exceeded).
	// For a session without a connection it is the same as DropNew.
	DropClient
	numQueuePolicies
)

var queuePolicyNames = [numQueuePolicies]string{"drop-new", "drop-old", "disconnect"}

// String is "drop-new", "drop-old" or "disconnect".
func (p QueuePolicy) String() string {
	if p < numQueuePolicies {
		return queuePolicyNames[p]
	}
	return fmt.Sprintf("QueuePolicy(%d)", uint8(p))
}

// UnmarshalText reads what String gives.
func (p *QueuePolicy) UnmarshalText(text []byte) error {
	for i, name := range queuePolicyNames {
		if name == string(text) {
			*p = QueuePolicy(i)
			return nil
		}
	}
	return fmt.Errorf("%q is not drop-new, drop-old or disconnect", text)
}

// deliver queues d for the client, or counts it as dropped. d stays the caller's. Any
// goroutine.
func (o *outlet) deliver(d *delivery) {
	if reason, ok := o.offer(d, true); !ok && reason != DropStreamClosed { // nobody has subscribed to that
		o.s.dropped(reason)
	}
}

// offer queues d for the client, if the limits allow it, and wakes the owner of the
// connection. It takes its own reference on the message. insist: when there is no room,
// do as QueuePolicy says. Any goroutine.
func (o *outlet) offer(d *delivery, insist bool) (reason DropReason, ok bool) {
	if o.s.b.cfg.Handlers.Deliver == nil {
		return o.enqueue(d, d.m, insist)
	}
	changed, ok := o.s.callDeliver(*d)
	if !ok {
		return DropHandler, false
	}
	if changed.m != d.m {
		defer changed.m.Release()
	}
	return o.enqueue(&changed, d.m, insist)
}

// enqueue is offer after the Deliver handler, which has made d of origin.
func (o *outlet) enqueue(d *delivery, origin *Message, insist bool) (reason DropReason, ok bool) {
	s := o.s
	s.mu.Lock()
	if o.over {
		s.mu.Unlock()
		return DropStreamClosed, false
	}
	o = o.current()
	if d.stored && origin.replaced.Load() { // must not follow its successor [MQTT-4.6.0-5]
		s.mu.Unlock()
		return 0, true
	}
	if reason, ok = o.admit(d); !ok {
		return o.refused(d, reason, insist)
	}
	d.m.Retain()
	o.queue.push(d)
	o.announce()
	c := s.client
	s.mu.Unlock()
	switch {
	case c == nil:
	case d.live && d.share == nil: // so this is the goroutine that routes d.m
		c.wakeAfter(d.m.feeder)
	default:
		c.wake()
	}
	return 0, true
}

// refused is the rest of enqueue when there is no place for d, unless some can be made.
// It unlocks s.mu.
func (o *outlet) refused(d *delivery, reason DropReason, insist bool) (_ DropReason, ok bool) {
	s := o.s
	var expired, old []delivery
	if reason.full() {
		if expired = o.purge(); len(expired) > 0 {
			reason, ok = o.admit(d)
		}
		if !ok && insist && s.b.cfg.QueuePolicy == DropOld {
			var few [4]delivery
			reason, ok, old = o.makeRoom(d, few[:0])
		}
	}
	if ok {
		d.m.Retain()
		o.queue.push(d)
		o.announce()
	}
	c := s.client
	s.mu.Unlock()
	s.release(expired, DropExpired)
	for i := range old {
		s.dropped(DropQueueFull)
		old[i].m.Release()
	}
	switch {
	case c == nil:
	case ok:
		c.wake()
	case insist && reason == DropQueueFull && s.b.cfg.QueuePolicy == DropClient:
		o.giveUp(c)
	}
	return reason, ok
}

// giveUp ends a connection that does not read its messages, or the data stream that is not
// read. No lock is held.
func (o *outlet) giveUp(c *Client) {
	s := o.s
	s.mu.Lock()
	st := o.stream
	s.mu.Unlock()
	if st == nil {
		c.kick(packet.QuotaExceeded, errSlow)
		return
	}
	st.overrun.Store(true)
	st.waiting.Store(true)
	c.wake()
}

const errSlow = "client does not read its messages"

// makeRoom takes the oldest messages out of a full queue until there is room for d.
// s.mu is held.
func (o *outlet) makeRoom(d *delivery, old []delivery) (DropReason, bool, []delivery) {
	s := o.s
	for {
		reason, ok := o.admit(d)
		if ok || !reason.full() || o.queue.n == 0 {
			return reason, ok, old
		}
		old = append(old, o.queue.pop())
		if s.client == nil {
			s.setOffline(s.queue.bytes + s.out.bytes)
		}
	}
}

// release gives up what has been taken out of the queue. No lock is held.
func (s *Session) release(gone []delivery, reason DropReason) {
	if len(gone) == 0 {
		return
	}
	s.b.count.dropped[reason].Add(uint64(len(gone)))
	for _, d := range gone {
		d.m.Release()
	}
}

// purgeInterval is the least time between two searches of a full queue for messages
// that have expired, because each looks at all of them.
const purgeInterval = time.Second

// purge takes what is stale out of a full queue [MQTT-3.3.2-5]. s.mu is held.
func (o *outlet) purge() []delivery {
	s := o.s
	now := s.b.now()
	if now < s.purgeAt {
		return nil
	}
	s.purgeAt = now + int64(purgeInterval)
	expired := o.queue.take(func(d *delivery) bool { return s.stale(d, now) }, nil)
	if s.client == nil {
		s.setOffline(s.queue.bytes + s.out.bytes)
	}
	return expired
}

// stale reports whether d must not be sent any more: its Message Expiry Interval is
// over, or it has waited for longer than MaxQueuedAge. A retained message does not wait
// in the queue from when it was published.
func (s *Session) stale(d *delivery, now int64) bool {
	if d.m.expires != 0 && d.m.expires <= now {
		return true
	}
	most := int64(s.b.cfg.MaxQueuedAge)
	return most > 0 && !d.stored && now-d.m.arrived >= most
}

// admit decides whether d may be queued. Who sends retained messages looks for room
// itself.
func (o *outlet) admit(d *delivery) (DropReason, bool) {
	s := o.s
	switch {
	case s.ended:
		return DropSessionEnded, false
	case s.client == nil && d.qos == 0:
		return DropOffline, false
	case o.queue.n == 0 || d.stored:
	case o.full(d.m.Size()):
		return DropQueueFull, false
	}
	if s.client == nil && !s.countOffline(d.m.Size()) {
		return DropOfflineFull, false
	}
	return 0, true
}

// countOffline counts bytes that are queued for a session without a connection, if
// MaxOfflineBytes allows them. s.mu is held.
func (s *Session) countOffline(bytes int) bool {
	if s.b.count.offline.Add(int64(bytes)) > s.b.cfg.MaxOfflineBytes {
		s.b.count.offline.Add(-int64(bytes))
		return false
	}
	s.offline += bytes
	return true
}

// setOffline corrects what is counted. s.mu is held.
func (s *Session) setOffline(bytes int) {
	if bytes != s.offline {
		s.b.count.offline.Add(int64(bytes - s.offline))
		s.offline = bytes
	}
}

func (s *Session) dropped(reason DropReason) {
	s.b.count.dropped[reason].Add(1)
	switch reason {
	case DropQueueFull:
		s.b.logDropped(s, "message dropped: queue is full, raise MaxQueuedMessages or MaxQueuedBytes")
	case DropOfflineFull:
		s.b.logDropped(s, "message dropped: too much is kept for clients that are away, raise MaxOfflineBytes or lower MaxSessionExpiry")
	}
}
