package broker

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
)

func TestPublishHandlerChanges(t *testing.T) {
	w := newWorld(t)
	var seen []string
	add := func(filter, name string) {
		require.NoError(t, w.HandlePublish(filter, func(e *PublishEvent) error {
			seen = append(seen, name+" "+e.Topic+" "+e.Text())
			e.Payload = append([]byte(name+" "), e.Payload...)
			return nil
		}))
	}
	add("a/#", "first")
	add("#", "second")
	add("b", "never")
	add("a/+", "third")
	s, p := w.connect(packet.V50, "s"), w.connect(packet.V50, "p")
	s.subscribe(1, "#")
	m := pub("a/b", "x", 1, 1)
	m.Properties = packet.AppendUint32(packet.AppendString(nil, packet.ContentType, "c"), packet.MessageExpiryInterval, 9)
	publishWith(p, m)
	assert.Equal(t, []string{"first a/b x", "second a/b first x", "third a/b second first x"}, seen)
	got := expect[*packet.Publish](s)
	assert.Equal(t, "third second first x", string(got.Payload))
	n, _ := got.Properties.Uint(packet.MessageExpiryInterval)
	assert.EqualValues(t, 9, n)
	assert.True(t, got.Properties.Has(packet.ContentType))
}

func TestPublishHandlerMayChangeEverything(t *testing.T) {
	w := newWorld(t)
	require.NoError(t, w.HandlePublish("in", func(e *PublishEvent) error {
		var v struct{ N int }
		if err := e.JSON(&v); err != nil || v.N != 5 {
			return errors.New("bad JSON")
		}
		e.Topic, e.QoS, e.Retain, e.Expiry = "out", 2, true, 1500*time.Millisecond
		return nil
	}))
	s, p := w.connect(packet.V50, "s"), w.connect(packet.V50, "p")
	s.subscribe(2, "out")
	p.send(pub("in", `{"N":5}`, 0, 0))
	got := expect[*packet.Publish](s)
	assert.EqualValues(t, 2, got.QoS)
	n, _ := got.Properties.Uint(packet.MessageExpiryInterval)
	assert.EqualValues(t, 2, n)
	assert.EqualValues(t, 1, w.Stats().Retained)
}

func TestPublishHandlerRefuses(t *testing.T) {
	tests := []struct {
		name string
		err  error
		code packet.ReasonCode // of a 5.0 PUBACK
	}{
		{"drop", ErrDrop, packet.Success},
		{"code", Refuse(packet.QuotaExceeded, "full"), packet.QuotaExceeded},
		{"code that PUBACK does not have", Refuse(packet.SessionTakenOver, ""), packet.NotAuthorized},
		{"other", errors.New("no"), packet.NotAuthorized},
	}
	for _, tt := range tests {
		for _, v := range versions {
			t.Run(tt.name+" "+v.String(), func(t *testing.T) { // MQTT-3.3.5-2 of 3.1.1
				w := newWorld(t)
				require.NoError(t, w.HandlePublish("#", func(*PublishEvent) error { return tt.err }))
				s, p := w.connect(v, "s"), w.connect(v, "p")
				s.subscribe(0, "#")
				p.send(retained("t", "x", 0, 0), retained("t", "x", 1, 1), retained("t", "x", 2, 2))
				got := p.take()
				require.Len(t, got, 2)
				code := tt.code
				if v != packet.V50 {
					code = packet.Success
				}
				assert.Equal(t, code, got[0].(*packet.Puback).ReasonCode)
				assert.Equal(t, code, got[1].(*packet.Pubrec).ReasonCode)
				assert.NoError(t, p.err)
				s.none()
				assert.Zero(t, w.Stats().Retained)
				assert.EqualValues(t, 3, w.Stats().Dropped[DropHandler])
			})
		}
	}
	proves(t, "MQTT-3.3.5-2 of 3.1.1")
}

func TestHandlerMadeInvalidMessage(t *testing.T) {
	w := newWorld(t)
	require.NoError(t, w.HandlePublish("#", func(e *PublishEvent) error { e.Topic = "a/#"; return nil }))
	p := w.connect(packet.V50, "p")
	p.send(pub("t", "x", 1, 1))
	assert.Equal(t, packet.ImplementationSpecificError, expect[*packet.Puback](p).ReasonCode)
}

func TestHandlePublishFilter(t *testing.T) {
	w := newWorld(t)
	assert.Error(t, w.HandlePublish("a#", nil))
	assert.Error(t, w.HandlePublish("$share/g/a", nil))
}

func TestSubscribeHandler(t *testing.T) {
	w := newWorld(t, func(c *Config) {
		c.Handlers.Subscribe = func(e *SubscribeEvent) error {
			switch e.Filter {
			case "secret":
				return errors.New("no")
			case "full":
				return Refuse(packet.QuotaExceeded, "")
			case "lower":
				e.QoS = 0
			case "higher":
				e.QoS = 2
			case "hello":
				e.Reply(Publication{Topic: "hello", Payload: []byte("welcome " + e.Client.ID), QoS: 2, Retain: true})
				e.Reply(Publication{Topic: "bad/#"})
			}
			return nil
		}
	})
	s, other := w.connect(packet.V50, "s"), w.connect(packet.V50, "other")
	other.send(&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: "#", QoS: 2}}})
	expect[*packet.Suback](other)
	s.send(&packet.Subscribe{PacketID: 1, Properties: packet.AppendVarint(nil, packet.SubscriptionIdentifier, 4), Subscriptions: []packet.Subscription{
		{Filter: "secret", QoS: 1}, {Filter: "full", QoS: 1}, {Filter: "lower", QoS: 1}, {Filter: "higher", QoS: 1}, {Filter: "hello", QoS: 1},
	}})
	got := s.take()
	require.Len(t, got, 2)
	assert.Equal(t, []packet.ReasonCode{packet.NotAuthorized, packet.QuotaExceeded, 0, 1, 1}, got[0].(*packet.Suback).ReasonCodes)
	reply := got[1].(*packet.Publish)
	assert.Equal(t, "welcome s", string(reply.Payload))
	assert.EqualValues(t, 1, reply.QoS)
	assert.True(t, reply.Retain)
	id, _ := reply.Properties.Uint(packet.SubscriptionIdentifier)
	assert.EqualValues(t, 4, id)
	other.none()
	assert.Zero(t, w.Stats().Retained)
}

