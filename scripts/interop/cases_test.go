package interop

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// libraryCases are what every MQTT library has to get right with the broker.
var libraryCases = []struct {
	name string
	run  func(*testing.T, stack)
}{
	{"connect", caseConnect},
	{"QoS 0/1/2 x 0/1/2", caseQoS},
	{"unsubscribe", caseUnsubscribe},
	{"retained", caseRetained},
	{"will", caseWill},
	{"session resumed", caseSession},
	{"takeover", caseTakeover},
	{"1 MB messages", caseLarge},
}

// TestLibraries runs every case with every MQTT library on every transport.
func TestLibraries(t *testing.T) {
	for _, s := range stacks() {
		for _, c := range libraryCases {
			proves(t, s.name, c.name, func(t *testing.T) { c.run(t, s) })
		}
	}
}

func caseConnect(t *testing.T, s stack) {
	_, present := s.openSession(t, options{})
	assert.False(t, present, "a clean start finds no session")
}

// caseQoS: a message arrives at the lower of the QoS it was published with and the QoS granted.
func caseQoS(t *testing.T, s stack) {
	pub := s.open(t, options{})
	for subQoS := byte(0); subQoS <= 2; subQoS++ {
		topic := unique("interop/qos")
		sub := s.open(t, options{})
		subscribe(t, sub, topic, subQoS)
		for pubQoS := byte(0); pubQoS <= 2; pubQoS++ {
			want := message{topic: topic, payload: fmt.Sprintf("pub %d sub %d", pubQoS, subQoS), qos: min(pubQoS, subQoS)}
			publish(t, pub, message{topic: topic, payload: want.payload, qos: pubQoS})
			assert.Equal(t, want, next(t, sub))
		}
		nothingMore(t, sub)
	}
}

func caseUnsubscribe(t *testing.T, s stack) {
	topic := unique("interop/unsubscribe")
	c := s.open(t, options{})
	subscribe(t, c, topic, 1)
	require.NoError(t, c.unsubscribe(within(t, patience), topic))
	publish(t, c, message{topic: topic, payload: "nobody hears this", qos: 1})
	nothingMore(t, c)
}

func caseRetained(t *testing.T, s stack) {
	base := unique("interop/retained")
	pub := s.open(t, options{})
	publish(t, pub, message{topic: base + "/a", payload: "old", qos: 1, retain: true})
	publish(t, pub, message{topic: base + "/a", payload: "new", qos: 1, retain: true})
	publish(t, pub, message{topic: base + "/b", payload: "other", qos: 2, retain: true})
	publish(t, pub, message{topic: base + "/b", payload: "", qos: 1, retain: true})

	sub := s.open(t, options{})
	subscribe(t, sub, base+"/#", 1)
	assert.Equal(t, message{topic: base + "/a", payload: "new", qos: 1, retain: true}, next(t, sub))
	publish(t, pub, message{topic: base + "/a", payload: "live", qos: 1, retain: true})
	assert.Equal(t, message{topic: base + "/a", payload: "live", qos: 1}, next(t, sub), "a live copy has no retain flag")
	nothingMore(t, sub)
	publish(t, pub, message{topic: base + "/a", qos: 1, retain: true})
}

// caseWill: the will comes when the connection is lost, and not after a DISCONNECT.
func caseWill(t *testing.T, s stack) {
	topic := unique("interop/will")
	sub := s.open(t, options{})
	subscribe(t, sub, topic, 2)

	polite := s.open(t, options{will: &message{topic: topic, payload: "polite", qos: 1}})
	polite.disconnect()
	lost := s.open(t, options{will: &message{topic: topic, payload: "lost", qos: 2}})
	lost.drop()
	assert.Equal(t, message{topic: topic, payload: "lost", qos: 2}, next(t, sub))
	nothingMore(t, sub)
}

// caseSession: what was published while the client was away comes after its return, in order.
func caseSession(t *testing.T, s stack) {
	const count = 20
	topic := unique("interop/session")
	o := options{id: unique("interop"), persistent: true}
	first, present := s.openSession(t, o)
	require.False(t, present)
	subscribe(t, first, topic, 2)
	first.drop()

	pub := s.open(t, options{})
	for i := range count {
		publish(t, pub, message{topic: topic, payload: fmt.Sprint(i), qos: byte(1 + i%2)})
	}
	second, present := s.openSession(t, o)
	require.True(t, present, "the session was kept")
	var sent, got []message
	for i := range count {
		sent, got = append(sent, message{topic: topic, payload: fmt.Sprint(i), qos: byte(1 + i%2)}), append(got, next(t, second))
	}
	if s.atRelease {
		byQoS := func(a, b message) int { return int(a.qos) - int(b.qos) }
		slices.SortStableFunc(sent, byQoS)
		slices.SortStableFunc(got, byQoS)
	}
	assert.Equal(t, sent, got)
	nothingMore(t, second)
	second.disconnect()

	third, present := s.openSession(t, options{id: o.id})
	assert.False(t, present, "a clean start drops the session")
	publish(t, pub, message{topic: topic, payload: "gone", qos: 1})
	nothingMore(t, third)
}

// caseTakeover: a second connection with the same client id ends the first one and keeps the session.
func caseTakeover(t *testing.T, s stack) {
	topic := unique("interop/takeover")
	o := options{id: unique("interop"), persistent: true}
	first := s.open(t, o)
	subscribe(t, first, topic, 1)
	second, present := s.openSession(t, o)
	assert.True(t, present)
	publish(t, second, message{topic: topic, payload: "to the second", qos: 1})
	assert.Equal(t, "to the second", next(t, second).payload)
	assert.Empty(t, first.received())
	nothingMore(t, second)
}

