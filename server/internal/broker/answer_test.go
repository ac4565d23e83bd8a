package broker

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
)

func byteProp(id packet.PropertyID, n byte) connectOption {
	return func(c *packet.Connect) { c.Properties = packet.AppendByte(c.Properties, id, n) }
}

func stringOf(props packet.Properties, id packet.PropertyID) string {
	s, _ := props.Bytes(id)
	return string(s)
}

func TestResponseInformation(t *testing.T) { // MQTT-3.1.2-28
	w := newWorld(t, func(c *Config) { c.ResponsePrefix = "response/" })
	ask := byteProp(packet.RequestResponseInformation, 1)
	for id, want := range map[string]string{"a": "response/a/", "a/b": "", "+": "", "#": "", "a+": ""} {
		_, ack := w.tryConnect(packet.V50, id, ask)
		assert.Equal(t, want, stringOf(ack.Properties, packet.ResponseInformation), id)
	}
	for _, option := range []connectOption{keepAlive(0), byteProp(packet.RequestResponseInformation, 0)} {
		_, ack := w.tryConnect(packet.V50, "a", option)
		assert.False(t, ack.Properties.Has(packet.ResponseInformation))
	}
	_, ack := w.tryConnect(packet.V50, "", ask)
	assert.Equal(t, "response/"+stringOf(ack.Properties, packet.AssignedClientIdentifier)+"/", stringOf(ack.Properties, packet.ResponseInformation))
	assert.Error(t, (&Config{ResponsePrefix: "a/#"}).Validate())
	proves(t, "MQTT-3.1.2-28")
}

func TestConnectHandlerRedirects(t *testing.T) {
	w := newWorld(t, func(c *Config) {
		c.Handlers.Connect = func(*ConnectEvent) error { return Redirect(packet.UseAnotherServer, "other:1883") }
	})
	p, ack := w.tryConnect(packet.V50, "a")
	assert.Equal(t, packet.UseAnotherServer, ack.ReasonCode)
	assert.Equal(t, "other:1883", stringOf(ack.Properties, packet.ServerReference))
	assert.Error(t, p.err)
	_, ack = w.tryConnect(packet.V311, "a")
	assert.Equal(t, packet.ServerUnavailable, ack.ReasonCode, "3.1.1 has no better code")
}

func TestDisconnectFor(t *testing.T) {
	w := newWorld(t)
	assert.False(t, w.DisconnectFor("a", nil))
	a := w.connect(packet.V50, "a")
	assert.True(t, w.DisconnectFor("a", Redirect(packet.ServerMoved, "other")))
	d := expect[*packet.Disconnect](a)
	assert.Equal(t, packet.ServerMoved, d.ReasonCode)
	assert.Equal(t, "other", stringOf(d.Properties, packet.ServerReference))
	assert.True(t, a.tr.closed)
	b := w.connect(packet.V50, "b")
	assert.True(t, w.DisconnectFor("b", errors.New("x")))
	b.closes(packet.UnspecifiedError)
	c := w.connect(packet.V311, "c")
	assert.True(t, w.DisconnectFor("c", Redirect(packet.ServerMoved, "other")))
	c.closes(packet.ServerMoved)
}

// talkative refuses everything with all properties that there are.
func talkative(code packet.ReasonCode) error {
	props := packet.AppendUserProperty(nil, "key", strings.Repeat("v", 50))
	props = packet.AppendString(props, packet.ServerReference, "other")
	return &Error{Code: code, Reason: strings.Repeat("r", 50), Properties: props}
}

func talkativeWorld(t *testing.T) *world {
	w := newWorld(t, func(c *Config) {
		c.Handlers.Subscribe = func(*SubscribeEvent) error { return talkative(packet.NotAuthorized) }
	})
	require.NoError(t, w.HandlePublish("#", func(*PublishEvent) error { return talkative(packet.QuotaExceeded) }))
	return w
}

// answers are the properties of a SUBACK, a PUBACK and a PUBREC that refuse.
func answers(t *testing.T, p *peer) (all []packet.Properties) {
	p.send(&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: "a"}, {Filter: "b"}}}, pub("a", "x", 1, 1), pub("a", "x", 2, 2))
	got := p.take()
	require.Len(t, got, 3)
	for _, q := range got {
		props := *propertiesOf(q)
		assert.False(t, props.Has(packet.ServerReference))
		all = append(all, props)
	}
	return all
}

