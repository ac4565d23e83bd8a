package endpoint

import (
	"time"

	"github.com/ngmq/ngmq/ngtcp2"
)

// Rates of replies that are made without a connection, per worker and second.
// Garbage may not turn a server into a source of traffic, and none of these
// replies is needed more often by honest peers.
const (
	versionNegotiationRate = 1000
	retryRate              = 20000 // an honest client waits for it: only a flood's ceiling
	statelessResetRate     = 200
	refuseRate             = 1000
)

// limiter is a token bucket that holds one second's worth.
type limiter struct {
	rate   uint64 // per second
	tokens uint64 // in units of 1/second nanoseconds: one reply costs a second
	last   ngtcp2.Timestamp
	primed bool
}

func newLimiter(rate uint64) limiter { return limiter{rate: rate} }

// allow takes one token.
func (l *limiter) allow(now ngtcp2.Timestamp) bool {
	const second = uint64(time.Second)
	full := l.rate * second
	if !l.primed {
		l.tokens, l.primed = full, true
	} else if now > l.last {
		elapsed := min(uint64(now-l.last), second)
		l.tokens = min(full, l.tokens+elapsed*l.rate)
	}
	l.last = now
	if l.tokens < second {
		return false
	}
	l.tokens -= second
	return true
}
