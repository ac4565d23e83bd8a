package ngtcp2

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// exchange sends n bytes each way on a new stream of the client.
func (p *pair) exchange(n int) {
	p.t.Helper()
	id := p.c.open()
	p.c.write(id, make([]byte, n), true)
	p.run(func() bool { return p.s.fin[id] })
	p.s.write(id, make([]byte, n), true)
	p.run(func() bool { return p.c.fin[id] })
	require.Len(p.t, p.s.data[id], n)
	require.Len(p.t, p.c.data[id], n)
}

// confirmedUpdates counts the updates of the peer that a side has seen through.
func confirmedUpdates(side *side) (n int) {
	side.ev.TakeLogs(func(r LogRecord) {
		if strings.Contains(string(r.Data), "key update confirmed") {
			n++
		}
	})
	return n
}

func TestKeyUpdateFromBothSides(t *testing.T) {
	for _, released := range []bool{false, true} {
		p := connect(t, options{sset: func(s *Settings) { s.Log = true }})
		p.runFor(time.Second)
		if released { // key updates need no TLS object
			require.True(t, p.s.conn.ReleaseTLS())
		}
		p.exchange(1000)
		const rounds = 4
		for i := range rounds {
			from := []*side{p.c, p.s}[i%2]
			require.NoError(t, from.conn.InitiateKeyUpdate(p.now), "round %d", i)
			assert.ErrorIs(t, from.conn.InitiateKeyUpdate(p.now), ErrInvalidState, "the last one is not acknowledged")
			p.exchange(50_000)
			p.runFor(time.Second) // 3 PTO
			p.exchange(1000)
		}
		assert.Equal(t, rounds, confirmedUpdates(p.s))
		p.runFor(10 * time.Second)
		assert.EqualValues(t, rounds, p.s.conn.KeyUpdates())
		assert.EqualValues(t, rounds, p.c.conn.KeyUpdates())
		require.NoError(t, p.c.err)
		require.NoError(t, p.s.err)
	}
}

// Packets under old and new keys that arrive out of order are all read.
func TestKeyUpdateOverRoughLink(t *testing.T) {
	p := connect(t, options{})
	p.link = rough(5)
	p.runFor(time.Second)
	for range 4 {
		p.exchange(100_000)
		p.runFor(time.Second)
		require.NoError(t, p.c.conn.InitiateKeyUpdate(p.now))
	}
	p.exchange(100_000)
}

func TestKeyUpdateTooEarly(t *testing.T) {
	p := newPair(t, options{})
	assert.ErrorIs(t, p.c.conn.InitiateKeyUpdate(p.now), ErrInvalidState)
	p.handshake()
	p.runFor(time.Second)
	p.close(p.c, ApplicationClose(0, ""))
	assert.ErrorIs(t, p.c.conn.InitiateKeyUpdate(p.now), ErrInvalidState)
	p.run(func() bool { return p.s.err != nil })
	assert.ErrorIs(t, p.s.conn.InitiateKeyUpdate(p.now), ErrInvalidState)
	p.c.conn.Free()
	assert.ErrorIs(t, p.c.conn.InitiateKeyUpdate(p.now), ErrFreed)
}
