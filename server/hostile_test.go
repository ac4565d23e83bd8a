package server_test

import (
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/server"
	"github.com/ngmq/ngmq/server/internal/mqtttest"
)

// What attacks must not do to others.
const (
	// served is how long another client waits for an answer at most. Time in which this
	// process does not run because the machine is busy with others does not count.
	served = 100 * time.Millisecond * slowdown
	// stuck is the same by the clock on the wall, without the time that the machine took.
	stuck = 5 * time.Second
	// beat is how often a pulse is felt.
	beat = 5 * time.Millisecond
	// attackTries is how often an attack is made until the longest wait was shorter: a
	// process is slow once in a while, a server that is held up always.
	attackTries = 8
)

// front is where an attack is made: a server whose QUIC connections share one worker,
// with a client on each transport that measures how long it is kept waiting.
type front struct {
	*running
	t         *testing.T
	transport string // of the attacker
	probes    []net.Conn
	clients   int // dialled so far
}

// onFronts runs an attack over TCP and QUIC on a server of its own, until it succeeds
// in not disturbing anybody.
func onFronts(t *testing.T, cfg server.Config, attack func(*front)) {
	for _, transport := range []string{"tcp", favourite} {
		t.Run(transport, func(t *testing.T) {
			cfg.Workers = 1
			f := &front{running: start(t, cfg), t: t, transport: transport}
			for _, transport := range transports {
				f.probes = append(f.probes, f.probe(transport))
			}
			f.repeat(attack)
		})
	}
}

// probe connects by a QUIC endpoint of its own: not the clients are to be measured.
func (f *front) probe(transport string) net.Conn {
	own := &running{Server: f.Server, caFile: f.caFile}
	f.more = append(f.more, &own.quicClients)
	c := connected(f.t, own, transport, packet.V50, "probe "+transport)
	c.Conn().SetDeadline(time.Time{})
	return c.Conn()
}

func (f *front) repeat(attack func(*front)) {
	for try := 1; ; try++ {
		wait := f.measure(attack)
		f.t.Logf("longest wait of another client: %s", wait)
		if wait <= served {
			return
		}
		require.Less(f.t, try, attackTries, "others are kept waiting")
	}
}

// measure is the longest wait of a probe during an attack.
func (f *front) measure(attack func(*front)) time.Duration {
	var longest atomic.Int64
	var stop atomic.Bool
	var probes sync.WaitGroup
	var machine pulse
	probes.Go(func() { machine.run(&stop) })
	for _, conn := range f.probes {
		probes.Go(func() {
			for !stop.Load() {
				if wait := roundTrip(f.t, conn, &machine); int64(wait) > longest.Load() {
					longest.Store(int64(wait))
				}
				time.Sleep(time.Millisecond) // not a wait: the pace of the probe
			}
		})
	}
	defer probes.Wait()
	defer stop.Store(true)
	attack(f)
	stop.Store(true)
	probes.Wait()
	return time.Duration(longest.Load())
}

// pulse tells how long the machine has not let this process run when it wanted to: how much
// later than asked for a goroutine woke up that does nothing but sleep.
type pulse struct{ late atomic.Int64 }

func (p *pulse) run(stop *atomic.Bool) {
	for !stop.Load() {
		begin := time.Now()
		time.Sleep(beat) // what is measured
		p.late.Add(int64(time.Since(begin) - beat))
	}
}

// roundTrip is how long a client is kept waiting: by the clock, or as long as this
// process has run meanwhile if that is shorter.
func roundTrip(t *testing.T, conn net.Conn, machine *pulse) time.Duration {
	begin, ran, late := time.Now(), cpuTime(), machine.late.Load()
	conn.SetReadDeadline(begin.Add(mqtttest.Patience))
	_, err := conn.Write([]byte{0xC0, 0})
	if assert.NoError(t, err) {
		_, err = io.ReadFull(conn, make([]byte, 2))
		assert.NoError(t, err, "a client that did nothing wrong")
	}
	wait := time.Since(begin)
	assert.Less(t, wait-time.Duration(machine.late.Load()-late), stuck, "a client is stuck")
	return min(wait, cpuTime()-ran)
}

// cpuTime is how long all threads of this process have run.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// attacker is a connected client with an identifier of its own.
func (f *front) attacker(v packet.Version) *mqtttest.Client {
	f.t.Helper()
	f.clients++
	return connected(f.t, f.running, f.transport, v, fmt.Sprint("attacker", f.clients))
}

// live is the memory in use, of Go and of C, in bytes.
func live() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	_, c := heap()
	return int64(m.HeapAlloc) + c
}

// grows checks that live memory does not grow by more than a number of bytes.
func grows(t *testing.T, most int64, attack func()) {
	t.Helper()
	before := live()
	attack()
	grown := live() - before
	t.Logf("%d KiB more in use", grown>>10)
	assert.LessOrEqual(t, grown, most)
}

// Topic names of 65,535 levels and filters of 32,768 wildcards are refused, one by one,
// with the code of the standard.
func TestHostileLevels(t *testing.T) {
	name := []byte(strings.Repeat("/", packet.MaxStringSize))
	filter := strings.Repeat("+/", packet.MaxStringSize/2) + "+"
	onFronts(t, server.Config{}, func(f *front) {
		t := f.t
		c := f.attacker(packet.V50)
		grows(t, 4<<20, func() {
			for range 50 {
				c.Send(&packet.Publish{Topic: name, QoS: 1, PacketID: 1, Retain: true, Payload: []byte("x")})
				assert.Equal(t, packet.TopicNameInvalid, mqtttest.Expect[*packet.Puback](c).ReasonCode)
				c.Send(&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: filter}}})
				assert.Equal(t, []packet.ReasonCode{packet.TopicFilterInvalid}, mqtttest.Expect[*packet.Suback](c).ReasonCodes)
			}
		})
		c.Send(&packet.Disconnect{})
	})
}

