package broker

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// discard is a sink with endless room.
type discard struct{ bytes int }

func (*discard) Room() int                           { return 1 << 30 }
func (d *discard) Write(p []byte)                    { d.bytes += len(p) }
func (d *discard) WritePayload(p []byte, _ *Message) { d.bytes += len(p) }

// rig is a publisher and n subscribers of one topic, without any test harness between.
type rig struct {
	pub  *Client
	subs []*Client
	out  discard
	ack  [4]byte // scratch
}

func newRig(t testing.TB, n int, v packet.Version, qos byte) *rig {
	b := New(Config{AllowAnonymous: true})
	open := func(id string) *Client {
		c := b.NewClient(&transport{})
		require.NoError(t, c.Feed((&packet.Connect{ClientID: id, CleanStart: true}).AppendTo(nil, v)))
		return c
	}
	r := &rig{pub: open("p")}
	for i := range n {
		c := open(fmt.Sprint("s", i))
		require.NoError(t, c.Feed((&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: "bench/+/x", QoS: qos}}}).AppendTo(nil, v)))
		r.subs = append(r.subs, c)
	}
	r.flush()
	return r
}

func (r *rig) flush() {
	r.pub.Flush(&r.out)
	for _, c := range r.subs {
		c.Flush(&r.out)
	}
}

// The promise of the package: no allocation from the decoded PUBLISH to the bytes in
// the sink, whatever the version and whether the topic is in the cache or not.
func TestQoS0PathDoesNotAllocate(t *testing.T) {
	for _, v := range versions {
		for _, payload := range []int{64, 16 << 10} {
			t.Run(fmt.Sprint(v, " ", payload), func(t *testing.T) {
				r := newRig(t, 3, v, 0)
				var frames [][]byte
				for i := range 500 { // topics used once are routed without the cache
					frames = append(frames, (&packet.Publish{Topic: fmt.Append(nil, "bench/", i, "/x"), Payload: make([]byte, payload)}).AppendTo(nil, v))
				}
				i := 0
				once := func() {
					_ = r.pub.Feed(frames[0])
					_ = r.pub.Feed(frames[1+i%499])
					i++
					r.flush()
				}
				for range 10 {
					once()
				}
				before := r.out.bytes
				allocs := testing.AllocsPerRun(400, once)
				assert.Greater(t, r.out.bytes-before, 401*6*payload)
				if !raceEnabled {
					assert.Zero(t, allocs)
				}
			})
		}
	}
}

func benchmarkPublish(b *testing.B, subscribers int, v packet.Version) {
	r := newRig(b, subscribers, v, 0)
	frame := (&packet.Publish{Topic: []byte("bench/1/x"), Payload: make([]byte, 64)}).AppendTo(nil, v)
	batch := make([]byte, 0, 10*len(frame))
	for range 10 {
		batch = append(batch, frame...)
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		if err := r.pub.Feed(batch); err != nil {
			b.Fatal(err)
		}
		r.flush()
		n += 10
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n*subscribers), "ns/delivery")
}

// BenchmarkPublish1to1 alone is -bench 'Publish1to1$': a pattern is not anchored, and one
// operation of the benchmarks below is 10,000 and 100,000 deliveries.
func BenchmarkPublish1to1(b *testing.B) {
	for _, v := range []packet.Version{packet.V311, packet.V50} {
		b.Run(v.String(), func(b *testing.B) { benchmarkPublish(b, 1, v) })
	}
}

func BenchmarkPublish1to100(b *testing.B) { benchmarkPublish(b, 100, packet.V50) }

func BenchmarkPublish1to1000(b *testing.B) {
	for _, v := range []packet.Version{packet.V311, packet.V50} {
		b.Run(v.String(), func(b *testing.B) { benchmarkPublish(b, 1000, v) })
	}
}

func BenchmarkPublish1to10000(b *testing.B) { benchmarkPublish(b, 10_000, packet.V50) }

// acknowledge does a subscriber's part of the message with this packet identifier.
func (r *rig) acknowledge(c *Client, qos byte, id uint16) {
	r.ack = [4]byte{0x40, 2, byte(id >> 8), byte(id)}
	if qos == 2 {
		r.ack[0] = 0x50
		_ = c.Feed(r.ack[:])
		c.Flush(&r.out)
		r.ack[0] = 0x70
	}
	_ = c.Feed(r.ack[:])
}

// BenchmarkAcknowledged is a message at QoS 1 and 2 to 1, 100 and 10,000 subscribers,
// with all acknowledgements of both ends.
func BenchmarkAcknowledged(b *testing.B) {
	for _, qos := range []byte{1, 2} {
		for _, n := range []int{1, 100, 10_000} {
			b.Run(fmt.Sprintf("QoS%d/%d", qos, n), func(b *testing.B) { benchmarkAcknowledged(b, n, qos) })
		}
	}
}

