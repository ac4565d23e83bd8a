//go:build !noquic

package multistream

import (
	"fmt"
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

// MQTT-next: flows that the server opens.

// serving is a server that opens flows.
func serving(t testing.TB) *running {
	t.Helper()
	return start(t, server.Config{MQTTNext: server.MQTTNextServerFlows})
}

// served is the next flow that the server opens, which has to be its nth one.
func (c *client) served(n byte) *mqtttest.Client {
	c.t.Helper()
	var st *stream
	select {
	case st = <-c.l.served:
	case <-time.After(mqtttest.Patience):
		require.FailNow(c.t, "the server has opened no flow")
	}
	st.SetReadDeadline(time.Now().Add(mqtttest.Patience))
	header := make([]byte, 4)
	_, err := io.ReadFull(st, header)
	require.NoError(c.t, err)
	assert.Equal(c.t, []byte{0x13, n<<1 | 1, 0, flagReset}, header)
	return mqtttest.New(c.t, st, c.version)
}

// A subscription of the control stream has its messages on a flow of the server, with all
// that belongs to their QoS; a filter that is subscribed again keeps its flow.
func TestServerFlows(t *testing.T) {
	t.Parallel()
	s := serving(t)
	eachQoS(t, func(t *testing.T, pub, sub byte) {
		c, _ := s.connect(t, t.Name())
		c.Subscribe(t.Name()+"/a", sub)
		a := c.served(1)
		c.Subscribe(t.Name()+"/b", sub)
		b := c.served(2)
		c.Subscribe(t.Name()+"/a", sub)
		for n := range 3 {
			c.Publish(t.Name()+"/a", fmt.Sprint("a", n), pub)
			c.Publish(t.Name()+"/b", fmt.Sprint("b", n), pub)
			b.ExpectMessage(t.Name()+"/b", fmt.Sprint("b", n))
			a.ExpectMessage(t.Name()+"/a", fmt.Sprint("a", n))
		}
		data := c.stream() // its own are as ever
		data.Subscribe(t.Name()+"/c", sub)
		c.Publish(t.Name()+"/c", "c", pub)
		data.ExpectMessage(t.Name()+"/c", "c")
		c.Ping()
		assert.Equal(t, 2, c.l.opened)
	})
}

// The flow of a subscription that has ended is ended when all has been acknowledged on it.
func TestServerFlowEnds(t *testing.T) {
	t.Parallel()
	s := serving(t)
	c, _ := s.connect(t, "c")
	c.Subscribe("t", 2)
	flow := c.served(1)
	c.Publish("t", "x", 2)
	p := mqtttest.Expect[*packet.Publish](flow)
	assert.Equal(t, packet.Success, unsubscribe(c.Client, "t"))
	c.Publish("t", "nobody", 2)
	flow.Send(&packet.Pubrec{PacketID: p.PacketID})
	mqtttest.Expect[*packet.Pubrel](flow)
	flow.Send(&packet.Pubcomp{PacketID: p.PacketID})
	assert.ErrorIs(t, raw(flow).wait(t), io.EOF)
	raw(flow).Close()
	c.Subscribe("t", 0)
	flow = c.served(2)
	c.Publish("t", "y", 1)
	flow.ExpectMessage("t", "y")
	unsubscribe(c.Client, "t")
	assert.ErrorIs(t, raw(flow).wait(t), io.EOF)
	assert.Zero(t, s.Stats().Streams)
}

// A client may end a flow of the server in any way: what is not acknowledged, and what follows,
// comes on the control stream.
func TestServerFlowIsNotWelcome(t *testing.T) {
	t.Parallel()
	s := serving(t)
	from := s.publisher(t)
	type ending struct {
		end   func(st *stream)
		again bool // the next SUBSCRIBE gets a flow
	}
	endings := map[string]ending{
		"FIN":       {func(st *stream) { st.Close() }, true},
		"cancelled": {func(st *stream) { st.abort(quic.FlowCancelled) }, true},
		"unwelcome": {func(st *stream) { st.abort(quic.FlowServerPushNotWelcome) }, false},
		"not acknowledgements": {func(st *stream) {
			st.Write(encode(&packet.Pingreq{}))
			expectRefused(t, st, quic.FlowCancelled)
		}, true},
	}
	if ngtcp2.ReportsStopSending() {
		endings["stopped"] = ending{func(st *stream) { st.stopReading(quic.FlowServerPushNotWelcome) }, false}
	}
	for name, x := range endings {
		t.Run(name, func(t *testing.T) {
			c, _ := s.connect(t, t.Name())
			c.Subscribe(t.Name(), 1)
			flow := c.served(1)
			from.Publish(t.Name(), "x", 1)
			first := mqtttest.Expect[*packet.Publish](flow)
			x.end(raw(flow))
			again := mqtttest.Expect[*packet.Publish](c.Client)
			assert.True(t, again.Dup)
			assert.Equal(t, first.PacketID, again.PacketID)
			c.Send(&packet.Puback{PacketID: again.PacketID})
			from.Publish(t.Name(), "y", 1)
			c.ExpectMessage(t.Name(), "y")
			c.Subscribe(t.Name(), 1)
			from.Publish(t.Name(), "z", 1)
			if x.again {
				c.served(2).ExpectMessage(t.Name(), "z")
			} else {
				c.ExpectMessage(t.Name(), "z")
			}
		})
	}
}

// A flow of the server ends with its connection; on the next one the control stream has its
// subscription, until that is made again.
func TestServerFlowAfterReconnect(t *testing.T) {
	t.Parallel()
	s := serving(t)
	from := s.publisher(t)
	c, _ := s.connect(t, "c")
	c.Subscribe("t", 1)
	flow := c.served(1)
	from.Publish("t", "x", 1)
	mqtttest.Expect[*packet.Publish](flow)
	c.l.cut()
	c, ack := s.connect(t, "c")
	assert.True(t, ack.SessionPresent)
	c.ExpectMessage("t", "x")
	c.Subscribe("t", 1)
	flow = c.served(1)
	from.Publish("t", "y", 1)
	flow.ExpectMessage("t", "y")
	c.Ping()
	assert.EqualValues(t, 1, s.Stats().Subscriptions)
}

// Beyond what the client allows, or what the server does, the control stream has the messages.
func TestServerFlowsAreLimited(t *testing.T) {
	t.Parallel()
	s := serving(t)
	c, _ := s.connect(t, "c")
	p := &packet.Subscribe{PacketID: 1}
	for n := range 150 {
		p.Subscriptions = append(p.Subscriptions, packet.Subscription{Filter: fmt.Sprint("t/", n), QoS: 1})
	}
	c.Send(p)
	mqtttest.Expect[*packet.Suback](c.Client)
	c.Publish("t/149", "x", 1)
	c.ExpectMessage("t/149", "x")
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	assert.LessOrEqual(t, c.l.opened, 100)
	assert.Positive(t, c.l.opened)
}

// CONNECT and SUBSCRIBE in one packet, and a subscription that is refused.
func TestServerFlowRightAway(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{MQTTNext: server.MQTTNextServerFlows, Limits: server.Limits{MaxSubscriptions: 1}})
	l := dialLink(t, s)
	c := &client{mqtttest.New(t, l.open(t, false, encode(lasting("c"), &packet.Subscribe{PacketID: 1,
		Subscriptions: []packet.Subscription{{Filter: "t", QoS: 1}, {Filter: "more"}}})), packet.V50), t, l, packet.V50}
	mqtttest.Expect[*packet.Connack](c.Client)
	assert.Equal(t, []packet.ReasonCode{1, packet.QuotaExceeded}, mqtttest.Expect[*packet.Suback](c.Client).ReasonCodes)
	flow, none := c.served(1), c.served(2)
	assert.ErrorIs(t, raw(none).wait(t), io.EOF)
	c.Publish("t", "x", 1)
	flow.ExpectMessage("t", "x")
}