func TestAnswersSayWhy(t *testing.T) {
	w := talkativeWorld(t)
	for _, props := range answers(t, w.connect(packet.V50, "a")) {
		assert.True(t, props.Has(packet.ReasonString))
		assert.True(t, props.Has(packet.UserProperty))
	}
	for _, props := range answers(t, w.connect(packet.V50, "a", uintProp(packet.RequestProblemInformation, 0))) {
		assert.Empty(t, props) // MQTT-3.1.2-29
	}
	for _, props := range answers(t, w.connect(packet.V50, "a", uintProp(packet.MaximumPacketSize, 80))) {
		assert.True(t, props.Has(packet.ReasonString))
		assert.False(t, props.Has(packet.UserProperty)) // MQTT-3.4.2-3, MQTT-3.5.2-3, MQTT-3.9.2-2
	}
	for _, props := range answers(t, w.connect(packet.V50, "a", uintProp(packet.MaximumPacketSize, 50))) {
		assert.Empty(t, props) // MQTT-3.4.2-2, MQTT-3.5.2-2, MQTT-3.9.2-1
	}
	proves(t, "MQTT-3.1.2-29", "MQTT-3.4.2-2", "MQTT-3.4.2-3", "MQTT-3.5.2-2", "MQTT-3.5.2-3", "MQTT-3.9.2-1", "MQTT-3.9.2-2")
}

func TestConnackAndDisconnectSayWhatFits(t *testing.T) { // MQTT-3.2.2-19, -20, MQTT-3.14.2-3, -4
	refuse := true
	w := newWorld(t, func(c *Config) {
		c.Handlers.Connect = func(e *ConnectEvent) error {
			if refuse {
				return talkative(packet.UseAnotherServer)
			}
			e.Answer = packet.AppendUserProperty(packet.AppendUint16(nil, packet.ReceiveMaximum, 1), "key", strings.Repeat("v", 50))
			return nil
		}
	})
	for limit, want := range map[uint32]int{1000: 3, 100: 2, 50: 1, 10: 0} {
		options := []connectOption{uintProp(packet.MaximumPacketSize, limit), uintProp(packet.RequestProblemInformation, 0)}
		_, ack := w.tryConnect(packet.V50, "a", options...)
		count := func(props packet.Properties) (n int) {
			for range props.All() {
				n++
			}
			return n
		}
		assert.Equal(t, want, count(ack.Properties), "CONNACK, limit %d", limit)
		if limit < 50 {
			continue
		}
		refuse = false
		p, ack := w.tryConnect(packet.V50, "a", options...)
		assert.Equal(t, packet.Success, ack.ReasonCode)
		assert.Equal(t, limit >= 100, ack.Properties.Has(packet.UserProperty))
		n, _ := ack.Properties.Uint(packet.ReceiveMaximum)
		assert.EqualValues(t, 1024, n, "not the handler's")
		w.DisconnectFor("a", talkative(packet.UseAnotherServer))
		assert.Equal(t, want, count(expect[*packet.Disconnect](p).Properties), "DISCONNECT, limit %d", limit)
		p.lose()
		refuse = true
	}
	proves(t, "MQTT-3.2.2-19", "MQTT-3.2.2-20", "MQTT-3.14.2-3", "MQTT-3.14.2-4")
}

func TestPayloadFormat(t *testing.T) {
	text := packet.AppendByte(nil, packet.PayloadFormatIndicator, 1)
	for _, check := range []bool{false, true} {
		w := newWorld(t, func(c *Config) { c.CheckPayloadFormat = check })
		s, p := w.connect(packet.V50, "s"), w.connect(packet.V50, "p")
		s.subscribe(0, "#")
		for qos := range byte(3) {
			m := pub("t", "bad \xff", qos, uint16(qos))
			m.Properties = text
			p.send(m)
		}
		p.send(pub("t", "bytes \xff", 0, 0))
		good := pub("t", "ü", 0, 0)
		good.Properties = text
		p.send(good)
		got := p.take()
		require.Len(t, got, 2)
		if !check {
			assert.Len(t, payloads(s.take()), 5)
			continue
		}
		assert.Equal(t, packet.PayloadFormatInvalid, got[0].(*packet.Puback).ReasonCode)
		assert.Equal(t, packet.PayloadFormatInvalid, got[1].(*packet.Pubrec).ReasonCode)
		assert.Equal(t, []string{"bytes \xff", "ü"}, payloads(s.take()))
		_, ack := w.tryConnect(packet.V50, "w", withWill("t", 0, false, text), func(c *packet.Connect) { c.Will.Payload = []byte("\xff") })
		assert.Equal(t, packet.PayloadFormatInvalid, ack.ReasonCode)
		w.connect(packet.V50, "w", withWill("t", 0, false, text))
	}
}