// So they do no harm where the limits allow them.
func TestHostileLevelsAllowed(t *testing.T) {
	name := strings.Repeat("/", packet.MaxStringSize)
	filter := strings.Repeat("+/", packet.MaxStringSize/2) + "+"
	onFronts(t, server.Config{Limits: server.Limits{MaxTopicLevels: packet.MaxStringSize}}, func(f *front) {
		c := f.attacker(packet.V50)
		c.Send(&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: filter}}})
		mqtttest.Expect[*packet.Suback](c)
		for range 10 {
			c.Send(&packet.Publish{Topic: []byte(name), Retain: true, Payload: []byte("x")})
			c.Ping()
			c.Send(&packet.Publish{Topic: []byte(name), Retain: true})
			c.Ping()
		}
		c.Send(&packet.Disconnect{})
		c.ExpectEnd()
	})
}

// combinations are the filters of n levels of "a" and "+".
func combinations(n int) (list []packet.Subscription) {
	for bits := range 1 << n {
		levels := make([]string, n)
		for i := range levels {
			levels[i] = []string{"a", "+"}[bits>>i&1]
		}
		list = append(list, packet.Subscription{Filter: strings.Join(levels, "/")})
	}
	return list
}

// 4,096 filters that all match one name, each with an identifier of its own, while the
// set of subscriptions changes all the time.
func TestHostileWildcards(t *testing.T) {
	filters := combinations(12)
	name := strings.TrimSuffix(strings.Repeat("a/", 12), "/")
	onFronts(t, server.Config{}, func(f *front) {
		t := f.t
		c := f.attacker(packet.V50)
		for i, s := range filters {
			c.Send(&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{s},
				Properties: packet.AppendVarint(nil, packet.SubscriptionIdentifier, uint32(1000+i))})
			mqtttest.Expect[*packet.Suback](c)
		}
		for range 30 {
			c.Send(&packet.Unsubscribe{PacketID: 1, Filters: []string{"+"}})
			mqtttest.Expect[*packet.Unsuback](c)
			c.Send(&packet.Publish{Topic: []byte(name)})
			assert.Len(t, mqtttest.Expect[*packet.Publish](c).Properties, len(filters)*3)
		}
		c.Send(&packet.Disconnect{})
	})
}

// subscriptions are n filters that begin with a number.
func subscriptions(from, n int) *packet.Subscribe {
	s := &packet.Subscribe{PacketID: 1}
	for i := range n {
		s.Subscriptions = append(s.Subscriptions, packet.Subscription{Filter: fmt.Sprint(from+i, "/+")})
	}
	return s
}

// 20,000 filters in one packet: as many as a session may have are granted.
func TestHostileFiltersInOnePacket(t *testing.T) {
	const filters, granted = 20_000, 4096
	onFronts(t, server.Config{}, func(f *front) {
		t := f.t
		c := f.attacker(packet.V50)
		for range 3 {
			c.Send(subscriptions(0, filters))
			codes := mqtttest.Expect[*packet.Suback](c).ReasonCodes
			require.Len(t, codes, filters)
			assert.Equal(t, packet.GrantedQoS0, codes[granted-1])
			assert.Equal(t, packet.QuotaExceeded, codes[granted])
		}
		c.Send(&packet.Disconnect{})
	})
}

// The same deep filter as often as one packet can have it.
func TestHostileDeepFiltersInOnePacket(t *testing.T) {
	deep := &packet.Subscribe{PacketID: 1}
	for range packet.MaxFilters {
		deep.Subscriptions = append(deep.Subscriptions, packet.Subscription{Filter: strings.Repeat("/", 100)})
	}
	onFronts(t, server.Config{}, func(f *front) {
		t := f.t
		c := f.attacker(packet.V50)
		c.Send(deep)
		codes := mqtttest.Expect[*packet.Suback](c).ReasonCodes
		require.Len(t, codes, packet.MaxFilters)
		assert.Equal(t, packet.GrantedQoS0, codes[1000])
		assert.Equal(t, packet.QuotaExceeded, codes[packet.MaxFilters-1])
		c.Send(&packet.Disconnect{})
	})
}

// 100,000 subscriptions of one client, where that is allowed, come and go.
func TestHostileManySubscriptions(t *testing.T) {
	const total, each = 100_000 / slowdown, 5000
	onFronts(t, server.Config{Limits: server.Limits{MaxSubscriptions: total}}, func(f *front) {
		t := f.t
		c := f.attacker(packet.V50)
		for i := 0; i < total; i += each {
			c.Send(subscriptions(i, each))
			codes := mqtttest.Expect[*packet.Suback](c).ReasonCodes
			assert.Equal(t, packet.GrantedQoS0, codes[each-1])
		}
		assert.EqualValues(t, total, f.Stats().Subscriptions)
		c.Send(subscriptions(total, 1))
		assert.Equal(t, packet.QuotaExceeded, mqtttest.Expect[*packet.Suback](c).ReasonCodes[0])
		c.Send(&packet.Disconnect{}) // ends the session: all of them are removed
		c.ExpectEnd()
		assert.Eventually(t, func() bool { return f.Stats().Subscriptions == 0 }, mqtttest.Patience, time.Millisecond)
	})
}
