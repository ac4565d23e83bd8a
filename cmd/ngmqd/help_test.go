package main

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
)

// A command that makes a file shows its own flags, not the hundred of the server.
func TestHelpOfCommands(t *testing.T) {
	for command, flag := range map[string]string{"credential": "--iterations", "ticket-keys": "--ahead"} {
		var out bytes.Buffer
		assert.Zero(t, run([]string{command, "--help"}, &out, &out))
		assert.Contains(t, out.String(), flag)
		assert.NotContains(t, out.String(), "--quic")
	}
	var out bytes.Buffer
	assert.Zero(t, run([]string{"health", "--help"}, &out, &out))
	assert.Contains(t, out.String(), "--quic")
}

func TestAllErrorsAtOnce(t *testing.T) {
	var out bytes.Buffer
	assert.Equal(t, 1, run([]string{"--scram-users", "/nowhere/users", "--tcp", "elsewhere"}, &out, &out))
	assert.Contains(t, out.String(), "--scram-users: open /nowhere/users")
	assert.Contains(t, out.String(), "ngmqd credential USER")
	assert.Contains(t, out.String(), `TCP "elsewhere"`)
	out.Reset()
	assert.Equal(t, 1, run([]string{"ticket-keys"}, &out, &out))
	assert.Contains(t, out.String(), "see ngmqd ticket-keys --help")
}
