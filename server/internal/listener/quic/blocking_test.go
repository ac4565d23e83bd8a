//go:build !noquic

package quic

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/ngtcp2"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
)

// lossyStreams publishes on "a", and on "b" on and on while packets are lost that hold
// what belongs to "a"; both are subscribed to on one stream, or on two. It gives the
// latencies of "b", and how many packets were lost.
func lossyStreams(t *testing.T, cc ngtcp2.CongestionControl, several bool) (latencies []time.Duration, lost int) {
	const oneWay, rounds, perRound, every = 25 * time.Millisecond, 200, 4, 12
	v := newVirtual(t, oneWay, Config{CongestionControl: cc})
	c := v.connect()
	a, b := c.control, c.control
	if several {
		a, b = c.open(), c.open()
	}
	c.subscribe(a, "a")
	c.subscribe(b, "b")
	v.pass(time.Second)
	full := 0
	v.lose = func(toClient bool, bytes int) bool { // a message of "b" is in a short packet
		if !toClient || bytes < 1000 {
			return false
		}
		full++
		if full%every == 0 {
			lost++
		}
		return full%every == 0
	}
	for range rounds {
		v.publish("a", 2000)
		for range perRound {
			v.pass(5 * time.Millisecond)
			v.publish("b", 32)
		}
	}
	v.until("all messages", func() bool { return len(b.took["b"]) == rounds*perRound && len(a.took["a"]) == rounds })
	return b.took["b"], lost
}

// What stream A loses delays nothing on stream B; on a single stream it delays all that is
// behind it. Where packets are lost though the path is not full, BBR delays both less.
func TestLostPacketsDelayTheirStreamAlone(t *testing.T) {
	slowest := map[ngtcp2.CongestionControl]time.Duration{}
	for cc, name := range map[ngtcp2.CongestionControl]string{ngtcp2.CCCubic: "cubic", ngtcp2.CCBBR: "BBR"} {
		single, lost := lossyStreams(t, cc, false)
		p50, p99 := spread(single)
		t.Logf("%s, one stream:  p50 %v, p99 %v, %d packets lost", name, p50, p99, lost)
		assert.Greater(t, lost, 10)
		several, lost := lossyStreams(t, cc, true)
		q50, q99 := spread(several)
		t.Logf("%s, two streams: p50 %v, p99 %v, %d packets lost", name, q50, q99, lost)
		assert.Greater(t, lost, 10)
		assert.LessOrEqual(t, q50, p50)
		assert.LessOrEqual(t, q99, p99/2)
		slowest[cc] = p99
	}
	assert.Less(t, slowest[ngtcp2.CCBBR], slowest[ngtcp2.CCCubic]/2)
}

// A stream that the client leaves unread gets no credit: the messages on the others are as
// fast as without it.
func TestStalledStreamLeavesOthersAtFullSpeed(t *testing.T) {
	const messages = 200
	v := newVirtual(t, 10*time.Millisecond, Config{CongestionControl: ngtcp2.CCCubic})
	c := v.connect()
	stalled, b := c.open(), c.open()
	c.subscribe(stalled, "a")
	c.subscribe(b, "b")
	c.subscribe(c.control, "c")
	measure := func() (onB, onControl time.Duration) {
		clear(b.took)
		clear(c.control.took)
		for range messages {
			v.publish("b", 32)
			v.publish("c", 32)
			v.pass(2 * time.Millisecond)
		}
		v.pass(time.Second)
		require.Len(t, b.took["b"], messages)
		require.Len(t, c.control.took["c"], messages)
		_, onB = spread(b.took["b"])
		_, onControl = spread(c.control.took["c"])
		return onB, onControl
	}
	data, control := measure()
	stalled.stalled = true
	before := stalled.bytes
	for range 64 { // 4 MB
		v.publish("a", 64<<10)
	}
	v.pass(5 * time.Second)
	assert.InDelta(t, endpoint.DefaultStreamWindow, stalled.bytes-before, 1000, "all that there was credit for")
	slowData, slowControl := measure()
	t.Logf("p99 on a data stream %v, on the control stream %v; with a stalled stream %v, %v", data, control, slowData, slowControl)
	assert.LessOrEqual(t, slowData, data+time.Millisecond)
	assert.LessOrEqual(t, slowControl, control+time.Millisecond)

	c.control.send(&packet.Pingreq{})
	v.until("PINGRESP", func() bool { return c.control.got[packet.PINGRESP] == 1 })
}
