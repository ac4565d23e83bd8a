package main

import (
	"bytes"
	"context"
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/server"
	"github.com/ngmq/ngmq/server/internal/mqtttest"
)

func TestHandlers(t *testing.T) {
	var out bytes.Buffer
	s, err := newServer(server.Config{QUIC: []string{server.Off}, TCP: []string{"127.0.0.1:0"}}, &out)
	require.NoError(t, err)
	ended := make(chan error)
	go func() { ended <- s.Run(context.Background()) }()

	connect := func(password string) *mqtttest.Client {
		conn, err := net.Dial("tcp", s.Addrs().TCP[0].String())
		require.NoError(t, err)
		c := mqtttest.New(t, conn, packet.V50)
		name := "alice"
		c.Send(&packet.Connect{ClientID: "c", CleanStart: true, Username: &name, Password: []byte(password)})
		return c
	}
	stranger := connect("guess")
	assert.Equal(t, packet.BadUserNameOrPassword, mqtttest.Expect[*packet.Connack](stranger).ReasonCode)
	stranger.ExpectEnd()

	alice := connect("secret")
	assert.Equal(t, packet.Success, mqtttest.Expect[*packet.Connack](alice).ReasonCode)
	alice.Subscribe("greeting", 0)
	alice.ExpectMessage("greeting", "hello alice")
	alice.Publish("sensors/roof/temperature", "21.53", 1)
	alice.Send(&packet.Publish{Topic: []byte("sensors/roof/temperature"), Payload: []byte("warm"), QoS: 1, PacketID: 8})
	assert.Equal(t, packet.PayloadFormatInvalid, mqtttest.Expect[*packet.Puback](alice).ReasonCode)
	alice.Send(&packet.Disconnect{})
	alice.ExpectEnd()

	require.NoError(t, s.Shutdown(context.Background()))
	require.NoError(t, <-ended)
	assert.Equal(t, "c comes over tcp\nsensors/roof/temperature: 21.5 °C\nc has gone\n", out.String())
}
