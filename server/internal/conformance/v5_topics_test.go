package conformance

import (
	"fmt"
	"strings"

	"github.com/stretchr/testify/assert"

	"github.com/ngmq/ngmq/server"
)

// Chapters 4.7 and 4.8 of MQTT 5.0: topic names and filters, shared subscriptions.

func init() {
	mqtt5(wildcardInTopicName, "MQTT-4.7.0-1")
	mqtt5(multiLevelWildcard, "MQTT-4.7.1-1")
	mqtt5(singleLevelWildcard, "MQTT-4.7.1-2")
	mqtt5(dollarTopics, "MQTT-4.7.2-1")
	mqtt5(emptyTopics, "MQTT-4.7.3-1")
	mqtt5(nullInTopics, "MQTT-4.7.3-2")
	mqtt5(longTopics, "MQTT-4.7.3-3")
	mqtt5(literalTopics, "MQTT-4.7.3-4")
	mqtt5(shareNames, "MQTT-4.8.2-1", "MQTT-4.8.2-2")
	mqtt5(sharedQoS, "MQTT-4.8.2-3")
	mqtt5(sharedResumed, "MQTT-4.8.2-4")
	mqtt5(sharedSessionEnds, "MQTT-4.8.2-5")
	mqtt5(sharedRefused, "MQTT-4.8.2-6")
}

// filters makes sure that the server refuses some filters and takes others.
func (t *T) filters(bad, good []string) {
	t.Helper()
	c := t.connect(fmt.Sprint("filters", t.next()))
	for _, name := range bad {
		c.write(subscribePacket(t.version, 1, nil, filter(name, 0)))
		assert.GreaterOrEqual(t, c.expect(SUBACK).suback(t).codes[0], byte(0x80), name)
	}
	for _, name := range good {
		c.write(subscribePacket(t.version, 1, nil, filter(name, 0)))
		assert.Equal(t, raw(0), c.await(SUBACK).suback(t).codes, name)
		c.unsubscribe(name)
	}
}

// delivers makes sure which of the topics a filter matches.
func (t *T) delivers(name string, topics map[string]bool) {
	t.Helper()
	c, publisher := t.connect(fmt.Sprint("c", t.next())), t.connect("publisher")
	c.subscribe(name, 0)
	for topic, want := range topics {
		publisher.publish(topic, topic, 2)
		if want {
			c.receive(topic, topic)
		} else {
			c.nothing()
		}
	}
}

func multiLevelWildcard(t *T) {
	p := t.topic("")
	t.filters([]string{p + "a#", p + "#/a", p + "a/#/b", p + "a/b#", p + "##", p + "#/", "#a"}, []string{p + "#", p + "a/#", "#", p + "/#", p + "+/#"})
	t.delivers(p+"sport/#", map[string]bool{
		p + "sport": true, p + "sport/": true, p + "sport/a": true, p + "sport/a/b/c": true, p + "sports": false, p + "spor": false, p + "x/sport": false,
	})
}

func singleLevelWildcard(t *T) {
	p := t.topic("")
	t.filters([]string{p + "sport+", p + "+a", p + "a/+b/c", p + "++", p + "a/b+"}, []string{p + "+", p + "+/a", p + "a/+/b", p + "+/+", "+", p + "a/+/#"})
	t.delivers(p+"sport/+", map[string]bool{p + "sport": false, p + "sport/": true, p + "sport/a": true, p + "sport/a/b": false})
	t.delivers(p+"+/a", map[string]bool{p + "/a": true, p + "x/a": true, p + "a": false, p + "x/y/a": false})
}

func dollarTopics(t *T) {
	name := "$" + t.topic("a/b")
	top := "$" + t.prefix
	t.serve(server.Config{}) // "#" is about the topics of all
	for _, f := range []string{"#", "+/a/b", "+/+/+", "+/#"} {
		t.delivers(f, map[string]bool{name: false})
	}
	for _, f := range []string{name, top + "/#", top + "/+/b"} {
		t.delivers(f, map[string]bool{name: true})
	}
}

func emptyTopics(t *T) {
	t.refuses(publishPacket(t.version, 0, 0, "", "x"), 0x81, 0x82, 0x90)
	c := t.connect("a")
	c.write(subscribePacket(t.version, 1, nil, filter("", 0)))
	if p := c.next(); p.first == SUBACK {
		assert.Equal(t, raw(0x8F), p.suback(t).codes)
	} else {
		assert.Contains(t, raw(0x81, 0x82, 0x8F), p.disconnect(t).code)
	}
	t.delivers(t.topic("/"), map[string]bool{t.topic("/"): true, t.topic(""): false})
}

