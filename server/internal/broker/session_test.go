package broker

import (
	"fmt"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/mqtt/scram"
)

func TestSessionResumed(t *testing.T) { // MQTT-3.1.2-5, MQTT-3.2.2-3, trap 9
	eachVersion(t, func(t *testing.T, v packet.Version) {
		w := newWorld(t)
		keep := []connectOption{resume}
		if v == packet.V50 {
			keep = append(keep, expiry(60))
		}
		s, ack := w.tryConnect(v, "s", keep...)
		assert.False(t, ack.SessionPresent) // MQTT-3.1.2-6
		s.subscribe(1, "t")
		s.bye()
		p := w.connect(v, "p")
		publishWith(p, pub("t", "0", 0, 0))
		publishWith(p, pub("t", "1", 1, 1))
		publishWith(p, pub("t", "2", 2, 2))

		s, ack = w.tryConnect(v, "s", keep...)
		assert.Equal(t, v != packet.V31, ack.SessionPresent)
		got := s.take()
		require.Equal(t, []string{"1", "2"}, payloads(got), "QoS 0 is not kept, MQTT-3.1.2-5 of 3.1.1")
		for _, q := range got {
			assert.False(t, q.(*packet.Publish).Dup)
		}
		publishWith(p, pub("t", "3", 0, 0))
		assert.Equal(t, []string{"3"}, payloads(s.take()))
		s.lose()

		s, ack = w.tryConnect(v, "s") // MQTT-3.1.2-4, MQTT-3.2.2-2
		assert.False(t, ack.SessionPresent)
		publishWith(p, pub("t", "4", 1, 1))
		s.none()
		assert.Zero(t, w.Stats().Subscriptions)
	})
	proves(t, "MQTT-3.1.2-5", "MQTT-3.2.2-3", "MQTT-3.1.2-6", "MQTT-3.1.2-4", "MQTT-3.2.2-2", "MQTT-3.1.3-2",
		"MQTT-4.1.0-1", "MQTT-3.1.2-5 of 3.1.1", "MQTT-3.2.2-1 of 3.1.1", "MQTT-3.2.2-2 of 3.1.1", "MQTT-3.2.2-3 of 3.1.1")
}

func TestSessionExpiry(t *testing.T) { // MQTT-4.1.0-2, MQTT-3.1.2-23
	tests := []struct {
		name    string
		options []connectOption
		away    time.Duration
		present bool
	}{
		{"absent", nil, 0, false},
		{"0", []connectOption{expiry(0)}, 0, false},
		{"10 after 9", []connectOption{expiry(10)}, 9 * time.Second, true},
		{"10 after 11", []connectOption{expiry(10)}, 11 * time.Second, false},
		{"for ever", []connectOption{expiry(math.MaxUint32)}, 200 * 365 * 24 * time.Hour, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			s := w.connect(packet.V50, "s", tt.options...)
			s.subscribe(1, "t")
			w.advance(time.Hour) // MQTT-4.1.0-1: not while it is connected
			s.lose()
			p := w.connect(packet.V50, "p")
			publishWith(p, pub("t", "x", 1, 1))
			p.bye()
			w.advance(tt.away)
			if !tt.present {
				assert.Zero(t, w.Stats().Sessions)
				assert.Zero(t, w.Stats().Subscriptions)
			}
			s, ack := w.tryConnect(packet.V50, "s", resume)
			assert.Equal(t, tt.present, ack.SessionPresent)
			assert.Equal(t, tt.present, len(s.take()) == 1)
		})
	}
	proves(t, "MQTT-4.1.0-2", "MQTT-3.1.2-23", "MQTT-4.1.0-1")
}

func TestSessionExpiryIn3x(t *testing.T) { // MQTT-3.1.2-4, MQTT-3.1.2-6 of 3.1.1
	w := newWorld(t)
	w.connect(packet.V311, "clean").lose()
	w.connect(packet.V311, "kept", resume).lose()
	assert.EqualValues(t, 1, w.Stats().Sessions)
	w.advance(1000 * time.Hour)
	_, ack := w.tryConnect(packet.V311, "kept", resume)
	assert.True(t, ack.SessionPresent)

	w = newWorld(t, func(c *Config) { c.MaxSessionExpiry = time.Hour })
	w.connect(packet.V311, "kept", resume).lose()
	w.advance(61 * time.Minute)
	assert.Zero(t, w.Stats().Sessions)
	proves(t, "MQTT-3.1.2-4 of 3.1.1", "MQTT-3.1.2-6 of 3.1.1")
}

