package ngtcp2

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Urgent data overtakes what was queued before it.
func TestStreamUrgency(t *testing.T) {
	p := connect(t, options{})
	slow, normal, urgent := p.c.open(), p.c.open(), p.c.open()
	require.NoError(t, p.c.conn.SetStreamUrgency(slow, MaxUrgency))
	require.NoError(t, p.c.conn.SetStreamUrgency(urgent, 0))
	const n = testWindow / 4
	for _, id := range []int64{slow, normal, urgent} {
		p.c.write(id, make([]byte, n), true)
	}
	p.run(func() bool { return p.s.fin[urgent] })
	assert.Less(t, len(p.s.data[normal]), n/2)
	assert.Empty(t, p.s.data[slow])
	p.run(func() bool { return p.s.fin[normal] })
	assert.Less(t, len(p.s.data[slow]), n/2)
	p.run(func() bool { return p.s.fin[slow] })
	assert.Len(t, p.s.data[slow], n)
}

// A change counts for data that waits already, and for a stream that waits for the
// connection's credit.
func TestStreamUrgencyChanges(t *testing.T) {
	p := connect(t, options{sparam: func(tp *TransportParams) { tp.InitialMaxData = 20_000 }})
	p.s.hold = true
	a, b := p.c.open(), p.c.open()
	p.c.write(a, make([]byte, 50_000), true)
	p.c.write(b, make([]byte, 50_000), true)
	p.run(func() bool { return len(p.s.data[a])+len(p.s.data[b]) == 20_000 })
	before := len(p.s.data[a])
	require.NoError(t, p.c.conn.SetStreamUrgency(b, 1))
	require.NoError(t, p.s.conn.ExtendMaxOffset(20_000))
	p.run(func() bool { return len(p.s.data[a])+len(p.s.data[b]) == 40_000 })
	assert.Equal(t, before, len(p.s.data[a]))
	require.NoError(t, p.s.conn.ExtendMaxOffset(100_000))
	p.run(func() bool { return p.s.fin[a] && p.s.fin[b] })
}

// An urgent stream without credit or data of its own holds nobody up.
func TestUrgentStreamBlocked(t *testing.T) {
	p := connect(t, options{sparam: func(tp *TransportParams) { tp.InitialMaxStreamDataBidiRemote = 5000 }})
	p.s.hold = true
	a, b := p.c.open(), p.c.open()
	require.NoError(t, p.c.conn.SetStreamUrgency(a, 0))
	p.c.write(a, make([]byte, 6000), true)
	p.c.write(b, make([]byte, 5000), true)
	p.run(func() bool { return p.s.fin[b] })
	assert.Len(t, p.s.data[a], 5000)
	assert.ErrorIs(t, p.c.conn.SetStreamUrgency(b, MaxUrgency+1), ErrInvalidArgument)
	assert.ErrorIs(t, p.c.conn.SetStreamUrgency(4000, 1), ErrStreamNotFound)
	p.c.conn.Free()
	assert.ErrorIs(t, p.c.conn.SetStreamUrgency(a, 1), ErrFreed)
}
