package broker

import (
	"context"
	"time"
)

// Limits of how long the janitor sleeps: it wakes up for the next timer, but lets
// timers gather for a moment.
const (
	minSleep = 10 * time.Millisecond
	maxSleep = time.Minute
)

// Run does what depends on time: keep alive, CONNECT deadlines, session and message
// expiry, will delays. It returns when ctx is done.
func (b *Broker) Run(ctx context.Context) {
	t := time.NewTimer(maxSleep)
	defer t.Stop()
	for {
		b.tick()
		t.Reset(b.sleep())
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		case <-b.timers.wake:
		}
	}
}

// tick runs every timer whose time has come.
func (b *Broker) tick() {
	now := b.now()
	for owner := b.timers.due(now); owner != nil; owner = b.timers.due(now) {
		b.fire(owner, now)
	}
}

// fire calls the owner of a timer. A panic costs a client its connection.
func (b *Broker) fire(owner timed, now int64) {
	err := b.Protect("timer", func() error { owner.onTimer(now); return nil })
	if c, ok := owner.(*Client); ok && err != nil {
		c.kick(errPanic.Code, errPanic.Reason)
	}
}

// sleep is the time until the next timer.
func (b *Broker) sleep() time.Duration {
	at, ok := b.timers.next()
	if !ok {
		return maxSleep
	}
	return min(max(time.Duration(at-b.now()), minSleep), maxSleep)
}
