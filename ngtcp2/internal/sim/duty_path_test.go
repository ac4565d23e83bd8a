package sim

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/ngtcp2"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
)

// wide is 10 Mbit/s with 20 ms each way.
var wide = Link{Delay: 20 * ms, Rate: 1_250_000, Queue: 100 << 10}

func testTransfer(t *testing.T) {
	w := newWorld(t, 220, wide)
	w.transfer(2<<20, time.Minute)
	up := w.client.Core.Stats()
	assert.Zero(t, up.Count(endpoint.ClosedByError))
}

func testTransferLoss(t *testing.T) {
	for _, loss := range []float64{0.02, 0.1} {
		link := wide
		link.Loss = loss
		newWorld(t, 221, link).transfer(1<<20, 2*time.Minute)
	}
}

func testTransferCorruption(t *testing.T) {
	link := wide
	link.Corrupt = 0.05
	newWorld(t, 222, link).transfer(1<<20, 2*time.Minute)
}

func testCongestionControllers(t *testing.T) {
	for name, algo := range map[string]ngtcp2.CongestionControl{
		"reno": ngtcp2.CCReno, "cubic": ngtcp2.CCCubic, "bbr": ngtcp2.CCBBR,
	} {
		t.Run(name, func(t *testing.T) {
			link := wide
			link.Loss = 0.01
			w := newWorld(t, 223, link, settings(func(s *ngtcp2.Settings) { s.CCAlgo = algo }))
			const n = 2 << 20
			took := w.transfer(n, time.Minute)
			t.Logf("%.0f bytes/s of %d", n/took.Seconds(), wide.Rate)
			assert.Greater(t, n/took.Seconds(), 0.1*float64(wide.Rate))
		})
	}
}

// CE marks slow the sender down as losses do, and nothing is lost.
func testECN(t *testing.T) {
	w := newWorld(t, 224, Link{Delay: 20 * ms})
	client, server := w.upload(4 << 20)
	w.until(time.Second, func() bool { return server.got > 100<<10 })
	up := w.LinkStats(w.client, w.server)
	require.Positive(t, up.ECT, "packets are sent as capable")
	assert.Equal(t, uint64(math.MaxUint64), client.conn.Info().SSThresh, "no congestion yet")
	w.SetOneWay(w.client, w.server, Link{Delay: 20 * ms, Congested: 0.1})
	w.until(time.Second, func() bool { return client.conn.Info().SSThresh < math.MaxUint64 })
	w.arrived(client, server, time.Minute)
	assert.Positive(t, w.LinkStats(w.client, w.server).CE)
	assert.Zero(t, client.conn.Info().PktLost)
}

// A path that clears the ECN field fails its validation (RFC 9000 section
// 13.4.2): the rest is sent without.
func testECNBleached(t *testing.T) {
	w := newWorld(t, 225, Link{Delay: 20 * ms, Bleach: true})
	client, server := w.upload(1 << 20)
	w.arrived(client, server, time.Minute)
	first := w.LinkStats(w.client, w.server)
	require.Positive(t, first.ECT)
	assert.Less(t, first.ECT, first.Sent/2)
	client.send(t, 100<<10)
	w.until(time.Minute, func() bool { return server.fins == 2 })
	assert.Equal(t, first.ECT, w.LinkStats(w.client, w.server).ECT)
}

func testKeyUpdate(t *testing.T) {
	link := wide
	link.Loss, link.Reorder = 0.02, 0.1 // packets of both phases mix
	w := newWorld(t, 226, link)
	client, server := w.upload(8 << 20)
	for i := range 4 {
		got, from := server.got, []*peer{client, server}[i%2].conn
		w.until(time.Minute, func() bool { return server.got >= got+200<<10 && from.InitiateKeyUpdate() == nil })
	}
	assert.Zero(t, server.fins, "in the middle of a transfer")
	w.arrived(client, server, time.Minute)
	assert.False(t, client.closed || server.closed)
}

// The path is dead for two seconds.
func testBlackhole(t *testing.T) {
	w := newWorld(t, 227, wide)
	client, server := w.upload(2 << 20)
	w.until(time.Second, func() bool { return server.got > 500<<10 })
	w.SetLink(w.client, w.server, Link{Loss: 1})
	w.Pass(2 * time.Second)
	w.SetLink(w.client, w.server, wide)
	start := w.Now()
	w.arrived(client, server, time.Minute)
	assert.Less(t, w.Now().Sub(start), 8*time.Second, "the probes' back-off ends with the first answer")
}

