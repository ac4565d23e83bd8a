package broker

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// device is a simulated MQTT client with a session of its own: it remembers across
// connections what the standard asks a client to remember. Only its newest connection
// counts; whatever an older one still carries is lost on the way.
type device struct {
	id         string
	mu         sync.Mutex
	generation int
	open       map[uint16]bool // QoS 2 messages received, PUBREL not yet
	got        map[string]int  // payloads received, by number of times
}

// receive does what a client does with a packet and gives the answer.
func (d *device) receive(q packet.Packet) packet.Packet {
	switch q := q.(type) {
	case *packet.Publish:
		if q.QoS == 2 {
			if !d.open[q.PacketID] {
				d.open[q.PacketID] = true
				d.got[string(q.Payload)]++
			}
			return &packet.Pubrec{PacketID: q.PacketID}
		}
		d.got[string(q.Payload)]++
		return &packet.Puback{PacketID: q.PacketID}
	case *packet.Pubrel:
		delete(d.open, q.PacketID)
		return &packet.Pubcomp{PacketID: q.PacketID}
	}
	return nil
}

// link is one connection, owned by the goroutine that uses it.
type link struct {
	c   *Client
	tr  *transport
	out sink
	dec packet.Decoder
	err error
}

func openLink(b *Broker, room int) *link {
	l := &link{tr: &transport{}}
	l.out.room = room
	l.dec.Init(0)
	l.dec.SetVersion(packet.V50)
	l.c = b.NewClient(l.tr)
	return l
}

func (l *link) send(q packet.Packet) {
	if l.err == nil {
		l.err = l.c.Feed(q.AppendTo(nil, packet.V50))
	}
}

// read gives what has come since the last read; a bad packet is a failure.
func (l *link) read(t *testing.T) (got []packet.Packet) {
	l.c.Flush(&l.out)
	l.dec.Feed(append([]byte(nil), l.out.Next(l.out.Len())...))
	for {
		q, err := l.dec.Next()
		if err != nil {
			t.Errorf("bad bytes from the broker: %v", err)
		}
		if q == nil || err != nil {
			return got
		}
		got = append(got, keep(q))
	}
}

func (l *link) dead() bool {
	l.tr.mu.Lock()
	defer l.tr.mu.Unlock()
	return l.err != nil || l.tr.closed
}

func stressConnect(id string, expiry uint32, clean bool) *packet.Connect {
	return &packet.Connect{ClientID: id, CleanStart: clean, KeepAlive: 60_000,
		Properties: packet.AppendUint32(packet.AppendUint16(nil, packet.ReceiveMaximum, 20), packet.SessionExpiryInterval, expiry)}
}

// use is one connection of a device: it lives for some turns, or until another
// connection of the device takes over.
func (d *device) use(t *testing.T, b *Broker, r *rand.Rand, turns int) {
	d.mu.Lock()
	d.generation++
	mine := d.generation
	d.mu.Unlock()
	l := openLink(b, 200+r.IntN(5000))
	l.send(stressConnect(d.id, math.MaxUint32, false))
	for range turns {
		d.turn(t, l, mine)
		if l.dead() {
			break
		}
		runtime.Gosched()
	}
	if r.IntN(3) == 0 {
		l.send(&packet.Disconnect{})
	}
	l.c.Closed(l.err)
}

func (d *device) turn(t *testing.T, l *link, mine int) {
	for _, q := range l.read(t) {
		d.mu.Lock()
		current := d.generation == mine
		var answer packet.Packet
		if current {
			answer = d.receive(q)
		}
		d.mu.Unlock()
		if answer != nil {
			l.send(answer)
		}
	}
}

// drain connects a last time and takes everything that is left.
func (d *device) drain(t *testing.T, b *Broker) {
	l := openLink(b, math.MaxInt)
	l.send(stressConnect(d.id, math.MaxUint32, false))
	d.generation++
	for {
		got := l.read(t)
		if len(got) == 0 {
			break
		}
		for _, q := range got {
			if answer := d.receive(q); answer != nil {
				l.send(answer)
			}
		}
	}
	assert.Zero(t, l.c.session.out.open)
	assert.Zero(t, l.c.session.queue.n)
	l.c.Closed(nil)
}

// publishAll publishes n messages with QoS 1 and 2, losing its connection now and
// then and repeating what has not been acknowledged.
func publishAll(t *testing.T, b *Broker, id string, n int, topics []string) {
	r := rand.New(rand.NewPCG(uint64(n), uint64(len(id))))
	l := openLink(b, math.MaxInt)
	l.send(stressConnect(id, math.MaxUint32, false))
	await := func(again func(), done func(packet.Packet) bool) {
		again()
		for {
			for _, q := range l.read(t) {
				if done(q) {
					return
				}
			}
			if r.IntN(3) == 0 { // lost before the answer, and sometimes a takeover
				old := l
				if r.IntN(2) == 0 {
					old.c.Closed(nil)
					old = nil
				}
				l = openLink(b, math.MaxInt)
				l.send(stressConnect(id, math.MaxUint32, false))
				if old != nil {
					old.c.Closed(nil)
				}
			}
			again()
		}
	}
	for i := range n {
		qos := byte(1 + r.IntN(2))
		m := pub(topics[r.IntN(len(topics))], fmt.Sprint(id, " ", i, " QoS ", qos), qos, uint16(1+i%100))
		resend := func() { l.send(m); m.Dup = true; maybeLose(r, b, &l, id) }
		if m.QoS == 1 {
			await(resend, func(q packet.Packet) bool { _, ok := q.(*packet.Puback); return ok })
			continue
		}
		await(resend, func(q packet.Packet) bool { _, ok := q.(*packet.Pubrec); return ok })
		await(func() { l.send(&packet.Pubrel{PacketID: m.PacketID}) }, func(q packet.Packet) bool { _, ok := q.(*packet.Pubcomp); return ok })
	}
	l.c.Closed(nil)
}

