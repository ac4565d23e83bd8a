package broker

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
)

func policy(p QueuePolicy, messages int) func(*Config) {
	return func(c *Config) { c.QueuePolicy, c.MaxQueuedMessages = p, messages }
}

func TestDropOld(t *testing.T) {
	w := newWorld(t, policy(DropOld, 3))
	p := w.connect(packet.V50, "p")
	s := w.connect(packet.V50, "s", resume, expiry(60))
	s.subscribe(1, "t")
	publishN(p, "t", 0, 8) // it does not read
	assert.Equal(t, []string{"5", "6", "7"}, payloads(s.take()))
	s.lose()
	publishN(p, "t", 1, 5)
	assert.EqualValues(t, 7, w.Stats().Dropped[DropQueueFull])
	s = w.connect(packet.V50, "s", resume, expiry(60))
	assert.Equal(t, []string{"2", "3", "4"}, payloads(s.take()))
	assert.Zero(t, w.Stats().OfflineBytes)
}

func TestDropOldMakesRoomOffline(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.QueuePolicy, c.MaxOfflineBytes = DropOld, 5000 })
	p := w.connect(packet.V50, "p")
	for _, id := range []string{"a", "b"} {
		s := w.connect(packet.V50, id, resume, expiry(60))
		s.subscribe(1, id)
		s.lose()
	}
	for i := range 8 {
		for _, topic := range []string{"a", "b"} {
			p.send(pub(topic, fmt.Sprint(i, string(make([]byte, 900))), 1, 1))
			assert.LessOrEqual(t, w.Stats().OfflineBytes, int64(5000))
		}
	}
	for _, id := range []string{"a", "b"} {
		got := payloads(w.connect(packet.V50, id, resume, expiry(60)).take())
		require.NotEmpty(t, got)
		assert.Equal(t, byte('7'), got[len(got)-1][0], "the newest is there")
	}
	assert.Zero(t, w.Stats().OfflineBytes)
}

// A message that is larger than everything that may be kept costs no more than the
// session's own queue.
func TestDropOldTooLarge(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.QueuePolicy, c.MaxOfflineBytes = DropOld, 1000 })
	s := w.connect(packet.V50, "s", resume, expiry(60))
	s.subscribe(1, "t")
	s.lose()
	p := w.connect(packet.V50, "p")
	p.send(pub("t", "small", 1, 1), pub("t", string(make([]byte, 2000)), 1, 2))
	assert.EqualValues(t, 1, w.Stats().Dropped[DropOfflineFull])
	assert.Zero(t, w.Stats().OfflineBytes)
}

func TestDropClient(t *testing.T) {
	w := newWorld(t, policy(DropClient, 3))
	p := w.connect(packet.V50, "p")
	s := w.connect(packet.V50, "s", resume, expiry(60))
	s.subscribe(1, "t")
	publishN(p, "t", 1, 4)
	s.closes(packet.QuotaExceeded)
	publishN(p, "t", 1, 4)
	s = w.connect(packet.V50, "s", resume, expiry(60))
	assert.Equal(t, []string{"0", "1", "2"}, payloads(s.take()), "the session is as it was")
}

func TestMaxQueuedAge(t *testing.T) {
	w := newWorld(t, policy(DropNew, 3), func(c *Config) { c.MaxQueuedAge = time.Minute })
	p := w.connect(packet.V50, "p")
	p.send(retained("r", "old", 1, 1))
	p.take()
	s := w.connect(packet.V50, "s", resume, expiry(600), uintProp(packet.ReceiveMaximum, 1))
	s.subscribe(1, "t")
	publishN(p, "t", 1, 2) // 0 is sent, 1 waits for its acknowledgement
	assert.Equal(t, []string{"0"}, payloads(s.take()))
	s.lose()
	w.advance(59 * time.Second)
	p.send(pub("t", "2", 1, 3))
	w.advance(time.Second)
	s = w.connect(packet.V50, "s", resume, expiry(600))
	assert.Equal(t, []string{"0", "2"}, payloads(s.take()))
	assert.EqualValues(t, 1, w.Stats().Dropped[DropExpired])
	assert.Equal(t, []string{"old"}, payloads(s.subscribe(1, "r")), "a retained message has not waited")

	s.lose() // old messages make room
	publishN(p, "t", 1, 3)
	w.advance(time.Minute)
	p.send(pub("t", "new", 1, 3))
	s = w.connect(packet.V50, "s", resume, expiry(600))
	assert.Equal(t, "new", payloads(s.take())[3], "after the three that are in flight")
}

func TestQueuePolicyText(t *testing.T) {
	for p := range numQueuePolicies {
		var q QueuePolicy
		require.NoError(t, q.UnmarshalText([]byte(p.String())))
		assert.Equal(t, p, q)
	}
	var q QueuePolicy
	assert.Error(t, q.UnmarshalText([]byte("x")))
	assert.Equal(t, "QueuePolicy(9)", QueuePolicy(9).String())
	assert.Error(t, (&Config{QueuePolicy: 9}).Validate())
}