func nullInTopics(t *T) {
	t.refuses(publishPacket(t.version, 0, 0, t.topic("a\x00b"), "x"), 0x81)
	t.refuses(subscribePacket(t.version, 1, nil, filter(t.topic("a\x00b"), 0)), 0x81)
	t.refuses(unsubscribePacket(t.version, 1, t.topic("a\x00b")), 0x81)
}

// longTopics: 65,535 bytes are served; what the length cannot say cannot be sent.
func longTopics(t *T) {
	longest := t.topic("") + strings.Repeat("x", 65535-len(t.topic("")))
	t.delivers(longest, map[string]bool{longest: true, longest[:65534]: false})
}

func literalTopics(t *T) {
	p := t.topic("")
	t.delivers(p+"\u00E4", map[string]bool{p + "\u00E4": true, p + "a\u0308": false, p + "\u00C4": false})
	t.delivers(p+"ACCOUNTS", map[string]bool{p + "ACCOUNTS": true, p + "Accounts": false})
	t.delivers(p+"a b", map[string]bool{p + "a b": true, p + "a%20b": false})
}

// shared subscribes a client to a group of this run.
func (t *T) shared(name, topic string, qos byte, options ...option) *client {
	c := t.connect(name, options...)
	c.subscribe("$share/"+t.prefix+"/"+topic, qos)
	return c
}

func shareNames(t *T) {
	p := t.topic("")
	t.filters([]string{"$share//" + p + "x", "$share/a+/" + p + "x", "$share/#/" + p + "x", "$share/+/" + p + "x", "$share/a#/" + p, "$share/group", "$share/group/", "$share/"},
		[]string{"$share/group/" + p + "x", "$share/g/" + p + "#", "$share/$g/" + p + "+/x", "$share/g//" + p})
	a, b, publisher := t.shared("a", p+"x", 1), t.shared("b", p+"x", 1), t.connect("publisher")
	other := t.connect("c")
	other.subscribe("$share/other"+t.prefix+"/"+p+"x", 1)
	for n := range 20 {
		publisher.publish(p+"x", fmt.Sprint(n), 2)
		other.receive(p+"x", fmt.Sprint(n)) // the only one of its group
	}
	got := map[string]int{}
	for _, c := range []*client{a, b} {
		for _, packet := range c.fence() {
			got[packet.publish(t).payload]++
		}
	}
	assert.Len(t, got, 20)
	for payload, n := range got {
		assert.Equal(t, 1, n, payload)
	}
}

func sharedQoS(t *T) {
	publisher := t.connect("publisher")
	for granted := range byte(3) {
		topic := t.topic(fmt.Sprint(granted))
		c := t.shared(fmt.Sprint("c", granted), topic, granted)
		for qos := range byte(3) {
			publisher.publish(topic, "x", qos<<1)
			assert.Equal(t, min(granted, qos), c.receive(topic, "x").qos)
		}
	}
}

func sharedResumed(t *T) {
	x := t.topic("x")
	a, publisher := t.shared("a", x, 2, expiry(60)), t.connect("publisher")
	publisher.publish(x, "one", 4)
	publisher.publish(x, "two", 4)
	one, two := a.message(), a.message()
	a.write(pkt(PUBREC, u16(int(two.id))))
	a.expectAck(PUBREL, int(two.id))
	b := t.shared("b", x, 2)
	a.disconnect()
	b.nothing()
	a = t.connect("a", resume)
	one.dup = true
	assert.Equal(t, one, a.message())
	a.expectAck(PUBREL, int(two.id))
	a.acknowledge(one)
	a.write(pkt(PUBCOMP, u16(int(two.id))))
	a.nothing()
	b.nothing()
}

func sharedSessionEnds(t *T) {
	x := t.topic("x")
	a, publisher := t.shared("a", x, 2), t.connect("publisher")
	publisher.publish(x, "one", 4)
	a.message()
	b := t.shared("b", x, 2)
	a.disconnect()
	b.nothing()
	publisher.publish(x, "two", 4)
	b.receive(x, "two")
	b.nothing()
}

func sharedRefused(t *T) {
	x := t.topic("x")
	a, publisher := t.shared("a", x, 2, expiry(60)), t.connect("publisher")
	publisher.publish(x, "one", 2)
	publisher.publish(x, "two", 4)
	one, two := a.message(), a.message()
	b := t.shared("b", x, 2)
	a.write(pkt(PUBACK, u16(int(one.id)), raw(0x80)), pkt(PUBREC, u16(int(two.id)), raw(0x97)))
	a.nothing()
	b.nothing()
	a.disconnect()
	t.connect("a", resume).nothing()
	b.nothing()
}
