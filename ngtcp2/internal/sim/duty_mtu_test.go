package sim

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/ngmq/ngmq/ngtcp2/endpoint"
)

// Path MTU discovery finds what the path carries, in probes that may be lost.
func testMTURises(t *testing.T) {
	for mtu, want := range map[int]int{0: 1444, 1350: 1342, 1200: 1200} {
		link := wide
		link.MTU = mtu
		w := newWorld(t, 240, link)
		w.transfer(1<<20, time.Minute)
		assert.Equal(t, want, w.LinkStats(w.client, w.server).Longest, "MTU %d", mtu)
	}
}

// narrow carries what QUIC needs at least, and nothing longer.
func narrow() Link {
	l := wide
	l.MTU = 1200
	return l
}

// A path that becomes narrower and says nothing about it swallows every full
// packet. The connection notices (RFC 8899 section 4.3) and goes on with 1200
// bytes.
func testMTUDrop(t *testing.T) {
	w := newWorld(t, 241, wide)
	client, server := w.upload(2 << 20)
	w.until(10*time.Second, func() bool { return server.got > 500<<10 })
	assert.Equal(t, 1444, w.LinkStats(w.client, w.server).Longest)
	w.SetLink(w.client, w.server, narrow())
	start := w.Now()
	w.arrived(client, server, 20*time.Second)
	t.Logf("%v after the change", w.Now().Sub(start))
	assert.Less(t, w.Now().Sub(start), 5*time.Second)
}

// An outage is not taken for a narrow path: full packets come back.
func testMTUAfterOutage(t *testing.T) {
	w := newWorld(t, 242, wide)
	client, server := w.upload(4 << 20)
	w.until(10*time.Second, func() bool { return server.got > 500<<10 })
	w.SetLink(w.client, w.server, Link{Loss: 1})
	w.Pass(2 * time.Second)
	w.SetLink(w.client, w.server, wide)
	before := w.LinkStats(w.client, w.server)
	w.arrived(client, server, time.Minute)
	after := w.LinkStats(w.client, w.server)
	assert.Greater(t, (after.Bytes-before.Bytes)/(after.Sent-before.Sent), 1300, "mean length of a datagram")
}

// The limit is lifted again after ten minutes (RFC 8899 section 5.1.1).
func testMTUComesBack(t *testing.T) {
	w := newWorld(t, 243, wide, func(_, c *endpoint.Config) { c.KeepAlive = 30 * time.Second })
	client, server := w.upload(2 << 20)
	w.until(10*time.Second, func() bool { return server.got > 500<<10 })
	w.SetLink(w.client, w.server, narrow())
	w.arrived(client, server, 20*time.Second)
	w.SetLink(w.client, w.server, wide)
	meanLength := func() int {
		fins, before := server.fins, w.LinkStats(w.client, w.server)
		client.send(t, 1<<20)
		w.until(time.Minute, func() bool { return server.fins > fins })
		after := w.LinkStats(w.client, w.server)
		return (after.Bytes - before.Bytes) / (after.Sent - before.Sent)
	}
	assert.LessOrEqual(t, meanLength(), 1200)
	w.Pass(10 * time.Minute)
	assert.Greater(t, meanLength(), 1300)
}
