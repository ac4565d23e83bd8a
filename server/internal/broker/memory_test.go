package broker

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// heapInUse is the live heap in bytes.
func heapInUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// sessionsAway makes n sessions with one subscription each whose clients have gone.
func sessionsAway(t testing.TB, b *Broker, n int) {
	for i := range n {
		c := b.NewClient(&transport{})
		require.NoError(t, c.Feed((&packet.Connect{ClientID: fmt.Sprint("client", i), CleanStart: true, KeepAlive: 60,
			Properties: packet.AppendUint32(nil, packet.SessionExpiryInterval, 1<<31)}).AppendTo(nil, packet.V50)))
		require.NoError(t, c.Feed((&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{
			{Filter: fmt.Sprintf("devices/%d/commands", i), QoS: 1}}}).AppendTo(nil, packet.V50)))
		c.Flush(&discard{})
		c.Closed(nil)
	}
}

// A session without a connection takes less than 3 KB, and one with a message that
// waits little more.
func TestMemoryOfSessions(t *testing.T) {
	const most = 3000
	sessions := int64(20_000)
	if raceEnabled {
		sessions = 2000
	}
	before := heapInUse()
	b := New(Config{AllowAnonymous: true})
	sessionsAway(t, b, int(sessions))
	each := (heapInUse() - before) / sessions
	t.Logf("%d bytes per session", each)
	assert.Less(t, each, int64(most))

	for i := range sessions {
		require.NoError(t, b.Publish(Publication{Topic: fmt.Sprintf("devices/%d/commands", i), QoS: 1, Payload: make([]byte, 100)}))
	}
	each = (heapInUse() - before) / sessions
	t.Logf("%d bytes per session with a message of 100 bytes", each)
	assert.Less(t, each, int64(most+1000))
	assert.EqualValues(t, sessions, b.Stats().Sessions)
	runtime.KeepAlive(b)
}

// Thousands of matching subscriptions of one client with identifiers are merged in
// linear time.
func TestManyMatchesAreMergedInLinearTime(t *testing.T) {
	const filters = 4096
	w := newWorld(t)
	s := w.connect(packet.V50, "s")
	for i := range filters {
		s.send(&packet.Subscribe{PacketID: 1, Properties: packet.AppendVarint(nil, packet.SubscriptionIdentifier, uint32(1000+i)),
			Subscriptions: []packet.Subscription{{Filter: combination(i)}}})
	}
	s.take()
	m := Publication{Topic: "a/a/a/a/a/a/a/a/a/a/a/a"}
	require.NoError(t, w.Publish(m))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	require.NoError(t, w.Publish(Publication{Topic: m.Topic, Payload: []byte("x")}))
	runtime.ReadMemStats(&after)
	assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(2<<20), "bytes for one message")
	got := s.take()
	require.Len(t, got, 2)
	assert.Len(t, got[1].(*packet.Publish).Properties, 3*filters)
}

// combination is a filter of twelve levels "a" and "+", another one for each number.
func combination(bits int) string {
	filter := make([]byte, 0, 24)
	for i := range 12 {
		filter = append(filter, "a+"[bits>>i&1], '/')
	}
	return string(filter[:23])
}
