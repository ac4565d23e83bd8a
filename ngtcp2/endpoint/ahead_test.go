package endpoint

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/crypto"
	"github.com/ngmq/ngmq/ngtcp2"
)

// swapWorld is a client with a session, whose ClientHello takes two datagrams, and
// servers that take its early data.
type swapWorld struct {
	*wire
	dial DialConfig
	s    *earlyServer
	conn *Conn
}

const swapEarly = "early data in several datagrams"

func newSwapWorld(t *testing.T) *swapWorld {
	t.Helper()
	c, err := certs()
	require.NoError(t, err)
	w := &swapWorld{wire: newWire(t)}
	var session []byte
	w.dial = DialConfig{ServerName: "localhost", Handler: silentHandler{}, OnSession: func(b []byte) { session = b },
		TLS: context_(t, crypto.Config{Role: crypto.Client, CAFile: c.CAFile, ALPN: []string{"mqtt"}, Groups: "X25519MLKEM768"})}
	w.serve(t, RetryNever)
	w.begin(t)
	for session == nil {
		w.step(10 * time.Millisecond)
	}
	w.conn.Close(0, "")
	w.step(time.Millisecond)
	w.dial.OnSession, w.dial.Session, w.dial.EarlyData = nil, session, true
	w.dial.Ready = func(c *Conn) {
		s, err := c.OpenStream()
		require.NoError(t, err)
		_, _ = s.Write([]byte(strings.Repeat(swapEarly, 80)))
	}
	return w
}

// serve puts a new server into the place of the last one.
func (w *swapWorld) serve(t *testing.T, retry RetryPolicy) {
	t.Helper()
	w.s = newEarlyServer(t, earlyTLS(t), func(cfg *Config) { cfg.Retry = retry })
	w.server = w.s.core
}

// begin makes a connection and gives its first flight, which is not on its way.
func (w *swapWorld) begin(t *testing.T) [][]byte {
	t.Helper()
	conn, err := w.client.Connect(wirePath, w.dial, w.now, func(error) {})
	require.NoError(t, err)
	w.conn = conn
	if w.dial.EarlyData {
		return flight(w.client, w.now)
	}
	return nil
}

func (w *swapWorld) give(datagrams ...[]byte) {
	for _, d := range datagrams {
		give(w.server, d, wireServer, wireClient, w.now)
	}
}

// settles asserts that the handshake completes without a timer of either side, that the
// early data arrived as such, and that nothing else is left.
func (w *swapWorld) settles(t *testing.T, what any) {
	t.Helper()
	for range 10 {
		w.step(time.Millisecond)
	}
	require.True(t, w.conn.HandshakeCompleted(), what)
	require.Equal(t, 1, w.s.completed, what)
	require.Equal(t, EarlyAccepted, w.conn.EarlyData(), what)
	require.Equal(t, strings.Repeat(swapEarly, 80), w.s.early+w.s.late, what)
	require.NotEmpty(t, w.s.early, what)
	s := w.server.Stats()
	require.EqualValues(t, 1, s.Conns, what)
	require.Zero(t, s.Handshakes, what)
	require.Empty(t, w.server.ahead.order, what)
	require.Zero(t, w.server.ahead.size, what)
}

// permutations calls f with every order of n indexes.
func permutations(n int, f func([]int)) {
	var extend func(order []int)
	extend = func(order []int) {
		if len(order) == n {
			f(order)
			return
		}
		for i := range n {
			if !slices.Contains(order, i) {
				extend(append(slices.Clone(order), i))
			}
		}
	}
	extend(nil)
}

// A first flight whose datagrams overtake each other: two with the ClientHello, of which
// the second has early data too, and more of that (RFC 9001 section 5.7, RFC 9000
// section 17.2.3).
func TestFirstFlightInAnyOrder(t *testing.T) {
	w := newSwapWorld(t)
	permutations(len(w.begin(t)), func(order []int) {
		w.serve(t, RetryNever)
		hello := w.begin(t)
		require.GreaterOrEqual(t, len(hello), 4)
		for _, i := range order {
			w.give(hello[i])
		}
		w.settles(t, order)
		s := w.server.Stats()
		require.Zero(t, s.Count(Retries), order)
		require.Equal(t, strings.Repeat(swapEarly, 80), w.s.early, order)
	})
}

// The same for what answers a Retry.
func TestFlightAfterRetryInAnyOrder(t *testing.T) {
	w := newSwapWorld(t)
	permutations(len(w.begin(t)), func(order []int) {
		w.serve(t, RetryAlways)
		w.give(w.begin(t)...)
		retry := flight(w.server, w.now)
		require.Len(t, retry, 1, order)
		give(w.client, retry[0], wireClient, wireServer, w.now)
		again := flight(w.client, w.now)
		require.GreaterOrEqual(t, len(again), len(order))
		for _, i := range order {
			w.give(again[i])
		}
		w.give(again[len(order):]...)
		w.settles(t, order)
		require.Equal(t, strings.Repeat(swapEarly, 80), w.s.early, order)
	})
}

