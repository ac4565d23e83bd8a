package endpoint

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/ngtcp2"
)

// Both sides change their keys, and nothing is lost.
func TestInitiateKeyUpdate(t *testing.T) {
	w := newWire(t)
	conn, s := w.connect(t)
	for range 100 {
		w.step(10 * time.Millisecond)
	}
	exchange := func(n int) {
		before := w.echoed
		_, _ = s.Write(make([]byte, n))
		for w.echoed < before+n {
			w.step(10 * time.Millisecond)
		}
	}
	for i := range 6 {
		from := []*Conn{conn, w.accepted}[i%2]
		require.NoError(t, from.InitiateKeyUpdate(), "round %d", i)
		assert.ErrorIs(t, from.InitiateKeyUpdate(), ngtcp2.ErrInvalidState)
		exchange(20_000)
		for range 200 { // three PTOs, and every acknowledgement
			w.step(10 * time.Millisecond)
		}
		exchange(1000) // makes the next keys
	}
	conn.Close(0, "")
	assert.ErrorIs(t, conn.InitiateKeyUpdate(), ErrClosed)
}

func TestConnInfo(t *testing.T) {
	w := newWire(t)
	conn, s := w.connect(t)
	for range 5 {
		w.step(100 * time.Millisecond)
	}
	assert.True(t, conn.HandshakeConfirmed())
	assert.Positive(t, conn.PTO())
	p, ok := conn.PeerParams()
	require.True(t, ok)
	assert.EqualValues(t, DefaultConnWindow, p.InitialMaxData)
	b, u := conn.StreamsLeft()
	assert.EqualValues(t, DefaultMaxBidiStreams-1, b)
	assert.EqualValues(t, DefaultMaxUniStreams, u)
	assert.EqualValues(t, DefaultConnWindow, conn.SendCredit())
	_, _ = s.Write(make([]byte, 1000))
	assert.Equal(t, 1000, conn.Buffered())
	w.client.Poll(w.now)
	assert.EqualValues(t, DefaultConnWindow-1000, conn.SendCredit())
	assert.EqualValues(t, 1000, s.Info().Unacked)
	w.client.Sent(nil)

	conn.Close(0, "")
	for range 50 {
		w.step(100 * time.Millisecond)
	}
	assert.False(t, conn.HandshakeConfirmed())
	assert.Zero(t, conn.PTO())
	assert.Zero(t, conn.SendCredit())
	assert.Zero(t, s.Info())
	b, u = conn.StreamsLeft()
	assert.Zero(t, b+u)
	_, ok = conn.PeerParams()
	assert.False(t, ok)
	assert.ErrorIs(t, s.SetUrgency(1), ErrClosed)
}

// orderer notes which stream brought its last byte when.
type orderer struct {
	echoer
	done []int64
}

func (o *orderer) OnStreamData(s *Stream, data []byte, fin bool) {
	s.Consume(len(data))
	if fin {
		o.done = append(o.done, s.ID())
	}
}

// An urgent stream overtakes what was written before.
func TestStreamUrgency(t *testing.T) {
	w := newWire(t)
	conn, bulk := w.connect(t)
	o := &orderer{echoer: echoer{w: w}}
	w.accepted.setHandler(o)
	_, _ = bulk.Write(make([]byte, 200_000))
	require.NoError(t, bulk.CloseWrite())
	w.client.Poll(w.now) // under way
	w.client.Sent(nil)
	background, err := conn.OpenStream()
	require.NoError(t, err)
	require.NoError(t, background.SetUrgency(ngtcp2.MaxUrgency))
	assert.ErrorIs(t, background.SetUrgency(ngtcp2.MaxUrgency+1), ngtcp2.ErrInvalidArgument)
	urgent, err := conn.OpenStream()
	require.NoError(t, err)
	require.NoError(t, urgent.SetUrgency(0))
	for _, s := range []*Stream{background, urgent} {
		_, _ = s.Write(make([]byte, 5000))
		require.NoError(t, s.CloseWrite())
	}
	for len(o.done) < 3 {
		w.step(10 * time.Millisecond)
	}
	assert.Equal(t, []int64{urgent.ID(), bulk.ID(), background.ID()}, o.done)
}
