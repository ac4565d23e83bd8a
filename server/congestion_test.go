package server_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/ngmq/ngmq/server"
)

func TestCongestionControlIsChecked(t *testing.T) {
	assert.ErrorContains(t, server.Config{CongestionControl: 3}.Validate(), "CongestionControl")
	assert.NoError(t, server.Config{CongestionControl: server.CongestionReno}.Validate())
}