// The path is dead for good: both sides end with the idle timeout.
func testBlackholeForever(t *testing.T) {
	w := newWorld(t, 228, wide, func(s, _ *endpoint.Config) { s.IdleTimeout = 15 * time.Second })
	client, server := w.upload(2 << 20)
	w.until(time.Second, func() bool { return server.got > 500<<10 })
	w.SetLink(w.client, w.server, Link{Loss: 1})
	start := w.Now()
	w.until(time.Minute, func() bool { return client.closed && server.closed })
	assert.InDelta(t, 15, w.Now().Sub(start).Seconds(), 3)
	assert.ErrorIs(t, client.closeErr, ngtcp2.ErrIdleTimeout)
	assert.ErrorIs(t, server.closeErr, ngtcp2.ErrIdleTimeout)
	assert.Zero(t, w.client.Core.Live()+w.server.Core.Live())
}

func testIPv6(t *testing.T) {
	w := newWorld(t, 229, wide, func(s, _ *endpoint.Config) { s.Addrs = []string{"[2001:db8::1]:14567"} })
	w.Remove(w.server)
	w.Remove(w.client)
	w.server = w.Add(w.server.Core, "[2001:db8::1]:14567")
	w.client = w.Add(w.client.Core, "[2001:db8::2]:4000")
	w.SetLink(w.client, w.server, wide)
	w.transfer(500<<10, time.Minute)
	assert.Equal(t, "[2001:db8::2]:4000", w.accepted[0].conn.RemoteAddr().String())
}

// The client's address changes again and again while it sends.
func testRebindAddr(t *testing.T) {
	w := newWorld(t, 230, wide)
	client, server := w.upload(3 << 20)
	addrs := []string{"10.0.0.7:4000", "10.0.0.8:5000", "10.9.0.1:6000"}
	for _, addr := range addrs {
		got := server.got
		w.until(time.Minute, func() bool { return server.got >= got+500<<10 })
		w.Rebind(w.client, addr)
	}
	w.arrived(client, server, time.Minute)
	assert.Equal(t, addrs[2], server.conn.RemoteAddr().String())
	assert.False(t, client.closed)
}

// After the peer's CONNECTION_CLOSE nothing is sent any more, for three PTO
// (RFC 9000 section 10.2.2); then even the memory of it is gone.
func testDrainingSilent(t *testing.T) {
	w := newWorld(t, 231, Link{Delay: 20 * ms})
	client := w.connect()
	server := w.accepted[0]
	w.Pass(time.Second)
	var packet []byte
	s, err := client.conn.OpenStream()
	require.NoError(t, err)
	_, _ = s.Write([]byte("late"))
	buf, runs := w.client.Core.Poll(w.Now())
	require.NotEmpty(t, runs)
	packet = append(packet, buf[runs[0].Off:runs[0].Off+runs[0].Len]...)
	w.client.Core.Sent(nil) // it comes late
	client.conn.Close(1, "")
	w.until(time.Second, func() bool { return server.closed })
	assert.Equal(t, 1, w.server.Core.Closing())
	sent := w.LinkStats(w.server, w.client).Sent
	for range 10 {
		w.Send(w.client, w.server, packet)
		w.Pass(2 * ms)
	}
	assert.Equal(t, sent, w.LinkStats(w.server, w.client).Sent)
	w.Pass(time.Second)
	assert.Zero(t, w.server.Core.Closing())
	w.Send(w.client, w.server, packet)
	w.Pass(time.Second)
	stats := w.server.Core.Stats()
	assert.Equal(t, uint64(1), stats.Count(endpoint.StatelessResets), "it is unknown now")
}

// A peer that delays its acknowledgements as it announced (an eighth of the round trip,
// at most 4/5 of max_ack_delay) causes no retransmission and no wrong
// round trip time.
func testAckDelay(t *testing.T) {
	w := newWorld(t, 232, Link{Delay: 500 * ms}, func(s, _ *endpoint.Config) {
		s.Params = func(p *ngtcp2.TransportParams) { p.MaxAckDelay, p.AckDelayExponent = 100*ms, 10 }
	})
	client := w.connect()
	w.Pass(5 * time.Second)
	s, err := client.conn.OpenStream()
	require.NoError(t, err)
	atOnce := 0
	for range 10 {
		start := w.Now()
		_, _ = s.Write([]byte("one packet"))
		w.until(5*time.Second, func() bool { return s.Buffered() == 0 })
		switch took := w.Now().Sub(start); {
		case took < 1080*ms: // the server does not wait for a second packet
			atOnce++
		default:
			assert.Less(t, took, 1090*ms)
		}
	}
	// ngtcp2 leaves out a packet number now and then, at random: what looks like a
	// loss is acknowledged at once (RFC 9000 section 13.2.1).
	assert.LessOrEqual(t, atOnce, skipped)
	assert.Zero(t, client.conn.Info().PktLost)
	assert.InDelta(t, 1000, client.conn.Info().SmoothedRTT.Milliseconds(), 20)
}
