package conformance

import (
	"github.com/stretchr/testify/assert"

	code "github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/server"
)

// Chapters 1.5 and 3.1 to 3.2 of MQTT 3.1.1, where they differ from 5.0.

func init() {
	mqtt311(illFormedStrings, "MQTT-1.5.3-1")
	mqtt311(nullInStrings, "MQTT-1.5.3-2")
	mqtt311(byteOrderMarkForwarded, "MQTT-1.5.3-3")
	mqtt311(protocolName311, "MQTT-3.1.2-1")
	mqtt311(protocolLevel, "MQTT-3.1.2-2", "MQTT-3.2.2-5")
	mqtt311(cleanSession, "MQTT-3.1.2-6", "MQTT-3.1.4-3", "MQTT-3.2.2-1")
	mqtt311(passwordNeedsUserName, "MQTT-3.1.2-22")
	mqtt311(emptyClientID, "MQTT-3.1.3-6", "MQTT-3.1.3-7", "MQTT-3.1.3-8")
	mqtt311(clientIDRejected, "MQTT-3.1.3-9")
	mqtt311(malformedConnect311, "MQTT-3.1.4-1", "MQTT-3.2.2-6")
	mqtt311(nothingAfterRejection, "MQTT-3.1.4-5", "MQTT-3.2.2-4")
}

func illFormedStrings(t *T) {
	for _, bad := range notUTF8 {
		t.refuses(publishPacket(4, 0, 0, t.topic(bad), ""))
		t.refuses(subscribePacket(4, 1, nil, filter(t.topic(bad), 0)))
		t.refuses(unsubscribePacket(4, 1, t.topic(bad)))
		t.refusesConnect(t.connectPacket("", withID("a"+bad)))
	}
}

func nullInStrings(t *T) {
	t.refuses(publishPacket(4, 0, 0, t.topic("a\x00"), ""))
	t.refuses(subscribePacket(4, 1, nil, filter(t.topic("a\x00"), 0)))
	t.refuses(unsubscribePacket(4, 1, t.topic("a\x00")))
	t.refusesConnect(t.connectPacket("", withID("a\x00")))
	t.refusesConnect(t.connectPacket("a", username("a\x00")))
	t.refusesConnect(t.connectPacket("a", withWill(will{topic: t.topic("\x00")})))
}

func byteOrderMarkForwarded(t *T) {
	c := t.connect("a")
	c.subscribe(t.topic("+"), 0)
	c.subscribe(t.topic("plain"), 1)
	c.publish(t.topic("\uFEFFplain"), "\uFEFF", 2)
	assert.Zero(t, c.receive(t.topic("\uFEFFplain"), "\uFEFF").qos)
	c.nothing()
}

func protocolName311(t *T) {
	for _, name := range []string{"", "MQT", "mqtt", "MQTTX", "MQIsdp", "HTTP"} {
		c := t.dial()
		c.write(pkt(CONNECT, str(name), raw(4, 2, 0, 0), str(t.id("a"))))
		c.notServed()
	}
}

func protocolLevel(t *T) {
	for _, level := range []byte{0, 1, 2} {
		c := t.dial()
		c.write(pkt(CONNECT, str("MQTT"), raw(level, 2, 0, 0), str(t.id("a"))))
		c.connackRefused(0x01)
	}
}

func cleanSession(t *T) {
	first := t.connect("a", resume)
	first.subscribe(t.topic("x"), 1)
	first.disconnect()
	publisher := t.connect("b")
	publisher.publish(t.topic("x"), "waits", 2)
	c := t.connect("a")
	assert.Zero(t, c.answer.flags)
	publisher.publish(t.topic("x"), "new", 2)
	c.nothing()
	c.subscribe(t.topic("x"), 1)
	c.disconnect()
	publisher.publish(t.topic("x"), "later", 2)
	c = t.connect("a", resume) // nothing of it is reused
	assert.Zero(t, c.answer.flags)
	c.nothing()
}

func passwordNeedsUserName(t *T) {
	t.refusesConnect(t.connectPacket("a", password("secret")))
	t.connect("a", username("user"), password("secret"))
}

func emptyClientID(t *T) {
	a, b := t.connect("", withID("")), t.connect("", withID(""))
	a.subscribe(t.topic("x"), 0)
	b.subscribe(t.topic("x"), 0)
	a.publish(t.topic("x"), "x", 0)
	a.receive(t.topic("x"), "x") // both are there: their identifiers differ
	b.receive(t.topic("x"), "x")
	c := t.dial()
	c.write(t.connectPacket("", withID(""), resume))
	c.connackRefused(0x02)
}

// rejecting starts a server that lets nobody in but a client "good", with a session.
func (t *T) rejecting(reason code.ReasonCode) {
	t.serve(server.Config{Handlers: server.Handlers{Connect: func(e *server.ConnectEvent) error {
		if e.Client.Username != "good" {
			return server.Refuse(reason, "")
		}
		return nil
	}}})
}

func clientIDRejected(t *T) {
	t.rejecting(code.ClientIdentifierNotValid)
	c := t.dial()
	c.write(t.connectPacket("a"))
	c.connackRefused(0x02)
}

func malformedConnect311(t *T) {
	whole := t.connectPacket("a", withWill(will{topic: "topic", payload: "payload"}), username("user"), password("secret"))
	for n := range len(whole) - 2 {
		c := t.dial()
		c.write(pkt(CONNECT, whole[2:2+n]))
		c.end()
	}
	t.refusesConnect(pkt(CONNECT, whole[2:], raw(0)))
	t.refusesConnect(t.connectPacket("a", withWill(will{topic: "topic", qos: 3})))
}

func nothingAfterRejection(t *T) {
	t.rejecting(code.NotAuthorized)
	watch := t.connect("watch", username("good"))
	watch.subscribe(t.topic("#"), 0)
	t.connect("a", username("good"), resume).disconnect()
	c := t.dial()
	c.write(t.connectPacket("a", resume), publishPacket(4, 0, 0, t.topic("x"), "evil"), t.connectPacket("a", username("good")), publishPacket(4, 0, 0, t.topic("x"), "evil"))
	c.connackRefused(0x05)
	watch.nothing()
	assert.EqualValues(t, 1, t.connect("a", username("good"), resume).answer.flags)
}
