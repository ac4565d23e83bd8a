package ngtcp2

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A Conn issues the CIDs that it was given, no others, and one call never needs more than
// MaxGivenCIDs.
func TestGivenCIDs(t *testing.T) {
	p := newPair(t, options{cparam: func(tp *TransportParams) { tp.ActiveConnectionIDLimit = 8 }})
	p.given = true
	var given []ConnectionID
	fill := func() {
		for p.s.ev.GivenCIDs() < MaxGivenCIDs {
			id := randomCID(testCIDLen)
			given = append(given, id)
			require.True(t, p.s.ev.GiveCID(id))
		}
	}
	fill()
	assert.False(t, p.s.ev.GiveCID(randomCID(testCIDLen)), "there is no more room")
	p.s.onEvent = func(ev *Event) {
		if ev.Type == EventNewCID {
			assert.Contains(t, given, p.s.ev.CID(ev))
			fill()
		}
	}
	p.handshake()
	p.runFor(time.Second)
	require.NoError(t, p.s.err)
	issued := p.s.conn.SCIDs()
	assert.Len(t, issued, 8, "NGTCP2_MAX_SCID_POOL_SIZE")
	own := 0
	for _, id := range issued {
		if !slices.Contains(given, id) {
			own++
		}
	}
	assert.Equal(t, 1, own, "the first one is ConnConfig.SCID")
}

// Without any the connection ends, and nothing worse happens; likewise with one of another
// length.
func TestGivenCIDsMissing(t *testing.T) {
	for _, wrong := range []bool{false, true} {
		p := newPair(t, options{})
		p.given = true
		if wrong {
			require.True(t, p.s.ev.GiveCID(randomCID(testCIDLen+1)))
		}
		p.run(func() bool { return p.s.err != nil })
		var e *Error
		require.ErrorAs(t, p.s.err, &e)
		assert.Equal(t, CodeCallbackFailure, e.Code)
	}
}
