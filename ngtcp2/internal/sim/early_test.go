package sim

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/crypto"
	"github.com/ngmq/ngmq/ngtcp2"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
)

// watcher is a peer that remembers what arrived on each stream, and when the
// handshake was complete.
type watcher struct {
	*peer
	data      map[int64][]byte
	fin       map[int64]bool
	early     int // bytes of streams that came in 0-RTT packets
	ready     bool
	completed int
	got       []string // datagrams
	gotEarly  int
	acked     []uint64
	lost      []uint64
}

func newWatcher(p *peer) *watcher {
	return &watcher{peer: p, data: map[int64][]byte{}, fin: map[int64]bool{}}
}

func (w *watcher) OnStreamData(s *endpoint.Stream, data []byte, fin bool) {
	w.data[s.ID()] = append(w.data[s.ID()], data...)
	w.fin[s.ID()] = w.fin[s.ID()] || fin
	if s.Early() {
		w.early += len(data)
	}
	w.peer.OnStreamData(s, data, fin)
}

func (w *watcher) OnHandshakeCompleted() { w.completed++ }

func (w *watcher) OnDatagram(data []byte, early bool) {
	w.got = append(w.got, string(data))
	if early {
		w.gotEarly++
	}
}

func (w *watcher) OnDatagramAcked(id uint64) { w.acked = append(w.acked, id) }
func (w *watcher) OnDatagramLost(id uint64)  { w.lost = append(w.lost, id) }

// earlyWorld is a world whose server takes early data, or does not.
type earlyWorld struct {
	*world
	servers []*watcher
}

func ticketKey(b byte) []byte { return bytes.Repeat([]byte{b}, crypto.TicketKeyLen) }

// allowEarly makes tickets of key 1.
func allowEarly(c *crypto.Config) { c.EarlyData, c.TicketKeys = true, [][]byte{ticketKey(1)} }

func newEarlyWorld(t testing.TB, seed uint64, link Link, tls func(*crypto.Config), opts ...option) *earlyWorld {
	t.Helper()
	on := func(s, _ *endpoint.Config) { s.EarlyData, s.TLS = true, newTLS(t, crypto.Server, tls) }
	e := &earlyWorld{world: newWorld(t, seed, link, append([]option{on}, opts...)...)}
	e.wrap = func(p *peer) endpoint.ConnHandler {
		s := newWatcher(p)
		e.servers = append(e.servers, s)
		return s
	}
	return e
}

// session connects once, and gives what can be resumed.
func (e *earlyWorld) session() (session []byte) {
	e.t.Helper()
	p := &peer{}
	conn, err := e.Dial(e.client, e.server, endpoint.DialConfig{TLS: e.tls, ServerName: "localhost", Handler: p,
		OnSession: func(s []byte) { session = s }}, func(err error) { p.dialErr = err })
	require.NoError(e.t, err)
	e.until(time.Minute, func() bool { return session != nil })
	require.NoError(e.t, p.dialErr)
	conn.Close(0, "")
	e.until(time.Minute, func() bool { return p.closed && e.accepted[len(e.accepted)-1].closed })
	return session
}

// begin dials with session; ready is run when the connection can be used.
func (e *earlyWorld) begin(session []byte, ready func(*endpoint.Conn)) *watcher {
	e.t.Helper()
	w := newWatcher(&peer{})
	conn, err := e.Dial(e.client, e.server, endpoint.DialConfig{TLS: e.tls, ServerName: "localhost", Handler: w,
		Session: session, EarlyData: true,
		Ready: func(c *endpoint.Conn) {
			w.ready = true
			ready(c)
		}}, func(err error) { w.ended, w.dialErr = true, err })
	require.NoError(e.t, err)
	w.conn = conn
	return w
}

func (e *earlyWorld) count(n *Node, c endpoint.Counter) uint64 {
	s := n.Core.Stats()
	return s.Count(c)
}

