package server_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/server"
)

func TestMQTTNextNames(t *testing.T) {
	for text, n := range map[string]server.MQTTNext{
		"off": server.MQTTNextOff, "on": server.MQTTNextOn, "server-flows": server.MQTTNextServerFlows,
	} {
		assert.Equal(t, text, n.String())
		var back server.MQTTNext
		require.NoError(t, back.UnmarshalText([]byte(text)))
		assert.Equal(t, n, back)
	}
	assert.Error(t, new(server.MQTTNext).UnmarshalText([]byte("maybe")))
	assert.ErrorContains(t, server.Config{MQTTNext: 9}.Validate(), "MQTTNext")
}
