package server_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/server"
)

func TestCongestionControlNames(t *testing.T) {
	for text, c := range map[string]server.CongestionControl{
		"cubic": server.CongestionCubic, "bbr": server.CongestionBBR, "reno": server.CongestionReno,
	} {
		assert.Equal(t, text, c.String())
		var back server.CongestionControl
		require.NoError(t, back.UnmarshalText([]byte(text)))
		assert.Equal(t, c, back)
	}
	assert.Error(t, new(server.CongestionControl).UnmarshalText([]byte("vegas")))
	assert.ErrorContains(t, server.Config{CongestionControl: 3}.Validate(), "CongestionControl")
}
