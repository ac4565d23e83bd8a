package interop

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/eclipse/paho.golang/packets"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// dataBehaviours are those of data streams while all is well, and when something is wrong on one.
var dataBehaviours = []behaviour{
	{name: "subscribe on a data stream, publish on control", run: subscribeOnData, cell: subscribesOnData},
	{name: "5 publishing streams x 100 messages", run: fivePublishing},
	{name: "parallel publishes in any order", run: parallelPublishes},
	{name: "an incomplete packet blocks no other stream", run: incompletePacket},
	{name: "two small packets and one of 0.8 MB on one stream", run: smallAndLarge},
	{name: "zero bytes close that stream only", run: zeroBytes},
	{name: "max packet size exceeded closes that stream only", run: tooLarge},
	{name: "the client's UDP port changes", run: portChanges},
	{name: "2 subscribing and 2 publishing streams", run: twoAndTwo},
	{name: "duplicate subscription on two streams, one closes", run: duplicateSubscription, cell: needsData},
	{name: "two publishes on one stream keep their order", run: orderOfOneStream},
	{name: "unsubscribe on the stream, on another one, on control", run: unsubscribes, cell: needsData},
	{name: "stream killed by the server", run: killedByServer, cell: needsData},
	{name: "publish queued before the handshake is complete", run: queuedBefore, cell: queuesEarly},
}

func subscribeOnData(t *testing.T, p *place) {
	c := p.connect(t, connectOptions{})
	eachQoS(t, func(topic string, pub, sub byte) {
		in := c.subscribed(topic, sub)
		c.publish(c.out(), topic, "hello", pub)
		in.gets(min(pub, sub), topic, "hello")
		in.ping()
	})
	c.control.ping()
	c.disconnect()
}

func fivePublishing(t *testing.T, p *place) {
	const streams, messages = 5, 100
	c := p.connect(t, connectOptions{})
	outs := c.outs(streams)
	eachQoS(t, func(topic string, pub, sub byte) {
		to := p.watch(t, topic+"/+", sub)
		var ids [streams][]uint16
		for i, out := range outs {
			var batch []packets.Packet
			for n := range messages {
				m := c.publication(fmt.Sprintf("%s/%d", topic, i), fmt.Sprint(n), pub)
				batch, ids[i] = append(batch, m), append(ids[i], m.PacketID)
			}
			out.send(batch...)
		}
		var next [streams]int
		for range streams * messages {
			m := to.message()
			i := m.Topic[len(m.Topic)-1] - '0'
			require.Equal(t, fmt.Sprint(next[i]), string(m.Payload), "stream %d", i)
			require.Equal(t, min(pub, sub), m.QoS)
			next[i]++
		}
		for i, out := range outs {
			out.accepted(pub, ids[i]...)
		}
	})
}

func parallelPublishes(t *testing.T, p *place) {
	const streams, messages = 4, 30
	c := p.connect(t, connectOptions{})
	outs := c.outs(streams)
	eachQoS(t, func(topic string, pub, sub byte) {
		in := c.subscribed(topic+"/+", sub)
		var list [streams][]*packets.Publish
		for i := range outs {
			for n := range messages {
				list[i] = append(list[i], c.publication(fmt.Sprintf("%s/%d", topic, i), fmt.Sprint(n), pub))
			}
		}
		var writers sync.WaitGroup
		for i, out := range outs {
			writers.Go(func() {
				for _, m := range list[i] {
					_, err := out.s.Write(encoded(m))
					assert.NoError(t, err)
				}
			})
		}
		next := map[string]int{}
		for range streams * messages {
			m := in.message()
			require.Equal(t, fmt.Sprint(next[m.Topic]), string(m.Payload), m.Topic)
			next[m.Topic]++
		}
		writers.Wait()
		for i, out := range outs {
			for _, m := range list[i] {
				out.accepted(pub, m.PacketID)
			}
		}
	})
}