func TestSessionExpiryChangedByDisconnect(t *testing.T) {
	tests := []struct {
		first, then uint32
		legal       bool
		kept        bool
	}{
		{60, 0, true, false},
		{60, 1000, true, true},
		{0, 0, true, false},
		{0, 60, false, false},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.first, " to ", tt.then), func(t *testing.T) {
			w := newWorld(t)
			s := w.connect(packet.V50, "s", expiry(tt.first))
			s.send(&packet.Disconnect{Properties: packet.AppendUint32(nil, packet.SessionExpiryInterval, tt.then)})
			if tt.legal {
				s.none()
				assert.Equal(t, packet.NormalDisconnection, CloseCode(s.err))
				assert.EqualError(t, s.err, packet.Success.String())
				s.lose()
			} else {
				s.closes(packet.ProtocolError)
			}
			w.advance(100 * time.Second)
			assert.Equal(t, tt.kept, w.Stats().Sessions == 1)
		})
	}
}

func TestDisconnectFreesTheSessionAtOnce(t *testing.T) {
	w := newWorld(t)
	s := w.connect(packet.V50, "s", expiry(60))
	s.send(&packet.Disconnect{})
	again, ack := w.tryConnect(packet.V50, "s", resume) // before the first is closed
	assert.True(t, ack.SessionPresent)
	assert.Zero(t, w.Stats().Takeovers)
	s.none()
	s.lose()
	assert.False(t, again.tr.closed)
	again.send(&packet.Pingreq{})
	expect[*packet.Pingresp](again)
}

func TestTakeover(t *testing.T) { // MQTT-3.1.4-3, MQTT-3.1.4-2 of 3.1.1, trap 7
	for _, clean := range []bool{false, true} {
		for _, from := range versions {
			for _, to := range versions {
				t.Run(fmt.Sprint(from, " to ", to, " clean ", clean), func(t *testing.T) {
					w := newWorld(t)
					keep := func(c *packet.Connect) { c.CleanStart = false }
					if from == packet.V50 {
						keep = func(c *packet.Connect) { expiry(60)(c); c.CleanStart = false }
					}
					old := w.connect(from, "c", keep)
					old.subscribe(1, "t")
					p := w.connect(packet.V50, "p")
					publishWith(p, pub("t", "1", 1, 1))

					fresh, ack := w.tryConnect(to, "c", func(c *packet.Connect) { c.CleanStart = clean })
					assert.Equal(t, !clean && to != packet.V31, ack.SessionPresent)
					assert.True(t, old.tr.closed)
					assert.Equal(t, packet.SessionTakenOver, old.tr.code)
					assert.EqualValues(t, 1, w.Stats().Takeovers)
					if !clean {
						assert.Equal(t, []string{"1"}, payloads(fresh.take()))
					}
					assert.Error(t, old.c.Feed(pub("t", "from the dead", 1, 7).AppendTo(nil, from)))
					old.closes(packet.SessionTakenOver)
					fresh.send(&packet.Pingreq{})
					assert.Len(t, fresh.take(), 1)
					assert.EqualValues(t, 2, w.Stats().Sessions)
					assert.EqualValues(t, 2, w.Stats().Clients)
				})
			}
		}
	}
	proves(t, "MQTT-3.1.4-3", "MQTT-3.1.4-2 of 3.1.1")
}

func TestTakeoverWhileOldIsSlow(t *testing.T) {
	w := newWorld(t)
	old := w.connect(packet.V50, "c", expiry(60))
	old.subscribe(1, "t")
	fresh := w.connect(packet.V50, "c", resume, expiry(60))
	p := w.connect(packet.V50, "p")
	publishWith(p, pub("t", "1", 1, 1))
	assert.Empty(t, payloads(old.take()), "the old connection gets nothing any more")
	assert.Equal(t, []string{"1"}, payloads(fresh.take()))
	old.lose()
	assert.EqualValues(t, 2, w.Stats().Clients)
	publishWith(p, pub("t", "2", 0, 0))
	assert.Equal(t, []string{"2"}, payloads(fresh.take()))
}