func open(t testing.TB, f func() (*endpoint.Stream, error), data string, fin bool) *endpoint.Stream {
	t.Helper()
	s, err := f()
	require.NoError(t, err)
	_, err = s.Write([]byte(data))
	require.NoError(t, err)
	if fin {
		require.NoError(t, s.CloseWrite())
	}
	return s
}

// Without early data a session spares the certificates; there is a counter for it.
func TestResumption(t *testing.T) {
	e := newEarlyWorld(t, 60, Link{Delay: 10 * ms}, func(*crypto.Config) {})
	session := e.session()
	start := e.Now()
	w := e.begin(session, func(c *endpoint.Conn) {
		assert.Equal(t, 20*ms, e.Now().Sub(start), "the tickets allow no early data")
		assert.True(t, c.TLS().Resumed)
		assert.True(t, c.HandshakeCompleted())
	})
	e.until(time.Second, func() bool { return w.completed > 0 && len(e.servers) == 2 && e.servers[1].completed > 0 })
	assert.True(t, e.servers[1].conn.TLS().Resumed)
	for _, n := range []*Node{e.client, e.server} {
		assert.EqualValues(t, 2, e.count(n, endpoint.HandshakesCompleted))
		assert.EqualValues(t, 1, e.count(n, endpoint.HandshakesFull))
		assert.EqualValues(t, 1, e.count(n, endpoint.HandshakesResumed))
		assert.Zero(t, e.count(n, endpoint.EarlyDataAccepted)+e.count(n, endpoint.EarlyDataRejected))
	}
	assert.Equal(t, endpoint.EarlyNone, w.conn.EarlyData())
	assert.Equal(t, endpoint.EarlyNone, e.servers[1].conn.EarlyData())
}

func TestEarlyDataAccepted(t *testing.T) {
	e := newEarlyWorld(t, 61, Link{Delay: 10 * ms}, allowEarly)
	session := e.session()
	start := e.Now()
	var s *endpoint.Stream
	w := e.begin(session, func(c *endpoint.Conn) {
		assert.Equal(t, start, e.Now(), "before anything is sent")
		assert.False(t, c.HandshakeCompleted())
		assert.Equal(t, endpoint.EarlyPending, c.EarlyData())
		s = open(t, c.OpenStream, "early", false)
	})
	e.until(time.Second, func() bool { return len(e.servers) == 2 && e.servers[1].early == 5 })
	srv := e.servers[1]
	assert.Equal(t, start.Add(10*ms), e.Now(), "it came with the first flight")
	assert.True(t, w.ended, "Dial need not wait")
	assert.False(t, srv.conn.HandshakeCompleted())
	assert.Equal(t, endpoint.EarlyPending, srv.conn.EarlyData())
	assert.Zero(t, srv.completed)
	_, _ = srv.stream.Write([]byte("answer")) // ahead of the client's Finished
	e.until(time.Second, func() bool { return w.completed > 0 && string(w.data[s.ID()]) == "answer" })
	assert.Less(t, e.Now().Sub(start), 21*ms)
	e.until(time.Second, func() bool { return srv.completed > 0 })
	_, _ = s.Write([]byte(" late"))
	e.until(time.Second, func() bool { return len(srv.data[s.ID()]) == 10 && s.Buffered() == 0 })
	assert.Equal(t, "early late", string(srv.data[s.ID()]))
	assert.Equal(t, 5, srv.early)
	assert.False(t, srv.stream.Early())
	for _, c := range []*watcher{w, srv} {
		assert.True(t, c.conn.HandshakeCompleted())
		assert.Equal(t, endpoint.EarlyAccepted, c.conn.EarlyData())
		assert.Equal(t, 1, c.completed)
	}
	for _, n := range []*Node{e.client, e.server} {
		assert.EqualValues(t, 1, e.count(n, endpoint.EarlyDataAccepted))
		assert.EqualValues(t, 1, e.count(n, endpoint.HandshakesResumed))
	}
}

