package server_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/mqtt/scram"
	"github.com/ngmq/ngmq/server"
	"github.com/ngmq/ngmq/server/internal/mqtttest"
)

func scramProps(data []byte) packet.Properties {
	props := packet.AppendString(nil, packet.AuthenticationMethod, scram.Method)
	return packet.AppendBinary(props, packet.AuthenticationData, data)
}

func scramData(p packet.Properties) []byte {
	data, _ := p.Bytes(packet.AuthenticationData)
	return data
}

func TestSCRAM(t *testing.T) {
	t.Parallel()
	credential, err := scram.NewCredential("pencil", 0)
	require.NoError(t, err)
	s := start(t, server.Config{Authenticators: []server.Authenticator{server.SCRAM(scram.Users{"user": credential})}})
	for _, transport := range []string{"tcp", "tls"} {
		c := client(t, s, transport, packet.V50)
		conversation, err := scram.NewClient("user", "pencil")
		require.NoError(t, err)
		c.Send(&packet.Connect{ClientID: transport, CleanStart: true, Properties: scramProps(conversation.First())})
		reply, _, err := conversation.Next(scramData(mqtttest.Expect[*packet.Auth](c).Properties))
		require.NoError(t, err)
		c.Send(&packet.Auth{ReasonCode: packet.ContinueAuthentication, Properties: scramProps(reply)})
		ack := mqtttest.Expect[*packet.Connack](c)
		require.Equal(t, packet.Success, ack.ReasonCode)
		_, done, err := conversation.Next(scramData(ack.Properties))
		require.NoError(t, err)
		assert.True(t, done)
		c.Ping()
	}
	c := client(t, s, "tcp", packet.V311)
	c.Send(&packet.Connect{ClientID: "anonymous", CleanStart: true})
	assert.Equal(t, packet.NotAuthorized, mqtttest.Expect[*packet.Connack](c).ReasonCode)
}

func TestAuthenticatorsGuardPublicAddresses(t *testing.T) {
	t.Parallel()
	cfg := server.Config{QUIC: []string{server.Off}, TCP: []string{"0.0.0.0:0"}}
	assert.Error(t, cfg.Validate())
	cfg.Authenticators = []server.Authenticator{server.SCRAM(scram.Users{})}
	assert.NoError(t, cfg.Validate())
}
