package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/crypto/ticketkeys"
)

func TestTicketKeysCommand(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keys")
	made := command(t, nil, "ticket-keys", file)
	require.Equal(t, 0, made.status(t))
	keys, err := ticketkeys.Read(file)
	require.NoError(t, err)
	require.Len(t, keys, 8)
	assert.WithinDuration(t, time.Now().Add(7*24*time.Hour), keys[7].From, time.Minute)

	var out bytes.Buffer
	require.NoError(t, (&ticketKeys{File: file, Every: time.Hour, Ahead: 9}).Run(&out))
	assert.Contains(t, out.String(), "10 keys")
	more, err := ticketkeys.Read(file)
	require.NoError(t, err)
	require.Len(t, more, 10)
	assert.Equal(t, keys, more[:8])

	for _, c := range []ticketKeys{
		{File: file, Every: time.Minute}, {File: file, Every: time.Hour, Ahead: -1}, {File: file, Every: time.Hour, Ahead: 1001},
		{File: filepath.Join(file, "x"), Every: time.Hour},
	} {
		assert.Error(t, c.Run(&out))
	}
	require.NoError(t, os.Chmod(file, 0o644))
	assert.ErrorContains(t, (&ticketKeys{File: file, Every: time.Hour}).Run(&out), "chmod 600")
}

func TestTicketKeysFlag(t *testing.T) {
	p := command(t, nil, append([]string{"--ticket-keys", filepath.Join(t.TempDir(), "none")}, anyPorts...)...)
	assert.Equal(t, 1, p.status(t))
	assert.Contains(t, p.stderr.String(), "ngmqd ticket-keys FILE")
}
