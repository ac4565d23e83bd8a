package broker

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// bucket is a token bucket that holds what a rate gives in one second. It starts full.
type bucket struct {
	fullAt int64 // broker time at which it is full again, if nothing more is taken
}

// allow takes one token of rate per second, if there is one.
func (k *bucket) allow(now, rate int64) bool {
	at := max(k.fullAt, now) + int64(time.Second)/rate
	if at-now > int64(time.Second) {
		return false
	}
	k.fullAt = at
	return true
}

// charge takes n tokens, also those that are not there, and gives the time in
// nanoseconds until the debt is paid; 0: there is none.
func (k *bucket) charge(now, n, rate int64) (debt int64) {
	k.fullAt = max(k.fullAt, now) + n*int64(time.Second)/rate
	return max(k.fullAt-now-int64(time.Second), 0)
}

// RatePolicy says what becomes of a client that sends more than MaxMessageRate or
// MaxByteRate.
type RatePolicy uint8

const (
	// RateWait does not read from the client until it is within its rates again. TCP
	// and QUIC flow control make it wait; nothing is lost. What arrived before is still
	// handled: over QUIC up to the flow control window.
	RateWait RatePolicy = iota
	// RateDisconnect ends the connection, in MQTT 5.0 with DISCONNECT 0x96 (Message
	// rate too high).
	RateDisconnect
	numRatePolicies
)

var rateNames = [numRatePolicies]string{"wait", "disconnect"}

// String is "wait" or "disconnect".
func (p RatePolicy) String() string {
	if p < numRatePolicies {
		return rateNames[p]
	}
	return fmt.Sprintf("RatePolicy(%d)", uint8(p))
}

// UnmarshalText reads what String gives.
func (p *RatePolicy) UnmarshalText(text []byte) error {
	for i, name := range rateNames {
		if name == string(text) {
			*p = RatePolicy(i)
			return nil
		}
	}
	return fmt.Errorf("%q is not wait or disconnect", text)
}

// meter holds a client to its rates. Owner only, but for resume and timer.
type meter struct {
	c                           *Client
	messages, bytes, subscribes bucket
	resume                      atomic.Int64 // broker time until which nothing is to be read
	timer                       timer        // for resume
}

// newMeter is nil when no rate is limited.
func newMeter(c *Client) *meter {
	cfg := &c.b.cfg
	if cfg.MaxMessageRate == 0 && cfg.MaxByteRate == 0 && cfg.MaxSubscribeRate == 0 {
		return nil
	}
	return &meter{c: c}
}

// onTimer has the owner look at Pause again.
func (m *meter) onTimer(int64) { m.c.t.Wake() }

// Pause is how long the owner must not read from the connection, because the client is
// ahead of its rates (RateWait); 0: it may. Transport.Wake is called when the time has
// come. Owner only.
func (c *Client) Pause() time.Duration {
	if c.meter == nil {
		return 0
	}
	resume := c.meter.resume.Load()
	if resume == 0 {
		return 0
	}
	return max(time.Duration(resume-c.b.now()), 0)
}

var errRate = &Error{Code: packet.MessageRateTooHigh, Reason: "more than the server takes per second"}

// admitBytes ends a client that sends too many bytes, under RateDisconnect.
func (c *Client) admitBytes(now int64, n int) error {
	rate := int64(c.b.cfg.MaxByteRate)
	if rate > 0 && c.b.cfg.RatePolicy == RateDisconnect && c.meter.bytes.charge(now, int64(n), rate) > 0 {
		return errRate
	}
	return nil
}

// admitMessage ends a client that sends too many messages, under RateDisconnect.
func (c *Client) admitMessage() error {
	if c.meter == nil {
		return nil
	}
	rate := int64(c.b.cfg.MaxMessageRate)
	if rate > 0 && c.b.cfg.RatePolicy == RateDisconnect && !c.meter.messages.allow(c.b.now(), rate) {
		return errRate
	}
	return nil
}

// admitSubscription refuses a filter that comes too soon, with 0x97 in the SUBACK.
func (c *Client) admitSubscription() error {
	rate := int64(c.b.cfg.MaxSubscribeRate)
	if rate > 0 && !c.meter.subscribes.allow(c.b.now(), rate) {
		return &Error{Code: packet.QuotaExceeded, Reason: "too many subscriptions per second"}
	}
	return nil
}

// slowDown charges what a Feed has brought and notes until when the owner has to wait,
// under RateWait. Meanwhile the client cannot be heard: it does not count as silent.
func (c *Client) slowDown(now int64, bytes int, n *tally) {
	cfg, m := &c.b.cfg, c.meter
	if cfg.RatePolicy != RateWait {
		return
	}
	var debt int64
	if rate := int64(cfg.MaxByteRate); rate > 0 {
		debt = m.bytes.charge(now, int64(bytes), rate)
	}
	if rate := int64(cfg.MaxMessageRate); rate > 0 {
		sent := n.messages[0] + n.messages[1] + n.messages[2]
		debt = max(debt, m.messages.charge(now, int64(sent), rate))
	}
	if debt > 0 {
		m.resume.Store(now + debt)
		c.seen.Store(now + debt)
		c.b.timers.set(&m.timer, m, now+debt)
	}
}