func TestQueueLimits(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.MaxQueuedMessages, c.MaxQueuedBytes = 5, 1000 })
	s := w.connect(packet.V50, "s", expiry(60))
	s.subscribe(1, "t")
	s.lose()
	p := w.connect(packet.V50, "p")
	for i := range 8 {
		publishWith(p, pub("t", fmt.Sprint(i), 1, 1))
	}
	s = w.connect(packet.V50, "s", resume, expiry(60))
	assert.Equal(t, []string{"0", "1", "2", "3", "4"}, payloads(s.take()))
	assert.EqualValues(t, 3, w.Stats().Dropped[DropQueueFull])

	s.lose()
	s = w.connect(packet.V50, "s")
	s.subscribe(0, "t") // connected, but it does not read
	big := make([]byte, 600)
	for range 3 {
		publishWith(p, pub("t", string(big), 0, 0))
	}
	assert.Len(t, s.take(), 1, "the second is above the limit of bytes")
	publishWith(p, pub("t", string(make([]byte, 5000)), 0, 0))
	assert.Len(t, s.take(), 1, "one message is always taken")
}

func TestQoS0OfferedWhileConnectedIsDroppedWhenLost(t *testing.T) {
	w := newWorld(t)
	s := w.connect(packet.V50, "s", expiry(60))
	s.subscribe(1, "t")
	p := w.connect(packet.V50, "p")
	publishWith(p, pub("t", "0", 0, 0))
	publishWith(p, pub("t", "1", 1, 1))
	s.lose()
	assert.EqualValues(t, 1, w.Stats().Dropped[DropOffline])
	s = w.connect(packet.V50, "s", resume)
	assert.Equal(t, []string{"1"}, payloads(s.take()))
}

// A receiver without room gets nothing, loses nothing within the limits, and disturbs
// nobody.
func TestBackPressure(t *testing.T) {
	w := newWorld(t)
	slow, fast, p := w.connect(packet.V50, "slow"), w.connect(packet.V50, "fast"), w.connect(packet.V50, "p")
	slow.subscribe(1, "t")
	fast.subscribe(1, "t")
	slow.out.room = 0
	for i := range 100 {
		publishWith(p, pub("t", fmt.Sprint(i), 1, 1))
	}
	assert.Len(t, fast.take(), 100)
	slow.send(&packet.Pingreq{})
	slow.none()
	var got []packet.Packet
	for slow.out.room = 30; len(got) < 101; { // a few bytes at a time
		more := slow.take()
		require.NotEmpty(t, more)
		require.LessOrEqual(t, len(more), 5)
		got = append(got, more...)
	}
	assert.IsType(t, &packet.Pingresp{}, got[0])
	for i, s := range payloads(got) {
		assert.Equal(t, fmt.Sprint(i), s) // MQTT-4.6.0-5
	}
	proves(t, "MQTT-4.6.0-5", "MQTT-4.6.0-6 of 3.1.1")
}

func TestPendingControlIsLimited(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.MaxPendingControl = 2000 })
	p := w.connect(packet.V50, "p")
	p.out.room = 0
	for range 2000 {
		p.send(&packet.Pingreq{})
	}
	assert.Equal(t, packet.QuotaExceeded, CloseCode(p.err))
}

// Wake is called once for many messages, and again after Flush.
func TestWakeIsCoalesced(t *testing.T) {
	w := newWorld(t)
	s, p := w.connect(packet.V50, "s"), w.connect(packet.V50, "p")
	s.subscribe(0, "t")
	before := s.tr.wakes
	for range 10 {
		p.send(pub("t", "x", 0, 0))
	}
	assert.Equal(t, before+1, s.tr.wakes)
	s.take()
	p.send(pub("t", "x", 0, 0))
	assert.Equal(t, before+2, s.tr.wakes)
}

// Everything that a session held is given back when it ends.
func TestMessagesAreReleased(t *testing.T) {
	w := newWorld(t)
	s := w.connect(packet.V50, "s", expiry(60), uintProp(packet.ReceiveMaximum, 1))
	s.subscribe(1, "t")
	m := newMessage("t", nil, []byte("x"))
	m.qos, m.retain = 1, true
	for range 5 {
		w.route(m)
	}
	assert.EqualValues(t, 1+5+1, m.refs.Load(), "this test, the queue, the retained store")
	s.take()
	assert.EqualValues(t, 7, m.refs.Load(), "one is in flight now")
	s.lose()
	w.advance(61 * time.Second)
	assert.EqualValues(t, 2, m.refs.Load())
	w.route(func() *Message { e := newMessage("t", nil, nil); e.retain = true; return e }())
	assert.EqualValues(t, 1, m.refs.Load())
	assert.Zero(t, w.subs.Len())
	assert.Empty(t, w.timers.heap)
}