// maybeLose drops the connection before its answers are read.
func maybeLose(r *rand.Rand, b *Broker, l **link, id string) {
	if r.IntN(20) > 0 {
		return
	}
	(*l).c.Closed(nil)
	*l = openLink(b, math.MaxInt)
	(*l).send(stressConnect(id, math.MaxUint32, false))
}

// oneLive looks for two live clients of one identifier at one moment: the first is
// seen live before and after the second is. Live is who has been let in, has not been
// told to go and has the session.
func oneLive(t *testing.T, b *Broker) {
	b.mu.Lock()
	var clients []*Client
	for c := range b.clients {
		clients = append(clients, c)
	}
	b.mu.Unlock()
	seen := map[string]*Client{}
	for _, c := range clients {
		id, ok := live(c)
		if !ok {
			continue
		}
		if other := seen[id]; other != nil {
			if _, ok := live(other); ok {
				t.Errorf("two live clients of %s", id)
			}
		}
		seen[id] = c
	}
}

func live(c *Client) (id string, ok bool) {
	s := c.live.Load()
	if s == nil || c.closing.Load() {
		return "", false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.id, s.client == c
}

// Connections come, take over, go and expire, all at the same time. Nothing that was
// acknowledged is lost, QoS 2 arrives once, no identifier has two live clients.
func TestStressTakeover(t *testing.T) {
	clk := newClock()
	b := New(Config{AllowAnonymous: true, Now: clk.Now})
	var devices []*device
	var topics []string
	for i := range 4 {
		d := &device{id: fmt.Sprint("d", i), open: map[uint16]bool{}, got: map[string]int{}}
		devices, topics = append(devices, d), append(topics, "t/"+d.id)
		l := openLink(b, math.MaxInt)
		l.send(stressConnect(d.id, math.MaxUint32, false))
		l.send(&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: "t/" + d.id, QoS: 2}, {Filter: "+/" + d.id, QoS: 1}}})
		l.c.Closed(nil)
	}
	const publishers, each = 3, 1500
	var work, noise sync.WaitGroup
	var stop atomic.Bool
	for p := range publishers {
		work.Go(func() { publishAll(t, b, fmt.Sprint("p", p), each, topics) })
	}
	for g := range 6 {
		noise.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 7))
			for !stop.Load() {
				devices[r.IntN(len(devices))].use(t, b, r, 1+r.IntN(30))
			}
		})
	}
	for g := range 2 { // sessions that end: clean start, expiry 0 and 1, wills
		noise.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 8))
			for !stop.Load() {
				l := openLink(b, math.MaxInt)
				c := stressConnect(fmt.Sprint("x", r.IntN(3)), uint32(r.IntN(2)), r.IntN(2) == 0)
				c.Will = &packet.Will{Topic: "w", Retain: r.IntN(2) == 0, Properties: delayed(uint32(r.IntN(2)))}
				l.send(c)
				l.send(&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: "t/#", QoS: 1}, {Filter: "w", QoS: 2}}})
				l.read(t)
				l.c.Closed(nil)
			}
		})
	}
	noise.Go(func() {
		for !stop.Load() {
			clk.advance(b, 300*time.Millisecond)
			oneLive(t, b)
			runtime.Gosched()
		}
	})
	work.Wait()
	stop.Store(true)
	noise.Wait()
	verify(t, b, devices, publishers*each)
	t.Logf("%+v", b.Stats())
	assert.Greater(t, b.Stats().Takeovers, uint64(20))
	clk.advance(b, time.Hour)
	assert.EqualValues(t, len(devices)+publishers, b.Stats().Sessions)
	assert.EqualValues(t, 2*len(devices), b.Stats().Subscriptions)
	assert.Equal(t, 2*len(devices), b.subs.Len())
	assert.Zero(t, b.Stats().Connections)
	assert.Zero(t, b.Stats().Dropped[DropQueueFull])
	assert.Empty(t, b.timers.heap)
}

// verify drains the devices and looks at what they got.
func verify(t *testing.T, b *Broker, devices []*device, want int) {
	total := map[string]int{}
	for _, d := range devices {
		d.drain(t, b)
		for payload, n := range d.got {
			total[payload] += n
		}
	}
	require.Len(t, total, want, "a message that was acknowledged is lost")
	for payload, n := range total {
		if strings.HasSuffix(payload, "QoS 2") {
			assert.Equal(t, 1, n, payload)
		}
	}
}
