//go:build !noquic

package quic

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/ngtcp2"
	"github.com/ngmq/ngmq/server/internal/broker"
)

// While the congestion window is full of messages on data streams, and more of them wait,
// what is asked on the control stream is answered before them.
func TestControlGoesBeforeDataStreams(t *testing.T) {
	const streams, size = 40, 20_000
	v := newVirtual(t, 10*time.Millisecond, Config{CongestionControl: ngtcp2.CCCubic})
	c := v.connect()
	for i := range streams {
		c.subscribe(c.open(), fmt.Sprint(i))
	}
	v.pass(time.Second)
	c.bytes = 0
	for i := range streams {
		v.publish(fmt.Sprint(i), size)
	}
	v.pass(11 * time.Millisecond)
	window := c.bytes
	c.control.send(&packet.Pingreq{})
	c.control.send(&packet.Publish{Topic: []byte("nobody"), QoS: 1, PacketID: 1})
	v.until("answers", func() bool { return c.control.got[packet.PINGRESP] == 1 && c.control.got[packet.PUBACK] == 1 })
	t.Logf("a window of %d bytes; the answers after %d of %d", window, c.control.last, streams*size)
	assert.Less(t, window, streams*size/4, "it was full")
	assert.LessOrEqual(t, c.control.last, 3*window+2000) // it doubles while the question is under way
	v.until("the rest", func() bool { return c.bytes >= streams*size })
}

// What waits on data streams is sent in turns, or by the QoS of their subscriptions.
func TestStreamsByQoS(t *testing.T) {
	const size = 150_000
	for _, byQoS := range []bool{false, true} {
		v := newVirtual(t, 10*time.Millisecond, Config{CongestionControl: ngtcp2.CCCubic, QoSPriority: byQoS})
		c := v.connect()
		var streams []*virtualStream // by QoS
		for qos := range byte(3) {
			streams = append(streams, c.open())
			c.subscribeAt(streams[qos], fmt.Sprint(qos), qos)
		}
		c.bytes = 0
		for qos := range byte(3) {
			payload := make([]byte, size)
			require.NoError(t, v.b.Publish(broker.Publication{Topic: fmt.Sprint(qos), Payload: payload, QoS: qos}))
		}
		v.until("all of it", func() bool { return c.bytes >= 3*size })
		const slack = 1000 // heads of packets
		for qos, st := range streams {
			if byQoS {
				assert.InDelta(t, (3-qos)*size, st.last, slack, "QoS %d", qos)
			} else {
				assert.Greater(t, st.last, 5*size/2, "QoS %d", qos)
			}
		}
	}
}
