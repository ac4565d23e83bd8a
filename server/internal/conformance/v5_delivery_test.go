package conformance

import (
	"fmt"
	"strings"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Chapters 4.1 to 4.6 and 4.9 of MQTT 5.0: sessions, QoS, delivery, order, flow control.

func init() {
	mqtt5(sessionLivesWithConnection, "MQTT-4.1.0-1")
	mqtt5(sessionExpires, "MQTT-4.1.0-2")
	mqtt5(byteStream, "MQTT-4.2.0-1")
	mqtt5(qos0Delivery, "MQTT-4.3.1-1")
	mqtt5(qos1Sender, "MQTT-4.3.2-1", "MQTT-4.3.2-2", "MQTT-4.3.2-3")
	mqtt5(qos1Receiver, "MQTT-4.3.2-4", "MQTT-4.3.2-5")
	mqtt5(qos2Sender, "MQTT-4.3.3-1", "MQTT-4.3.3-2", "MQTT-4.3.3-3", "MQTT-4.3.3-4", "MQTT-4.3.3-5", "MQTT-4.3.3-6")
	mqtt5(qos2SentDespiteExpiry, "MQTT-4.3.3-7")
	mqtt5(qos2Receiver, "MQTT-4.3.3-8", "MQTT-4.3.3-10", "MQTT-4.3.3-11", "MQTT-4.3.3-12")
	mqtt5(qos2Refused, "MQTT-4.3.3-9")
	mqtt5(qos2ExpiredAtReceiver, "MQTT-4.3.3-13")
	mqtt5(resentOnResumption, "MQTT-4.4.0-1")
	mqtt5(failureCompletes, "MQTT-4.4.0-2")
	mqtt5(everySubscriber, "MQTT-4.5.0-1")
	mqtt5(resentInOrder, "MQTT-4.6.0-1")
	mqtt5(pubrelsInOrder, "MQTT-4.6.0-4")
	mqtt5(topicsInOrder, "MQTT-4.6.0-5", "MQTT-4.6.0-6")
	mqtt5(clientReceiveMaximum, "MQTT-4.9.0-1", "MQTT-4.9.0-2", "MQTT-4.9.0-3")
}

// sessionLivesWithConnection for longer than the Session Expiry Interval.
func sessionLivesWithConnection(t *T) {
	c, second := t.connect("a"), t.connect("b", expiry(1))
	for _, c := range []*client{c, second} {
		c.subscribe(t.topic("x"), 2)
		c.write(publishPacket(t.version, 4, 100, t.topic("none"), ""))
		c.expectAck(PUBREC, 100)
	}
	time.Sleep(2200 * time.Millisecond) // what is tested is this time: twice the interval of b
	publisher := t.connect("publisher")
	publisher.publish(t.topic("x"), "still", 4)
	for _, c := range []*client{c, second} {
		c.receive(t.topic("x"), "still")
		c.write(pkt(PUBREL, u16(100)))
		assert.Equal(t, ack{id: 100}, c.expect(PUBCOMP).ack(t))
	}
}

// sessionExpires: the will of a tells when its session has ended.
func sessionExpires(t *T) {
	watch := t.watch()
	t.connect("d", expiry(3)).close()
	t.connect("d", resume, expiry(60)).close() // in time
	t.mortal("a", expiry(3), willDelaySeconds(60)).close()
	t.mortal("b", expiry(60), willDelaySeconds(60)).close()
	t.connect("c").close() // interval 0
	watch.receive(t.topic("will"), "a")
	assert.Zero(t, t.connect("a", resume).answer.flags)
	assert.EqualValues(t, 1, t.connect("b", resume).answer.flags)
	assert.Zero(t, t.connect("c", resume).answer.flags)
	assert.EqualValues(t, 1, t.connect("d", resume).answer.flags)
	e := t.connect("e", expiry(60)) // DISCONNECT may change it
	e.write(pkt(DISCONNECT, raw(0), props(prop(sessionExpiry, u32(0)))))
	e.end()
	assert.Zero(t, t.connect("e", resume).answer.flags)
}

// byteStream sends much both ways, in pieces that have nothing to do with packets.
func byteStream(t *T) {
	c := t.connect("a")
	c.subscribe(t.topic("x"), 0)
	payload := strings.Repeat("0123456789abcdef", 1<<15)
	p := cat(publishPacket(t.version, 0, 0, t.topic("x"), payload), raw(PINGREQ, 0, PINGREQ, 0))
	go func() {
		for len(p) > 0 {
			n := min(len(p), 10_007)
			c.tryWrite(p[:n])
			p = p[n:]
		}
	}()
	c.await(PINGRESP)
	c.await(PINGRESP)
	m := c.message()
	assert.True(t, m.payload == payload && m.topic == t.topic("x"))
	c.nothing()
}

func qos0Delivery(t *T) {
	c := t.connect("a", expiry(60))
	c.subscribe(t.topic("x"), 0)
	for flags := byte(0); flags <= 4; flags += 2 {
		c.publish(t.topic("x"), "x", flags)
		assert.Equal(t, byte(PUBLISH), c.expect(PUBLISH).first)
	}
	c.disconnect()
	t.connect("a", resume).nothing() // nothing is sent again
}

func qos1Sender(t *T) {
	publisher := t.connect("b")
	c := t.connect("a", expiry(60))
	c.subscribe(t.topic("x"), 1)
	seen := map[uint16]bool{}
	for n := range 10 {
		publisher.publish(t.topic("x"), fmt.Sprint(n), 2)
		m := c.message()
		require.False(t, m.id == 0 || seen[m.id] || m.dup || m.qos != 1)
		seen[m.id] = true
	}
	c.write(pkt(PUBACK, u16(9999)), pkt(PUBREC, u16(1)), pkt(PUBCOMP, u16(1))) // acknowledge none of them
	c.await(PUBREL)
	c.disconnect()
	c = t.connect("a", resume)
	for n := range 10 {
		m := c.receive(t.topic("x"), fmt.Sprint(n))
		require.True(t, m.dup && seen[m.id])
	}
	c.nothing()
}

func qos1Receiver(t *T) {
	watch, c := t.watch(), t.connect("a")
	for i, flags := range []byte{2, 0xA, 2, 0xA} { // the same identifier each time
		c.write(publishPacket(t.version, flags, 77, t.topic("x"), fmt.Sprint(i)))
		assert.EqualValues(t, 77, c.expect(PUBACK).ack(t).id)
		watch.receive(t.topic("x"), fmt.Sprint(i))
	}
	watch.nothing()
}

func qos2Sender(t *T) {
	publisher := t.connect("b")
	c := t.connect("a", expiry(60))
	c.subscribe(t.topic("x"), 2)
	publisher.publish(t.topic("x"), "one", 4)
	publisher.publish(t.topic("x"), "two", 4)
	one, two := c.message(), c.message()
	require.False(t, one.dup || two.dup || one.id == two.id || one.id == 0 || two.id == 0)
	require.True(t, one.qos == 2 && two.qos == 2)
	for range 2 { // PUBREC again: PUBREL again
		c.write(pkt(PUBREC, u16(int(two.id))))
		assert.Equal(t, ack{id: two.id}, c.expect(PUBREL).ack(t))
	}
	c.disconnect()
	for range 3 {
		c = t.connect("a", resume, expiry(60))
		m := c.message() // waits for PUBREC
		require.True(t, m.dup && m.id == one.id && m.payload == "one")
		assert.Equal(t, ack{id: two.id}, c.expect(PUBREL).ack(t)) // waits for PUBCOMP
		c.nothing()
		c.disconnect()
	}
	c = t.connect("a", resume)
	m := c.message()
	c.expectAck(PUBREL, int(two.id))
	c.write(pkt(PUBCOMP, u16(int(two.id))))
	c.acknowledge(m)
	c.nothing()
}

func qos2SentDespiteExpiry(t *T) {
	publisher := t.connect("b")
	c := t.connect("a", expiry(60))
	c.subscribe(t.topic("x"), 2)
	publisher.publish(t.topic("x"), "sent", 4, prop(messageExpiry, u32(1)))
	m := c.message()
	c.disconnect()
	publisher.publish(t.topic("x"), "not sent", 4, prop(messageExpiry, u32(1)))
	time.Sleep(1200 * time.Millisecond) // both messages expire, which nothing tells
	c = t.connect("a", resume)
	again := c.message()
	assert.True(t, again.dup)
	assert.Equal(t, m.id, again.id)
	c.acknowledge(again)
	c.nothing()
}

func qos2Receiver(t *T) {
	watch, c := t.watch(), t.connect("a", expiry(60))
	for round := range 3 {
		payload := fmt.Sprint(round)
		c.write(publishPacket(t.version, 4, 77, t.topic("x"), payload))
		c.expectAck(PUBREC, 77)
		watch.receive(t.topic("x"), payload)
		for _, flags := range []byte{0xC, 4, 0xC} { // the same message, whatever DUP says
			c.write(publishPacket(t.version, flags, 77, t.topic("x"), payload))
			c.expectAck(PUBREC, 77)
		}
		c.disconnect()
		c = t.connect("a", expiry(60), resume)
		c.write(publishPacket(t.version, 0xC, 77, t.topic("x"), payload))
		c.expectAck(PUBREC, 77)
		watch.nothing()
		c.write(pkt(PUBREL, u16(77)))
		assert.Equal(t, ack{id: 77}, c.expect(PUBCOMP).ack(t))
		c.write(pkt(PUBREL, u16(77))) // nothing is open any more
		assert.Equal(t, ack{id: 77, code: 0x92}, c.expect(PUBCOMP).ack(t))
	}
}

func qos2Refused(t *T) {
	t.refuseAll("")
	c := t.connect("a")
	for _, code := range []byte{0x87, 0x97, 0x87} { // looked at anew each time
		c.write(publishPacket(t.version, 4, 77, t.topic("x"), string([]byte{code})))
		assert.Equal(t, ack{id: 77, code: code}, c.expect(PUBREC).ack(t))
	}
	c.write(pkt(PUBREL, u16(77)))
	assert.Equal(t, ack{id: 77, code: 0x92}, c.expect(PUBCOMP).ack(t))
}

func qos2ExpiredAtReceiver(t *T) {
	c := t.connect("a")
	c.write(publishPacket(t.version, 4, 77, t.topic("x"), "x", prop(messageExpiry, u32(0))))
	c.expectAck(PUBREC, 77)
	c.write(publishPacket(t.version, 5, 78, t.topic("x"), "x", prop(messageExpiry, u32(1))))
	c.expectAck(PUBREC, 78)
	time.Sleep(1200 * time.Millisecond) // the message expires, which nothing tells
	c.write(publishPacket(t.version, 0xD, 78, t.topic("x"), "x", prop(messageExpiry, u32(1))))
	c.expectAck(PUBREC, 78)
	for id := 77; id <= 78; id++ {
		c.write(pkt(PUBREL, u16(id)))
		assert.Equal(t, ack{id: uint16(id)}, c.expect(PUBCOMP).ack(t))
	}
}

// resentOnResumption: and not before, however long the acknowledgement takes.
func resentOnResumption(t *T) {
	publisher := t.connect("b")
	c := t.connect("a", expiry(60))
	c.subscribe(t.topic("x"), 2)
	publisher.publish(t.topic("x"), "one", 2)
	publisher.publish(t.topic("x"), "two", 4)
	publisher.publish(t.topic("x"), "three", 4)
	one, two, three := c.message(), c.message(), c.message()
	c.write(pkt(PUBREC, u16(int(three.id))))
	c.expectAck(PUBREL, int(three.id))
	for range 6 {
		time.Sleep(500 * time.Millisecond) // what is tested is that nothing comes in this time
		c.nothing()
	}
	c.close()
	c = t.connect("a", resume)
	one.dup, two.dup = true, true
	assert.Equal(t, one, c.message())
	assert.Equal(t, two, c.message())
	c.expectAck(PUBREL, int(three.id))
	c.nothing()
	c = t.connect("a") // a new session has nothing to send again
	c.nothing()
}

func failureCompletes(t *T) {
	publisher := t.connect("b")
	c := t.connect("a", expiry(60), with(prop(receiveMaximum, u16(1))))
	c.subscribe(t.topic("x"), 2)
	for n, code := range []byte{0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99} {
		for qos, first := range map[byte]byte{1: PUBACK, 2: PUBREC} {
			publisher.publish(t.topic("x"), fmt.Sprint(n), qos<<1)
			m := c.message() // Receive Maximum is 1: the one before has ended
			require.Equal(t, qos, m.qos)
			c.write(pkt(first, u16(int(m.id)), raw(code)))
		}
	}
	c.nothing() // no PUBREL either
	c.disconnect()
	t.connect("a", resume).nothing()
}

// everySubscriber: connected or away, whatever kind of filter.
func everySubscriber(t *T) {
	var all []*client
	for i, name := range []string{"x/y", "x/+", "+/y", "#", "x/#", "x/y/#", "+/+", "x/y"} {
		c := t.connect(fmt.Sprint("c", i), expiry(60))
		c.subscribe(t.topic(name), byte(i%3))
		all = append(all, c)
	}
	away := t.connect("away", expiry(60))
	away.subscribe(t.topic("x/y"), 1)
	away.disconnect()
	publisher := t.connect("publisher")
	for n := range 5 {
		publisher.publish(t.topic("x/y"), fmt.Sprint(n), 4)
	}
	for _, c := range append(all, t.connect("away", resume)) {
		for n := range 5 {
			c.receive(t.topic("x/y"), fmt.Sprint(n))
		}
		c.nothing()
	}
}

func resentInOrder(t *T) {
	publisher := t.connect("b")
	c := t.connect("a", expiry(60))
	c.subscribe(t.topic("#"), 2)
	const messages = 50
	var sent []publish
	for n := range messages {
		publisher.publish(t.topic(fmt.Sprint(n%3)), fmt.Sprint(n), byte(1+n%2)<<1)
		m := c.message()
		if n%7 == 3 {
			c.acknowledge(m)
			continue
		}
		m.dup = true
		sent = append(sent, m)
	}
	c.disconnect()
	publisher.publish(t.topic("x"), "last", 2)
	for round := range 3 {
		c = t.connect("a", expiry(60), resume)
		for _, m := range sent {
			require.Equal(t, m, c.message())
		}
		if round == 0 { // what had not been sent comes last
			last := c.message()
			require.Equal(t, "last", last.payload)
			last.dup = true
			sent = append(sent, last)
		}
		c.nothing()
		c.disconnect()
	}
}

func pubrelsInOrder(t *T) {
	publisher := t.connect("b")
	c := t.connect("a", expiry(60))
	c.subscribe(t.topic("x"), 2)
	var ids []int
	for n := range 20 {
		publisher.publish(t.topic("x"), fmt.Sprint(n), 4)
		ids = append(ids, int(c.message().id))
	}
	for i := range ids { // PUBRECs in another order
		j := i * 7 % 20
		ids[i], ids[j] = ids[j], ids[i]
	}
	var recs []byte
	for _, id := range ids {
		recs = append(recs, pkt(PUBREC, u16(id))...)
	}
	c.write(recs)
	for _, id := range ids {
		c.expectAck(PUBREL, id)
	}
}

// topicsInOrder: several publishers, several topics, all QoS.
func topicsInOrder(t *T) {
	c := t.connect("a")
	c.subscribe(t.topic("#"), 2)
	const publishers, messages = 3, 60
	for p := range publishers {
		publisher := t.connect(fmt.Sprint("p", p))
		var burst []byte
		for n := range messages {
			flags := byte(n%3) << 1
			burst = append(burst, publishPacket(t.version, flags, n+1, t.topic(fmt.Sprint(n%2)), fmt.Sprint(p, " ", n))...)
		}
		publisher.write(burst)
	}
	last := map[string]int{}
	for range publishers * messages {
		m := c.next()
		for m.first>>4 != PUBLISH>>4 {
			m = c.next()
		}
		got := m.publish(t)
		var p, n int
		_, err := fmt.Sscan(got.payload, &p, &n)
		require.NoError(t, err)
		key := fmt.Sprint(p, got.topic, got.qos)
		if before, ok := last[key]; ok {
			require.Greater(t, n, before)
		}
		last[key] = n
		if got.qos == 1 {
			c.write(pkt(PUBACK, u16(int(got.id))))
		} else if got.qos == 2 {
			c.write(pkt(PUBREC, u16(int(got.id))))
		}
	}
}