func incompletePacket(t *testing.T, p *place) {
	c := p.connect(t, connectOptions{})
	outs := c.outs(2)
	eachQoS(t, func(topic string, pub, sub byte) {
		in := c.subscribed(topic+"/+", sub)
		late := c.publication(topic+"/late", "late", pub)
		bytes := encoded(late)
		outs[0].raw(bytes[:5])
		for n := range 3 {
			c.publish(outs[1], topic+"/now", fmt.Sprint(n), pub)
			in.gets(min(pub, sub), topic+"/now", fmt.Sprint(n))
		}
		outs[0].raw(bytes[5:])
		outs[0].accepted(pub, late.PacketID)
		in.gets(min(pub, sub), topic+"/late", "late")
	})
}

func smallAndLarge(t *testing.T, p *place) {
	large := strings.Repeat("0123456789abcdef", 50_000)
	c := p.connect(t, connectOptions{})
	out := c.outs(1)[0]
	eachQoS(t, func(topic string, pub, sub byte) {
		if p.bad && pub != sub {
			return // it takes seconds
		}
		in := c.subscribed(topic, sub)
		for _, payload := range []string{"small", "small too", large, "after"} {
			c.publish(out, topic, payload, pub)
			in.gets(min(pub, sub), topic, payload)
		}
	})
}

// goesOn shows that the connection and its other streams live.
func goesOn(c *emulated) {
	c.t.Helper()
	topic := unique("habits/on")
	in := c.subscribed(topic, 2)
	c.publish(c.out(), topic, "still here", 2)
	in.gets(2, topic, "still here")
	in.ping()
	c.control.ping()
}

// wrongOnData sends what a publishing stream is reset for.
func wrongOnData(t *testing.T, p *place, bytes []byte, code uint64) {
	c := p.connect(t, connectOptions{will: unique("habits/will")})
	topic := unique("habits/wrong")
	in := c.subscribed(topic, 1)
	outs := c.outs(2)
	c.publish(outs[0], topic, "before", 1)
	in.gets(1, topic, "before")
	outs[0].raw(bytes)
	outs[0].refused(code)
	c.publish(outs[1], topic, "after", 1)
	in.gets(1, topic, "after")
	in.ping()
	c.control.ping()
	c.disconnect()
}

func zeroBytes(t *testing.T, p *place) { wrongOnData(t, p, make([]byte, 10), 0x81) }

// tooLarge: the fixed header of a PUBLISH of 2 MB is enough.
func tooLarge(t *testing.T, p *place) { wrongOnData(t, p, []byte{0x30, 0x80, 0x89, 0x7A}, 0x95) }

func portChanges(t *testing.T, p *place) {
	c := p.connect(t, connectOptions{})
	outs := c.outs(2)
	eachQoS(t, func(topic string, pub, sub byte) {
		in := c.subscribed(topic, sub)
		c.publish(outs[0], topic, "before", pub)
		in.gets(min(pub, sub), topic, "before")
		p.path.Rebind()
		c.publish(outs[1], topic, "after", pub)
		in.gets(min(pub, sub), topic, "after")
	})
	c.disconnect()
}

func twoAndTwo(t *testing.T, p *place) {
	c := p.connect(t, connectOptions{})
	outs, ins := c.outs(2), c.ins(2)
	eachQoS(t, func(topic string, pub, sub byte) {
		for i, in := range ins {
			in.subscribe(c.id(), fmt.Sprint(topic, "/", i), sub)
		}
		for n := range 5 {
			for i, out := range outs {
				c.publish(out, fmt.Sprint(topic, "/", i), fmt.Sprint(n), pub)
			}
			for i, in := range ins {
				in.gets(min(pub, sub), fmt.Sprint(topic, "/", i), fmt.Sprint(n))
			}
		}
	})
}

func duplicateSubscription(t *testing.T, p *place) {
	eachQoS(t, func(topic string, pub, sub byte) {
		c := p.connect(t, connectOptions{})
		ins, out := c.ins(2), c.out()
		for _, in := range ins {
			in.subscribe(c.id(), topic, sub)
		}
		c.publish(out, topic, "two copies", pub)
		for _, in := range ins {
			in.gets(min(pub, sub), topic, "two copies")
			in.ping()
		}
		ins[0].s.fin()
		ins[0].ended()
		c.publish(out, topic, "one copy", pub)
		ins[1].gets(min(pub, sub), topic, "one copy")
		ins[1].ping()
		c.control.ping()
		c.disconnect()
	})
}

