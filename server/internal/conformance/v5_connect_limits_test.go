package conformance

import (
	"fmt"
	"strings"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	code "github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/server"
)

// Chapter 3.1.2.11 of MQTT 5.0: the limits and wishes that a client names in its CONNECT.

func init() {
	mqtt5(clientMaximumPacketSize, "MQTT-3.1.2-24")
	mqtt5(tooLargeCountsAsDelivered, "MQTT-3.1.2-25")
	mqtt5(aliasesFromServer, "MQTT-3.1.2-26", "MQTT-3.3.2-11")
	mqtt5(noAliasesFromServer, "MQTT-3.1.2-27")
	mqtt5(noResponseInformation, "MQTT-3.1.2-28")
	mqtt5(noProblemInformation, "MQTT-3.1.2-29")
}

// sized is a payload that makes a PUBLISH with this topic and flags as long as size.
func (t *T) sized(size int, topic string, flags byte) string {
	empty := publishPacket(t.version, flags, 1, topic, strings.Repeat("x", size/2))
	return strings.Repeat("x", size/2+size-len(empty))
}

// clientMaximumPacketSize sends messages around the limit, retained ones too, and requests
// whose answers would be larger.
func clientMaximumPacketSize(t *T) {
	const most = 100
	publisher := t.connect("b")
	publisher.publish(t.topic("exact"), t.sized(most, t.topic("exact"), 1), 1)
	publisher.publish(t.topic("above"), t.sized(most+1, t.topic("above"), 1), 1)
	c := t.connect("a", with(prop(maximumPacketSize, u32(most))))
	c.subscribe(t.topic("+"), 2)
	c.receive(t.topic("exact"), t.sized(most, t.topic("exact"), 1))
	for _, flags := range []byte{0, 2, 4} {
		for size := most - 3; size < most+4; size++ {
			payload := t.sized(size, t.topic("x"), flags)
			publisher.publish(t.topic("x"), payload, flags)
			if size <= most {
				c.receive(t.topic("x"), payload)
			}
		}
	}
	publisher.publish(t.topic("x"), "", 0, user("key", strings.Repeat("x", most)))
	c.nothing()
	var filters [][]byte
	for i := range most {
		filters = append(filters, filter(t.topic(fmt.Sprint(i)), 0))
	}
	c.write(subscribePacket(t.version, 1, nil, filters...))
	c.refused(0x95, 0x80, 0x83)
}

// tooLargeCountsAsDelivered: others get the message, the publisher its acknowledgement,
// and it does not come later.
func tooLargeCountsAsDelivered(t *T) {
	publisher, other := t.connect("b"), t.connect("c")
	other.subscribe(t.topic("x"), 2)
	c := t.connect("a", expiry(60), with(prop(maximumPacketSize, u32(100)), prop(receiveMaximum, u16(2))))
	c.subscribe(t.topic("x"), 2)
	large := strings.Repeat("x", 200)
	for n := range 5 { // more than Receive Maximum: they use none of it
		for qos := range byte(3) {
			publisher.publish(t.topic("x"), large, qos<<1)
			other.receive(t.topic("x"), large)
			small := fmt.Sprint(n)
			publisher.publish(t.topic("x"), small, qos<<1)
			other.receive(t.topic("x"), small)
			c.receive(t.topic("x"), small)
		}
	}
	c.disconnect()
	again := t.connect("a", resume)
	again.nothing()
}

// aliasesFromServer reads as a client that keeps the aliases.
func aliasesFromServer(t *T) {
	const most = 2
	publisher := t.connect("b")
	c := t.connect("a", with(prop(topicAliasMaximum, u16(most))))
	c.subscribe(t.topic("#"), 1)
	names := map[uint32]string{}
	for round := range 3 {
		for i := range 5 {
			topic, payload := t.topic(fmt.Sprint("topic", i)), fmt.Sprint(round, i)
			publisher.publish(topic, payload, byte(i%2)<<1)
			m := c.message()
			c.acknowledge(m)
			if alias := m.props.number(topicAlias, 0); m.props.has(topicAlias) {
				require.True(t, alias >= 1 && alias <= most, "alias %d", alias)
				if m.topic == "" {
					m.topic = names[alias]
				}
				names[alias] = m.topic
			}
			require.Equal(t, []string{topic, payload}, []string{m.topic, m.payload})
		}
	}
}

func noAliasesFromServer(t *T) {
	publisher := t.connect("b")
	for i, o := range []option{func(*connect) {}, with(prop(topicAliasMaximum, u16(0)))} {
		c := t.connect(fmt.Sprint("a", i), o)
		c.subscribe(t.topic("x"), 0)
		for n := range 5 {
			publisher.publish(t.topic("x"), fmt.Sprint(n), 0, prop(topicAlias, u16(1)))
			m := c.receive(t.topic("x"), fmt.Sprint(n))
			assert.False(t, m.props.has(topicAlias))
		}
	}
}

func noResponseInformation(t *T) {
	t.serve(server.Config{ResponsePrefix: "response/"})
	assert.True(t, t.connect("a", with(prop(requestResponseInfo, raw(1)))).answer.props.has(responseInfo)) // there is something to leave out
	assert.False(t, t.connect("b").answer.props.has(responseInfo))
	assert.False(t, t.connect("c", with(prop(requestResponseInfo, raw(0)))).answer.props.has(responseInfo))
}

// noProblemInformation draws failures of all kinds, first from a client that wants to know
// why, so that there is something to leave out.
func noProblemInformation(t *T) {
	refusal := &server.Error{Code: code.NotAuthorized, Reason: "the reason", Properties: user("key", "value")}
	t.serve(server.Config{Handlers: server.Handlers{
		Subscribe: func(*server.SubscribeEvent) error { return refusal },
		Connect:   func(e *server.ConnectEvent) error { e.Answer = user("key", "value"); return nil },
	}})
	require.NoError(t, t.host.HandlePublish("#", func(*server.PublishEvent) error { return refusal }))
	failures := func(c *client) (told int) {
		list := []properties{}
		c.write(publishPacket(t.version, 2, 1, t.topic("x"), ""), publishPacket(t.version, 4, 2, t.topic("x"), ""), pkt(PUBREL, u16(3)), pkt(PUBREC, u16(4)))
		for _, first := range raw(PUBACK, PUBREC, PUBCOMP, PUBREL) {
			a := c.expect(first).ack(t)
			assert.GreaterOrEqual(t, a.code, byte(0x80))
			list = append(list, a.props)
		}
		c.write(subscribePacket(t.version, 1, nil, filter(t.topic("x"), 0)), unsubscribePacket(t.version, 1, t.topic("x")))
		list = append(list, c.expect(SUBACK).suback(t).props, c.expect(UNSUBACK).suback(t).props)
		for _, props := range list {
			told += len(props.all(reasonString)) + len(props.all(userProperty))
		}
		return told
	}
	for i, o := range []option{func(*connect) {}, with(prop(requestProblemInfo, raw(1)))} {
		assert.GreaterOrEqual(t, failures(t.connect(fmt.Sprint("a", i), o)), 4)
	}
	c := t.connect("b", with(prop(requestProblemInfo, raw(0))))
	assert.Zero(t, failures(c))
	assert.NotEmpty(t, c.answer.props.pairs()) // CONNACK may have them
}
