package broker

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// TestStreamsAtRandom has clients open and close data streams, some of them of flows, subscribe, publish and
// acknowledge on any of them or not at all, come back and take their sessions over. When
// everything is acknowledged in the end, nothing waits, Receive Maximum is whole again, and
// when the sessions have ended nothing is left of them.
func TestStreamsAtRandom(t *testing.T) {
	const seeds, steps = 60, 300
	for seed := range uint64(seeds) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			x := newCrowd(t, seed)
			for range steps {
				x.step(x.pick())
			}
			for _, c := range x.clients {
				x.settle(c)
			}
			x.leave()
		})
	}
}

// crowdQuota is the Receive Maximum of the clients.
const crowdQuota = 5

// crowd is some clients with data streams.
type crowd struct {
	*world
	r       *rand.Rand
	clients [3]*crowded

	served  map[*peer][]*Stream // server flows that are new
	serving int64               // the last one's id
}

type crowded struct {
	*peer
	number int
	lanes  map[int64]*lane
	opened int64
}

func newCrowd(t *testing.T, seed uint64) *crowd {
	x := &crowd{r: rand.New(rand.NewPCG(seed, seed))}
	x.world = newWorld(t, func(c *Config) {
		c.MaxQueuedMessages, c.MaxInflight, c.ReceiveMaximum = 20, 10, 10
		c.SingleSubscription = x.r.IntN(3) == 0
		c.QueuePolicy = QueuePolicy(x.r.IntN(2)) // that does not disconnect
	})
	x.flows = seed%2 == 1
	if seed%3 == 1 {
		x.served, x.serving, x.serve = make(map[*peer][]*Stream), -3, x.serverFlow
	}
	for i := range x.clients {
		x.join(i)
	}
	return x
}

// join connects a client, which takes its session over if it is connected.
func (x *crowd) join(i int, options ...connectOption) {
	options = append(options, expiry(1000), uintProp(packet.ReceiveMaximum, crowdQuota))
	before := x.clients[i]
	x.clients[i] = &crowded{peer: x.connect(packet.V50, fmt.Sprint("c", i), options...), number: i, lanes: map[int64]*lane{}}
	if before != nil {
		before.lose()
	}
}

// pick gives a client that is connected; one that the broker has closed comes back.
func (x *crowd) pick() *crowded {
	c := x.clients[x.r.IntN(len(x.clients))]
	if c.err == nil && !c.tr.closed {
		return c
	}
	require.NotEqual(x.t, errPanic, c.err)
	x.join(c.number, resume)
	return x.clients[c.number]
}

func (x *crowd) chance(n int) bool { return x.r.IntN(n) == 0 }

func (x *crowd) step(c *crowded) {
	send, on := c.send, x.lane(c)
	if on != nil {
		send = on.send
	}
	filters := []string{"a", "b", "#", "+", "$share/g/a", "$share/g/#", "$share/h/b"}
	filter := filters[x.r.IntN(len(filters))]
	switch x.r.IntN(14) {
	case 0:
		c.opened += 4
		c.lanes[c.opened] = c.open(c.opened)
		x.joinFlow(c, c.lanes[c.opened])
	case 1:
		c.end(on)
	case 2, 3:
		send(&packet.Subscribe{PacketID: 5, Subscriptions: []packet.Subscription{{Filter: filter, QoS: byte(x.r.IntN(3))}}})
	case 4:
		send(&packet.Unsubscribe{PacketID: 5, Filters: []string{filter}})
	case 5, 6, 7, 8:
		send(x.message())
	case 9:
		send(&packet.Pubrel{PacketID: uint16(1 + x.r.IntN(5))})
	case 10:
		x.goOn(c)
	default:
		c.answer(func() bool { return !x.chance(4) })
	}
	x.tend(c)
	for _, l := range c.lanes {
		var e *StreamError
		if l.err != nil && assert.ErrorAs(x.t, l.err, &e) {
			c.end(l)
		}
	}
}

// serverFlow opens a server flow, if chance lets it.
func (x *crowd) serverFlow(p *peer) *Stream {
	if x.chance(4) {
		return nil
	}
	x.serving += 4
	st := p.c.OpenServerStream(x.serving)
	x.served[p] = append(x.served[p], st)
	return st
}

// tend takes what the server has opened, and ends what has nothing more to carry.
func (x *crowd) tend(c *crowded) {
	for _, st := range x.served[c.peer] {
		c.lanes[st.id] = c.peer.lane(st)
	}
	delete(x.served, c.peer)
	for _, l := range c.lanes {
		if !c.gone && l.st.Done() {
			c.end(l)
		}
	}
}

