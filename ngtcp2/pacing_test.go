package ngtcp2

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// quietPair is a pair with an open stream, and nothing to say.
func quietPair(t *testing.T) (p *pair, id int64) {
	p = connect(t, options{})
	id = p.c.open()
	p.c.write(id, []byte("first"), false)
	p.runFor(2 * time.Second)
	require.Greater(t, p.next(), p.now.Add(time.Second))
	return p, id
}

// The pause after a packet is no deadline when nothing waits for its end.
func TestPauseWakesNobody(t *testing.T) {
	p, id := quietPair(t)
	p.c.write(id, make([]byte, 5000), false)
	p.flush(p.c)
	assert.Greater(t, p.c.conn.Expiry(), p.now.Add(testDelay), "only the loss detection timer is left")

	p.c.write(id, make([]byte, 5000), false)
	w, err := p.c.conn.WritePkts(p.c.dst, p.c.pending, p.now)
	p.c.pending = nil
	require.NoError(t, err)
	assert.Zero(t, w.N, "data in the pause waits")
	resume := p.c.conn.Expiry()
	assert.Less(t, resume, p.now.Add(testDelay), "for its end")
	p.now = resume
	require.NoError(t, p.c.conn.HandleExpiry(p.now))
	w, err = p.c.conn.WritePkts(p.c.dst, nil, p.now)
	require.NoError(t, err)
	assert.Greater(t, w.N, 5000)
}

// A pause that nobody waited for makes no later one shorter: ngtcp2 makes up for late timers.
func TestPauseEndsInTime(t *testing.T) {
	p, id := quietPair(t)
	p.c.write(id, make([]byte, 5000), false)
	p.flush(p.c)
	p.runFor(10 * time.Second)
	p.c.write(id, make([]byte, testWindow), false)
	w, err := p.c.conn.WritePkts(p.c.dst, p.c.pending, p.now)
	p.c.pending = nil
	require.NoError(t, err)
	require.Greater(t, w.N, 10_000)
	_, err = p.c.conn.WritePkts(p.c.dst, nil, p.now)
	require.NoError(t, err)
	i := p.c.conn.Info()
	pause := time.Duration(w.N) * i.SmoothedRTT / time.Duration(i.CWND) * 100 / 125
	assert.InDelta(t, pause, time.Duration(p.c.conn.Expiry()-p.now), float64(time.Millisecond))
}
