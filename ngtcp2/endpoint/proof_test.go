package endpoint

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/ngtcp2"
)

// provenLog notes where the peer has shown to be.
type provenLog struct {
	counter
	proven *[]ngtcp2.Path
}

func (p provenLog) OnPathValidated(from, to ngtcp2.Path) { *p.proven = append(*p.proven, from, to) }

// A new address of the client counts when it has answered there: not at once, and not at
// all when it never does; then packets go back to the old one.
func TestValidatedPath(t *testing.T) {
	w := newWireOf(t, Config{})
	conn, s := w.connect(t)
	for range 20 {
		w.step(10 * time.Millisecond)
	}
	var proven []ngtcp2.Path
	w.accepted.handler = provenLog{counter{w: w}, &proven}
	old := w.accepted.Path()
	assert.Equal(t, old, w.accepted.ValidatedPath())

	// A packet comes from elsewhere, as an attacker who forges the address may send it.
	_, err := s.Write([]byte("hello"))
	require.NoError(t, err)
	elsewhere := netip.AddrPortFrom(wireClient.Addr(), 7)
	for _, d := range flight(w.client, w.now) {
		give(w.server, d, wireServer, elsewhere, w.now)
	}
	assert.Equal(t, elsewhere, w.accepted.Path().Remote, "packets go there")
	assert.Equal(t, old, w.accepted.ValidatedPath())
	for range 500 { // nobody is there
		flight(w.server, w.now)
		w.now = w.now.Add(10 * time.Millisecond)
		w.server.HandleExpiry(w.now)
	}
	assert.Equal(t, old, w.accepted.Path(), "and back")
	assert.Equal(t, old, w.accepted.ValidatedPath())
	assert.Empty(t, proven)

	// The client is at another address.
	_, err = s.Write([]byte("hello"))
	require.NoError(t, err)
	for range 100 {
		for _, d := range flight(w.client, w.now) {
			give(w.server, d, wireServer, elsewhere, w.now)
		}
		for _, d := range flight(w.server, w.now) {
			give(w.client, d, wireClient, wireServer, w.now)
		}
		w.now = w.now.Add(10 * time.Millisecond)
		w.server.HandleExpiry(w.now)
		w.client.HandleExpiry(w.now)
	}
	now := ngtcp2.Path{Local: wireServer, Remote: elsewhere}
	assert.Equal(t, now, w.accepted.ValidatedPath())
	assert.Equal(t, []ngtcp2.Path{old, now}, proven)
	require.False(t, conn.Closed())
}