// The reasons for which a server rejects early data.
var rejections = map[string]struct {
	tls    func(*crypto.Config)
	change func(*endpoint.Config)
}{
	"other ticket keys": {tls: func(c *crypto.Config) { c.EarlyData, c.TicketKeys = true, [][]byte{ticketKey(2)} }},
	"other limits":      {tls: allowEarly, change: func(c *endpoint.Config) { c.ConnWindow = 600 << 10 }},
	"off":               {tls: allowEarly, change: func(c *endpoint.Config) { c.EarlyData = false }},
	"off in TLS":        {tls: func(c *crypto.Config) { c.TicketKeys = [][]byte{ticketKey(1)} }},
	"HelloRetryRequest": {tls: func(c *crypto.Config) {
		allowEarly(c)
		c.Groups = "secp384r1"
	}},
}

// oldSession is of a server that takes early data.
func oldSession(t testing.TB, opts ...option) []byte {
	t.Helper()
	return newEarlyWorld(t, 62, Link{Delay: ms}, allowEarly, opts...).session()
}

// Rejected early data is sent again, and the application notices nothing but the
// state, whatever the network does.
func TestEarlyDataRejectedAndRepeated(t *testing.T) {
	links := []Link{{Delay: 10 * ms}, {Delay: 10 * ms, Jitter: 5 * ms, Loss: 0.1, Reorder: 0.2, Duplicate: 0.1}}
	for name, r := range rejections {
		t.Run(name, func(t *testing.T) {
			session := oldSession(t)
			for seed := range uint64(8) {
				testRejected(t, newEarlyWorld(t, 63+seed, links[min(seed, 1)], r.tls, func(s, _ *endpoint.Config) {
					if r.change != nil {
						r.change(s)
					}
				}), session)
			}
		})
	}
}

func testRejected(t *testing.T, e *earlyWorld, session []byte) {
	t.Helper()
	large := string(bytes.Repeat([]byte("0123456789"), 10_000))
	streams := map[*endpoint.Stream]string{}
	w := e.begin(session, func(c *endpoint.Conn) {
		streams[open(t, c.OpenStream, "first", true)] = "first"
		s := open(t, c.OpenStream, large, false)
		require.NoError(t, s.SetUrgency(1))
		streams[s] = large + "more"
		streams[open(t, c.OpenUniStream, "uni", true)] = "uni"
		open(t, c.OpenStream, "never mind", false).Reset(7)
		open(t, c.OpenStream, "quiet", true).StopReading(8)
	})
	e.Pass(ms) // the first flight is under way
	assert.False(t, w.conn.HandshakeCompleted())
	for s, want := range streams {
		if len(want) > 10_000 {
			_, err := s.Write([]byte("more"))
			require.NoError(t, err)
			require.NoError(t, s.CloseWrite())
		}
	}
	e.until(patience, func() bool {
		srv := e.last()
		return srv != nil && srv.fin[0] && srv.fin[4] && srv.fin[2] && srv.fin[12] && len(srv.resets) > 0
	})
	srv := e.last()
	for s, want := range streams {
		assert.Equal(t, want, string(srv.data[s.ID()]), "stream %d", s.ID())
	}
	assert.Equal(t, []uint64{7}, srv.resets)
	assert.Empty(t, srv.data[8])
	assert.Zero(t, srv.early)
	assert.Equal(t, 5, srv.opened)
	assert.Equal(t, endpoint.EarlyRejected, w.conn.EarlyData())
	assert.Equal(t, endpoint.EarlyRejected, srv.conn.EarlyData())
	assert.Equal(t, 1, w.completed)
	e.until(time.Minute, func() bool { return w.conn.Buffered() == 0 })
	assert.EqualValues(t, 1, e.count(e.client, endpoint.EarlyDataRejected))
	assert.EqualValues(t, 1, e.count(e.server, endpoint.EarlyDataRejected))
	assert.False(t, w.closed)
}

// last is the server's side of the youngest connection, nil when there is none.
func (e *earlyWorld) last() *watcher {
	if len(e.servers) == 0 {
		return nil
	}
	return e.servers[len(e.servers)-1]
}

