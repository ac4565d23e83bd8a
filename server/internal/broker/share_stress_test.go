package broker

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// shareTally is who has acknowledged what, in a test of a group.
type shareTally struct {
	mu    sync.Mutex
	acked map[string]int
}

// work is one connection of a member: it acknowledges some of what it gets and leaves,
// with its session.
func (a *shareTally) work(t *testing.T, b *Broker, id string, r *rand.Rand, turns int) {
	l := openLink(b, math.MaxInt)
	l.send(stressConnect(id, 0, true))
	l.send(&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: "$share/g/t/#", QoS: 1}}})
	for i := 0; turns < 0 || i < turns; i++ {
		got := l.read(t)
		for _, q := range got {
			if q, ok := q.(*packet.Publish); ok && (turns < 0 || r.IntN(2) == 0) {
				a.mu.Lock()
				a.acked[string(q.Payload)]++
				a.mu.Unlock()
				l.send(&packet.Puback{PacketID: q.PacketID})
			}
		}
		if turns < 0 && len(got) == 0 {
			break
		}
		runtime.Gosched()
	}
	if r.IntN(2) == 0 {
		l.send(&packet.Disconnect{})
	}
	l.c.Closed(l.err)
}

// Members come and go, with what they have not acknowledged; the group as a whole gets
// each message once.
func TestStressShare(t *testing.T) {
	const publishers, messages, members = 2, 1500, 4
	b := New(Config{AllowAnonymous: true})
	tally := &shareTally{acked: map[string]int{}}
	steady := openLink(b, math.MaxInt) // in the group all the time, away all the time
	steady.send(stressConnect("steady", math.MaxUint32, true))
	steady.send(&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: "$share/g/t/#", QoS: 1}}})
	steady.c.Closed(nil)

	var sending, working sync.WaitGroup
	done := make(chan struct{})
	for i := range publishers {
		sending.Go(func() {
			p := openLink(b, math.MaxInt)
			p.send(stressConnect(fmt.Sprint("p", i), 0, true))
			for n := range messages {
				p.send(pub(fmt.Sprint("t/", n%7), fmt.Sprint(i, " ", n), 1, uint16(n+1)))
				p.read(t)
			}
			p.c.Closed(nil)
		})
	}
	for i := range members {
		working.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 9))
			for n := 0; ; n++ {
				select {
				case <-done:
					return
				default:
					tally.work(t, b, fmt.Sprint("m", i, n%2), r, 1+r.IntN(20))
				}
			}
		})
	}
	sending.Wait()
	close(done)
	working.Wait()
	steady = openLink(b, math.MaxInt)
	steady.send(stressConnect("steady", math.MaxUint32, false))
	for got := steady.read(t); len(got) > 0; got = steady.read(t) {
		for _, q := range got {
			if q, ok := q.(*packet.Publish); ok {
				tally.acked[string(q.Payload)]++
				steady.send(&packet.Puback{PacketID: q.PacketID})
			}
		}
	}
	assert.Equal(t, publishers*messages, len(tally.acked), "nothing is lost")
	for payload, n := range tally.acked {
		assert.Equal(t, 1, n, payload)
	}
	steady.send(&packet.Unsubscribe{PacketID: 1, Filters: []string{"$share/g/t/#"}})
	steady.c.Closed(nil)
	assert.Empty(t, b.shares.groups)
	assert.Zero(t, b.shares.tree.Len())
	assert.Zero(t, b.Stats().SharedSubscriptions)
}