func TestTimersFireInOrder(t *testing.T) {
	ts := newTimers()
	var fired []int
	list := make([]timer, 200)
	for i := range list {
		ts.set(&list[i], timedFunc(func(int64) { fired = append(fired, i) }), int64((i*37)%200))
	}
	for i := range list {
		if i%3 == 0 {
			ts.stop(&list[i])
			ts.stop(&list[i])
		}
		if i%5 == 1 {
			ts.set(&list[i], list[i].owner, list[i].at+1000)
		}
	}
	for now := int64(0); now < 1300; now += 100 {
		for owner := ts.due(now); owner != nil; owner = ts.due(now) {
			owner.onTimer(now)
		}
	}
	require.NotEmpty(t, fired)
	assert.Empty(t, ts.heap)
	for i := 1; i < len(fired); i++ {
		assert.LessOrEqual(t, list[fired[i-1]].at, list[fired[i]].at)
	}
	for _, i := range fired {
		assert.True(t, i%3 != 0 || i%5 == 1)
	}
}

type timedFunc func(int64)

func (f timedFunc) onTimer(now int64) { f(now) }

// A takeover in the middle of a QoS 2 PUBLISH: the old connection neither notes nor
// delivers the message, the new one does both.
func TestTakeoverDuringPublish(t *testing.T) {
	w := newWorld(t)
	var fresh *peer
	require.NoError(t, w.HandlePublish("t", func(*PublishEvent) error {
		if fresh == nil {
			fresh = w.connect(packet.V50, "c", resume, expiry(60))
		}
		return nil
	}))
	s := w.connect(packet.V50, "s")
	s.subscribe(0, "t")
	old := w.connect(packet.V50, "c", expiry(60))
	old.send(pub("t", "x", 2, 1))
	old.closes(packet.SessionTakenOver)
	s.none()
	fresh.send(&packet.Publish{Topic: []byte("t"), QoS: 2, PacketID: 1, Dup: true})
	expect[*packet.Pubrec](fresh)
	expect[*packet.Publish](s)
}

// A takeover while the old connection delivers a message waits for it: what the client sends
// next on the new one comes after.
func TestTakeoverWaitsForMessage(t *testing.T) {
	for _, qos := range []byte{1, 2} {
		t.Run(fmt.Sprintf("QoS %d", qos), func(t *testing.T) {
			w := newWorld(t)
			old := w.connect(packet.V50, "pub", expiry(100))
			sub := w.connect(packet.V50, "sub")
			sub.subscribe(2, "t")
			delivering, release, connected := make(chan struct{}), make(chan struct{}), make(chan struct{})
			sub.tr.onWake = sync.OnceFunc(func() { close(delivering); <-release })
			sent := make(chan struct{})
			go func() {
				old.send(pub("t", "1", qos, 1))
				close(sent)
			}()
			<-delivering
			next := w.dial(packet.V50)
			go func() {
				next.send(&packet.Connect{ClientID: "pub", Properties: packet.AppendUint32(nil, packet.SessionExpiryInterval, 100)})
				close(connected)
			}()
			require.Eventually(t, func() bool { old.tr.mu.Lock(); defer old.tr.mu.Unlock(); return old.tr.closed }, 10*time.Second, time.Millisecond)
			select {
			case <-connected:
				assert.Fail(t, "the session is taken over while a message is on its way")
			case <-time.After(30 * time.Millisecond):
			}
			close(release)
			<-connected
			<-sent
			next.send(pub("t", "2", qos, 2))
			assert.Equal(t, []string{"1", "2"}, payloads(sub.take()))
		})
	}
}

