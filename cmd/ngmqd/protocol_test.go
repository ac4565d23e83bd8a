package main

import (
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/server"
)

// protocolConfig is what the flags make of a Config.
func protocolConfig(t *testing.T, args ...string) (c server.Config) {
	var f protocolFlags
	parser, err := kong.New(&f, flagDefaults)
	require.NoError(t, err)
	_, err = parser.Parse(args)
	require.NoError(t, err)
	require.NoError(t, f.apply(&c))
	return c
}

func TestProtocolFlags(t *testing.T) {
	assert.Equal(t, server.Config{SysInterval: server.DefaultSysInterval}, protocolConfig(t))
	assert.Equal(t, server.Config{
		SysInterval: -1, ResponsePrefix: "r/", CheckPayloadFormat: true,
		Limits: server.Limits{MaxQueuedMessages: 5, MaxQueuedBytes: 6000, MaxQueuedAge: time.Hour, QueuePolicy: server.DropOld},
	}, protocolConfig(t, "--sys-interval=0", "--response-prefix=r/", "--check-payload-format", "--max-queued-messages=5", "--max-queued-bytes=6000", "--max-queued-age=1h", "--queue-policy=drop-old"))
}
