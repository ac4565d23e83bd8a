package conformance

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	code "github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/server"
)

// Chapters 2.3, 3.3 and 4 of MQTT 3.1.1, where they differ from 5.0: PUBLISH and errors.

func init() {
	mqtt311(noPacketIDField, "MQTT-2.3.1-5")
	mqtt311(emptyErasesRetained311, "MQTT-3.3.1-10", "MQTT-3.3.1-11")
	mqtt311(retainHandling0, "MQTT-3.3.1-6", "MQTT-3.3.1-8")
	mqtt311(retainAcrossVersions, "MQTT-3.3.1-9")
	mqtt311(topicNameField, "MQTT-3.3.2-1")
	mqtt311(publishNotAuthorized, "MQTT-3.3.5-2")
	mqtt311(qos2ReceiverOnce, "MQTT-4.3.3-2")
	mqtt311(emptyTopicNames, "MQTT-4.7.3-1")
	mqtt311(violationsClose, "MQTT-4.8.0-1")
	mqtt311(transientErrorCloses, "MQTT-4.8.0-2")
	mqtt311(coreOnly, "MQTT-7.0.0-2")
}

func noPacketIDField(t *T) {
	c := t.connect("a")
	c.subscribe(t.topic("x"), 2)
	for _, payload := range []string{"", "\x00", "\x00\x01", "\x00\x01\x00\x02"} {
		sent := pkt(PUBLISH, str(t.topic("x")), []byte(payload))
		c.write(sent)
		got := c.expect(PUBLISH)
		assert.Equal(t, sent, pkt(got.first, got.body))
	}
}

// emptyErasesRetained311: those who have subscribed get the empty message too, without
// RETAIN.
func emptyErasesRetained311(t *T) {
	c := t.connect("a")
	c.subscribe(t.topic("x"), 1)
	for _, flags := range []byte{1, 3, 5} {
		c.publish(t.topic("x"), "payload", 1)
		c.receive(t.topic("x"), "payload")
		for range 2 { // of something, and of nothing
			c.publish(t.topic("x"), "", flags)
			assert.False(t, c.receive(t.topic("x"), "").retain)
			t.retained(t.topic("x"), "")
			t.retained(t.topic("#"), "")
		}
	}
}

// retainAcrossVersions: a subscription that wants RETAIN as published, which only 5.0 has,
// and whose session goes on with 3.1.1.
func retainAcrossVersions(t *T) {
	five := *t
	five.version = 5
	c := five.connect("a", expiry(60))
	c.subscribe(t.topic("x"), 2|8)
	c.disconnect()
	publisher := t.connect("b")
	publisher.publish(t.topic("x"), "waits", 5)
	c = t.connect("a", resume)
	assert.Equal(t, connack{flags: 1}, c.answer)
	assert.False(t, c.receive(t.topic("x"), "waits").retain)
	publisher.publish(t.topic("x"), "new", 3)
	assert.False(t, c.receive(t.topic("x"), "new").retain)
	c.nothing()
}

func topicNameField(t *T) {
	for _, bad := range append(notUTF8, "\x00") {
		for _, flags := range []byte{0, 2, 4, 1} {
			t.refuses(publishPacket(t.version, flags, 1, t.topic(bad), ""))
		}
	}
	for _, p := range [][]byte{pkt(PUBLISH), pkt(PUBLISH, raw(0)), pkt(PUBLISH, raw(0, 9), []byte("topic")), pkt(PUBLISH|2, str("topic")), pkt(PUBLISH|4, str("topic"), raw(0))} {
		t.refuses(p)
	}
	c := t.connect("a")
	c.subscribe(t.topic("#"), 0)
	for _, name := range []string{"\u00E4\U0001F600", " ", "/", "a//b", "\uFFFD", strings.Repeat("x", 65535-len(t.topic("")))} {
		c.write(publishPacket(t.version, 0, 0, t.topic(name), "payload"))
		c.receive(t.topic(name), "payload")
	}
}

// publishNotAuthorized: the answer tells nothing, and nobody gets the message.
func publishNotAuthorized(t *T) {
	t.serve(server.Config{Handlers: server.Handlers{Authorize: func(_ *server.Client, _ server.Action, name string) error {
		if strings.HasSuffix(name, "secret") {
			return server.Refuse(code.NotAuthorized, "")
		}
		return nil
	}}})
	watch, c := t.watch(), t.connect("a")
	for _, retain := range []byte{0, 1} {
		for qos := range byte(3) {
			c.publish(t.topic("secret"), "x", qos<<1|retain)
			c.publish(t.topic("open"), "x", qos<<1)
			watch.receive(t.topic("open"), "x")
		}
	}
	c.nothing()
	watch.nothing()
	t.retained(t.topic("#"), "")
}