// The streams that new limits do not allow at once follow when they may; nothing
// overtakes them.
func TestEarlyStreamsBeyondNewLimits(t *testing.T) {
	session := oldSession(t)
	e := newEarlyWorld(t, 72, Link{Delay: 10 * ms}, allowEarly, func(s, _ *endpoint.Config) { s.MaxBidiStreams = 2 })
	const n = 7
	var streams []*endpoint.Stream
	w := e.begin(session, func(c *endpoint.Conn) {
		for i := range n {
			streams = append(streams, open(t, c.OpenStream, fmt.Sprint("early ", i), false))
		}
	})
	e.until(time.Second, func() bool { return w.completed == 1 })
	_, err := w.conn.OpenStream()
	assert.ErrorIs(t, err, ngtcp2.ErrStreamIDBlocked)
	_, err = w.conn.OpenUniStream()
	assert.NoError(t, err)
	assert.NoError(t, streams[4].SetUrgency(0))
	streams[5].Reset(3)
	streams[6].StopReading(4)
	for i, s := range streams {
		if i != 5 {
			_, err := fmt.Fprint(streamWriter{s}, " late")
			require.NoError(t, err)
			require.NoError(t, s.CloseWrite())
		}
	}
	e.until(10*time.Second, func() bool {
		return e.last() != nil && len(e.last().data) == n-1 && e.last().finished == n-1 && w.finished == n-1
	})
	for i, s := range streams {
		if i != 5 {
			assert.Equal(t, fmt.Sprint("early ", i, " late"), string(e.last().data[s.ID()]))
		}
	}
	assert.Equal(t, []uint64{3}, e.last().resets)
	var s *endpoint.Stream
	e.until(time.Second, func() bool {
		s, err = w.conn.OpenStream()
		return err == nil
	})
	assert.EqualValues(t, 4*n, s.ID())
}

type streamWriter struct{ *endpoint.Stream }

// A connection that fails before its handshake is complete tells the application,
// which has it already; what was kept is freed (newWorld checks it).
func TestEarlyConnectionFails(t *testing.T) {
	session := oldSession(t)
	e := newEarlyWorld(t, 73, Link{Delay: 10 * ms}, allowEarly)
	e.SetOneWay(e.server, e.client, Link{Loss: 1})
	w := e.begin(session, func(c *endpoint.Conn) { open(t, c.OpenStream, "early", true) })
	e.until(time.Minute, func() bool { return w.closed && len(e.servers) > 0 && e.last().closed })
	assert.ErrorIs(t, w.closeErr, ngtcp2.ErrHandshakeTimeout)
	assert.Zero(t, w.completed)
	assert.Error(t, e.last().closeErr)
	assert.Equal(t, 5, e.last().early)
	assert.Zero(t, e.last().completed)

	// One that the application closes, or that is closed over the rejection.
	closed := e.begin(session, func(c *endpoint.Conn) {
		open(t, c.OpenStream, "early", true)
		c.Close(9, "")
	})
	e.until(time.Minute, func() bool { return closed.closed })
	assert.NoError(t, closed.closeErr)
}

// Early data over a bad network: everything arrives once.
func TestEarlyDataOverRoughLink(t *testing.T) {
	session := oldSession(t)
	for seed := range uint64(10) {
		e := newEarlyWorld(t, 80+seed, Link{Delay: 10 * ms, Jitter: 5 * ms, Loss: 0.15, Reorder: 0.2, Duplicate: 0.1}, allowEarly)
		large := bytes.Repeat([]byte("0123456789"), 5_000)
		w := e.begin(session, func(c *endpoint.Conn) { open(t, c.OpenStream, string(large), true) })
		e.until(patience, func() bool { return e.last() != nil && e.last().fin[0] && w.completed == 1 })
		assert.Equal(t, large, e.last().data[0])
		assert.Len(t, e.servers, 1)
		assert.Equal(t, endpoint.EarlyAccepted, w.conn.EarlyData())
	}
}

