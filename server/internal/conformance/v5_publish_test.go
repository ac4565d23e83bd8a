package conformance

import (
	"fmt"
	"strings"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Chapters 3.3.1 to 3.3.3 of MQTT 5.0: PUBLISH, its flags, its topic and its properties.

func init() {
	mqtt5(redeliveredWithDUP, "MQTT-3.3.1-1")
	mqtt5(qos0WithoutDUP, "MQTT-3.3.1-2")
	mqtt5(dupNotForwarded, "MQTT-3.3.1-3")
	mqtt5(qos3, "MQTT-3.3.1-4")
	mqtt5(topicNameFirst, "MQTT-3.3.2-1")
	mqtt5(wildcardInTopicName, "MQTT-3.3.2-2")
	mqtt5(topicMatchesFilter, "MQTT-3.3.2-3")
	mqtt5(payloadFormatForwarded, "MQTT-3.3.2-4")
	mqtt5(expiredBeforeDelivery, "MQTT-3.3.2-5")
	mqtt5(expiryCountsDown, "MQTT-3.3.2-6")
	mqtt5(aliasesEndWithConnection, "MQTT-3.3.2-7")
	mqtt5(serverAliasesEnd, "MQTT-3.3.2-7")
	mqtt5(everyAliasAccepted, "MQTT-3.3.2-12")
	mqtt5(responseTopicNotUTF8, "MQTT-3.3.2-13")
	mqtt5(responseTopicWithWildcard, "MQTT-3.3.2-14")
	mqtt5(propertiesForwarded, "MQTT-3.3.2-15", "MQTT-3.3.2-16", "MQTT-3.3.2-17", "MQTT-3.3.2-18", "MQTT-3.3.2-20")
	mqtt5(contentTypeNotUTF8, "MQTT-3.3.2-19")
}

// redeliveredWithDUP: only what had been sent has DUP, and it has its old identifier.
func redeliveredWithDUP(t *T) {
	publisher := t.connect("b")
	c := t.connect("a", expiry(60))
	c.subscribe(t.topic("x"), 2)
	publisher.publish(t.topic("x"), "one", 2)
	publisher.publish(t.topic("x"), "two", 4)
	one, two := c.message(), c.message()
	assert.False(t, one.dup || two.dup)
	c.disconnect()
	publisher.publish(t.topic("x"), "three", 2)

	c = t.connect("a", resume, expiry(60))
	one.dup, two.dup = true, true
	assert.Equal(t, one, c.message())
	assert.Equal(t, two, c.message())
	three := c.message()
	assert.False(t, three.dup)
	c.write(pkt(PUBREC, u16(int(two.id))))
	c.expectAck(PUBREL, int(two.id))
	c.disconnect()

	c = t.connect("a", resume, expiry(60))
	three.dup = true
	assert.Equal(t, one, c.message())
	c.expectAck(PUBREL, int(two.id)) // its PUBLISH is done
	assert.Equal(t, three, c.message())
}

func qos0WithoutDUP(t *T) {
	t.refuses(publishPacket(t.version, 8, 0, t.topic("x"), ""), 0x81, 0x82)
	t.refuses(publishPacket(t.version, 9, 0, t.topic("x"), ""), 0x81, 0x82)
	c := t.connect("a")
	c.subscribe(t.topic("x"), 0)
	for _, flags := range []byte{0, 2, 4, 0xA, 0xC} {
		c.publish(t.topic("x"), "payload", flags)
		assert.Equal(t, publish{topic: t.topic("x"), payload: "payload"}, c.message())
	}
}

func dupNotForwarded(t *T) {
	c, publisher := t.connect("a"), t.connect("b")
	c.subscribe(t.topic("x"), 2)
	for _, flags := range []byte{0xA, 0xC, 0xB, 0xD} {
		publisher.publish(t.topic("x"), "x", flags)
		m := c.message()
		assert.False(t, m.dup, "%X", flags)
		c.acknowledge(m)
	}
}

func qos3(t *T) {
	watch := t.watch()
	for _, flags := range []byte{6, 7, 0xE, 0xF} {
		t.refuses(publishPacket(t.version, flags, 1, t.topic("x"), "x"), 0x81)
	}
	watch.nothing()
}

func topicNameFirst(t *T) {
	for _, bad := range append(notUTF8, "\x00") {
		t.refuses(publishPacket(t.version, 0, 0, t.topic(bad), ""), 0x81)
	}
	t.refuses(pkt(PUBLISH), 0x81)
	t.refuses(pkt(PUBLISH, raw(0)), 0x81)
	t.refuses(pkt(PUBLISH, raw(0, 9), []byte("topic"), props()), 0x81)
	c := t.connect("a")
	c.subscribe(t.topic("#"), 0)
	for _, name := range []string{"\u00E4\U0001F600", " ", "/", "a//b", "\uFFFD", strings.Repeat("x", 65535-len(t.topic("")))} {
		c.write(publishPacket(t.version, 0, 0, t.topic(name), "payload"))
		c.receive(t.topic(name), "payload")
	}
}

func wildcardInTopicName(t *T) {
	watch := t.watch()
	for _, name := range []string{"#", "+", "a/#", "a/+/b", "a#", "+a", "a/b+"} {
		for _, flags := range []byte{0, 2, 4, 1} {
			t.refuses(publishPacket(t.version, flags, 1, t.topic(name), "x"), 0x81, 0x82, 0x90)
		}
	}
	t.refuses(publishPacket(t.version, 0, 0, t.topic("+"), "x", prop(topicAlias, u16(1))), 0x81, 0x82, 0x90)
	watch.nothing()
}

// topicMatchesFilter asks for many filters and publishes what they match and what they
// almost match.
func topicMatchesFilter(t *T) {
	topics := []string{"a", "a/", "/a", "a/b", "a/b/c", "A/b", "a/bb", "b", "a/b/", "a//b", "ab"}
	matched := map[string][]string{
		"a":     {"a"},
		"a/+":   {"a/", "a/b", "a/bb"},
		"a/#":   {"a", "a/", "a/b", "a/b/c", "a/bb", "a/b/", "a//b"},
		"+/b":   {"a/b", "A/b"},
		"a/+/b": {"a//b"},
		"a/b/+": {"a/b/c", "a/b/"},
		"/+":    {"/a"},
		"+/+/+": {"a/b/c", "a/b/", "a//b"},
	}
	publisher := t.connect("publisher")
	for name, want := range matched {
		c := t.connect(fmt.Sprint("c", t.next()))
		c.subscribe(t.topic(name), 0)
		for _, topic := range topics {
			publisher.write(publishPacket(t.version, 0, 0, t.topic(topic), topic))
		}
		publisher.ping()
		for _, topic := range want {
			c.receive(t.topic(topic), topic)
		}
		c.nothing()
	}
}

func payloadFormatForwarded(t *T) {
	c, publisher := t.connect("a"), t.connect("b")
	c.subscribe(t.topic("x"), 1)
	publisher.publish(t.topic("x"), "text", 2, prop(payloadFormat, raw(1)))
	assert.EqualValues(t, 1, c.receive(t.topic("x"), "text").props.number(payloadFormat, 99))
	publisher.publish(t.topic("x"), "bytes", 2, prop(payloadFormat, raw(0)))
	assert.EqualValues(t, 0, c.receive(t.topic("x"), "bytes").props.number(payloadFormat, 99))
	publisher.publish(t.topic("x"), "none", 2)
	assert.EqualValues(t, 99, c.receive(t.topic("x"), "none").props.number(payloadFormat, 99))
	publisher.publish(t.topic("x"), "kept", 3, prop(payloadFormat, raw(1)))
	c.receive(t.topic("x"), "kept")
	late := t.connect("late")
	late.subscribe(t.topic("x"), 0)
	assert.EqualValues(t, 1, late.receive(t.topic("x"), "kept").props.number(payloadFormat, 99))
}

// expiredBeforeDelivery: a session that is away, one whose Receive Maximum is used up, and
// a retained message.
func expiredBeforeDelivery(t *T) {
	publisher := t.connect("b")
	t.connect("away", expiry(60)).disconnect()
	away := t.connect("away", expiry(60), resume)
	away.subscribe(t.topic("x"), 1)
	away.disconnect()
	busy := t.connect("busy", with(prop(receiveMaximum, u16(1))))
	busy.subscribe(t.topic("x"), 1)
	publisher.publish(t.topic("x"), "first", 2)
	publisher.publish(t.topic("x"), "short", 3, prop(messageExpiry, u32(1)))
	publisher.publish(t.topic("x"), "zero", 2, prop(messageExpiry, u32(0)))
	publisher.publish(t.topic("x"), "long", 2, prop(messageExpiry, u32(1000)))
	first := busy.message()
	time.Sleep(1100 * time.Millisecond) // "short" expires, which nothing tells
	busy.acknowledge(first)
	busy.receive(t.topic("x"), "long")
	away = t.connect("away", resume)
	away.receive(t.topic("x"), "first")
	away.receive(t.topic("x"), "long")
	late := t.connect("late")
	late.subscribe(t.topic("x"), 0)
	late.nothing()
}

func expiryCountsDown(t *T) {
	publisher := t.connect("b")
	c := t.connect("a", expiry(60))
	c.subscribe(t.topic("x"), 1)
	begin := time.Now()
	waited := func() uint32 { return uint32(time.Since(begin)/time.Second) + 1 } // at most
	publisher.publish(t.topic("x"), "at once", 3, prop(messageExpiry, u32(1000)))
	left := c.receive(t.topic("x"), "at once").props.number(messageExpiry, 0)
	assert.True(t, left <= 1000 && left+waited() >= 1000, "%d", left)
	c.disconnect()
	publisher.publish(t.topic("x"), "waits", 2, prop(messageExpiry, u32(4294967295)))
	publisher.publish(t.topic("x"), "for ever", 2)
	time.Sleep(2100 * time.Millisecond) // what is tested is this time: two seconds less
	c = t.connect("a", resume)
	left = 4294967295 - c.receive(t.topic("x"), "waits").props.number(messageExpiry, 0)
	assert.True(t, left >= 2 && left <= waited(), "%d seconds less", left)
	assert.False(t, c.receive(t.topic("x"), "for ever").props.has(messageExpiry))
	late := t.connect("late")
	late.subscribe(t.topic("x"), 0)
	left = 1000 - late.receive(t.topic("x"), "at once").props.number(messageExpiry, 0)
	assert.True(t, left >= 2 && left <= waited(), "%d seconds less", left)
}

func aliasesEndWithConnection(t *T) {
	watch := t.watch()
	c := t.connect("a", expiry(60))
	c.publish(t.topic("x"), "set", 0, prop(topicAlias, u16(1)))
	c.publish("", "used", 0, prop(topicAlias, u16(1)))
	watch.receive(t.topic("x"), "set")
	watch.receive(t.topic("x"), "used")
	other := t.connect("b") // not those of another connection
	other.write(publishPacket(t.version, 0, 0, "", "evil", prop(topicAlias, u16(1))))
	other.refused(0x82, 0x94)
	c.close()
	c = t.connect("a", expiry(60), resume)
	c.write(publishPacket(t.version, 0, 0, "", "evil", prop(topicAlias, u16(1))))
	c.refused(0x82, 0x94)
	watch.nothing()
}

// serverAliasesEnd: the server names the topic again on a new connection, also of what it
// sends again.
func serverAliasesEnd(t *T) {
	publisher := t.connect("b")
	c := t.connect("a", expiry(60), with(prop(topicAliasMaximum, u16(10))))
	c.subscribe(t.topic("x/y/z"), 1)
	for range 2 {
		for range 4 {
			publisher.publish(t.topic("x/y/z"), "x", 2)
		}
		assert.Equal(t, t.topic("x/y/z"), c.message().topic)
		c.close()
		c = t.connect("a", expiry(60), resume, with(prop(topicAliasMaximum, u16(10))))
	}
	m := c.message()
	assert.True(t, m.dup)
	assert.Equal(t, t.topic("x/y/z"), m.topic)
}

func everyAliasAccepted(t *T) {
	watch := t.watch()
	c := t.connect("a")
	most := int(c.answer.props.number(topicAliasMaximum, 0))
	require.NotZero(t, most)
	for _, round := range []string{"first", "changed"} {
		for alias := 1; alias <= most; alias++ {
			c.publish(t.topic(fmt.Sprint(round, alias)), "set", 0, prop(topicAlias, u16(alias)))
			watch.receive(t.topic(fmt.Sprint(round, alias)), "set")
		}
		for alias := most; alias >= 1; alias-- {
			c.publish("", "used", byte(alias%3)<<1, prop(topicAlias, u16(alias)))
			watch.receive(t.topic(fmt.Sprint(round, alias)), "used")
		}
	}
	t.refuses(publishPacket(t.version, 0, 0, "", "never set", prop(topicAlias, u16(1))), 0x82, 0x94)
	t.refuses(publishPacket(t.version, 0, 0, "", "no alias"), 0x81, 0x82, 0x90)
}

func responseTopicNotUTF8(t *T) {
	for _, bad := range append(notUTF8, "\x00") {
		t.refuses(publishPacket(t.version, 0, 0, t.topic("x"), "", prop(responseTopic, str("a"+bad))), 0x81)
	}
}

func responseTopicWithWildcard(t *T) {
	watch := t.watch()
	for _, name := range []string{"#", "+", "a/#", "a/+/b"} {
		t.refuses(publishPacket(t.version, 2, 1, t.topic("x"), "", prop(responseTopic, str(name))), 0x81, 0x82, 0x90)
	}
	watch.nothing()
	t.refusesConnect(t.connectPacket("a", withWill(will{topic: "a", props: [][]byte{prop(responseTopic, str("#"))}})), 0x81, 0x82, 0x90)
}

// propertiesForwarded at once, after waiting for the session, and as a retained message.
func propertiesForwarded(t *T) {
	publisher := t.connect("b")
	direct := t.connect("direct")
	direct.subscribe(t.topic("x"), 2)
	second := t.connect("second")
	second.subscribe(t.topic("+"), 0, prop(subscriptionID, vbi(300)))
	away := t.connect("away", expiry(60))
	away.subscribe(t.topic("x"), 1)
	away.disconnect()
	binary := "\x00\xFF\xED\xA0\x80" + strings.Repeat("\x80", 300)
	publisher.publish(t.topic("x"), "payload", 5,
		user("b", "1"), prop(responseTopic, str("reply/to")), user("a", "\u00E4"), prop(correlationData, str(binary)), user("b", "1"),
		prop(contentType, str("text/plain; \u00FC")), user("", ""), user("b", "0"))
	late := t.connect("late")
	late.subscribe(t.topic("x"), 0)
	for _, c := range []*client{direct, second, t.connect("away", resume), late} {
		m := c.receive(t.topic("x"), "payload")
		assert.Equal(t, "reply/to", m.props.text(responseTopic))
		assert.Equal(t, binary, m.props.text(correlationData))
		assert.Equal(t, "text/plain; \u00FC", m.props.text(contentType))
		assert.Equal(t, []string{"b=1", "a=\u00E4", "b=1", "=", "b=0"}, m.props.pairs())
	}
	publisher.publish(t.topic("x"), "plain", 0)
	assert.Empty(t, direct.receive(t.topic("x"), "plain").props)
}

func contentTypeNotUTF8(t *T) {
	for _, bad := range append(notUTF8, "\x00") {
		t.refuses(publishPacket(t.version, 0, 0, t.topic("x"), "", prop(contentType, str("a"+bad))), 0x81)
	}
	t.refuses(publishPacket(t.version, 0, 0, t.topic("x"), "", prop(contentType, str("a")), prop(contentType, str("a"))), 0x82)
}
