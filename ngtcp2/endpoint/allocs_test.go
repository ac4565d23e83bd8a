//go:build !asan

// AddressSanitizer makes cgo calls allocate.

package endpoint

import (
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// An echo of a small message allocates nothing in either Core.
func TestEchoAllocatesNothing(t *testing.T) {
	w := newWire(t)
	_, s := w.connect(t)
	msg := make([]byte, 100)
	turn := func() {
		_, _ = s.Write(msg)
		for range 3 {
			w.step(time.Millisecond)
		}
	}
	for range 200 {
		turn()
	}
	before := w.echoed
	allocs := testing.AllocsPerRun(1000, turn)
	assert.Zero(t, allocs)
	assert.Equal(t, before+1001*len(msg), w.echoed)
}

// Nor does a datagram, there and back, with its acknowledgement.
func TestDatagramAllocatesNothing(t *testing.T) {
	w, d := datagramWire(t)
	msg := make([]byte, 1000)
	turn := func() {
		_ = d.conn.SendDatagram(msg, 1)
		for range 3 {
			w.step(time.Millisecond)
		}
	}
	for range 200 {
		turn()
	}
	before := d.got.Load()
	assert.Zero(t, testing.AllocsPerRun(1000, turn))
	assert.EqualValues(t, before+1001, d.got.Load())
}

// rally is one side of a ping-pong: it answers every message until none is left.
type rally struct {
	silentHandler
	msg    []byte
	got    int // bytes of the message under way
	left   int
	played chan struct{} // of the client: a token when none is left
}

func (r *rally) OnConn(*Conn) ConnHandler { return r }

func (r *rally) OnStreamData(s *Stream, data []byte, _ bool) {
	s.Consume(len(data))
	if r.got += len(data); r.got < len(r.msg) {
		return
	}
	r.got = 0
	if r.left--; r.left == 0 {
		r.played <- struct{}{}
		return
	}
	_, _ = s.Write(r.msg)
}

// The whole way through workers, sockets and both Cores allocates nothing per
// datagram. What the runtime allocates now and then is far below the bound.
func TestRallyAllocatesNothing(t *testing.T) {
	const rounds = 3000
	msg := make([]byte, 100)
	server := start(t, Config{TLS: serverTLS(t), Addrs: []string{"127.0.0.1:0"}, Workers: 1, Handler: &rally{msg: msg, left: -1}})
	client := &rally{msg: msg, played: make(chan struct{}, 1)}
	c, err := start(t, Config{Workers: 1}).Dial(within(t), server.Addrs()[0].String(), DialConfig{TLS: clientTLS(t), Handler: client})
	require.NoError(t, err)
	var s *Stream
	play := func(n int) uint64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		c.Post(func() {
			if s == nil {
				s, _ = c.OpenStream()
			}
			client.left = n
			_, _ = s.Write(msg)
		})
		select {
		case <-client.played:
		case <-time.After(waitLimit):
			require.Fail(t, "the rally does not end")
		}
		runtime.ReadMemStats(&after)
		return after.Mallocs - before.Mallocs
	}
	play(500)
	received := func() uint64 {
		stats := server.Stats()
		return stats.Count(DatagramsReceived)
	}
	datagrams := received()
	assert.Less(t, play(rounds), uint64(rounds/20))
	assert.Greater(t, received(), datagrams+rounds-1)
}