// The beginning of a ClientHello that comes after the Retry that asked for all of it
// again: it makes no connection beside the one that the Retry led to, and one that it
// made before is gone with that.
func TestBeginningAfterRetry(t *testing.T) {
	w := newSwapWorld(t)
	for _, before := range []bool{true, false} {
		w.serve(t, RetryNever)
		hello := w.begin(t)
		w.give(hello[1:]...)
		w.now = w.server.Expiry()
		w.server.HandleExpiry(w.now)
		retry := flight(w.server, w.now)
		require.Len(t, retry, 1)
		give(w.client, retry[0], wireClient, wireServer, w.now)
		again := flight(w.client, w.now)
		if before {
			w.give(hello[0])
			require.EqualValues(t, 1, w.server.Live())
		}
		w.give(again[0])
		require.EqualValues(t, 1, w.server.Live())
		if !before {
			w.give(hello[0])
		}
		require.EqualValues(t, 1, w.server.Live())
		w.give(again[1:]...)
		w.settles(t, before)
		s := w.server.Stats()
		require.EqualValues(t, 1, s.Count(Retries))
		require.EqualValues(t, 3, s.Count(DropAhead), "what waited for the beginning")
		require.Len(t, w.server.table.m, len(w.s.conn.nc.SCIDs())+1, "its CIDs, and the client's choice")
	}
}

// A client that goes away after its first flight is not waited for as long as one that
// is slow.
func TestSilentClientIsGivenUp(t *testing.T) {
	w := newSwapWorld(t)
	for n := range 2 { // half a ClientHello, all of it
		w.serve(t, RetryNever)
		w.give(w.begin(t)[:n+1]...)
		flight(w.server, w.now)
		start := w.now
		for w.server.Live() > 0 {
			w.now = w.server.Expiry()
			w.server.HandleExpiry(w.now)
			flight(w.server, w.now)
		}
		require.Equal(t, DefaultHandshakeTimeout/2, w.now.Sub(start))
		s := w.server.Stats()
		require.EqualValues(t, 1, s.Count(ClosedHandshakeTimeout))
		require.Zero(t, s.Handshakes)
		require.Empty(t, w.server.table.m)
	}
}

// What waits for a ClientHello is bounded, for one client and for all, and not for long.
func TestAheadIsBounded(t *testing.T) {
	w := newSwapWorld(t)
	w.serve(t, RetryNever)
	early := w.begin(t)[2]
	for range 3 * maxAhead {
		w.give(early)
	}
	s := w.server.Stats()
	require.EqualValues(t, maxAhead, s.Count(KeptAhead))
	require.EqualValues(t, 2*maxAhead, s.Count(DropAhead))
	for n := range 1000 {
		other := slices.Clone(early)
		other[6], other[7] = byte(n), byte(n>>8) // of the DCID
		w.give(other)
	}
	require.LessOrEqual(t, w.server.ahead.size, aheadSize)
	s = w.server.Stats()
	require.InDelta(t, aheadSize/(len(early)+aheadCost), s.Count(KeptAhead), 1)
	require.EqualValues(t, 1000+3*maxAhead, s.Count(KeptAhead)+s.Count(DropAhead))
	require.Empty(t, flight(w.server, w.now))

	w.now = w.now.Add(sameFlight)
	w.server.HandleExpiry(w.now)
	require.Empty(t, flight(w.server, w.now), "nobody has said hello")
	require.Zero(t, w.server.ahead.size)
	require.Empty(t, w.server.ahead.m)
	require.Equal(t, ngtcp2.NoExpiry, w.server.Expiry())
	s = w.server.Stats()
	require.EqualValues(t, 1000+3*maxAhead, s.Count(DropAhead))
}

// Early data that nobody wants is not kept, nor what a Retry asks for again.
func TestUnwantedEarlyDataIsDropped(t *testing.T) {
	w := newSwapWorld(t)
	for _, opt := range []func(*Config){
		func(cfg *Config) { cfg.EarlyData = false },
		func(cfg *Config) { cfg.Retry = RetryAlways },
	} {
		w.s = newEarlyServer(t, earlyTLS(t), opt)
		w.server = w.s.core
		w.give(w.begin(t)[2])
		s := w.server.Stats()
		require.Zero(t, s.Count(KeptAhead))
		require.EqualValues(t, 1, s.Count(DropAhead)+s.Count(DropNotInitial))
	}
}

func TestAfterInitials(t *testing.T) {
	w := newSwapWorld(t)
	hello := w.begin(t)
	require.Empty(t, afterInitials(hello[0]))
	rest := afterInitials(hello[1])
	require.EqualValues(t, typeEarly, longType(rest))
	require.Equal(t, rest, afterInitials(rest))
	both := append(slices.Clone(hello[0]), hello[1]...)
	require.Equal(t, rest, afterInitials(both))
	for n := range both {
		require.LessOrEqual(t, len(afterInitials(both[:n])), n)
	}
	require.Empty(t, afterInitials(both[:len(hello[0])+20]))
}
