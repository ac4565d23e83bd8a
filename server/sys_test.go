package server_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/server"
)

func TestSysTreeByDefault(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{QUIC: []string{server.Off}, TCP: []string{"127.0.0.1:0"}})
	c := connected(t, s, "tcp", packet.V50, "c")
	c.Subscribe("$SYS/broker/version", 0)
	assert.True(t, strings.HasPrefix(string(c.Receive().Payload), "ngmq "))
}

func TestSysTreeOff(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{QUIC: []string{server.Off}, TCP: []string{"127.0.0.1:0"}, SysInterval: -1})
	c := connected(t, s, "tcp", packet.V50, "c")
	c.Subscribe("$SYS/#", 0)
	c.Publish("$SYS/broker/version", "mine", 0)
	c.ExpectMessage("$SYS/broker/version", "mine")
}
