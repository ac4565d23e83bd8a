package conformance

import (
	"fmt"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Chapters 3.1.2.5 to 3.1.2.7 and 3.1.3.2 of MQTT 5.0: the will.

func init() {
	mqtt5(willOfSession, "MQTT-3.1.2-7")
	mqtt5(willPublished, "MQTT-3.1.2-8")
	mqtt5(willDelayed, "MQTT-3.1.2-8")
	mqtt5(willFields, "MQTT-3.1.2-9")
	mqtt5(willOnce, "MQTT-3.1.2-10")
	mqtt5(willQoSWithoutWill, "MQTT-3.1.2-11")
	mqtt5(willQoS, "MQTT-3.1.2-12")
	mqtt5(willRetainWithoutWill, "MQTT-3.1.2-13")
	mqtt5(willNotRetained, "MQTT-3.1.2-14")
	mqtt5(willRetained, "MQTT-3.1.2-15")
	mqtt5(willNotSentAfterResume, "MQTT-3.1.3-9")
	mqtt5(willUserProperties, "MQTT-3.1.3-10")
	mqtt5(willTopicNotUTF8, "MQTT-3.1.3-11")
}

// watch is a client with a subscription for everything of this run, with the retain flag
// as published.
func (t *T) watch() *client {
	c := t.connect("watch")
	options := byte(2)
	if t.version == 5 {
		options |= 8
	}
	c.subscribe(t.topic("#"), options)
	return c
}

// mortal is a client with a will on the topic "will" and its name as payload.
func (t *T) mortal(name string, options ...option) *client {
	return t.connect(name, append([]option{withWill(will{topic: t.topic("will"), payload: name})}, options...)...)
}

func willDelaySeconds(n int) option {
	return func(c *connect) { c.will.props = append(c.will.props, prop(willDelay, u32(n))) }
}

func willOfSession(t *T) {
	watch := t.watch()
	a, b := t.mortal("a"), t.mortal("b")
	a.close()
	watch.receive(t.topic("will"), "a")
	b.close()
	watch.receive(t.topic("will"), "b")
	// The will of the CONNECT that holds the session counts.
	t.mortal("c", expiry(60), willDelaySeconds(60)).close()
	other := t.connect("c", expiry(60), resume, withWill(will{topic: t.topic("other"), payload: "c2"}))
	other.close()
	watch.receive(t.topic("other"), "c2")
	watch.nothing()
}

func willPublished(t *T) {
	watch := t.watch()
	ends := map[string]func(*client){
		"lost":                  func(c *client) { c.close() },
		"malformed":             func(c *client) { c.write(raw(0xFF, 0)); c.refused(0x81) },
		"protocol error":        func(c *client) { c.write(t.connectPacket("x")); c.refused(0x82) },
		"disconnect with will":  func(c *client) { c.write(pkt(DISCONNECT, raw(4))); c.end() },
		"disconnect with error": func(c *client) { c.write(pkt(DISCONNECT, raw(0x80, 0))); c.end() },
		"session taken":         func(c *client) { t.connect("session taken") },
		"session resumed":       func(c *client) { t.connect("session resumed", resume, expiry(60)) },
		"session, clean start":  func(c *client) { t.connect("session, clean start") },
	}
	for name, end := range ends {
		if name[0] == 's' && name != "session taken" {
			continue // below
		}
		end(t.mortal(name))
		watch.receive(t.topic("will"), name)
	}
	// A takeover closes the connection: without a delay the will is due, before the
	// session can be resumed; with one it is due when the session ends.
	end := t.mortal("session resumed", expiry(60))
	ends["session resumed"](end)
	watch.receive(t.topic("will"), "session resumed")
	end = t.mortal("session, clean start", expiry(60), willDelaySeconds(60))
	ends["session, clean start"](end)
	watch.receive(t.topic("will"), "session, clean start")
	t.mortal("in order").disconnect()
	c := t.mortal("with code")
	c.write(pkt(DISCONNECT, raw(0, 0)))
	c.end()
	watch.nothing()
}

// willDelayed: the delay, or the end of the session if that comes first. patience is less
// than the delays that must not count.
func willDelayed(t *T) {
	watch := t.watch()
	begin := time.Now()
	t.mortal("late", expiry(60), willDelaySeconds(2)).close()
	t.mortal("ended", expiry(1), willDelaySeconds(60)).close()
	t.mortal("no session", willDelaySeconds(60)).close()
	notBefore := map[string]time.Duration{"no session": 0, "ended": 900 * time.Millisecond, "late": 1900 * time.Millisecond}
	for range 3 { // in this order, unless connecting takes long
		m := watch.message()
		watch.acknowledge(m)
		after, due := notBefore[m.payload]
		require.True(t, due, m.payload)
		delete(notBefore, m.payload)
		assert.Greater(t, time.Since(begin), after, m.payload)
	}
}

func willFields(t *T) {
	head := pkt(CONNECT, str("MQTT"), raw(5, 0x06, 0, 0), props(), str(t.id("a")))[2:]
	for _, tail := range [][]byte{
		nil, props(), cat(props(), str("topic")), cat(props(), str("topic"), raw(0)), cat(props(), str("topic"), raw(0, 9), []byte("payload")),
		cat(str("topic"), str("payload")),
	} {
		t.refusesConnect(pkt(CONNECT, head, tail), 0x81)
	}
	for _, p := range [][]byte{prop(topicAlias, u16(1)), prop(subscriptionID, vbi(1)), prop(sessionExpiry, u32(1))} {
		t.refusesConnect(t.connectPacket("a", withWill(will{topic: "topic", props: [][]byte{p}})), 0x81, 0x82)
	}
	watch := t.watch()
	w := will{topic: t.topic("will"), payload: "\x00\xFF", qos: 1, props: [][]byte{
		prop(payloadFormat, raw(0)), prop(messageExpiry, u32(100)), prop(contentType, str("type")),
		prop(responseTopic, str("response")), prop(correlationData, str("\x00\xFE")), user("key", "value"),
	}}
	t.connect("b", withWill(w)).close()
	m := watch.receive(t.topic("will"), "\x00\xFF")
	assert.EqualValues(t, 1, m.qos)
	assert.Contains(t, []uint32{99, 100}, m.props.number(messageExpiry, 0))
	assert.EqualValues(t, 0, m.props.number(payloadFormat, 0))
	assert.Equal(t, "type", m.props.text(contentType))
	assert.Equal(t, "response", m.props.text(responseTopic))
	assert.Equal(t, "\x00\xFE", m.props.text(correlationData))
	assert.Equal(t, []string{"key=value"}, m.props.pairs())
	assert.False(t, m.props.has(willDelay))
}

func willOnce(t *T) {
	watch := t.watch()
	t.mortal("a", expiry(60)).close()
	watch.receive(t.topic("will"), "a")
	t.connect("a", expiry(60), resume).close()
	t.connect("a").close() // the session ends
	t.mortal("b", expiry(60)).disconnect()
	t.connect("b", expiry(60), resume).close()
	t.connect("b").ping()
	t.mortal("c", expiry(60), willDelaySeconds(60)).disconnect()
	t.connect("c").ping()
	watch.nothing()
}

func willQoSWithoutWill(t *T) {
	for _, flags := range []byte{0x08, 0x10, 0x18} {
		t.refusesConnect(t.connectPacket("a", func(c *connect) { c.flags |= flags }), 0x81)
	}
}

func willQoS(t *T) {
	t.refusesConnect(t.connectPacket("a", withWill(will{topic: "topic", qos: 3})), 0x81)
	watch := t.watch()
	for qos := range byte(3) {
		t.connect(fmt.Sprint(qos), withWill(will{topic: t.topic("will"), qos: qos, payload: "will"})).close()
		assert.Equal(t, qos, watch.receive(t.topic("will"), "will").qos)
	}
}

func willRetainWithoutWill(t *T) {
	t.refusesConnect(t.connectPacket("a", func(c *connect) { c.flags |= 0x20 }), 0x81)
}

func willNotRetained(t *T) {
	watch := t.watch()
	t.mortal("a").close()
	assert.False(t, watch.receive(t.topic("will"), "a").retain)
	late := t.connect("late")
	late.subscribe(t.topic("will"), 0)
	late.nothing()
}

func willRetained(t *T) {
	watch := t.watch()
	t.connect("a", withWill(will{topic: t.topic("will"), payload: "will", qos: 1, retain: true})).close()
	watch.receive(t.topic("will"), "will")
	late := t.connect("late")
	late.subscribe(t.topic("will"), 2)
	m := late.receive(t.topic("will"), "will")
	assert.True(t, m.retain)
	assert.EqualValues(t, 1, m.qos)
}

// willNotSentAfterResume: the will of b, which is due later, tells the time.
func willNotSentAfterResume(t *T) {
	watch := t.watch()
	t.mortal("a", expiry(60), willDelaySeconds(3)).close()
	again := t.connect("a", expiry(60), resume)
	t.mortal("b", expiry(60), willDelaySeconds(3)).close()
	watch.receive(t.topic("will"), "b")
	again.close()
	t.connect("a").ping()
	watch.nothing()
}

func willUserProperties(t *T) {
	watch := t.watch()
	list := [][]byte{user("b", "1"), user("a", "2"), user("b", "1"), user("", ""), user("c", "3"), user("a", "0")}
	t.connect("a", withWill(will{topic: t.topic("will"), payload: "will", props: list})).close()
	m := watch.receive(t.topic("will"), "will")
	assert.Equal(t, []string{"b=1", "a=2", "b=1", "=", "c=3", "a=0"}, m.props.pairs())
}

func willTopicNotUTF8(t *T) {
	for _, bad := range append(notUTF8, "\x00") {
		t.refusesConnect(t.connectPacket("a", withWill(will{topic: t.topic(bad)})), 0x81)
	}
}