func caseLarge(t *testing.T, s stack) {
	topic := unique("interop/large")
	c := s.open(t, options{})
	subscribe(t, c, topic, 2)
	for qos := byte(0); qos <= 2; qos++ {
		payload := strings.Repeat(string('a'+rune(qos)), 1<<20)
		publish(t, c, message{topic: topic, payload: payload, qos: qos})
		got := next(t, c)
		assert.Equal(t, qos, got.qos)
		assert.True(t, got.payload == payload, "%d bytes came back changed", len(got.payload))
	}
}

// TestAcrossTransports: publisher and subscriber use different transports and protocol versions.
func TestAcrossTransports(t *testing.T) {
	all := stacks()
	for _, p := range all {
		for _, s := range all {
			if p.name == s.name {
				continue
			}
			proves(t, p.name, "to every other stack", func(t *testing.T) {
				topic := unique("interop/across")
				sub, pub := s.open(t, options{}), p.open(t, options{})
				subscribe(t, sub, topic, 2)
				for qos := byte(0); qos <= 2; qos++ {
					publish(t, pub, message{topic: topic, payload: "hello", qos: qos})
					assert.Equal(t, message{topic: topic, payload: "hello", qos: qos}, next(t, sub), "to %s", s.name)
				}
			})
		}
	}
}

// TestSessionMoves: a session is resumed on another transport with what was queued for it.
func TestSessionMoves(t *testing.T) {
	for n, s := range quicStacks() {
		// The same MQTT version: the session's properties are the same.
		version := n % 2
		proves(t, s.name, "session moves QUIC - TCP - TLS - QUIC", func(t *testing.T) {
			topic := unique("interop/moves")
			o := options{id: unique("moves"), persistent: true}
			c, _ := s.openSession(t, o)
			subscribe(t, c, topic, 1)
			pub := s.open(t, options{})
			for n, to := range []stack{tcpStacks()[version], tlsStacks()[version], s} {
				c.drop()
				payload := fmt.Sprint("move ", n)
				publish(t, pub, message{topic: topic, payload: payload, qos: 1})
				var present bool
				c, present = to.openSession(t, o)
				require.True(t, present)
				got := next(t, c)
				for got.payload != payload { // the one before came again: its PUBACK was lost with the connection
					got = next(t, c)
				}
			}
		})
	}
}

// TestSilentClient: the will of a client that has fallen silent comes after 1.5 times its keep alive.
func TestSilentClient(t *testing.T) {
	for _, s := range quicStacks() {
		proves(t, s.name, "will of a silent client", func(t *testing.T) {
			// One and a half keep alive intervals [MQTT-3.1.2-22]; the server does not wait for
			// acknowledgements of its DISCONNECT first, which takes it 2 s.
			const limit = 4500 * time.Millisecond
			took := time.Hour
			for i := 0; i < tries && took >= limit; i++ {
				took = fallSilent(t, s, 2)
			}
			assert.Less(t, took, limit)
		})
	}
}

// fallSilent returns how long it took until the will of a silent client came.
func fallSilent(t *testing.T, s stack, keepAlive uint16) time.Duration {
	t.Helper()
	topic := unique("interop/silent")
	sub := s.open(t, options{})
	subscribe(t, sub, topic, 1)
	path, err := StartProxy(s.addr, Damage{}, 0)
	require.NoError(t, err)
	silent := s.via(path.Addr()).open(t, options{keepAlive: keepAlive, will: &message{topic: topic, payload: "silent", qos: 1}})
	subscribe(t, silent, topic+"/none", 0)
	path.Close()
	gone := time.Now()
	assert.Equal(t, "silent", next(t, sub).payload)
	took := time.Since(gone)
	silent.drop()
	return took
}

// Test200Clients: 200 clients connect, subscribe and publish at the same time over QUIC.
func Test200Clients(t *testing.T) {
	for _, s := range quicStacks() {
		proves(t, s.name, "200 clients at once", func(t *testing.T) { crowd(t, s, 200) })
	}
}

func crowd(t *testing.T, s stack, count int) {
	base := unique("interop/crowd")
	clients := make([]client, count)
	each(t, count, func(i int) error {
		clients[i] = s.new(s.dial, options{id: unique("crowd"), keepAlive: 30})
		if _, err := clients[i].connect(within(t, 2*patience)); err != nil {
			return fmt.Errorf("connect: %w", err)
		}
		for _, filter := range []string{fmt.Sprintf("%s/%d", base, i), base + "/all"} {
			if _, err := clients[i].subscribe(within(t, 2*patience), filter, 1); err != nil {
				return fmt.Errorf("subscribe: %w", err)
			}
		}
		return nil
	})
	each(t, count, func(i int) error {
		return clients[i].publish(within(t, 2*patience), message{topic: fmt.Sprintf("%s/%d", base, (i+1)%count), payload: "neighbour", qos: 1})
	})
	publish(t, clients[0], message{topic: base + "/all", payload: "all", qos: 1})
	for _, c := range clients {
		assert.Equal(t, "neighbour", next(t, c).payload)
		assert.Equal(t, "all", next(t, c).payload)
	}
	each(t, count, func(i int) error { clients[i].disconnect(); return nil })
}

// each runs f for 0..count-1 at once and wants no error.
func each(t *testing.T, count int, f func(i int) error) {
	t.Helper()
	var wg sync.WaitGroup
	errs := make([]error, count)
	for i := range count {
		wg.Go(func() { errs[i] = f(i) })
	}
	wg.Wait()
	for i, err := range errs {
		require.NoError(t, err, "client %d", i)
	}
}
