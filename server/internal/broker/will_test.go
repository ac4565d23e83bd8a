package broker

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// watched is a world with a subscriber of "will".
func watched(t *testing.T) (*world, *peer) {
	w := newWorld(t)
	watch := w.connect(packet.V50, "watch")
	watch.subscribe(2, "will")
	return w, watch
}

func TestWill(t *testing.T) { // MQTT-3.1.2-8, MQTT-3.1.2-10, trap 8
	eachVersion(t, func(t *testing.T, v packet.Version) {
		for qos := byte(0); qos <= 2; qos++ {
			w, watch := watched(t)
			c := w.connect(v, "c", withWill("will", qos, qos == 1, nil))
			watch.none()
			c.lose()
			got := expect[*packet.Publish](watch)
			assert.Equal(t, "will", string(got.Payload))
			assert.Equal(t, qos, got.QoS)
			assert.Equal(t, int64(qos%2), w.Stats().Retained) // MQTT-3.1.2-14, -15
			assert.EqualValues(t, 1, w.Stats().WillsPublished)
			w.connect(v, "c").lose() // never twice, and none without a will
			watch.none()
		}
	})
	proves(t, "MQTT-3.1.2-8", "MQTT-3.1.2-10", "MQTT-3.1.2-14", "MQTT-3.1.2-15", "MQTT-3.1.2-7", "MQTT-3.1.2-12",
		"MQTT-3.1.2-8 of 3.1.1", "MQTT-3.1.2-10 of 3.1.1", "MQTT-3.1.2-12 of 3.1.1", "MQTT-3.1.2-16 of 3.1.1",
		"MQTT-3.1.2-17 of 3.1.1")
}

func TestWillCancelledByDisconnect(t *testing.T) { // MQTT-3.14.4-3
	eachVersion(t, func(t *testing.T, v packet.Version) {
		w, watch := watched(t)
		w.connect(v, "c", withWill("will", 0, false, nil)).bye()
		watch.none()
	})
	proves(t, "MQTT-3.14.4-3", "MQTT-3.14.4-3 of 3.1.1")
}

func TestWillPublishedByDisconnectWithWill(t *testing.T) {
	for _, code := range []packet.ReasonCode{packet.DisconnectWithWill, packet.UnspecifiedError} {
		w, watch := watched(t)
		c := w.connect(packet.V50, "c", withWill("will", 0, false, nil))
		c.send(&packet.Disconnect{ReasonCode: code})
		expect[*packet.Publish](watch)
		c.lose()
		watch.none()
		assert.EqualValues(t, 1, w.Stats().Disconnects[code])
	}
}

func delayed(seconds uint32) packet.Properties {
	return packet.AppendUint32(nil, packet.WillDelayInterval, seconds)
}

func TestWillDelay(t *testing.T) { // MQTT-3.1.2-8, MQTT-3.1.3-9
	tests := []struct {
		name          string
		expiry, delay uint32
		at            time.Duration // published between this second and the next
	}{
		{"delay", 100, 10, 10 * time.Second},
		{"session ends first", 5, 10, 5 * time.Second},
		{"session ends at once", 0, 10, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w, watch := watched(t)
			w.connect(packet.V50, "c", expiry(tt.expiry), withWill("will", 1, false, delayed(tt.delay))).lose()
			if tt.at > 0 {
				w.advance(tt.at - time.Millisecond)
				watch.none()
				w.advance(time.Millisecond)
			}
			got := expect[*packet.Publish](watch)
			assert.False(t, got.Properties.Has(packet.WillDelayInterval))
			w.advance(1000 * time.Second)
			watch.none()
		})
	}
	proves(t, "MQTT-3.1.2-8", "MQTT-3.1.3-9")
}

