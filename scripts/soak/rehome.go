package main

import (
	"context"
	"time"
)

const (
	quietTime  = 2 * time.Second  // for what is in flight, before a connection with early data
	rehomeTime = 20 * time.Second // for each step of rehome
	waitPoll   = 10 * time.Millisecond
)

// rehome ends a data stream on which the client subscribes, with messages in flight on it, and
// subscribes again on another one. Those messages come on the control stream. The end of the
// stream is the end of the subscription: meanwhile nobody in the group publishes at its QoS, so
// that nothing may be lost.
func (c *client) rehome(ctx context.Context) {
	qos := c.rnd.IntN(levels)
	by := ending(c.rnd.IntN(int(endings)))
	if c.home != multi || !c.f.pause(c, qos) {
		return
	}
	defer c.f.resume(c, qos)
	c.mu.Lock()
	x := c.conn
	slot := x.subscribeSlot(qos)
	ok := x.ready && slot != 0
	if ok {
		c.deaf[slot] = true
	}
	c.mu.Unlock()
	if !ok {
		return
	}
	if !x.wait(rehomeTime, func() bool { return c.f.acknowledged(c, qos) }) || !c.endSubscription(x, qos, by) {
		c.again(ctx, multi)
		return
	}
	c.f.count.rehomed.Add(1)
}

// endSubscription ends the stream and subscribes again; false: x is gone.
func (c *client) endSubscription(x *connection, qos int, by ending) bool {
	slot := x.subscribeSlot(qos)
	c.mu.Lock()
	c.note("end stream slot %d, by %d", slot, by)
	x.rehomed = make(chan struct{})
	x.link.abandon(slot, by)
	c.mu.Unlock()
	if !x.await(x.rehomed) {
		return false
	}
	c.mu.Lock()
	x.settled = make(chan struct{})
	x.pending = 1
	c.subscribeTo(x, qos)
	settled := x.settled
	c.mu.Unlock()
	return x.await(settled)
}

// await waits for c, at most rehomeTime; false: the connection is gone, or does not answer.
func (x *connection) await(c chan struct{}) bool {
	limit := time.NewTimer(rehomeTime)
	defer limit.Stop()
	select {
	case <-c:
		return true
	case <-x.closed:
	case <-limit.C:
	}
	return false
}

// wait waits until something holds, at most for a time; false: it does not, or x is gone. c.mu
// is not held.
func (x *connection) wait(most time.Duration, condition func() bool) bool {
	poll := time.NewTicker(waitPoll)
	defer poll.Stop()
	for limit := time.Now().Add(most); time.Now().Before(limit); {
		if condition() {
			return true
		}
		select {
		case <-poll.C:
		case <-x.closed:
			return false
		}
	}
	return false
}

// pause has nobody in the group of c publish at a QoS; false: another one has asked for that.
func (f *fleet) pause(c *client, qos int) bool {
	return f.paused[f.groupOf(c.id)][qos].CompareAndSwap(false, true)
}

func (f *fleet) resume(c *client, qos int) { f.paused[f.groupOf(c.id)][qos].Store(false) }

// may reports whether c may publish now: its whole group has subscribed with the server that
// there is, and nobody wants to be left alone.
func (f *fleet) may(c *client, qos int) bool {
	if f.held.Load() || f.paused[f.groupOf(c.id)][qos].Load() {
		return false
	}
	kills := f.kills.Load()
	first := f.groupOf(c.id) * groupSize
	for id := first; id < min(first+groupSize, len(f.clients)); id++ {
		if f.clients[id].settledIn.Load() != kills {
			return false
		}
	}
	return true
}

// acknowledged reports whether the group of c has nothing in flight at a QoS.
func (f *fleet) acknowledged(c *client, qos int) bool {
	for _, id := range f.group(c.id) {
		m := f.clients[id]
		m.mu.Lock()
		n := m.inFlight(qos)
		m.mu.Unlock()
		if n > 0 {
			return false
		}
	}
	return true
}