func qos2ReceiverOnce(t *T) {
	watch, c := t.watch(), t.connect("a", resume)
	for round := range 3 {
		payload := fmt.Sprint(round)
		c.write(publishPacket(t.version, 4, 77, t.topic("x"), payload))
		c.expectAck(PUBREC, 77)
		watch.receive(t.topic("x"), payload)
		for _, flags := range []byte{0xC, 4} { // whatever DUP says
			c.write(publishPacket(t.version, flags, 77, t.topic("x"), payload))
			c.expectAck(PUBREC, 77)
		}
		c.close()
		c = t.connect("a", resume)
		c.write(publishPacket(t.version, 0xC, 77, t.topic("x"), payload))
		c.expectAck(PUBREC, 77)
		watch.nothing()
		for range 2 { // PUBREL again: PUBCOMP again
			c.write(pkt(PUBREL, u16(77)))
			c.expectAck(PUBCOMP, 77)
		}
	}
}

func emptyTopicNames(t *T) {
	for _, flags := range []byte{0, 2, 4, 1} {
		t.refuses(publishPacket(t.version, flags, 1, "", "x"))
	}
	c := t.connect("a")
	c.write(subscribePacket(t.version, 1, nil, filter("", 0)))
	if got, err := c.read(); err == nil {
		assert.Equal(t, packet{SUBACK, raw(0, 1, 0x80)}, got)
	}
	t.refusesConnect(t.connectPacket("a", withWill(will{topic: ""})))
	t.delivers(t.topic("/"), map[string]bool{t.topic("/"): true, t.topic(""): false})
}

// violationsClose: the packets of a server, those of 5.0, fields that lie about lengths.
func violationsClose(t *T) {
	other := t.connect("other")
	for _, p := range [][]byte{
		raw(0x00, 0), raw(0xF0, 0), pkt(AUTH, raw(0x18), props()), raw(PINGRESP, 0), pkt(CONNACK, raw(0, 0)), pkt(SUBACK, u16(1), raw(0)), pkt(UNSUBACK, u16(1)),
		pkt(PUBACK), pkt(PUBACK, raw(1)), pkt(PUBACK, u16(1), raw(0)), pkt(PUBREC, u16(1), raw(0)), pkt(PUBREL, u16(1), raw(0)), pkt(PUBCOMP, u16(1), raw(0)),
		pkt(PUBACK, u16(0)), pkt(PUBREC, u16(0)), pkt(PUBREL, u16(0)), pkt(PUBCOMP, u16(0)),
		pkt(DISCONNECT, raw(0)), pkt(PINGREQ, raw(0)), raw(PINGREQ, 0x80, 0x80, 0x80, 0x80, 0), raw(PUBLISH, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F),
	} {
		t.refuses(p)
	}
	other.ping() // costs only the connection at fault
}

// transientErrorCloses: a handler that panics, or says that it could not do its work now.
// There is no acknowledgement that could tell, so the client has to send again.
func transientErrorCloses(t *T) {
	t.serve(server.Config{})
	watch := t.watch()
	var failing atomic.Bool
	require.NoError(t, t.host.HandlePublish(t.topic("panic"), func(*server.PublishEvent) error {
		if failing.Load() {
			panic("handler")
		}
		return nil
	}))
	require.NoError(t, t.host.HandlePublish(t.topic("error"), func(*server.PublishEvent) error {
		if failing.Load() {
			return errors.Join(errors.New("no disk"), server.Refuse(code.ImplementationSpecificError, ""))
		}
		return nil
	}))
	for _, name := range []string{"panic", "error"} {
		failing.Store(true)
		for _, flags := range []byte{0, 2, 4, 5} {
			t.refuses(publishPacket(t.version, flags, 1, t.topic(name), "x"))
		}
		watch.nothing()
		failing.Store(false)
		t.connect("again").publish(t.topic(name), "again", 4)
		watch.receive(t.topic(name), "again")
	}
}

// coreOnly speaks with bytes of the specification alone, without any identifier,
// user name, topic or order that a server might ask for besides.
func coreOnly(t *T) {
	c := t.dial()
	c.write(raw(0x10, 12, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 0, 0, 0))
	assert.Equal(t, packet{CONNACK, raw(0, 0)}, c.next())
	name := str(t.topic("x"))
	c.write(pkt(0x82, raw(0, 1), name, raw(0)))
	assert.Equal(t, packet{SUBACK, raw(0, 1, 0)}, c.next())
	c.write(pkt(0x30, name, []byte("hello")))
	assert.Equal(t, packet{PUBLISH, cat(name, []byte("hello"))}, c.next())
	c.write(pkt(0xA2, raw(0, 2), name))
	assert.Equal(t, packet{UNSUBACK, raw(0, 2)}, c.next())
	c.write(raw(0xC0, 0))
	assert.Equal(t, packet{PINGRESP, []byte{}}, c.next())
	c.write(raw(0xE0, 0))
	c.end()
}
