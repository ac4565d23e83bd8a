package server_test

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	mqtt "github.com/ngmq/ngmq/mqtt/client"
	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/server"
	"github.com/ngmq/ngmq/server/internal/mqtttest"
)

// inProcess connects a raw client without a network.
func inProcess(t *testing.T, s *running, v packet.Version) *mqtttest.Client {
	t.Helper()
	conn, err := s.Dial(context.Background())
	require.NoError(t, err)
	return mqtttest.New(t, conn, v)
}

// A client of the same process is a client like any other.
func TestInProcessClient(t *testing.T) {
	t.Parallel()
	infos := make(chan *server.Client, 10)
	s := start(t, server.Config{Handlers: server.Handlers{Connect: func(e *server.ConnectEvent) error {
		infos <- e.Client
		if e.Client.ID == "stranger" {
			return server.Refuse(packet.BadUserNameOrPassword, "")
		}
		return nil
	}}})
	large := strings.Repeat("x", 300<<10)
	for _, v := range []packet.Version{packet.V311, packet.V50} {
		inside := inProcess(t, s, v)
		inside.ConnectAs("inside")
		info := <-infos
		assert.Equal(t, "pipe", info.Conn.Transport)
		assert.False(t, info.Conn.Remote.IsValid())
		inside.Subscribe("to/inside", 2)
		stranger := inProcess(t, s, v)
		assert.True(t, knock(stranger, "stranger").IsError())
		stranger.ExpectEnd()
		<-infos
		for _, transport := range transports {
			outside := connected(t, s, transport, v, "outside")
			<-infos
			outside.Subscribe("to/outside", 2)
			go inside.Send(&packet.Publish{Topic: []byte("to/outside"), Payload: []byte(large)})
			outside.ExpectMessage("to/outside", large)
			outside.Publish("to/inside", large, 2)
			inside.ExpectMessage("to/inside", large)
		}
		inside.Raw([]byte{0xC1, 0})
		if end := inside.ExpectEnd(); v == packet.V50 {
			require.NotNil(t, end)
			assert.Equal(t, packet.MalformedPacket, end.ReasonCode)
		}
	}
}

func TestInProcessClientThatReadsNothing(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{Timeouts: server.Timeouts{Write: time.Second}})
	deaf := inProcess(t, s, packet.V50)
	deaf.ConnectAs("deaf")
	deaf.Subscribe("t", 0)
	require.NoError(t, s.Publish(server.Publication{Topic: "t", Payload: []byte("x")}))
	connections(t, s, 0)
}

func TestDialFullAndAfterTheEnd(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{Limits: server.Limits{MaxConnections: 1}})
	first := inProcess(t, s, packet.V50)
	first.ConnectAs("first")
	ends := func() {
		conn, err := s.Dial(context.Background())
		require.NoError(t, err)
		_, err = conn.Read(make([]byte, 1))
		assert.ErrorIs(t, err, io.EOF)
	}
	ends()
	first.Send(&packet.Disconnect{})
	first.ExpectEnd()
	s.stop()
	require.NoError(t, s.wait(t))
	ends()
}

func TestClientOptionsDial(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{})
	ctx, cancel := context.WithTimeout(context.Background(), mqtttest.Patience)
	defer cancel()
	messages := make(chan mqtt.Message, 1)
	c, err := mqtt.New(mqtt.Options{Dial: s.Dial, OnMessage: func(m mqtt.Message) { messages <- m }})
	require.NoError(t, err)
	for range 2 { // it can be connected again
		_, err = c.Connect(ctx)
		require.NoError(t, err)
		_, err = c.Subscribe(ctx, packet.Subscription{Filter: "t", QoS: 2})
		require.NoError(t, err)
		_, err = c.Publish(ctx, mqtt.Message{Topic: "t", Payload: []byte("x"), QoS: 2})
		require.NoError(t, err)
		assert.Equal(t, "x", string((<-messages).Payload))
		require.NoError(t, c.Disconnect(ctx))
	}
	both := mqtt.Options{Dial: s.Dial, Servers: []string{"mqtt://localhost"}}
	assert.ErrorContains(t, both.Validate(), "leave one out")
}
