package ngtcp2

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// An acknowledgement that waits has a deadline, also when its timer was due while a pause
// between bursts ended: the caller may read first and look at the clock then.
func TestAckThatWaitsHasADeadline(t *testing.T) {
	const tries = 10
	for range tries {
		if ackWaits(t) {
			return
		}
	}
	assert.Fail(t, "all packets were acknowledged at once")
}

// ackWaits reports false when nothing waits: ngtcp2 leaves out a packet number now and then, at
// random, and a packet after that is acknowledged at once.
func ackWaits(t *testing.T) bool {
	p := connect(t, options{sset: func(s *Settings) { s.AckThresh = 100 }})
	id := p.c.open()
	p.c.write(id, []byte("first"), false)
	p.runFor(2 * time.Second)

	const apart = testDelay * 4 / 5
	p.c.write(id, []byte("a"), false)
	p.flush(p.c)
	p.now = p.now.Add(apart)
	p.c.write(id, []byte("b"), false)
	p.flush(p.c)
	p.now = p.now.Add(testDelay - apart)
	since := p.now
	p.s.write(id, make([]byte, 5000), false) // a pause follows, longer than ngtcp2's delay of ACKs
	p.flush(p.s)
	sent := p.s.conn.Info().PktSent
	p.deliver(p.c, p.s)
	p.flush(p.s)
	assert.Equal(t, "firsta", string(p.s.data[id]))
	p.now = since.Add(apart)
	p.deliver(p.c, p.s)
	p.flush(p.s)
	assert.Equal(t, "firstab", string(p.s.data[id]))
	if p.s.conn.Info().PktSent > sent {
		return false
	}
	assert.LessOrEqual(t, p.s.conn.Expiry(), since.Add(DefaultTransportParams().MaxAckDelay))
	return true
}