// A server that no longer speaks the session's version has seen nothing of the early
// data: it is sent again in the version that both have.
func TestEarlyDataAfterVersionNegotiation(t *testing.T) {
	datagrams := func(s, c *endpoint.Config) { s.MaxDatagram, c.MaxDatagram = 65535, 65535 }
	session := oldSession(t, datagrams)
	e := newEarlyWorld(t, 74, Link{Delay: 10 * ms}, allowEarly, datagrams,
		func(s, _ *endpoint.Config) { s.Versions = []uint32{ngtcp2.VersionV2} })
	large := string(bytes.Repeat([]byte("0123456789"), 10_000))
	var late *endpoint.Stream
	w := e.begin(session, func(c *endpoint.Conn) {
		assert.Equal(t, endpoint.EarlyPending, c.EarlyData())
		open(t, c.OpenStream, "first", true)
		late = open(t, c.OpenStream, large, false)
		open(t, c.OpenStream, "never mind", false).Reset(7)
		require.NoError(t, c.SendDatagram([]byte("lost"), 1))
	})
	e.Pass(25 * ms) // the second attempt is under way
	assert.Equal(t, []uint64{1}, w.lost)
	assert.Equal(t, endpoint.EarlyPending, w.conn.EarlyData())
	_, err := w.conn.OpenStream()
	assert.ErrorIs(t, err, ngtcp2.ErrStreamIDBlocked, "none before the handshake now")
	_, _ = late.Write([]byte("more"))
	require.NoError(t, late.CloseWrite())
	require.NoError(t, w.conn.SendDatagram([]byte("waits"), 2))
	e.until(time.Second, func() bool {
		return e.last() != nil && e.last().fin[0] && e.last().fin[4] && len(e.last().resets) > 0 && len(w.acked) > 0
	})
	srv := e.last()
	assert.Len(t, e.servers, 1)
	assert.Equal(t, "first", string(srv.data[0]))
	assert.Equal(t, large+"more", string(srv.data[4]))
	assert.Equal(t, []uint64{7}, srv.resets)
	assert.Equal(t, []string{"waits"}, srv.got)
	assert.Zero(t, srv.early)
	assert.Equal(t, ngtcp2.VersionV2, w.conn.Version())
	assert.Equal(t, endpoint.EarlyRejected, w.conn.EarlyData())
	assert.Equal(t, 1, w.completed)

	// No common version: the application, which has the connection, is told.
	e = newEarlyWorld(t, 75, Link{Delay: 10 * ms}, allowEarly,
		func(s, c *endpoint.Config) {
			s.Versions, c.Versions = []uint32{ngtcp2.VersionV2}, []uint32{ngtcp2.VersionV1}
		})
	w = e.begin(session, func(c *endpoint.Conn) { open(t, c.OpenStream, "early", true) })
	e.until(time.Second, func() bool { return w.closed })
	var ve *endpoint.VersionError
	assert.ErrorAs(t, w.closeErr, &ve)
	assert.EqualValues(t, 1, e.count(e.client, endpoint.ClosedByError))
}

// Streams that are given up in early data are given up for the server too.
func TestEarlyStreamsGivenUp(t *testing.T) {
	session := oldSession(t)
	e := newEarlyWorld(t, 76, Link{Delay: 10 * ms}, allowEarly)
	w := e.begin(session, func(c *endpoint.Conn) {
		open(t, c.OpenStream, "never mind", false).Reset(7)
		open(t, c.OpenStream, "quiet", false).StopReading(8)
	})
	e.Pass(ms)
	open(t, w.conn.OpenStream, "neither", false).Reset(9) // after the first flight
	var stops []uint64                                    // elsewhere STOP_SENDING is noticed when the stream is written
	if ngtcp2.ReportsStopSending() {
		stops = []uint64{8}
	}
	e.until(time.Second, func() bool {
		return e.last() != nil && len(e.last().resets) == 2 && len(e.last().stops) == len(stops)
	})
	assert.Equal(t, endpoint.EarlyAccepted, w.conn.EarlyData())
	assert.ElementsMatch(t, []uint64{7, 9}, e.last().resets)
	assert.Equal(t, stops, e.last().stops)
}
