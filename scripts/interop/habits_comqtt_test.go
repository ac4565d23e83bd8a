package interop

import (
	"fmt"
	"strings"
	"testing"

	"github.com/eclipse/paho.golang/packets"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// streamClientsBroker serves every stream with a CONNECT as a client.
var streamClientsBroker = sharedBroker(func() []string { return []string{"--stream-clients"} })

// comqtt is a client for which a stream is a connection: what it opens is told apart by the CONNECT.
type comqtt struct {
	*place
	t   *testing.T
	mux mux
}

// TestStreamClients: comqtt's way, a connection with many clients, each on a stream.
func TestStreamClients(t *testing.T) {
	b, err := streamClientsBroker()
	require.NoError(t, err)
	for _, stack := range []habit{{name: "quic-go", dial: dialGo}, {name: "x/net/quic", dial: dialX}} {
		for _, c := range []struct {
			name  string
			paths int // 2: over a bad path too
			run   func(*testing.T, *comqtt)
		}{
			{"clients on one connection, QoS 0/1/2 x 0/1/2", 2, comqttQoS},
			{"five publishing clients x 100", 2, comqttFive},
			{"DISCONNECT ends one client", 2, comqttDisconnect},
			{"a stream that ends is one client's will", 2, comqttWill},
			// A lost CONNECTION_CLOSE would leave it to the idle timeout.
			{"all wills when the connection is lost", 1, comqttLost},
			{"takeover between streams", 2, comqttTakeover},
			{"zero bytes end one client", 2, comqttZero},
		} {
			for _, bad := range []bool{false, true}[:c.paths] {
				name := c.name
				if bad {
					name += " over a bad path"
				}
				provesParallel(t, "comqtt style on "+stack.name+" (QUIC)", name, func(t *testing.T) {
					p := newPlace(t, b, stack, bad)
					m, err := p.dial(within(t, matrixPatience), p.path.Addr(), p.config)
					require.NoError(t, err)
					t.Cleanup(func() { m.end(0) })
					c.run(t, &comqtt{p, t, m})
				})
			}
		}
	}
}

// client opens a stream and connects on it.
func (q *comqtt) client(o connectOptions) *emulated {
	q.t.Helper()
	c := &emulated{t: q.t, place: &place{}, session: o.session, mux: q.mux}
	if c.session == nil {
		c.session = newSession()
	}
	c.control = c.stream(false)
	c.accepted(o)
	return c
}

func comqttQoS(t *testing.T, q *comqtt) {
	first := q.client(connectOptions{})
	eachQoS(t, func(topic string, pub, sub byte) {
		to, from := q.client(connectOptions{}), q.client(connectOptions{})
		to.control.subscribe(to.id(), topic, sub)
		from.publish(from.control, topic, "hello", pub)
		to.control.gets(min(pub, sub), topic, "hello")
		from.control.ping()
		to.control.ping()
	})
	first.control.ping()
}

func comqttFive(t *testing.T, q *comqtt) {
	const clients, messages = 5, 100
	topic := unique("habits/comqtt")
	to := q.client(connectOptions{})
	to.control.subscribe(to.id(), topic+"/+", 2)
	var list [clients]*emulated
	var ids [clients][]uint16
	for i := range list {
		list[i] = q.client(connectOptions{})
		var batch []packets.Packet
		for n := range messages {
			m := list[i].publication(topicOf(topic, i), fmt.Sprint(n), 2)
			batch, ids[i] = append(batch, m), append(ids[i], m.PacketID)
		}
		list[i].control.send(batch...)
	}
	next := map[string]int{}
	for range clients * messages {
		m := to.control.message()
		require.Equal(t, fmt.Sprint(next[m.Topic]), string(m.Payload))
		next[m.Topic]++
	}
	for i, c := range list {
		c.control.accepted(2, ids[i]...)
	}
}

// leaves ends one client of two in a way; will says whether its will is due.
func (q *comqtt) leaves(end func(c *emulated), will bool) {
	q.t.Helper()
	topic := unique("habits/will")
	watch := q.watch(q.t, topic, 1)
	stays := q.client(connectOptions{})
	goes := q.client(connectOptions{will: topic})
	stays.control.subscribe(stays.id(), topic+"/on", 1)
	end(goes)
	if will {
		watch.gets(1, topic, goes.session.id)
	} else {
		q.client(connectOptions{session: goes.session}) // if it were still there, its will would be due now
	}
	stays.publish(stays.control, topic+"/on", "on", 1)
	stays.control.gets(1, topic+"/on", "on")
	watch.ping()
}

func comqttDisconnect(_ *testing.T, q *comqtt) {
	q.leaves(func(c *emulated) {
		c.control.send(&packets.Disconnect{Properties: &packets.Properties{}})
		_, err := c.control.read()
		assert.Error(q.t, err, "the stream ends")
	}, false)
}

func comqttWill(t *testing.T, q *comqtt) {
	q.client(connectOptions{}) // on the first stream
	for _, way := range waysToEnd {
		q.leaves(func(c *emulated) { way.end(c.control.s) }, true)
	}
}

func comqttZero(_ *testing.T, q *comqtt) {
	q.leaves(func(c *emulated) { c.control.raw(make([]byte, 10)) }, true)
}

func comqttLost(t *testing.T, q *comqtt) {
	topic := unique("habits/will")
	watch := q.watch(t, topic, 1)
	var ids []string
	for range 5 {
		ids = append(ids, q.client(connectOptions{will: topic}).session.id)
	}
	q.mux.end(7)
	assert.ElementsMatch(t, ids, watch.payloads(len(ids)))
	watch.ping()
}

func comqttTakeover(t *testing.T, q *comqtt) {
	topic := unique("habits/takeover")
	q.client(connectOptions{})
	old := q.client(connectOptions{})
	old.control.subscribe(old.id(), topic, 1)
	c := q.client(connectOptions{session: old.session})
	assert.True(t, c.present)
	reason := expect[*packets.Disconnect](old.control).ReasonCode
	assert.EqualValues(t, 0x8E, reason)
	c.publish(c.control, topic, strings.Repeat("x", 100_000), 1)
	c.control.gets(1, topic, strings.Repeat("x", 100_000))
}
