package server_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/server"
	"github.com/ngmq/ngmq/server/internal/mqtttest"
)

// ownTopics lets a client use what begins with its identifier, and "all".
func ownTopics(c *server.Client, a server.Action, topic string) error {
	switch {
	case topic == "panic":
		panic("handler")
	case topic == "quota":
		return server.Refuse(packet.QuotaExceeded, "enough")
	case topic == "all", strings.HasPrefix(topic, c.ID+"/"), a == server.ActionSubscribe && topic == "news/#":
		return nil
	}
	return server.Refuse(packet.NotAuthorized, a.String()+" "+topic)
}

func TestAuthorize(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{Handlers: server.Handlers{Authorize: ownTopics}})
	spy := connected(t, s, favourite, packet.V50, "spy")
	spy.Subscribe("all", 1)
	for _, transport := range transports {
		c := connected(t, s, transport, packet.V50, "c")
		c.Send(&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{
			{Filter: "c/#"}, {Filter: "#"}, {Filter: "news/#"}, {Filter: "$share/g/c/x"}, {Filter: "$share/g/d/x"}, {Filter: "quota"}, {Filter: "panic"},
		}})
		assert.Equal(t, []packet.ReasonCode{
			0, packet.NotAuthorized, 0, 0, packet.NotAuthorized, packet.QuotaExceeded, packet.UnspecifiedError,
		}, mqtttest.Expect[*packet.Suback](c).ReasonCodes)
		for topic, want := range map[string]packet.ReasonCode{"d/x": packet.NotAuthorized, "news/x": packet.NotAuthorized, "quota": packet.QuotaExceeded, "panic": packet.UnspecifiedError} {
			c.Send(&packet.Publish{Topic: []byte(topic), QoS: 1, PacketID: 1})
			assert.Equal(t, want, mqtttest.Expect[*packet.Puback](c).ReasonCode)
			c.Send(&packet.Publish{Topic: []byte(topic), QoS: 2, PacketID: 1})
			assert.Equal(t, want, mqtttest.Expect[*packet.Pubrec](c).ReasonCode)
			c.Send(&packet.Publish{Topic: []byte(topic)})
		}
		c.Publish("all", "x", 1)
		spy.ExpectMessage("all", "x")

		old := connected(t, s, transport, packet.V311, "old")
		old.Send(&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: "old/x"}, {Filter: "c/x"}}})
		assert.Equal(t, []packet.ReasonCode{0, packet.UnspecifiedError}, mqtttest.Expect[*packet.Suback](old).ReasonCodes)
		old.Publish("c/x", "refused, which 3.1.1 cannot say", 2)
		old.Publish("old/x", "mine", 0) // at QoS 1 the message may come before the PUBACK
		old.ExpectMessage("old/x", "mine")
		c.Ping() // nothing has come
	}
}

func TestAuthorizeWill(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{Handlers: server.Handlers{Authorize: ownTopics}})
	for _, transport := range transports {
		for v, topic := range map[packet.Version]string{packet.V50: "d/will", packet.V311: "quota"} {
			c := client(t, s, transport, v)
			c.Send(&packet.Connect{ClientID: "c", CleanStart: true, Will: &packet.Will{Topic: topic}})
			want := map[packet.Version]packet.ReasonCode{packet.V50: packet.NotAuthorized, packet.V311: packet.ServerUnavailable}[v]
			assert.Equal(t, want, mqtttest.Expect[*packet.Connack](c).ReasonCode)
			c.ExpectEnd()
		}
		c := client(t, s, transport, packet.V50)
		c.Connect(&packet.Connect{ClientID: "c", CleanStart: true, Will: &packet.Will{Topic: "c/will"}})
	}
}

// A handler changes what the subscribers get: every field of the message.
func TestPublishHandlerChangesMessages(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{})
	require.NoError(t, s.HandlePublish("raw/#", func(e *server.PublishEvent) error {
		e.Topic = "cooked/" + e.Client.ID
		e.Payload = []byte(strings.ToUpper(e.Text()))
		e.QoS, e.Retain, e.Expiry = 1, true, time.Minute
		e.Properties = packet.AppendString(nil, packet.ContentType, "text/plain")
		return nil
	}))
	require.NoError(t, s.HandlePublish("bad", func(e *server.PublishEvent) error { e.Topic = "#"; return nil }))
	for _, transport := range transports {
		sub := connected(t, s, transport, packet.V50, "sub")
		sub.Subscribe("cooked/"+transport, 2)
		sub.Subscribe("raw/#", 2)
		pub := connected(t, s, transport, packet.V50, transport)
		pub.Publish("raw/x", "text", 2)
		check := func(m *packet.Publish) {
			assert.EqualValues(t, 1, m.QoS)
			kind, _ := m.Properties.Bytes(packet.ContentType)
			assert.Equal(t, "text/plain", string(kind))
			expiry, _ := m.Properties.Uint(packet.MessageExpiryInterval)
			assert.InDelta(t, 60, expiry, 2)
		}
		check(sub.ExpectMessage("cooked/"+transport, "TEXT"))
		late := connected(t, s, transport, packet.V50, "late")
		late.Subscribe("cooked/"+transport, 2)
		m := late.ExpectMessage("cooked/"+transport, "TEXT")
		check(m)
		assert.True(t, m.Retain)
		pub.Send(&packet.Publish{Topic: []byte("bad"), QoS: 1, PacketID: 1})
		assert.True(t, mqtttest.Expect[*packet.Puback](pub).ReasonCode.IsError())
		sub.Ping() // nothing to raw/#
	}
}