func TestDisconnectHandler(t *testing.T) {
	var seen []string
	w := newWorld(t, func(c *Config) {
		c.Handlers.Disconnect = func(e *DisconnectEvent) {
			err := "nil"
			if e.Err != nil {
				err = "error"
			}
			seen = append(seen, e.Client.ID+" "+e.Code.String()+" "+err)
		}
	})
	w.connect(packet.V50, "bye").bye()
	w.connect(packet.V50, "lost").lose()
	c := w.connect(packet.V50, "bad")
	c.raw([]byte{0xC1, 0})
	c.lose()
	w.dial(packet.V50).lose() // was never let in
	assert.Equal(t, []string{"bye Success (0x00) error", "lost Unspecified error (0x80) nil", "bad Malformed Packet (0x81) error"}, seen)
}

func TestHandlerPanicsAreIsolated(t *testing.T) {
	bang := false
	check := func() {
		if bang {
			panic("bang")
		}
	}
	w := newWorld(t, func(c *Config) {
		c.Handlers.Connect = func(*ConnectEvent) error { check(); return nil }
		c.Handlers.Subscribe = func(*SubscribeEvent) error { check(); return nil }
		c.Handlers.Disconnect = func(*DisconnectEvent) { check() }
	})
	require.NoError(t, w.HandlePublish("#", func(*PublishEvent) error { check(); return nil }))
	s, p := w.connect(packet.V50, "s"), w.connect(packet.V50, "p")
	s.subscribe(0, "t")
	bang = true
	p.send(pub("t", "x", 1, 1))
	assert.Equal(t, packet.UnspecifiedError, expect[*packet.Puback](p).ReasonCode)
	p.send(&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: "x"}}})
	assert.Equal(t, []packet.ReasonCode{packet.UnspecifiedError}, expect[*packet.Suback](p).ReasonCodes)
	_, ack := w.tryConnect(packet.V50, "new")
	assert.Equal(t, packet.UnspecifiedError, ack.ReasonCode)
	p.lose()
	assert.EqualValues(t, 4, w.Stats().HandlerPanics)
	bang = false
	p = w.connect(packet.V50, "p")
	p.send(pub("t", "x", 0, 0))
	expect[*packet.Publish](s)
}

// panicking is a transport that panics, in place of a bug in the broker.
type panicking struct{ transport }

func (*panicking) Info() ConnInfo { panic("bang") }

func TestPanicCostsOneClient(t *testing.T) {
	w := newWorld(t)
	other := w.connect(packet.V50, "other")
	c := w.NewClient(&panicking{})
	err := c.Feed((&packet.Connect{ClientID: "c", CleanStart: true}).AppendTo(nil, packet.V50))
	assert.Error(t, err)
	c.Closed(err)
	assert.EqualValues(t, 1, w.Stats().HandlerPanics)
	other.send(&packet.Pingreq{})
	expect[*packet.Pingresp](other)
}

func TestServerPublish(t *testing.T) { // trap 12
	w := newWorld(t)
	called := false
	require.NoError(t, w.HandlePublish("#", func(*PublishEvent) error { called = true; return nil }))
	s := w.connect(packet.V50, "s")
	s.subscribe(2, "t")
	payload := []byte("x")
	require.NoError(t, w.Publish(Publication{Topic: "t", Payload: payload, QoS: 1, Retain: true, Expiry: time.Second,
		Properties: packet.AppendUserProperty(nil, "k", "v")}))
	payload[0] = 'y'
	got := expect[*packet.Publish](s)
	assert.Equal(t, "x", string(got.Payload))
	assert.EqualValues(t, 1, got.QoS)
	assert.True(t, got.Properties.Has(packet.UserProperty))
	assert.EqualValues(t, 1, w.Stats().Retained)
	assert.False(t, called)

	assert.ErrorIs(t, w.Publish(Publication{Topic: "a/+"}), ErrInvalidTopic)
	assert.ErrorIs(t, w.Publish(Publication{}), ErrInvalidTopic)
	assert.Error(t, w.Publish(Publication{Topic: "t", QoS: 3}))
	assert.Error(t, w.Publish(Publication{Topic: "t", Properties: packet.Properties{0xFF}}))
	s.none()
}

// A handler may publish.
func TestHandlerPublishes(t *testing.T) {
	w := newWorld(t)
	require.NoError(t, w.HandlePublish("in", func(e *PublishEvent) error {
		return errors.Join(w.Publish(Publication{Topic: "out", Payload: e.Payload}), nil)
	}))
	s, p := w.connect(packet.V50, "s"), w.connect(packet.V50, "p")
	s.subscribe(0, "out", "in")
	p.send(pub("in", "x", 0, 0))
	assert.Len(t, s.take(), 2)
}
