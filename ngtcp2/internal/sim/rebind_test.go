package sim

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/ngtcp2/endpoint"
)

// rebinding is a connection whose client gets another address from its NAT before one
// datagram of either side leaves, over a network that may lose some.
type rebinding struct {
	delay        time.Duration
	retry, early bool
	host         bool // the IP address changes, not only the port
	at           int  // the datagram before which it happens, from 0
	lost         int  // the datagram that is lost; -1 = none
}

func (r rebinding) String() string {
	return fmt.Sprintf("delay %v, retry %t, early %t, host %t, before datagram %d, lost %d", r.delay, r.retry, r.early, r.host, r.at, r.lost)
}

const (
	rebindDatagrams = 14               // beyond the first data after the handshake
	rebindAnswer    = 2 * time.Second  // after the handshake; probe timeouts double from at most 0.3 s
	rebindPatience  = 30 * time.Second // of the client
)

// rebindWorld makes one connection after the other.
type rebindWorld struct {
	*earlyWorld
	session []byte
	dials   int
}

func newRebindWorld(t *testing.T, r rebinding) *rebindWorld {
	w := &rebindWorld{earlyWorld: newEarlyWorld(t, 250, Link{Delay: r.delay}, allowEarly, func(s, _ *endpoint.Config) {
		if r.retry {
			s.Retry = endpoint.RetryAlways
		}
	})}
	w.newPeer = func() *peer { return &peer{echo: true} }
	if r.early {
		w.session = w.earlyWorld.session()
	}
	return w
}

// rebinds has the network do to the next connection what r says.
func (w *rebindWorld) rebinds(r rebinding) {
	w.dials++
	host, seen := 2, -1
	if r.host {
		host = 3 + w.dials%200
	}
	w.Tap = func(*Node) bool {
		if seen++; seen == r.at {
			w.Rebind(w.client, fmt.Sprintf("10.0.0.%d:%d", host, 10_000+w.dials))
		}
		return seen != r.lost
	}
}

// try makes a connection and asks something on it. Whoever has completed the handshake
// gets an answer soon; for others the connection fails.
func (w *rebindWorld) try(r rebinding) {
	w.t.Helper()
	w.rebinds(r)
	p := newWatcher(&peer{})
	c, err := w.Dial(w.client, w.server, endpoint.DialConfig{TLS: w.tls, ServerName: "localhost", Handler: p,
		Session: w.session, EarlyData: r.early,
		Ready: func(c *endpoint.Conn) { open(w.t, c.OpenStream, "question", false) },
	}, func(err error) { p.dialErr = err })
	require.NoError(w.t, err)
	failed := func() bool { return p.dialErr != nil || p.closed }
	require.NoError(w.t, w.Run(rebindPatience, func() bool { return p.completed > 0 || failed() }), r)
	if p.completed > 0 {
		require.NoError(w.t, w.Run(rebindAnswer, func() bool { return p.peer.got > 0 }), r)
		c.Close(0, "")
	} else {
		assert.True(w.t, failed(), r)
	}
	w.Tap = nil
	w.Pass(10 * time.Second)
}

// A client may get another address at any time. Before it has the server's part of
// the handshake there is no way to it (RFC 9000 section 9), and the dial fails. Afterwards
// it gets its answer, also when its Finished comes from the new address.
func TestRebindingAtEveryDatagram(t *testing.T) {
	for bits := range 8 {
		r := rebinding{delay: 10 * ms, retry: bits&1 != 0, early: bits&2 != 0, host: bits&4 != 0}
		w := newRebindWorld(t, r)
		for r.at = range rebindDatagrams {
			for r.lost = max(r.at-3, -1); r.lost < r.at+3; r.lost++ {
				w.try(r)
			}
		}
	}
}

// unanswered makes a connection as try does, and loses one datagram of four besides. It
// reports a complete handshake after which there is no answer.
func (w *rebindWorld) unanswered(r rebinding) bool {
	w.t.Helper()
	w.rebinds(r)
	rebind := w.Tap
	w.Tap = func(n *Node) bool { return rebind(n) && !w.chance(0.25) }
	p := newWatcher(&peer{})
	c, err := w.Dial(w.client, w.server, endpoint.DialConfig{TLS: w.tls, ServerName: "localhost", Handler: p,
		Ready: func(c *endpoint.Conn) { open(w.t, c.OpenStream, "question", false) },
	}, func(err error) { p.dialErr = err })
	require.NoError(w.t, err)
	failed := func() bool { return p.dialErr != nil || p.closed }
	_ = w.Run(rebindPatience, func() bool { return p.completed > 0 || failed() })
	if p.completed > 0 {
		err = w.Run(rebindPatience, func() bool { return p.peer.got > 0 || failed() })
		c.Close(0, "")
	}
	w.Tap = nil
	w.Pass(10 * time.Second)
	return err != nil
}

// When HANDSHAKE_DONE went to the old address, the client may have lost so much that
// its congestion window has room for nothing but its Finished, again and again. The server
// answers to where that comes from. One connection of 25 stalled without.
func TestRebindingBeforeHandshakeDone(t *testing.T) {
	r := rebinding{delay: 10 * ms, lost: -1, host: true}
	w := newRebindWorld(t, r)
	stalls := 0
	for i := range 400 {
		r.at = 3 + i%7
		if w.unanswered(r) {
			stalls++
		}
	}
	t.Logf("%d stalled", stalls)
	assert.LessOrEqual(t, stalls, 5, "the network may be as bad as that")
}

// Somebody who has seen a Connection ID cannot divert what the server sends with a long
// header: a client that knows that the handshake is complete sends none.
func TestLongHeaderFromElsewhereDivertsNothing(t *testing.T) {
	const cidLen = 9
	w := newWorld(t, 251, Link{Delay: 10 * ms})
	thief := w.Add(w.core(endpoint.Config{}), "10.0.9.9:9999")
	client := w.connect()
	w.Pass(time.Second)
	open(t, client.conn.OpenStream, "x", false)
	buf, runs := w.client.Core.Poll(w.Now())
	require.NotEmpty(t, runs)
	cid := append([]byte(nil), buf[runs[0].Off+1:][:cidLen]...)
	w.client.Core.Sent(nil) // lost
	forged := make([]byte, 1200)
	copy(forged, append([]byte{0xe0, 0, 0, 0, 1, cidLen}, cid...))
	for range 10 {
		w.Send(thief, w.server, forged)
	}
	w.Pass(20 * ms)
	s, err := w.accepted[0].conn.OpenStream()
	require.NoError(t, err)
	_, _ = s.Write([]byte("secret"))
	w.until(5*time.Second, func() bool { return client.got == len("secret") })
	assert.Zero(t, w.LinkStats(w.server, thief).Sent)
}