func orderOfOneStream(t *testing.T, p *place) {
	c := p.connect(t, connectOptions{})
	out := c.outs(1)[0]
	eachQoS(t, func(topic string, pub, sub byte) {
		in := c.subscribed(topic, sub)
		one, two := c.publication(topic, "1", pub), c.publication(topic, "2", pub)
		out.send(one, two)
		in.gets(min(pub, sub), topic, "1", "2")
		out.accepted(pub, one.PacketID, two.PacketID)
	})
}

func unsubscribes(t *testing.T, p *place) {
	const noSubscription = 0x11
	c := p.connect(t, connectOptions{})
	ins, out := c.ins(2), c.out()
	eachQoS(t, func(topic string, pub, sub byte) {
		reaches := func(list ...*lane) {
			t.Helper()
			c.publish(out, topic, "x", pub)
			for _, in := range list {
				in.gets(min(pub, sub), topic, "x")
			}
			for _, l := range append(ins, c.control) {
				l.ping()
			}
		}
		ins[0].subscribe(c.id(), topic, sub)
		assert.EqualValues(t, noSubscription, ins[1].unsubscribe(c.id(), topic), "another stream")
		reaches(ins[0])
		assert.Zero(t, ins[0].unsubscribe(c.id(), topic), "the same stream")
		reaches()
		for _, in := range ins {
			in.subscribe(c.id(), topic, sub)
		}
		reaches(ins...)
		assert.Zero(t, c.control.unsubscribe(c.id(), topic), "control")
		reaches()
		assert.EqualValues(t, noSubscription, c.control.unsubscribe(c.id(), topic), "once more")
	})
}

// killedByServer: a stream is reset with messages in flight. They come again on control, the
// subscription is gone.
func killedByServer(t *testing.T, p *place) {
	eachQoS(t, func(topic string, pub, sub byte) {
		c := p.connect(t, connectOptions{})
		in := c.subscribed(topic, sub)
		c.publish(c.out(), topic, "in flight", pub)
		first := in.arrives()
		in.raw(make([]byte, 5))
		in.refused(0x81)
		if first.QoS > 0 {
			again := c.control.arrives()
			assert.True(t, again.Duplicate)
			assert.Equal(t, first.PacketID, again.PacketID)
			c.control.acknowledge(again)
		}
		c.publish(c.out(), topic, "nobody", pub)
		c.control.ping()
		if !strings.HasPrefix(p.name, "NanoNNG") { // its five streams are all it ever has
			goesOn(c)
		}
		c.disconnect()
	})
}

// queuedBefore: with a ticket the PUBLISH is early data, else it is sent before the CONNACK has come.
func queuedBefore(t *testing.T, p *place) {
	size := 800_000
	early := *p
	if p.early {
		if p.bad { // quic-go waits for ever with a Finished that its congestion window has no room for when early data is lost
			size = 20_000
		}
		early.dial = dialGoEarly
		p.connect(t, connectOptions{}).disconnect() // the ticket
	}
	large := strings.Repeat("x", size)
	eachQoS(t, func(topic string, pub, sub byte) {
		to := p.watch(t, topic, sub)
		c := early.dialed(t, connectOptions{})
		out := c.stream(!p.onData)
		one, two := c.publication(topic, large, pub), c.publication(topic, "small", pub)
		sent := make(chan error, 1)
		go func() { // flow control holds it
			_, err := out.s.Write(encoded(one, two))
			sent <- err
		}()
		c.accepted(connectOptions{})
		require.NoError(t, <-sent)
		assert.Equal(t, []string{large, "small"}, to.payloads(2))
		out.accepted(pub, one.PacketID, two.PacketID)
		c.publish(out, topic, "after", pub)
		to.gets(min(pub, sub), topic, "after")
		if p.early {
			assert.True(t, c.mux.(goMux).conn.ConnectionState().Used0RTT)
		}
		c.disconnect()
	})
}