func TestWillDelayCancelledByReconnect(t *testing.T) { // MQTT-3.1.3-9
	w, watch := watched(t)
	w.connect(packet.V50, "c", expiry(100), withWill("will", 1, false, delayed(10))).lose()
	w.advance(9 * time.Second)
	w.connect(packet.V50, "c", resume, expiry(100))
	w.advance(time.Hour)
	watch.none()
	proves(t, "MQTT-3.1.3-9")
}

func TestWillDelayAndCleanStart(t *testing.T) { // the session ends, so the will is due
	w, watch := watched(t)
	w.connect(packet.V50, "c", expiry(100), withWill("will", 1, false, delayed(10))).lose()
	w.connect(packet.V50, "c", expiry(100))
	expect[*packet.Publish](watch)
}

func TestWillAtTakeover(t *testing.T) {
	tests := []struct {
		name   string
		delay  packet.Properties
		clean  bool
		number int
	}{
		{"no delay", nil, false, 1},
		{"no delay, clean", nil, true, 1},
		{"delay", delayed(10), false, 0},
		{"delay, clean", delayed(10), true, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w, watch := watched(t)
			old := w.connect(packet.V50, "c", expiry(100), withWill("will", 0, false, tt.delay))
			w.connect(packet.V50, "c", expiry(100), func(c *packet.Connect) { c.CleanStart = tt.clean })
			assert.Len(t, watch.take(), tt.number)
			old.lose()
			w.advance(time.Hour)
			watch.none()
		})
	}
}

func TestWillProperties(t *testing.T) { // MQTT-3.1.3-10
	w, watch := watched(t)
	props := packet.AppendUserProperty(nil, "b", "1")
	props = packet.AppendUserProperty(props, "a", "2")
	props = packet.AppendString(props, packet.ContentType, "text/plain")
	all := packet.AppendUint32(props, packet.MessageExpiryInterval, 30)
	w.connect(packet.V50, "c", withWill("will", 0, false, append(all, delayed(0)...))).lose()
	got := expect[*packet.Publish](watch)
	n, ok := got.Properties.Uint(packet.MessageExpiryInterval)
	assert.True(t, ok)
	assert.EqualValues(t, 30, n)
	assert.Equal(t, props, got.Properties.AppendExcept(nil, packet.MessageExpiryInterval))
	proves(t, "MQTT-3.1.3-10")
}

// The interval of a will begins when it is published.
func TestWillExpiryBeginsAtPublication(t *testing.T) {
	w, watch := watched(t)
	w.connect(packet.V50, "c", expiry(1000), withWill("will", 0, false, packet.AppendUint32(delayed(100), packet.MessageExpiryInterval, 30))).lose()
	w.advance(100 * time.Second)
	n, _ := expect[*packet.Publish](watch).Properties.Uint(packet.MessageExpiryInterval)
	assert.EqualValues(t, 30, n)
}

func TestWillTopicLimits(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.MaxTopicLevels = 2 })
	_, ack := w.tryConnect(packet.V50, "c", withWill("a/b/c", 0, false, nil))
	assert.Equal(t, packet.TopicNameInvalid, ack.ReasonCode)
	p := w.dial(packet.V311)
	p.send(&packet.Connect{ClientID: "c", CleanStart: true, Will: &packet.Will{Topic: "a/b/c"}})
	require.Error(t, p.err)
	p.none() // MQTT-3.2.2-6 of 3.1.1: no return code fits
	proves(t, "MQTT-3.2.2-6 of 3.1.1")
}

func TestWillGoesThroughHandlers(t *testing.T) {
	w, watch := watched(t)
	require.NoError(t, w.HandlePublish("will", func(e *PublishEvent) error {
		if e.Client.ID == "refused" {
			return Refuse(packet.NotAuthorized, "")
		}
		e.Payload = []byte("by " + e.Client.ID)
		return nil
	}))
	w.connect(packet.V50, "refused", withWill("will", 0, false, nil)).lose()
	w.connect(packet.V50, "c", withWill("will", 0, false, nil)).lose()
	assert.Equal(t, []string{"by c"}, payloads(watch.take()))
}
