package conformance

import (
	"fmt"

	"github.com/stretchr/testify/assert"
)

// The will in chapters 3.1.2 and 3.14 of MQTT 3.1.1.

func init() {
	mqtt311(willSent, "MQTT-3.1.2-8")
	mqtt311(willInPayload, "MQTT-3.1.2-9")
	mqtt311(noWillInPayload, "MQTT-3.1.2-11")
	mqtt311(withoutWill, "MQTT-3.1.2-12")
	mqtt311(disconnectFlags, "MQTT-3.14.1-1")
	mqtt311(disconnectDropsWill, "MQTT-3.14.4-3")
}

// endings are the ways in which a connection ends without DISCONNECT.
func endings(t *T) map[string]func(*client) {
	return map[string]func(*client){
		"lost":       func(c *client) { c.close() },
		"malformed":  func(c *client) { c.write(raw(0xFF, 0)); c.end() },
		"violation":  func(c *client) { c.write(t.connectPacket("x")); c.end() },
		"taken":      func(c *client) { t.connect("taken"); c.end() },
		"resumed":    func(c *client) { t.connect("resumed", resume); c.end() },
		"wrong flag": func(c *client) { c.write(raw(DISCONNECT|2, 0)); c.end() },
		"long":       func(c *client) { c.write(pkt(DISCONNECT, raw(0))); c.end() }, // 3.1.1 has no reason codes
	}
}

func willSent(t *T) {
	watch := t.watch()
	for name, end := range endings(t) {
		end(t.mortal(name, resume))
		watch.receive(t.topic("will"), name)
	}
	watch.nothing()
}

// willInPayload: both fields have to be there, the message may be empty and is binary.
func willInPayload(t *T) {
	head := t.connectPacket("a", func(c *connect) { c.flags |= 0x04 })[2:]
	for _, tail := range [][]byte{nil, raw(0), raw(0, 5), str("topic"), cat(str("topic"), raw(0)), cat(str("topic"), raw(0, 9), []byte("payload"))} {
		t.refusesConnect(pkt(CONNECT, head, tail))
	}
	watch := t.watch()
	for qos := range byte(3) {
		for _, payload := range []string{"", "\x00\xFF\xC0"} {
			w := will{topic: t.topic("will"), payload: payload, qos: qos, retain: true}
			t.connect(fmt.Sprint("b", qos), withWill(w)).close()
			assert.Equal(t, qos, watch.receive(t.topic("will"), payload).qos)
		}
		t.retained(t.topic("will"), "\x00\xFF\xC0")
	}
}

// noWillInPayload: what stands where the will would be is something else.
func noWillInPayload(t *T) {
	t.refusesConnect(pkt(CONNECT, t.connectPacket("a")[2:], str("topic"), str("payload")))
	for _, flags := range []byte{0x08, 0x10, 0x18, 0x20, 0x38} {
		t.refusesConnect(t.connectPacket("a", func(c *connect) { c.flags |= flags }))
		t.refusesConnect(pkt(CONNECT, t.connectPacket("a", func(c *connect) { c.flags |= flags })[2:], str("topic"), str("payload")))
	}
}

// withoutWill, also after a connection of the same session that had one.
func withoutWill(t *T) {
	watch := t.watch()
	for name, end := range endings(t) {
		t.mortal(name, resume).disconnect()
		end(t.connect(name, resume))
		t.connect(name).ping()
	}
	watch.nothing()
}

func disconnectDropsWill(t *T) {
	watch := t.watch()
	for i, o := range []option{resume, func(*connect) {}, keepAlive(1), func(c *connect) { c.will.qos, c.will.retain = 2, true }} {
		name := fmt.Sprint("a", i)
		t.mortal(name, o).disconnect()
		t.connect(name).ping() // the session has ended now
	}
	watch.nothing()
	t.retained(t.topic("will"), "")
}
