package conformance

import (
	"fmt"
	"slices"
	"strings"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Chapters 1 and 2 of MQTT 5.0: data representation, fixed header, packet identifiers,
// property length.

func init() {
	mqtt5(illFormedUTF8, "MQTT-1.5.4-1")
	mqtt5(nullCharacter, "MQTT-1.5.4-2")
	mqtt5(byteOrderMarkStays, "MQTT-1.5.4-3")
	mqtt5(longVariableByteInteger, "MQTT-1.5.5-1")
	mqtt5(stringPairs, "MQTT-1.5.7-1")
	mqtt5(reservedFlags, "MQTT-2.1.3-1")
	mqtt5(noPacketIDWithQoS0, "MQTT-2.2.1-2")
	mqtt5(packetIDZero, "MQTT-2.2.1-3")
	mqtt5(serverPacketIDsAreFree, "MQTT-2.2.1-4")
	mqtt5(acksEchoPacketID, "MQTT-2.2.1-5")
	mqtt5(subackEchoesPacketID, "MQTT-2.2.1-6")
	mqtt5(emptyPropertyList, "MQTT-2.2.2-1")
}

// notUTF8 are byte sequences that are no UTF-8: overlong, surrogates, above U+10FFFF, cut
// off, lone continuation.
var notUTF8 = []string{"\xC0\x80", "\xC1\xBF", "\xE0\x80\xAF", "\xED\xA0\x80", "\xED\xBF\xBF", "\xF4\x90\x80\x80", "\xF8\x88\x80\x80\x80", "\xFF", "\xE2\x82", "\x80"}

// stringPlaces are packets with s as one of their strings, for connected clients.
func stringPlaces(t *T, s string) map[string][]byte {
	pub := func(list ...[]byte) []byte { return publishPacket(t.version, 0, 0, t.topic("x"), "payload", list...) }
	return map[string][]byte{
		"topic name":         publishPacket(t.version, 0, 0, t.topic(s), "payload"),
		"content type":       pub(prop(contentType, str(s))),
		"response topic":     pub(prop(responseTopic, str(s))),
		"user property":      pub(user("key", s)),
		"subscribe":          subscribePacket(t.version, 1, nil, filter(t.topic(s), 0)),
		"unsubscribe":        unsubscribePacket(t.version, 1, t.topic(s)),
		"PUBACK reason":      pkt(PUBACK, u16(1), raw(0), props(prop(reasonString, str(s)))),
		"PUBREL reason":      pkt(PUBREL, u16(1), raw(0), props(prop(reasonString, str(s)))),
		"DISCONNECT reason":  pkt(DISCONNECT, raw(0), props(prop(reasonString, str(s)))),
		"SUBSCRIBE property": subscribePacket(t.version, 1, [][]byte{user(s, "value")}, filter(t.topic("x"), 0)),
	}
}

func illFormedUTF8(t *T) {
	for place, p := range stringPlaces(t, "a\xED\xA0\x80b") {
		t.Log(place)
		t.refuses(p, 0x81)
	}
	for _, bad := range notUTF8 {
		t.Logf("% X", bad)
		t.refuses(publishPacket(t.version, 0, 0, t.topic(bad), "payload"), 0x81)
	}
	t.refusesConnect(t.connectPacket("", withID("a\xFF")), 0x81)
}

func nullCharacter(t *T) {
	for place, p := range stringPlaces(t, "a\x00b") {
		t.Log(place)
		t.refuses(p, 0x81)
	}
	t.refusesConnect(t.connectPacket("", withID("a\x00")), 0x81)
	t.refusesConnect(t.connectPacket("a", username("a\x00")), 0x81)
	t.refusesConnect(t.connectPacket("a", withWill(will{topic: t.topic("\x00")})), 0x81)
}

func byteOrderMarkStays(t *T) {
	c := t.connect("a")
	c.subscribe(t.topic("+"), 0)
	c.subscribe(t.topic("plain"), 1) // is another topic than the one with the mark
	c.publish(t.topic("\uFEFFplain"), "payload", 2, prop(contentType, str("\uFEFFtext")), user("\uFEFFkey", "\uFEFF"))
	m := c.receive(t.topic("\uFEFFplain"), "payload")
	assert.Zero(t, m.qos)
	assert.Equal(t, "\uFEFFtext", m.props.text(contentType))
	assert.Equal(t, []string{"\uFEFFkey=\uFEFF"}, m.props.pairs())
	c.subscribe("\uFEFF"+t.topic("plain"), 0)
	c.publish(t.topic("plain"), "x", 0)
}

// longVariableByteInteger: the client that reads in all tests looks at what the server
// sends.
func longVariableByteInteger(t *T) {
	t.refuses(raw(PINGREQ, 0x80, 0x00), 0x81)
	t.refuses(raw(PINGREQ, 0x80, 0x80, 0x80, 0x80, 0x00), 0x81)
	t.refuses(raw(PUBLISH, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F), 0x81)
	t.refuses(pkt(PUBLISH, str(t.topic("x")), raw(0x80, 0x00)), 0x81)
	t.refuses(pkt(SUBSCRIBE, u16(1), props(prop(subscriptionID, raw(0x81, 0x00))), filter("a", 0)), 0x81)
	t.refuses(pkt(SUBSCRIBE, u16(1), raw(0x80, 0x80, 0x00), filter("a", 0)), 0x81)
	t.refusesConnect(pkt(CONNECT, str("MQTT"), raw(5, 2, 0, 0, 0x80, 0x00), str(t.id("a"))), 0x81)
	c := t.connect("a")
	c.subscribe(t.topic("#"), 0)
	for _, edge := range []int{128, 16384} { // where the length needs one more byte
		for size := edge - 20; size < edge+5; size++ {
			payload := strings.Repeat("x", size)
			c.write(publishPacket(t.version, 0, 0, t.topic("x"), payload))
			c.receive(t.topic("x"), payload)
		}
	}
}

func stringPairs(t *T) {
	for _, bad := range append(notUTF8, "\x00") {
		t.refuses(publishPacket(t.version, 0, 0, t.topic("x"), "", user("a"+bad, "value")), 0x81)
		t.refuses(publishPacket(t.version, 0, 0, t.topic("x"), "", user("key", bad)), 0x81)
	}
	t.refusesConnect(t.connectPacket("a", with(user("\xFF", "value"))), 0x81)
	t.refusesConnect(t.connectPacket("a", with(user("key", "\xC0\x80"))), 0x81)
	t.refuses(publishPacket(t.version, 0, 0, t.topic("x"), "", prop(userProperty, str("no value"))), 0x81)
}

func reservedFlags(t *T) {
	for _, p := range [][]byte{
		pkt(PUBACK, u16(1)), pkt(PUBREC, u16(1)), pkt(PUBREL, u16(1)), pkt(PUBCOMP, u16(1)),
		subscribePacket(t.version, 1, nil, filter("a", 0)), unsubscribePacket(t.version, 1, "a"),
		pkt(PINGREQ), pkt(DISCONNECT), pkt(AUTH, raw(0x18), props()),
	} {
		for bit := range 4 {
			wrong := slices.Clone(p)
			wrong[0] ^= 1 << bit
			t.refuses(wrong, 0x81)
		}
	}
	t.refuses(raw(0x00, 0x00), 0x81, 0x82)
	for bit := range 4 {
		wrong := t.connectPacket("a")
		wrong[0] ^= 1 << bit
		c := t.dial()
		c.write(wrong)
		c.end()
	}
}

func noPacketIDWithQoS0(t *T) {
	c := t.connect("a")
	c.subscribe(t.topic("x"), 2)
	for _, payload := range []string{"", "\x00", "\x00\x01", "\x00\x01\x00\x02"} {
		sent := pkt(PUBLISH, str(t.topic("x")), props(), []byte(payload))
		c.write(sent)
		got := c.expect(PUBLISH)
		assert.Equal(t, sent, pkt(got.first, got.body))
	}
}

func packetIDZero(t *T) {
	t.refuses(subscribePacket(t.version, 0, nil, filter("a", 0)), 0x81, 0x82)
	t.refuses(unsubscribePacket(t.version, 0, "a"), 0x81, 0x82)
	t.refuses(publishPacket(t.version, 2, 0, t.topic("x"), ""), 0x81, 0x82)
	t.refuses(publishPacket(t.version, 4, 0, t.topic("x"), ""), 0x81, 0x82)
}

// serverPacketIDsAreFree goes once around all identifiers while some stay in use.
func serverPacketIDsAreFree(t *T) {
	c := t.connect("a")
	c.subscribe(t.topic("x"), 1)
	publisher := t.connect("b")
	const batch = 500
	inUse := map[uint16]bool{}
	for sent := 0; sent < 1<<16+3*batch; sent += batch {
		var packets, acks []byte
		for i := range batch {
			packets = append(packets, publishPacket(t.version, 2, i+1, t.topic("x"), "")...)
		}
		publisher.write(packets)
		for range batch {
			m := c.message()
			require.NotZero(t, m.id)
			require.False(t, inUse[m.id], "%d is in use", m.id)
			if len(inUse) < 3 || m.id == 0x8000 {
				inUse[m.id] = true // for good
			} else {
				acks = append(acks, pkt(PUBACK, u16(int(m.id)))...)
			}
		}
		c.write(acks)
		for range batch {
			publisher.expect(PUBACK)
		}
	}
}

func acksEchoPacketID(t *T) {
	c := t.connect("a")
	c.subscribe(t.topic("x"), 2)
	list := []int{0xFFFF, 1, 0x0100, 0x00FF, 77}
	for i, id := range list {
		c.write(publishPacket(t.version, 4, id, t.topic("none"), fmt.Sprint(i)))
	}
	for _, id := range list {
		c.expectAck(PUBREC, id)
	}
	slices.Reverse(list)
	for _, id := range list {
		c.write(pkt(PUBREL, u16(id)))
		c.expectAck(PUBCOMP, id)
		c.write(publishPacket(t.version, 2, id, t.topic("none"), ""))
		c.expectAck(PUBACK, id)
	}
	publisher := t.connect("b")
	publisher.publish(t.topic("x"), "x", 4)
	m := c.message()
	c.write(pkt(PUBREC, u16(int(m.id))))
	c.expectAck(PUBREL, int(m.id))
}

func subackEchoesPacketID(t *T) {
	c := t.connect("a")
	for _, id := range []int{0xFFFF, 1, 0x0100, 0x00FF} {
		c.write(subscribePacket(t.version, id, nil, filter(t.topic("x"), 0)))
		assert.EqualValues(t, id, c.expect(SUBACK).suback(t).id)
	}
	for _, id := range []int{0xFFFF, 1, 0x0100, 0x00FF} {
		c.write(unsubscribePacket(t.version, id, t.topic("x"), t.topic("y")))
		assert.EqualValues(t, id, c.expect(UNSUBACK).suback(t).id)
	}
}

// emptyPropertyList looks at what the server sends byte for byte, and sends packets that
// lack the Property Length.
func emptyPropertyList(t *T) {
	c := t.connect("a")
	c.write(subscribePacket(t.version, 9, nil, filter(t.topic("x"), 1)))
	assert.Equal(t, raw(0, 9, 0, 1), c.expect(SUBACK).body)
	c.write(unsubscribePacket(t.version, 9, t.topic("y")))
	assert.Equal(t, raw(0, 9, 0, 0x11), c.expect(UNSUBACK).body)
	c.write(publishPacket(t.version, 0, 0, t.topic("x"), "payload"))
	assert.Equal(t, cat(str(t.topic("x")), raw(0), []byte("payload")), c.expect(PUBLISH).body)

	t.refuses(pkt(PUBLISH, str(t.topic("x"))), 0x81)
	t.refuses(pkt(PUBLISH|2, str(t.topic("x")), u16(1)), 0x81)
	t.refuses(pkt(SUBSCRIBE, u16(1), filter("a", 0)), 0x81)
	t.refuses(pkt(UNSUBSCRIBE, u16(1), str("a")), 0x81)
	t.refusesConnect(pkt(CONNECT, str("MQTT"), raw(5, 2, 0, 0), str(t.id("a"))), 0x81)
}
