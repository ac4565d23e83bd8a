package sim

import (
	"crypto/sha256"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/ngtcp2/endpoint"
)

// fan opens streams with a few bytes each as fast as the peer allows.
type fan struct {
	peer
	left  int
	bytes []byte
}

func (f *fan) OnFlush() {
	for f.left > 0 {
		s, err := f.conn.OpenStream()
		if err != nil {
			return
		}
		f.left--
		_, _ = s.Write(f.bytes)
		_ = s.CloseWrite()
	}
}

// crowd counts how many streams are open at once.
type crowd struct {
	*peer
	open, most int
}

func (c *crowd) OnStreamOpen(s *endpoint.Stream) {
	c.peer.OnStreamOpen(s)
	c.open++
	c.most = max(c.most, c.open)
}

func (c *crowd) OnStreamClosed(s *endpoint.Stream) {
	c.peer.OnStreamClosed(s)
	c.open--
}

func testMultiplexing(t *testing.T) {
	const streams, limit = 2000, 100
	w := newWorld(t, 260, Link{Delay: 10 * ms, Loss: 0.01, Rate: 2_500_000}, func(s, _ *endpoint.Config) { s.MaxBidiStreams = limit })
	w.newPeer = func() *peer { return &peer{echo: true} }
	var c *crowd
	w.wrap = func(p *peer) endpoint.ConnHandler {
		c = &crowd{peer: p}
		return c
	}
	f := &fan{left: streams, bytes: make([]byte, 32)}
	f.conn = w.dialWith(func(cfg *endpoint.DialConfig) {
		cfg.Handler, cfg.Ready = f, func(conn *endpoint.Conn) { f.conn = conn }
	}).conn
	w.until(5*time.Minute, func() bool { return f.finished == streams })
	assert.Equal(t, streams, f.fins)
	assert.Equal(t, 32*streams, f.got)
	assert.Equal(t, streams, c.opened)
	assert.LessOrEqual(t, c.most, limit)
	assert.Greater(t, c.most, limit/2)
}

// A connection's credit that is used up on one stream holds all others back,
// until it is given back.
func testConnectionCredit(t *testing.T) {
	const window = 100 << 10
	w := newWorld(t, 261, Link{Delay: 10 * ms}, func(s, _ *endpoint.Config) { s.ConnWindow = window })
	w.newPeer = func() *peer { return &peer{hold: true} }
	client := w.connect()
	server := w.accepted[0]
	client.send(t, 2*window) // the stream's own window is larger
	w.Pass(5 * time.Second)
	assert.Equal(t, window, server.got)
	first := server.stream
	other, err := client.conn.OpenStream()
	require.NoError(t, err)
	_, _ = other.Write(make([]byte, 1000))
	_ = other.CloseWrite()
	w.Pass(5 * time.Second)
	assert.Equal(t, window, server.got, "no credit for a byte of another stream")
	first.Consume(window)
	server.hold = false
	w.until(10*time.Second, func() bool { return server.fins == 2 })
	assert.Equal(t, 2*window+1000, server.got)
}

// In each state of a stream RESET_STREAM and STOP_SENDING, from either side, end
// it for both, and the connection and its credit stay whole.
func testResetInEveryState(t *testing.T) {
	for name, enter := range streamStates {
		for _, act := range streamEnds {
			for _, fromServer := range []bool{false, true} {
				side := map[bool]string{false: "client", true: "server"}[fromServer]
				t.Run(name+"/"+act.name+" by "+side, func(t *testing.T) {
					w := newWorld(t, 262, Link{Delay: 10 * ms})
					r := &resetCase{world: w, client: w.connect()}
					r.server = w.accepted[0]
					enter(r)
					r.end(act.do, fromServer)
				})
			}
		}
	}
}

// resetCase is a stream of the client in some state. The server's end of it is nil
// as long as it knows nothing of the stream.
type resetCase struct {
	*world
	client, server *peer
	c, s           *endpoint.Stream
}

var streamEnds = []struct {
	name string
	do   func(*endpoint.Stream)
}{
	{"RESET_STREAM", func(s *endpoint.Stream) { s.Reset(11) }},
	{"STOP_SENDING", func(s *endpoint.Stream) { s.StopReading(12) }},
	{"both", func(s *endpoint.Stream) { s.Refuse(13) }},
}

var streamStates = map[string]func(*resetCase){
	"before data":           func(r *resetCase) { r.open() },
	"data unsent":           func(r *resetCase) { r.open(); r.write(r.c, 5000) },
	"data under way":        func(r *resetCase) { r.open(); r.write(r.c, 5000); r.Pass(5 * ms) },
	"data acknowledged":     func(r *resetCase) { r.exchange(false, false) },
	"half closed by client": func(r *resetCase) { r.exchange(true, false) },
	"half closed by server": func(r *resetCase) { r.exchange(false, true) },
	"FIN under way": func(r *resetCase) {
		r.exchange(false, false)
		_ = r.c.CloseWrite()
		r.Pass(5 * ms)
	},
	"out of credit": func(r *resetCase) {
		r.server.hold = true
		r.open()
		r.write(r.c, 400<<10)
		r.Pass(time.Second)
		r.s = r.server.stream
	},
	"all acknowledged, both closed": func(r *resetCase) { r.exchange(true, true) },
}

func (r *resetCase) open() {
	s, err := r.client.conn.OpenStream()
	require.NoError(r.t, err)
	r.c = s
}

func (r *resetCase) write(s *endpoint.Stream, n int) {
	_, err := s.Write(make([]byte, n))
	require.NoError(r.t, err)
}

// exchange sends both ways, and FIN where asked.
func (r *resetCase) exchange(clientFin, serverFin bool) {
	r.open()
	r.write(r.c, 3000)
	r.until(time.Second, func() bool { return r.server.got == 3000 })
	r.s = r.server.stream
	r.write(r.s, 3000)
	r.until(time.Second, func() bool { return r.client.got == 3000 })
	if serverFin {
		_ = r.s.CloseWrite()
		r.Pass(100 * ms)
	}
	if clientFin {
		r.server.halfOpen = !serverFin
		_ = r.c.CloseWrite()
	}
	r.Pass(100 * ms)
}

// end lets one side act, then the other side give the stream up too, and proves
// with another stream that nothing is left of it.
func (r *resetCase) end(do func(*endpoint.Stream), fromServer bool) {
	target := r.c
	if fromServer {
		if r.s == nil {
			r.until(time.Second, func() bool { r.s = r.server.stream; r.Pass(20 * ms); return true })
		}
		target = r.s
	}
	if target != nil {
		do(target)
		r.client.conn.MarkDirty()
		r.server.conn.MarkDirty()
	}
	r.Pass(200 * ms)
	r.c.Refuse(14)
	r.client.conn.MarkDirty()
	r.Pass(200 * ms)
	if s := r.server.stream; s != nil {
		s.Refuse(15)
	}
	r.Pass(time.Second)
	require.False(r.t, r.client.closed || r.server.closed, "%v %v", r.client.closeErr, r.server.closeErr)
	assert.Equal(r.t, 1, r.client.finished, "the client's stream is over")
	assert.Equal(r.t, r.server.opened, r.server.finished, "the server's stream is over")
	r.server.hold, r.server.sum = false, sha256.New()
	fins := r.server.fins
	r.client.send(r.t, 3*endpoint.DefaultConnWindow) // needs all the credit back
	r.until(10*time.Second, func() bool { return r.server.fins == fins+1 })
	assert.Equal(r.t, r.client.sum.Sum(nil), r.server.sum.Sum(nil))
}