func benchmarkAcknowledged(b *testing.B, subscribers int, qos byte) {
	r := newRig(b, subscribers, packet.V50, qos)
	frame := pub("bench/1/x", string(make([]byte, 64)), qos, 1).AppendTo(nil, packet.V50)
	release := []byte{0x62, 2, 0, 1}
	b.ReportAllocs()
	messages := 0
	for id := uint16(1); b.Loop(); id = id%maxPacketIDs + 1 {
		_ = r.pub.Feed(frame)
		if qos == 2 {
			_ = r.pub.Feed(release)
		}
		r.flush()
		for _, c := range r.subs {
			r.acknowledge(c, qos, id)
		}
		messages++
	}
	if open := r.subs[0].session.out.open; open != 0 {
		b.Fatalf("%d messages are open", open)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(messages*subscribers), "ns/delivery")
}

// BenchmarkMemory tells what a session without a connection, a subscription of one
// session and a retained message of 100 bytes take of the Go heap.
func BenchmarkMemory(b *testing.B) {
	const n = 50_000
	for name, fill := range map[string]func(*Broker){
		"session":      func(br *Broker) { sessionsAway(b, br, n) },
		"subscription": func(br *Broker) { subscriptionsOf(b, br, n) },
		"retained": func(br *Broker) {
			for i := range n {
				require.NoError(b, br.Publish(Publication{Topic: fmt.Sprintf("devices/%d/state", i), Payload: make([]byte, 100), Retain: true}))
			}
		},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				before := heapInUse()
				br := New(Config{AllowAnonymous: true, MaxSubscriptions: n})
				fill(br)
				b.ReportMetric(float64(heapInUse()-before)/n, "B/"+name)
				runtime.KeepAlive(br)
			}
		})
	}
}

// subscriptionsOf makes one client with n subscriptions.
func subscriptionsOf(t testing.TB, b *Broker, n int) {
	c := b.NewClient(&transport{})
	require.NoError(t, c.Feed((&packet.Connect{ClientID: "c", CleanStart: true}).AppendTo(nil, packet.V50)))
	for i := range n {
		require.NoError(t, c.Feed((&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{
			{Filter: fmt.Sprintf("devices/%d/state", i)}}}).AppendTo(nil, packet.V50)))
		c.Flush(&discard{})
	}
	require.EqualValues(t, n, b.Stats().Subscriptions)
}

func BenchmarkQoS1(b *testing.B) {
	r := newRig(b, 1, packet.V50, 1)
	frame := pub("bench/1/x", string(make([]byte, 64)), 1, 1).AppendTo(nil, packet.V50)
	b.ReportAllocs()
	for id := uint16(1); b.Loop(); id = id%maxPacketIDs + 1 {
		_ = r.pub.Feed(frame)
		r.flush()
		_ = r.subs[0].Feed([]byte{0x40, 2, byte(id >> 8), byte(id)})
	}
	if open := r.subs[0].session.out.open; open != 0 {
		b.Fatalf("%d messages are open", open)
	}
}

func BenchmarkConnectDisconnect(b *testing.B) {
	br := New(Config{AllowAnonymous: true})
	connect := (&packet.Connect{ClientID: "c", CleanStart: true, KeepAlive: 60}).AppendTo(nil, packet.V50)
	b.ReportAllocs()
	for b.Loop() {
		c := br.NewClient(&transport{})
		_ = c.Feed(connect)
		_ = c.Feed([]byte{0xE0, 0})
		c.Closed(nil)
	}
}

// BenchmarkIdleClients tells what a connected client with one subscription costs.
func BenchmarkIdleClients(b *testing.B) {
	const clients = 10_000
	for b.Loop() {
		br := New(Config{AllowAnonymous: true})
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		keep := make([]*Client, clients)
		for i := range keep {
			c := br.NewClient(&transport{})
			_ = c.Feed((&packet.Connect{ClientID: fmt.Sprint("client", i), KeepAlive: 60, CleanStart: true}).AppendTo(nil, packet.V50))
			_ = c.Feed((&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: fmt.Sprint("t/", i)}}}).AppendTo(nil, packet.V50))
			c.Flush(&discard{})
			_ = c.Feed([]byte{0xC0, 0})
			c.Flush(&discard{})
			keep[i] = c
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/clients, "B/client")
		runtime.KeepAlive(keep)
		runtime.KeepAlive(br)
	}
}
