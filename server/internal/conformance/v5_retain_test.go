package conformance

import (
	"fmt"

	"github.com/stretchr/testify/assert"
)

// Chapter 3.3.1.3 of MQTT 5.0: RETAIN.

func init() {
	mqtt5(retainReplaces, "MQTT-3.3.1-5")
	mqtt5(emptyErasesRetained, "MQTT-3.3.1-6", "MQTT-3.3.1-7")
	mqtt5(withoutRetain, "MQTT-3.3.1-8")
	mqtt5(retainHandling0, "MQTT-3.3.1-9")
	mqtt5(retainHandling1, "MQTT-3.3.1-10")
	mqtt5(retainHandling2, "MQTT-3.3.1-11")
	mqtt5(retainNotAsPublished, "MQTT-3.3.1-12")
	mqtt5(retainAsPublished, "MQTT-3.3.1-13")
}

// retained makes sure what a new subscriber of a filter gets; "" is nothing.
func (t *T) retained(filter, payload string) {
	t.Helper()
	c := t.connect(fmt.Sprint("late", t.next()))
	c.subscribe(filter, 2)
	if payload != "" {
		assert.True(t, c.receive(filter, payload).retain)
	}
	c.nothing()
}

func retainReplaces(t *T) {
	c := t.connect("a")
	for i, flags := range []byte{1, 3, 5, 1, 5} {
		payload := fmt.Sprint("payload", i)
		c.publish(t.topic("x"), payload, flags)
		late := t.connect(fmt.Sprint("b", i))
		late.subscribe(t.topic("x"), 2)
		m := late.receive(t.topic("x"), payload)
		assert.Equal(t, flags>>1, m.qos)
		assert.True(t, m.retain)
		late.nothing()
	}
	t.retained(t.topic("y"), "")
	c.disconnect() // it outlives its publisher
	t.retained(t.topic("x"), "payload4")
}

func emptyErasesRetained(t *T) {
	c := t.connect("a")
	c.subscribe(t.topic("x"), 1|8)
	for _, flags := range []byte{1, 3, 5} {
		c.publish(t.topic("x"), "payload", 1)
		c.receive(t.topic("x"), "payload")
		c.publish(t.topic("x"), "", flags)
		assert.True(t, c.receive(t.topic("x"), "").retain)
		t.retained(t.topic("x"), "")
		c.publish(t.topic("x"), "", flags) // nothing is stored
		c.receive(t.topic("x"), "")
	}
	// "Only with RETAIN 1" is another statement: see withoutRetain.
	t.retained(t.topic("x"), "")
}

func withoutRetain(t *T) {
	c := t.connect("a")
	c.publish(t.topic("y"), "never stored", 2)
	t.retained(t.topic("y"), "")
	c.publish(t.topic("x"), "stored", 1)
	for flags := byte(0); flags <= 4; flags += 2 {
		c.publish(t.topic("x"), "passes", flags)
		c.publish(t.topic("x"), "", flags)
		t.retained(t.topic("x"), "stored")
	}
}

func retainHandling0(t *T) {
	c := t.connect("a", expiry(60))
	c.publish(t.topic("x"), "x", 1)
	c.publish(t.topic("y"), "y", 1)
	for range 3 {
		c.subscribe(t.topic("x"), 0)
		assert.True(t, c.receive(t.topic("x"), "x").retain)
		c.nothing()
	}
	c.subscribe(t.topic("+"), 0)
	got := []string{c.message().payload, c.message().payload}
	assert.ElementsMatch(t, []string{"x", "y"}, got)
	c.nothing()
	c.disconnect()
	c = t.connect("a", resume)
	c.subscribe(t.topic("x"), 0)
	c.receive(t.topic("x"), "x")
}

func retainHandling1(t *T) {
	c := t.connect("a", expiry(60))
	c.publish(t.topic("x"), "x", 1)
	c.subscribe(t.topic("x"), 0x10)
	c.receive(t.topic("x"), "x")
	for _, options := range []byte{0x10, 0x11, 0x12 | 8} {
		c.subscribe(t.topic("x"), options)
		c.nothing()
	}
	c.disconnect()
	c = t.connect("a", expiry(60), resume) // the subscription is still there
	c.subscribe(t.topic("x"), 0x10)
	c.nothing()
	c.unsubscribe(t.topic("x"))
	c.subscribe(t.topic("x"), 0x10)
	c.receive(t.topic("x"), "x")
	c = t.connect("a") // and now it is not
	c.subscribe(t.topic("x"), 0x10)
	c.receive(t.topic("x"), "x")
	c.nothing()
}

func retainHandling2(t *T) {
	c := t.connect("a")
	c.publish(t.topic("x"), "x", 1)
	c.subscribe(t.topic("x"), 0x20)
	c.subscribe(t.topic("x"), 0x22)
	c.nothing()
	c.publish(t.topic("x"), "new", 1)
	c.receive(t.topic("x"), "new")
	c.subscribe(t.topic("x"), 0) // it was there all the time
	c.receive(t.topic("x"), "new")
}

func retainNotAsPublished(t *T) {
	c := t.connect("a")
	c.subscribe(t.topic("x"), 2)
	for _, flags := range []byte{0, 1, 2, 3, 4, 5} {
		c.publish(t.topic("x"), "x", flags)
		assert.False(t, c.receive(t.topic("x"), "x").retain)
	}
	t.retained(t.topic("x"), "x") // what was stored is retained all the same
}

func retainAsPublished(t *T) {
	c := t.connect("a")
	c.subscribe(t.topic("x"), 2|8)
	for _, flags := range []byte{0, 1, 2, 3, 4, 5} {
		c.publish(t.topic("x"), "x", flags)
		assert.Equal(t, flags&1 == 1, c.receive(t.topic("x"), "x").retain)
	}
}