// joinFlow has a stream join a flow, where clients have them: one that is open is closed.
func (x *crowd) joinFlow(c *crowded, l *lane) {
	if !x.flows || x.chance(4) {
		return
	}
	f := Flow{ID: uint64(2 + 2*x.r.IntN(3)), Clean: x.chance(8), NeedsState: x.chance(8), KeepQoS: x.chance(2), KeepSubscriptions: x.chance(2)}
	if x.chance(2) {
		f.Expiry = time.Duration(1+x.r.IntN(20)) * time.Second
	}
	for _, other := range c.lanes {
		if other.st.flow != nil && other.st.flow.ID == f.ID {
			c.end(other)
		}
	}
	if l.st.Join(f) != nil {
		c.end(l)
	}
	x.advance(time.Second)
}

// lane is one of the client's, or none.
func (x *crowd) lane(c *crowded) *lane {
	for _, l := range c.lanes {
		if x.chance(2) {
			return l
		}
	}
	return nil
}

// end closes a data stream; nil: none.
func (c *crowded) end(l *lane) {
	if l != nil {
		l.st.Closed()
		delete(c.lanes, l.st.id)
	}
}

func (x *crowd) message() *packet.Publish {
	p := pub([]string{"a", "b", "c"}[x.r.IntN(3)], "x", byte(x.r.IntN(3)), 0)
	p.Retain = x.chance(10)
	if p.QoS > 0 {
		p.PacketID, p.Dup = uint16(1+x.r.IntN(5)), x.chance(5)
	}
	return p
}

// goOn begins another connection, seldom, after the one before or as its takeover.
func (x *crowd) goOn(c *crowded) {
	switch {
	case x.chance(4):
		c.lose()
		x.join(c.number, resume)
	case x.chance(4):
		x.join(c.number, resume)
	case x.chance(10):
		x.join(c.number) // with a clean start
	}
}

// answer takes what has come to a client and acknowledges it, as will says. It gives the number
// of packets.
func (c *crowded) answer(will func() bool) (n int) {
	reply := func(got []packet.Packet, send func(...packet.Packet)) {
		n += len(got)
		for _, q := range got {
			if ack := acknowledgement(q); ack != nil && will() {
				send(ack)
			}
		}
	}
	reply(c.take(), c.send)
	for _, l := range c.lanes {
		reply(l.take(), l.send)
	}
	return n
}

// acknowledgement is what q asks for, nil for nothing.
func acknowledgement(q packet.Packet) packet.Packet {
	switch q := q.(type) {
	case *packet.Publish:
		switch q.QoS {
		case 1:
			return &packet.Puback{PacketID: q.PacketID}
		case 2:
			return &packet.Pubrec{PacketID: q.PacketID}
		}
	case *packet.Pubrec:
		return &packet.Pubrel{PacketID: q.PacketID}
	case *packet.Pubrel:
		return &packet.Pubcomp{PacketID: q.PacketID}
	}
	return nil
}

// settle acknowledges everything, on the control stream what was left out before.
func (x *crowd) settle(c *crowded) {
	if c.err != nil || c.tr.closed {
		return
	}
	s := c.c.session
	always := func() bool { return true }
	for rounds := 0; c.answer(always) > 0 || s.out.open > 0; rounds++ {
		require.Less(x.t, rounds, 1000)
		for i := range s.out.slots {
			switch f := &s.out.slots[i]; {
			case f.id == 0:
			case f.state == flightReleased:
				c.send(&packet.Pubcomp{PacketID: f.id})
			case f.qos == 1:
				c.send(&packet.Puback{PacketID: f.id})
			default:
				c.send(&packet.Pubrec{PacketID: f.id})
			}
		}
	}
	assert.Zero(x.t, s.queue.n)
	assert.Zero(x.t, s.out.bytes)
	assert.Equal(x.t, crowdQuota, s.quota)
	for _, o := range s.streams {
		assert.Zero(x.t, o.queue.n)
		if o.stream == nil { // its flow is not open
			assert.True(x.t, s.keeps(o))
			continue
		}
		assert.Zero(x.t, o.stream.open)
		assert.Zero(x.t, o.stream.bytes)
	}
}

// leave ends all sessions.
func (x *crowd) leave() {
	for _, c := range x.clients {
		c.lose()
	}
	x.advance(2000 * time.Second)
	assert.Empty(x.t, x.timers.heap)
	n := x.Stats()
	assert.Zero(x.t, n.Sessions)
	assert.Zero(x.t, n.Subscriptions)
	assert.Zero(x.t, n.Streams)
	assert.Zero(x.t, n.OfflineBytes)
	assert.Zero(x.t, x.subs.Len())
	assert.Empty(x.t, x.shares.groups)
}
