package client

import (
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// collect makes a handler that fills a channel.
func collect() (func(Message), chan Message) {
	ch := make(chan Message, 100)
	return func(m Message) { ch <- m }, ch
}

func TestSubscribe(t *testing.T) {
	c, s, _ := connected(t, Options{}, packet.Connack{})
	var codes []packet.ReasonCode
	result := async(func() (err error) {
		codes, err = c.SubscribeWith(within(t), packet.AppendVarint(nil, packet.SubscriptionIdentifier, 5),
			packet.Subscription{Filter: "a/#", QoS: 2}, packet.Subscription{Filter: "b", QoS: 1, NoLocal: true})
		return err
	})
	p := expect[*packet.Subscribe](s)
	assert.Equal(t, []packet.Subscription{{Filter: "a/#", QoS: 2}, {Filter: "b", QoS: 1, NoLocal: true}}, p.Subscriptions)
	id, _ := p.Properties.Uint(packet.SubscriptionIdentifier)
	assert.Equal(t, uint32(5), id)
	s.send(&packet.Suback{PacketID: p.PacketID, ReasonCodes: []packet.ReasonCode{packet.GrantedQoS1, packet.NotAuthorized}})
	err := receive(t, result)
	var refusal *ReasonError
	require.ErrorAs(t, err, &refusal)
	assert.Equal(t, "b", refusal.Filter)
	assert.Equal(t, packet.NotAuthorized, refusal.Code)
	assert.Equal(t, []packet.ReasonCode{packet.GrantedQoS1, packet.NotAuthorized}, codes)

	for _, filter := range []string{"", "a/#/b", "a+"} {
		_, err = c.Subscribe(within(t), packet.Subscription{Filter: filter})
		assert.Error(t, err, filter)
	}
	_, err = c.Subscribe(within(t))
	assert.Error(t, err, "no filter")
}

func TestUnsubscribe(t *testing.T) {
	for _, v := range []packet.Version{packet.V311, packet.V50} {
		c, s, _ := connected(t, Options{Version: v}, packet.Connack{})
		result := async(func() error { _, err := c.Unsubscribe(within(t), "a", "b"); return err })
		p := expect[*packet.Unsubscribe](s)
		assert.Equal(t, []string{"a", "b"}, p.Filters)
		s.send(&packet.Unsuback{PacketID: p.PacketID, ReasonCodes: []packet.ReasonCode{0, packet.NoSubscriptionExisted}})
		assert.NoError(t, receive(t, result))
	}
}

// TestReceive: acknowledgements follow the handler, in the order of the messages (MQTT-4.6.0-2).
func TestReceive(t *testing.T) {
	for _, v := range []packet.Version{packet.V31, packet.V311, packet.V50} {
		handler, messages := collect()
		_, s, _ := connected(t, Options{Version: v, OnMessage: handler}, packet.Connack{})
		props := packet.AppendString(nil, packet.ContentType, "text/plain")
		if v != packet.V50 {
			props = nil
		}
		s.send(&packet.Publish{Topic: []byte("0"), Payload: []byte("x"), Retain: true, Properties: props},
			&packet.Publish{Topic: []byte("1"), QoS: 1, PacketID: 10, Dup: true},
			&packet.Publish{Topic: []byte("2"), QoS: 2, PacketID: 11})
		assert.Equal(t, Message{Topic: "0", Payload: []byte("x"), Retain: true, Properties: props}, receive(t, messages))
		assert.Equal(t, Message{Topic: "1", Payload: []byte{}, QoS: 1, Dup: true, PacketID: 10}, receive(t, messages))
		assert.Equal(t, uint16(10), expect[*packet.Puback](s).PacketID)
		assert.Equal(t, "2", receive(t, messages).Topic)
		assert.Equal(t, uint16(11), expect[*packet.Pubrec](s).PacketID)
		s.send(&packet.Publish{Topic: []byte("2"), QoS: 2, PacketID: 11, Dup: true})
		assert.Equal(t, uint16(11), expect[*packet.Pubrec](s).PacketID)
		s.send(&packet.Pubrel{PacketID: 11})
		assert.Equal(t, packet.Success, expect[*packet.Pubcomp](s).ReasonCode)
		s.send(&packet.Pubrel{PacketID: 11})
		comp := expect[*packet.Pubcomp](s)
		assert.Equal(t, v == packet.V50, comp.ReasonCode == packet.PacketIdentifierNotFound)
		assert.Empty(t, messages, "QoS 2 exactly once")
	}
}

// TestReceiveQoS2AcrossConnections: a repetition after a reconnect is acknowledged, not delivered (MQTT-4.3.3-10).
func TestReceiveQoS2AcrossConnections(t *testing.T) {
	handler, messages := collect()
	c, s, accept := connected(t, Options{ClientID: "me", ResumeSession: true, OnMessage: handler}, packet.Connack{})
	p := &packet.Publish{Topic: []byte("a"), QoS: 2, PacketID: 7}
	s.send(p)
	receive(t, messages)
	s.nc.Close()
	<-c.Done()
	s, _ = reconnect(t, c, accept, packet.Connack{SessionPresent: true})
	p.Dup = true
	s.send(p)
	assert.Equal(t, uint16(7), expect[*packet.Pubrec](s).PacketID)
	s.send(&packet.Pubrel{PacketID: 7})
	expect[*packet.Pubcomp](s)
	assert.Empty(t, messages)
	p.Dup = false
	s.send(p)
	receive(t, messages)
}

func TestHandlerMayPublish(t *testing.T) {
	answered := make(chan error, 1)
	var c *Client
	handler := func(m Message) {
		_, err := c.Publish(within(t), Message{Topic: "answer", QoS: 1})
		answered <- err
	}
	ready := make(chan struct{})
	c, s, _ := connected(t, Options{OnMessage: func(m Message) { <-ready; handler(m) }}, packet.Connack{})
	close(ready)
	s.send(&packet.Publish{Topic: []byte("question")})
	s.send(&packet.Puback{PacketID: expect[*packet.Publish](s).PacketID})
	assert.NoError(t, receive(t, answered))
}

func TestTopicAliasesOfTheServer(t *testing.T) {
	handler, messages := collect()
	lost := make(chan error, 1)
	_, s, _ := connected(t, Options{TopicAliasMaximum: 2, OnMessage: handler, OnConnectionLost: func(err error) { lost <- err }}, packet.Connack{})
	alias := packet.AppendUint16(nil, packet.TopicAlias, 2)
	s.send(&packet.Publish{Topic: []byte("long/name"), Properties: alias}, &packet.Publish{Properties: alias})
	for range 2 {
		m := receive(t, messages)
		assert.Equal(t, "long/name", m.Topic)
		assert.Empty(t, m.Properties)
	}
	s.send(&packet.Publish{Topic: []byte("x"), Properties: packet.AppendUint16(nil, packet.TopicAlias, 3)})
	assert.Equal(t, packet.TopicAliasInvalid, expect[*packet.Disconnect](s).ReasonCode)
	assert.ErrorContains(t, receive(t, lost), "Topic Alias")
}

func TestConnectionLostTellsTheCause(t *testing.T) {
	cases := map[string]struct {
		act   func(*peer)
		check func(error)
	}{
		"closed": {func(s *peer) { s.nc.Close() }, func(err error) { assert.ErrorIs(t, err, io.EOF) }},
		"DISCONNECT": {
			func(s *peer) { s.send(&packet.Disconnect{ReasonCode: packet.SessionTakenOver}) },
			func(err error) {
				var reason *ReasonError
				require.ErrorAs(t, err, &reason)
				assert.Equal(t, packet.SessionTakenOver, reason.Code)
			},
		},
		"malformed": {
			func(s *peer) {
				s.nc.Write([]byte{0xff, 0xff})
				assert.Equal(t, packet.MalformedPacket, expect[*packet.Disconnect](s).ReasonCode)
			},
			func(err error) { var bad *packet.Error; assert.ErrorAs(t, err, &bad) },
		},
		"packet of a client": {
			func(s *peer) {
				s.send(&packet.Pingreq{})
				assert.Equal(t, packet.ProtocolError, expect[*packet.Disconnect](s).ReasonCode)
			},
			func(err error) { var bad *packet.Error; assert.ErrorAs(t, err, &bad) },
		},
	}
	for name, k := range cases {
		t.Run(name, func(t *testing.T) {
			lost := make(chan error, 1)
			c, s, _ := connected(t, Options{OnConnectionLost: func(err error) { lost <- err }}, packet.Connack{})
			subscribing := async(func() error { _, err := c.Subscribe(within(t), packet.Subscription{Filter: "a"}); return err })
			expect[*packet.Subscribe](s)
			k.act(s)
			k.check(receive(t, lost))
			var lostError *ConnectionLostError
			assert.ErrorAs(t, receive(t, subscribing), &lostError)
			<-c.Done()
		})
	}
}

func TestDisconnect(t *testing.T) {
	lost := make(chan error, 1)
	handler, messages := collect()
	c, s, accept := connected(t, Options{OnMessage: handler, OnConnectionLost: func(err error) { lost <- err }}, packet.Connack{})
	_, waiting := publishing(c, within(t), Message{Topic: "a", QoS: 1})
	expect[*packet.Publish](s)
	result := async(func() error {
		return c.DisconnectWith(within(t), &packet.Disconnect{ReasonCode: packet.DisconnectWithWill})
	})
	assert.Equal(t, packet.DisconnectWithWill, expect[*packet.Disconnect](s).ReasonCode)
	s.nc.Close()
	assert.NoError(t, receive(t, result))
	assert.ErrorIs(t, receive(t, waiting), ErrClosed)
	<-c.Done()

	s, _ = reconnect(t, c, accept, packet.Connack{})
	require.NoError(t, c.Close())
	s.expectEnd()
	assert.Empty(t, lost)
	assert.Empty(t, messages)
}

// TestDisconnectAcknowledgesFirst: what the handler has seen is not sent again in the next connection.
func TestDisconnectAcknowledgesFirst(t *testing.T) {
	entered, proceed := make(chan struct{}), make(chan struct{})
	c, s, _ := connected(t, Options{OnMessage: func(Message) { close(entered); <-proceed }}, packet.Connack{})
	s.send(&packet.Publish{Topic: []byte("a"), QoS: 1, PacketID: 1})
	receive(t, entered)
	result := async(func() error { return c.Disconnect(within(t)) })
	close(proceed)
	assert.Equal(t, uint16(1), expect[*packet.Puback](s).PacketID)
	expect[*packet.Disconnect](s)
	s.nc.Close()
	assert.NoError(t, receive(t, result))
}

// TestKeepAlive proves MQTT-3.1.2-20, and that a silent server counts as lost.
func TestKeepAlive(t *testing.T) {
	lost := make(chan error, 1)
	opts := Options{KeepAlive: NoKeepAlive, PingTimeout: time.Second, OnConnectionLost: func(err error) { lost <- err }}
	serverKeepAlive := packet.Connack{Properties: packet.AppendUint16(nil, packet.ServerKeepAlive, 1)}
	_, s, _ := connected(t, opts, serverKeepAlive)
	for range 2 {
		expect[*packet.Pingreq](s)
		s.send(&packet.Pingresp{})
		assert.Empty(t, lost)
	}
	expect[*packet.Pingreq](s)
	assert.ErrorIs(t, receive(t, lost), ErrPingTimeout)
	s.expectEnd()
}