// A takeover with Clean Start in the middle of a SUBSCRIBE leaves no subscription of
// the session that has ended.
func TestTakeoverDuringSubscribe(t *testing.T) {
	var w *world
	var fresh *peer
	w = newWorld(t, func(c *Config) {
		c.Handlers.Subscribe = func(*SubscribeEvent) error {
			fresh = w.connect(packet.V50, "c")
			return nil
		}
	})
	old := w.connect(packet.V50, "c", expiry(60))
	old.send(&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: "t"}}})
	old.closes(packet.SessionTakenOver)
	assert.Zero(t, w.subs.Len())
	assert.Zero(t, w.Stats().Subscriptions)
	assert.False(t, fresh.tr.closed)
}

// Bytes of a stranger never cost anybody else anything.
func FuzzFeed(f *testing.F) {
	f.Add((&packet.Connect{ClientID: "c", CleanStart: true}).AppendTo(nil, packet.V50), byte(0))
	f.Add((&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: "a/#", QoS: 2}}}).AppendTo(nil, packet.V50), byte(5))
	f.Add(retained("a/b", "x", 2, 3).AppendTo(nil, packet.V50), byte(5))
	f.Add([]byte{0x62, 2, 0, 3, 0x40, 2, 0, 1, 0x50, 2, 0, 1, 0x70, 2, 0, 1, 0xA2, 6, 0, 9, 0, 1, 'a', 0}, byte(4))
	f.Add((&packet.Disconnect{Properties: packet.AppendUint32(nil, packet.SessionExpiryInterval, 5)}).AppendTo(nil, packet.V50), byte(5))
	f.Add((&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: "$share/g/#", QoS: 2}}}).AppendTo(nil, packet.V50), byte(5))
	auth := &packet.Connect{ClientID: "c", Properties: authProps(scram.Method, []byte("n,,n=ada,r=x"))}
	step := &packet.Auth{ReasonCode: packet.ContinueAuthentication, Properties: authProps(scram.Method, []byte("c=biws,r=x,p=x"))}
	f.Add(step.AppendTo(auth.AppendTo(nil, packet.V50), packet.V50), byte(0))
	scrams := scramMethod{scram.NewServer(scramUsers)}
	f.Fuzz(func(t *testing.T, data []byte, version byte) {
		w := newWorld(t, func(c *Config) {
			c.MaxRetainedMessages, c.MaxSubscriptions, c.MaxQueuedMessages, c.QueuePolicy = 5, 5, 5, DropOld
			c.CheckPayloadFormat, c.ResponsePrefix, c.Authenticators = true, "r/", []Authenticator{scrams}
		})
		worker := w.connect(packet.V50, "worker", uintProp(packet.TopicAliasMaximum, 5))
		worker.subscribe(1, "$share/g/#")
		other := w.connect(packet.V50, "other")
		other.subscribe(1, "other")
		var p *peer
		if v := packet.Version(version); v >= packet.V31 && v <= packet.V50 {
			p = w.connect(v, "c", resume)
		} else {
			p = w.dial(packet.V50)
		}
		p.raw(data)
		p.c.Flush(&p.out)
		p.out.Reset()
		if p.err == nil {
			p.raw(data)
		}
		p.c.Flush(&p.out)
		p.lose()
		require.Zero(t, w.Stats().HandlerPanics)
		worker.lose()
		w.advance(time.Hour)
		other.take()
		other.send(pub("other", "still here", 0, 0))
		require.Equal(t, []string{"still here"}, payloads(other.take()))
	})
}

// What an old connection is still doing when another one takes the session over does
// not reach the session that the client resumes.
func TestTakeoverDuringSubscribeResumed(t *testing.T) {
	var w *world
	var now *peer
	w = newWorld(t, func(c *Config) {
		c.Handlers.Subscribe = func(e *SubscribeEvent) error {
			if e.Filter == "late" {
				now = w.connect(packet.V50, "s", resume, expiry(60))
			}
			return nil
		}
	})
	p, old := w.connect(packet.V50, "p"), w.connect(packet.V50, "s", expiry(60))
	p.send(retained("late", "retained", 0, 0))
	old.subscribe(0, "early")
	old.send(&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: "late"}}})
	require.NotNil(t, now)
	err := old.c.onUnsubscribe(&packet.Unsubscribe{PacketID: 2, Filters: []string{"early"}})
	assert.ErrorIs(t, err, errTakenOver)
	p.send(pub("late", "no", 0, 0), pub("early", "yes", 0, 0))
	assert.Equal(t, []string{"yes"}, payloads(now.take()))
	assert.EqualValues(t, 1, w.Stats().Subscriptions)
}