func TestDeliver(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{Handlers: server.Handlers{Deliver: func(e *server.DeliverEvent) error {
		switch {
		case e.ClientID == "never":
			return server.ErrDrop
		case e.ClientID == "panics":
			panic("handler")
		case e.ClientID == "changed":
			e.Topic, e.QoS, e.Payload = "t/"+e.Client.Username, 0, append([]byte(e.From+" "), e.Payload...)
		case e.ClientID == "invalid":
			e.Topic = "+"
		}
		return nil
	}}})
	for _, transport := range transports {
		for _, v := range []packet.Version{packet.V311, packet.V50} {
			subs := map[string]*mqtttest.Client{}
			for _, id := range []string{"plain", "never", "panics", "changed", "invalid"} {
				c := client(t, s, transport, v)
				name := "alice"
				c.Connect(&packet.Connect{ClientID: id, CleanStart: true, Username: &name})
				c.Subscribe("t", 1)
				subs[id] = c
			}
			pub := connected(t, s, transport, v, "pub")
			pub.Publish("t", "x", 1)
			assert.EqualValues(t, 1, subs["plain"].ExpectMessage("t", "x").QoS)
			assert.Zero(t, subs["changed"].ExpectMessage("t/alice", "pub x").QoS)
			for _, c := range subs {
				c.Ping() // nothing else has come, and the acknowledgement has arrived
			}
		}
	}
	for reason, n := range s.Stats().Dropped {
		assert.Equal(t, "handler", reason.String())
		assert.EqualValues(t, 3*2*len(transports), n)
	}
}

// Retained messages and those for a client that is away go through the handler, and
// of a group a member that may get the message gets it.
func TestDeliverRetainedOfflineShared(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{Handlers: server.Handlers{Deliver: func(e *server.DeliverEvent) error {
		if e.ClientID == "never" {
			return server.ErrDrop
		}
		if e.Client == nil {
			e.Payload = []byte("while you were away")
		}
		return nil
	}}})
	require.NoError(t, s.Publish(server.Publication{Topic: "kept", Payload: []byte("x"), Retain: true}))
	never, plain := connected(t, s, favourite, packet.V50, "never"), connected(t, s, favourite, packet.V50, "plain")
	for _, c := range []*mqtttest.Client{never, plain} {
		c.Subscribe("$share/g/work", 0)
		c.Subscribe("kept", 1)
	}
	assert.True(t, plain.ExpectMessage("kept", "x").Retain)
	for range 4 {
		require.NoError(t, s.Publish(server.Publication{Topic: "work", Payload: []byte("x")}))
		plain.ExpectMessage("work", "x")
	}
	never.Ping()

	stay := packet.AppendUint32(nil, packet.SessionExpiryInterval, 60)
	away := client(t, s, favourite, packet.V50)
	away.Connect(&packet.Connect{ClientID: "away", CleanStart: true, Properties: stay})
	away.Subscribe("t", 1)
	away.Send(&packet.Disconnect{})
	away.ExpectEnd()
	require.NoError(t, s.Publish(server.Publication{Topic: "t", Payload: []byte("x"), QoS: 1}))
	back := client(t, s, favourite, packet.V50)
	back.Connect(&packet.Connect{ClientID: "away", Properties: stay})
	back.ExpectMessage("t", "while you were away")
}

func TestLifecycle(t *testing.T) {
	t.Parallel()
	events := make(chan string, 100)
	s := start(t, server.Config{Handlers: server.Handlers{
		Connected: func(e *server.ConnectedEvent) {
			if e.SessionPresent {
				events <- e.Client.ID + " back"
			} else {
				events <- e.Client.ID + " connected"
			}
		},
		Disconnect: func(e *server.DisconnectEvent) { events <- e.Client.ID + " gone" },
		Session: func(e *server.SessionEvent) {
			events <- e.ClientID + " " + e.Change.String()
			if e.ClientID == "panic" {
				panic("handler")
			}
		},
	}})
	expect := func(want ...string) {
		t.Helper()
		var got []string
		for range want {
			select {
			case e := <-events:
				got = append(got, e)
			case <-time.After(mqtttest.Patience):
				t.Fatalf("only %v of %v", got, want)
			}
		}
		assert.ElementsMatch(t, want, got)
	}
	for _, transport := range transports {
		leave := func(c *mqtttest.Client) {
			c.Send(&packet.Disconnect{})
			c.ExpectEnd()
		}
		come := func(id string, clean bool, seconds uint32) *mqtttest.Client {
			c := client(t, s, transport, packet.V50)
			c.Connect(&packet.Connect{ClientID: id, CleanStart: clean, Properties: packet.AppendUint32(nil, packet.SessionExpiryInterval, seconds)})
			return c
		}
		leave(come("a", true, 0))
		expect("a created", "a connected", "a ended", "a gone")
		leave(come("a", true, 60))
		expect("a created", "a connected", "a gone")
		leave(come("a", false, 60))
		expect("a resumed", "a back", "a gone")
		if transport == favourite { // it takes a second
			leave(come("a", true, 1))
			expect("a ended", "a created", "a connected", "a gone", "a expired")
		} else {
			leave(come("a", true, 0))
			expect("a ended", "a created", "a connected", "a ended", "a gone")
		}
		leave(come("panic", true, 0))
		expect("panic created", "panic connected", "panic ended", "panic gone")
	}
	assert.EqualValues(t, 2*len(transports), s.Stats().HandlerPanics)
}
