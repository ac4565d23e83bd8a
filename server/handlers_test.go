package server_test

import (
	"errors"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/server"
	"github.com/ngmq/ngmq/server/internal/mqtttest"
)

func TestConnectHandler(t *testing.T) {
	t.Parallel()
	seen := make(chan *server.Client, 1)
	gone := make(chan *server.DisconnectEvent, 1)
	s := start(t, server.Config{Handlers: server.Handlers{
		Connect: func(e *server.ConnectEvent) error {
			switch e.Client.ID {
			case "banned":
				return server.Refuse(packet.Banned, "go away")
			case "failing":
				return errors.New("no")
			case "panic":
				panic("handler")
			}
			seen <- e.Client
			return nil
		},
		Disconnect: func(e *server.DisconnectEvent) { gone <- e },
	}})
	for id, want := range map[string]packet.ReasonCode{"banned": packet.Banned, "failing": packet.NotAuthorized, "panic": packet.UnspecifiedError} {
		for _, transport := range transports {
			c := client(t, s, transport, packet.V50)
			c.Send(&packet.Connect{ClientID: id, CleanStart: true})
			assert.Equal(t, want, mqtttest.Expect[*packet.Connack](c).ReasonCode, id)
			c.ExpectEnd()
		}
	}
	for _, transport := range transports {
		name := "alice"
		c := client(t, s, transport, packet.V311)
		c.Connect(&packet.Connect{ClientID: "a", CleanStart: true, KeepAlive: 9, Username: &name})
		info := <-seen
		assert.Equal(t, "a", info.ID)
		assert.Equal(t, "alice", info.Username)
		assert.Equal(t, packet.V311, info.Version)
		assert.Equal(t, uint16(9), info.KeepAlive)
		assert.True(t, info.CleanStart)
		assert.Equal(t, transport, info.Conn.Transport)
		if transport != "unix" {
			assert.Equal(t, c.Conn().LocalAddr().String(), info.Conn.Remote.String())
			assert.Equal(t, c.Conn().RemoteAddr().String(), info.Conn.Local.String())
		}
		if assert.Equal(t, slices.Contains([]string{"quic", "tls", "wss"}, transport), info.Conn.TLS != nil) && info.Conn.TLS != nil {
			assert.Contains(t, info.Conn.TLS.Version, "1.3")
			assert.Contains(t, info.Conn.TLS.Cipher, "TLS_")
		}
		c.Send(&packet.Disconnect{})
		c.ExpectEnd()
		e := <-gone
		assert.Same(t, info, e.Client)
		assert.NoError(t, e.Err)
	}
}

func TestDisconnectHandlerTellsLostConnections(t *testing.T) {
	t.Parallel()
	gone := make(chan *server.DisconnectEvent, 1)
	s := start(t, server.Config{Handlers: server.Handlers{Disconnect: func(e *server.DisconnectEvent) { gone <- e }}})
	for _, transport := range transports {
		connected(t, s, transport, packet.V50, transport).Conn().Close()
		select {
		case e := <-gone:
			assert.Equal(t, transport, e.Client.ID)
			assert.Equal(t, packet.UnspecifiedError, e.Code)
		case <-time.After(mqtttest.Patience):
			t.Fatal("no event")
		}
	}
}

func TestSubscribeHandlerAnswers(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{Handlers: server.Handlers{Subscribe: func(e *server.SubscribeEvent) error {
		switch e.Filter {
		case "secret":
			return server.Refuse(packet.NotAuthorized, "")
		case "panic":
			panic("handler")
		}
		e.Reply(server.Publication{Topic: e.Filter, Payload: []byte("welcome " + e.Client.ID)})
		return nil
	}}})
	for _, transport := range transports {
		c := connected(t, s, transport, packet.V50, transport)
		c.Subscribe("greeting", 1)
		c.ExpectMessage("greeting", "welcome "+transport)
		c.Send(&packet.Subscribe{PacketID: 2, Subscriptions: []packet.Subscription{{Filter: "secret"}, {Filter: "panic"}}})
		codes := mqtttest.Expect[*packet.Suback](c).ReasonCodes
		require.Len(t, codes, 2)
		assert.Equal(t, packet.NotAuthorized, codes[0])
		assert.True(t, codes[1].IsError())
		c.Ping()
	}
}

func TestPublishHandlerByFilter(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{Logger: slog.New(slog.DiscardHandler)})
	texts := make(chan string, 1)
	require.NoError(t, s.HandlePublish("read/+", func(e *server.PublishEvent) error {
		var v struct{ N int }
		if e.JSON(&v) == nil && v.N == 7 {
			texts <- e.Client.ID + e.Topic + e.Text()
		}
		e.Payload = []byte("changed")
		return nil
	}))
	require.NoError(t, s.HandlePublish("drop/#", func(*server.PublishEvent) error { return server.ErrDrop }))
	require.NoError(t, s.HandlePublish("panic", func(*server.PublishEvent) error { panic("handler") }))
	require.Error(t, s.HandlePublish("a/#/b", nil))

	for _, transport := range transports {
		c := connected(t, s, transport, packet.V50, transport)
		c.Subscribe("#", 0)
		pub := connected(t, s, "tcp", packet.V50, "pub")
		pub.Publish("drop/it", "x", 1)
		pub.Send(&packet.Publish{Topic: []byte("panic"), QoS: 1, PacketID: 9})
		assert.Equal(t, packet.UnspecifiedError, mqtttest.Expect[*packet.Puback](pub).ReasonCode)
		pub.Publish("read/it", `{"N":7}`, 1)
		c.ExpectMessage("read/it", "changed")
		assert.Equal(t, `pubread/it{"N":7}`, <-texts)
	}
	assert.Equal(t, uint64(len(transports)), s.Stats().HandlerPanics)
}

func TestServerPublishes(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{})
	for _, transport := range transports {
		c := connected(t, s, transport, packet.V50, "sub")
		c.Subscribe("news", 2)
		require.NoError(t, s.Publish(server.Publication{Topic: "news", Payload: []byte("fresh"), QoS: 2}))
		assert.Equal(t, byte(2), c.ExpectMessage("news", "fresh").QoS)
	}
	require.NoError(t, s.Publish(server.Publication{Topic: "kept", Payload: []byte("old"), Retain: true}))
	c := connected(t, s, favourite, packet.V50, "sub")
	c.Subscribe("kept", 0)
	assert.True(t, c.ExpectMessage("kept", "old").Retain)
	require.ErrorIs(t, s.Publish(server.Publication{Topic: "no/#"}), server.ErrInvalidTopic)
}

func TestDisconnect(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{})
	for _, transport := range transports {
		c := connected(t, s, transport, packet.V50, "victim")
		assert.True(t, s.Disconnect("victim", packet.AdministrativeAction))
		end := c.ExpectEnd()
		require.NotNil(t, end)
		assert.Equal(t, packet.AdministrativeAction, end.ReasonCode)
	}
	assert.False(t, s.Disconnect("nobody", packet.AdministrativeAction))
}
