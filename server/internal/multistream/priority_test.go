//go:build !noquic

package multistream

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
	"github.com/ngmq/ngmq/server"
	"github.com/ngmq/ngmq/server/internal/mqtttest"
)

// arrivals notes what the streams of a connection bring, in order.
type arrivals struct {
	mu    sync.Mutex
	bytes map[int64]int
	total int
	first map[int64]int // total when the first byte came
	last  map[int64]int // total when the last byte so far came
}

func watchArrivals(l *link) *arrivals {
	a := &arrivals{bytes: map[int64]int{}, first: map[int64]int{}, last: map[int64]int{}}
	l.on(func() { l.arrived = a.note })
	return a
}

func (a *arrivals) note(s *endpoint.Stream, n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.bytes[s.ID()] == 0 {
		a.first[s.ID()] = a.total
	}
	a.bytes[s.ID()] += n
	a.total += n
	a.last[s.ID()] = a.total
}

// eventually waits until the server's numbers are right.
func (s *running) eventually(t testing.TB, what string, ok func(server.Stats) bool) {
	t.Helper()
	require.Eventually(t, func() bool { return ok(s.Stats()) }, mqtttest.Patience, time.Millisecond, what)
}

// slack is what may come besides on a path that was held up, in bytes: packets by which the
// server asks whether anything arrives.
const slack = 12 << 10

// While the congestion window is full of messages on data streams, and more of them wait,
// what is asked on the control stream is answered before them.
func TestControlGoesBeforeDataStreams(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{})
	p := pathTo(t, s, 0, nil)
	c := clientOn(t, dialTo(t, s, p.addr()), packet.V50)
	c.Connect(lasting("c"))
	const streams, size = 40, 20_000
	for i := range streams {
		c.stream().Subscribe(fmt.Sprint("bulk/", i), 0)
	}
	seen := watchArrivals(c.l)
	p.hold()
	for i := range streams {
		require.NoError(t, s.Publish(server.Publication{Topic: fmt.Sprint("bulk/", i), Payload: make([]byte, size)}))
	}
	s.eventually(t, "messages in the streams", func(n server.Stats) bool { return n.MessagesSent[0] == streams })
	before := s.Stats().PacketsSent
	c.Send(&packet.Pingreq{})
	c.Send(message("nobody", "x", 1, 5))
	s.eventually(t, "answers", func(n server.Stats) bool { return n.PacketsSent == before+2 })
	underWay := p.release()
	mqtttest.Expect[*packet.Pingresp](c.Client)
	mqtttest.Expect[*packet.Puback](c.Client)
	seen.mu.Lock()
	ahead := seen.first[0]
	seen.mu.Unlock()
	t.Logf("%d bytes under way, %d of %d before the answers", underWay, ahead, streams*size)
	assert.LessOrEqual(t, ahead, underWay+slack)
	for i := range streams {
		s.eventuallyArrives(t, seen, 4+4*int64(i), size)
	}
}

// eventuallyArrives waits until a stream has brought so many bytes.
func (s *running) eventuallyArrives(t testing.TB, a *arrivals, id int64, bytes int) {
	t.Helper()
	require.Eventually(t, func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.bytes[id] >= bytes
	}, mqtttest.Patience, time.Millisecond, "stream %d", id)
}

func TestStreamsByQoS(t *testing.T) {
	t.Parallel()
	const size = 150_000
	end := func(t *testing.T, cfg server.Config) (underWay int, first, last map[int64]int) {
		s := start(t, cfg)
		p := pathTo(t, s, 0, nil)
		c := clientOn(t, dialTo(t, s, p.addr()), packet.V50)
		c.Connect(lasting("c"))
		for qos := range byte(3) {
			c.stream().Subscribe(fmt.Sprint(qos), qos) // streams 4, 8, 12
		}
		seen := watchArrivals(c.l)
		p.hold()
		for qos := range byte(3) {
			require.NoError(t, s.Publish(server.Publication{Topic: fmt.Sprint(qos), Payload: make([]byte, size), QoS: qos}))
			s.eventually(t, "messages in the streams", func(n server.Stats) bool { return n.MessagesSent[qos] == 1 })
		}
		underWay = p.release()
		for qos := range int64(3) {
			s.eventuallyArrives(t, seen, 4+4*qos, size)
		}
		return underWay, seen.first, seen.last
	}
	t.Run("in turns", func(t *testing.T) {
		_, first, last := end(t, server.Config{})
		for _, id := range []int64{4, 8, 12} {
			assert.Less(t, first[id], size)
			assert.Greater(t, last[id], 2*size)
		}
	})
	t.Run("by QoS", func(t *testing.T) {
		underWay, _, last := end(t, server.Config{QoSPriority: true})
		assert.LessOrEqual(t, last[12], size+underWay+slack)
		assert.LessOrEqual(t, last[8], 2*size+underWay+slack)
		assert.Greater(t, last[4], 3*size)
	})
}
