//go:build !noquic

package multistream

import (
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/ngtcp2"
	"github.com/ngmq/ngmq/server"
	"github.com/ngmq/ngmq/server/internal/listener/quic"
	"github.com/ngmq/ngmq/server/internal/mqtttest"
)

// MQTT-next: what is kept of a flow.

// A flow is recovered on the same connection and on the next one, with its subscription and
// with what has not been acknowledged.
func TestNextFlowIsRecovered(t *testing.T) {
	t.Parallel()
	s := next(t, server.Config{})
	from := s.publisher(t)
	for name, end := range map[string]func(c *client, data *mqtttest.Client) *client{
		"reset": func(c *client, data *mqtttest.Client) *client { raw(data).abort(0); return c },
		"FIN":   func(c *client, data *mqtttest.Client) *client { raw(data).Close(); return c },
		"reconnected": func(c *client, _ *mqtttest.Client) *client {
			c.l.cut()
			c, ack := s.connect(t, t.Name())
			require.True(t, ack.SessionPresent)
			return c
		},
	} {
		t.Run(name, func(t *testing.T) {
			topic := t.Name()
			c, _ := s.connect(t, "TestNextFlowIsRecovered")
			data := c.flow(2, 0, flagQoS|flagSubs|flagClean)
			data.Subscribe(topic, 1)
			from.Publish(topic, "unacknowledged", 1)
			first := mqtttest.Expect[*packet.Publish](data)
			c = end(c, data)
			c.Ping()
			s.eventually(t, "the stream is gone", func(x server.Stats) bool { return x.Streams == 0 })
			from.Publish(topic, "meanwhile", 1)
			c.ExpectMessage(topic, "meanwhile")
			data = c.flow(2, 0, flagQoS|flagSubs|flagAbort)
			again := mqtttest.Expect[*packet.Publish](data)
			assert.True(t, again.Dup)
			assert.Equal(t, first.PacketID, again.PacketID)
			data.Send(&packet.Puback{PacketID: again.PacketID})
			from.Publish(topic, "recovered", 2)
			data.ExpectMessage(topic, "recovered")
			data.Ping() // the acknowledgement has arrived
			c.l.cut()
			s.eventually(t, "the client is gone", func(x server.Stats) bool { return x.Clients == 1 })
		})
	}
}

// A flow of which nothing is kept is not recovered: it never was, has been discarded in one
// of the ways there are, or its time is over.
func TestNextFlowIsNotRecovered(t *testing.T) {
	t.Parallel()
	s := next(t, server.Config{})
	type ending struct {
		expiry byte
		flags  byte
		end    func(t *testing.T, c *client, data *mqtttest.Client)
	}
	endings := map[string]ending{
		"not kept": {0, 0, func(_ *testing.T, _ *client, data *mqtttest.Client) { raw(data).Close() }},
		"discard signal": {0, flagQoS | flagSubs, func(t *testing.T, c *client, data *mqtttest.Client) {
			raw(data).Close()
			assert.ErrorIs(t, raw(data).wait(t), io.EOF)
			signal := c.flow(2, 0, flagClean)
			raw(signal).Close()
			assert.ErrorIs(t, raw(signal).wait(t), io.EOF)
		}},
		"reset to discard": {0, flagSubs, func(_ *testing.T, _ *client, data *mqtttest.Client) { raw(data).abort(quic.FlowDiscardState) }},
		"error that costs the flow": {0, flagQoS | flagSubs | flagReset, func(t *testing.T, _ *client, data *mqtttest.Client) {
			data.Raw([]byte{0})
			expectRefused(t, raw(data), quic.FlowCancelled)
		}},
		"expired": {1, flagQoS | flagSubs, func(t *testing.T, _ *client, data *mqtttest.Client) {
			raw(data).Close()
			s.eventually(t, "expired", func(x server.Stats) bool { return x.Subscriptions == 0 })
		}},
	}
	if ngtcp2.ReportsStopSending() {
		endings["stopped to discard"] = ending{0, flagSubs, func(_ *testing.T, _ *client, data *mqtttest.Client) {
			raw(data).stopReading(quic.FlowRecoveryFailed)
		}}
	}
	for name, x := range endings {
		t.Run(name, func(t *testing.T) {
			c, _ := s.connect(t, "c")
			data := c.flow(2, x.expiry, x.flags|flagClean)
			data.Subscribe("t", 1)
			begin := time.Now()
			x.end(t, c, data)
			s.eventually(t, "no subscription", func(x server.Stats) bool { return x.Subscriptions == 0 })
			if x.expiry > 0 {
				assert.GreaterOrEqual(t, time.Since(begin), time.Duration(x.expiry)*time.Second/2)
			}
			expectRefused(t, raw(c.flow(2, 0, flagAbort|flagSubs)), quic.FlowNoState)
			c.Ping()
			data = c.flow(2, 0, flagSubs)
			data.Ping()
			c.l.cut()
		})
	}
}

// An error that costs the stream alone leaves the flow what it has.
func TestNextFlowOutlivesAnError(t *testing.T) {
	t.Parallel()
	s := next(t, server.Config{})
	c, _ := s.connect(t, "c")
	data := c.flow(2, 0, flagRecover|flagSubs)
	data.Subscribe("t", 1)
	data.Raw([]byte{0})
	expectRefused(t, raw(data), quic.FlowPacketCancelled)
	data = c.flow(2, 0, flagRecover|flagSubs|flagAbort)
	raw(data).Write(encode(&packet.Pingreq{})[:1])
	raw(data).Close()
	assert.Equal(t, reset{quic.FlowIncompletePacket}, raw(data).wait(t))
	data = c.flow(2, 0, flagAbort)
	data.Ping()
	c.Publish("t", "x", 1)
	data.ExpectMessage("t", "x")
}

// The session goes on over another transport, where there are no flows.
func TestNextFlowOverTCP(t *testing.T) {
	t.Parallel()
	s := next(t, server.Config{})
	from := s.publisher(t)
	c, _ := s.connect(t, "c")
	data := c.flow(2, 0, flagQoS|flagSubs)
	data.Subscribe("t", 1)
	from.Publish("t", "x", 1)
	mqtttest.Expect[*packet.Publish](data)
	tcp := s.over(t, "tcp")
	assert.True(t, tcp.Connect(lasting("c")).SessionPresent)
	tcp.ExpectMessage("t", "x")
	from.Publish("t", "y", 1)
	tcp.ExpectMessage("t", "y")
	c, _ = s.connect(t, "c")
	c.flow(2, 0, flagAbort).Ping()
}
