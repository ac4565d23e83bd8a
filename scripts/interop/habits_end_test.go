package interop

import (
	"testing"

	"github.com/eclipse/paho.golang/packets"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// endBehaviours are those at the end of streams, connections and servers.
var endBehaviours = []behaviour{
	{name: "control stream closed gracefully", run: controlEnds(0)},
	{name: "control stream: abort receive", run: controlEnds(1)},
	{name: "control stream: abort send", run: controlEnds(2)},
	{name: "control stream: abort both", run: controlEnds(3)},
	{name: "broker stopped and restarted", run: brokerRestarts, cell: trustsTwo},
	{name: "a data stream closed: no will, redelivery on control", run: dataEnds, cell: needsData},
	{name: "takeover QUIC - TLS - QUIC with resumption, 0x8E", run: takeovers, cell: needsTickets},
	{name: "multi-stream session over TCP and back", run: overTCPAndBack},
	{name: "QoS 1 and 2 sent again after a reconnect", run: sentAgain},
}

// wayToEnd is how a client may end a stream.
type wayToEnd struct {
	name string
	end  func(muxStream)
}

var waysToEnd = []wayToEnd{
	{"gracefully", func(s muxStream) { s.fin() }},
	{"abort receive", func(s muxStream) { s.stopReading(5) }},
	{"abort send", func(s muxStream) { s.reset(5) }},
	{"abort both", func(s muxStream) { s.reset(5); s.stopReading(5) }},
}

// controlEnds: without DISCONNECT that is the end of the network connection, whatever data streams do.
func controlEnds(way int) func(*testing.T, *place) {
	return func(t *testing.T, p *place) {
		for _, again := range []bool{false, true} {
			will := unique("habits/will")
			watch := p.watch(t, will, 1)
			c := p.connect(t, connectOptions{will: will})
			topic := unique("habits/control")
			in := c.subscribed(topic, 2)
			c.publish(c.out(), topic, "before", 2)
			in.gets(2, topic, "before")
			waysToEnd[way].end(c.control.s)
			watch.gets(1, will, c.session.id)
			c.closedWith(1)
			if !again {
				continue
			}
			from := p.plain(t, false, connectOptions{})
			from.publish(from.control, topic, "meanwhile", 2)
			c = p.connect(t, connectOptions{session: c.session})
			assert.True(t, c.present)
			c.control.gets(2, topic, "meanwhile")
			goesOn(c)
			c.disconnect()
			watch.ping()
		}
	}
}

func trustsTwo(h habit) (bool, string) {
	if h.quiche {
		return false, "this client trusts the CA of one broker"
	}
	return true, ""
}

// brokerRestarts: the server that the path leads to says goodbye, and another one, which knows nothing,
// takes its place.
func brokerRestarts(t *testing.T, p *place) {
	b, err := startBroker()
	require.NoError(t, err)
	defer b.remove()
	require.NoError(t, p.path.Redirect(b.quic))
	config, err := b.tlsConfig("mqtt")
	require.NoError(t, err)
	old := *p
	old.broker, old.config = b, config
	c := old.connect(t, connectOptions{})
	topic := unique("habits/restart")
	in := c.subscribed(topic, 1)
	c.publish(c.out(), topic, "before", 1)
	in.gets(1, topic, "before")
	stopped := make(chan error, 1)
	go func() { stopped <- b.stop() }()
	if p.bad { // the CONNECTION_CLOSE may be lost, and then there is nobody who would send it again
		assert.EqualValues(t, 0x8B, expect[*packets.Disconnect](c.control).ReasonCode)
	} else {
		c.dismissed(0x8B)
	}
	require.NoError(t, <-stopped)
	require.NoError(t, p.path.Redirect(p.broker.quic))
	c = p.connect(t, connectOptions{session: newSession()})
	assert.False(t, c.present)
	in = c.subscribed(topic, 1)
	c.publish(c.out(), topic, "after", 1)
	in.gets(1, topic, "after")
	c.disconnect()
}

// dataEnds: what is not acknowledged comes again on control, what was subscribed there is gone.
func dataEnds(t *testing.T, p *place) {
	will := unique("habits/will")
	watch := p.watch(t, will, 1)
	eachQoS(t, func(topic string, pub, sub byte) {
		c := p.connect(t, connectOptions{will: will})
		for _, way := range waysToEnd {
			dataEnd(t, c, topic, way, pub, sub)
		}
		c.disconnect()
	})
	watch.ping()
}

func dataEnd(t *testing.T, c *emulated, topic string, way wayToEnd, pub, sub byte) {
	in := c.data(1)[0]
	in.subscribe(c.id(), topic, sub)
	out := c.out()
	c.publish(out, topic, "in flight", pub)
	first := in.arrives()
	var second *packets.Publish
	if first.QoS == 2 {
		c.publish(out, topic, "received", pub)
		second = in.arrives()
		in.received(second)
	}
	way.end(in.s)
	if first.QoS > 0 {
		again := c.control.arrives()
		assert.True(t, again.Duplicate, way.name)
		assert.Equal(t, first.PacketID, again.PacketID, way.name)
		c.control.acknowledge(again)
	}
	if second != nil {
		answer[*packets.Pubrel](c.control, second.PacketID)
		c.control.complete(second.PacketID)
	}
	if first.QoS == 0 {
		c.unsubscribedSoon(topic)
	}
	c.publish(out, topic, "nobody", pub)
	c.control.ping()
}

// unsubscribedSoon waits until the server has seen the end of a stream: a subscription of the same filter
// on another one is then the only one.
func (c *emulated) unsubscribedSoon(filter string) {
	c.t.Helper()
	require.Eventually(c.t, func() bool {
		return c.control.unsubscribe(c.id(), filter) == 0x11
	}, lanePatience, pollStep)
}

// takeovers: each connection takes the session from the one before, with messages for its streams.
func takeovers(t *testing.T, p *place) {
	for qos := range byte(3) {
		topic := unique("habits/takeover")
		c := p.connect(t, connectOptions{})
		in := c.subscribed(topic, qos)
		from := p.plain(t, false, connectOptions{})
		reaches := func(to *lane) {
			t.Helper()
			from.publish(from.control, topic, "x", qos)
			to.gets(qos, topic, "x")
		}
		reaches(in)
		secure := p.plain(t, true, connectOptions{session: c.session})
		assert.True(t, secure.present)
		c.dismissed(0x8E)
		reaches(secure.control)
		again := p.connect(t, connectOptions{session: c.session})
		assert.True(t, again.present)
		assert.True(t, again.mux.state().DidResume, "QUIC")
		assert.EqualValues(t, 0x8E, expect[*packets.Disconnect](secure.control).ReasonCode)
		reaches(again.control)
		in = again.subscribed(topic, qos)
		reaches(in)
		last := p.plain(t, true, connectOptions{session: c.session})
		assert.True(t, last.control.s.(netStream).state().DidResume, "TLS")
		again.dismissed(0x8E)
	}
}

// overTCPAndBack: with messages in flight on every stream, in both directions.
func overTCPAndBack(t *testing.T, p *place) {
	topic := unique("habits/roams")
	watch := p.watch(t, topic+"/up", 2)
	from := p.plain(t, false, connectOptions{})
	c := p.connect(t, connectOptions{})
	ins := c.ins(2)
	held := map[uint16]bool{} // QoS 2 messages for the client
	for i, in := range ins {
		in.subscribe(c.id(), topicOf(topic, i), 2)
		for _, payload := range []string{"sent", "received"} {
			from.publish(from.control, topicOf(topic, i), payload, 2)
		}
		in.arrives()
		second := in.arrives()
		in.received(second)
		held[second.PacketID] = true
	}
	up := c.publication(topic+"/up", "up", 2)
	out := c.outs(1)[0]
	out.send(up)
	answer[*packets.Pubrec](out, up.PacketID)
	c.mux.end(7)

	tcp := p.plain(t, false, connectOptions{session: c.session})
	assert.True(t, tcp.present)
	for id := range held {
		answer[*packets.Pubrel](tcp.control, id)
		tcp.control.complete(id)
	}
	for range ins {
		m := tcp.control.arrives()
		assert.True(t, m.Duplicate)
		assert.Equal(t, "sent", string(m.Payload))
		tcp.control.acknowledge(m)
	}
	up.Duplicate = true
	tcp.control.send(up)
	tcp.control.accepted(2, up.PacketID)
	watch.gets(2, topic+"/up", "up")
	from.publish(from.control, topicOf(topic, 0), "over TCP", 1)
	tcp.control.gets(1, topicOf(topic, 0), "over TCP")
	tcp.control.ping()

	c = p.connect(t, connectOptions{session: c.session})
	assert.True(t, c.present)
	assert.EqualValues(t, 0x8E, expect[*packets.Disconnect](tcp.control).ReasonCode)
	ins = c.ins(2)
	ins[0].subscribe(c.id(), topicOf(topic, 0), 2) // moves there; the other one stays on control
	for i, in := range []*lane{ins[0], c.control} {
		from.publish(from.control, topicOf(topic, i), "back", 2)
		in.gets(2, topicOf(topic, i), "back")
		in.ping()
	}
	c.control.ping()
	watch.ping()
	c.disconnect()
}

func topicOf(base string, i int) string { return base + "/" + string(rune('0'+i)) }

// sentAgain: QoS 1, QoS 2 before and after PUBREC, where the client sends again: emqtt on control, the
// others on the streams on which they publish.
func sentAgain(t *testing.T, p *place) {
	topic := unique("habits/again")
	watch := p.watch(t, topic, 2)
	c := p.connect(t, connectOptions{})
	outs := c.outs(2)
	one, before, after := c.publication(topic, "QoS 1", 1), c.publication(topic, "before PUBREC", 2), c.publication(topic, "after PUBREC", 2)
	outs[0].send(one, before)
	outs[1].send(after)
	answer[*packets.Puback](outs[0], one.PacketID)
	answer[*packets.Pubrec](outs[0], before.PacketID)
	answer[*packets.Pubrec](outs[1], after.PacketID)
	assert.ElementsMatch(t, []string{"QoS 1", "before PUBREC", "after PUBREC"}, watch.payloads(3))
	c.mux.end(7)

	c = p.connect(t, connectOptions{session: c.session})
	assert.True(t, c.present)
	out := c.out()
	one.Duplicate, before.Duplicate = true, true
	out.send(one, before, &packets.Pubrel{PacketID: after.PacketID, Properties: &packets.Properties{}})
	out.accepted(1, one.PacketID)
	out.accepted(2, before.PacketID)
	assert.Zero(t, answer[*packets.Pubcomp](out, after.PacketID).ReasonCode)
	c.publish(out, topic, "end", 2)
	assert.Equal(t, []string{"QoS 1", "end"}, watch.payloads(2), "QoS 2 exactly once")
	watch.ping()
	c.disconnect()
}
