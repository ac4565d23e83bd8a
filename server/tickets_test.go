package server

import (
	"context"
	"crypto/tls"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/crypto/ticketkeys"
	"github.com/ngmq/ngmq/server/internal/mqtttest"
)

// used collects what a user of keys is told.
func used(t *testing.T, k *tickets) chan [][]byte {
	t.Helper()
	told := make(chan [][]byte, 100)
	require.NoError(t, k.add(func(secrets [][]byte) error { told <- secrets; return nil }))
	return told
}

// Without a file a new key comes every 12 hours, and the old one is accepted for as long as
// its tickets are good.
func TestTicketKeysOfAProcess(t *testing.T) {
	k := newTickets("", nil, slog.New(slog.DiscardHandler))
	assert.Nil(t, k.inherited())
	told := used(t, k)
	old := <-told
	now := time.Now()
	k.step(now)
	require.Empty(t, told)
	k.step(now.Add(ticketRotation))
	renewed := <-told
	assert.NotEqual(t, old[0], renewed[0])
	assert.Contains(t, renewed, old[0])
	k.step(now.Add(ticketRotation + ticketkeys.Lifetime))
	assert.NotContains(t, <-told, old[0])
	assert.LessOrEqual(t, len(k.keys), 3)
}

// A file that has changed is read; while it cannot be, the keys stay.
func TestTicketKeysOfAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keys")
	first := ticketkeys.Keys{ticketkeys.Generate(time.Now())}
	require.NoError(t, first.Write(file))
	keys, err := Config{TicketKeysFile: file}.loadTicketKeys()
	require.NoError(t, err)
	var log mqtttest.Log
	k := newTickets(file, keys, slog.New(slog.NewTextHandler(&log, nil)))
	k.poll = time.Millisecond
	assert.Equal(t, [][]byte{first[0].Secret}, k.inherited())
	told := used(t, k)
	<-told
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan bool)
	go func() { k.run(ctx); close(ended) }()
	defer func() { cancel(); <-ended }()

	require.NoError(t, os.Remove(file))
	require.Eventually(t, func() bool { return strings.Contains(log.String(), "cannot be read") }, mqtttest.Patience, time.Millisecond)
	require.Empty(t, told)
	next := append(first, ticketkeys.Generate(time.Now()))
	require.NoError(t, next.Write(file))
	select {
	case secrets := <-told:
		assert.Equal(t, [][]byte{next[1].Secret, first[0].Secret}, secrets)
	case <-time.After(mqtttest.Patience):
		require.Fail(t, "the file was not read again")
	}
}

// TLS over TCP has keys made of the same ones.
func TestTicketKeysOfTLS(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keys")
	keys := ticketkeys.Keys{ticketkeys.Generate(time.Now())}
	k := newTickets(file, keys, slog.New(slog.DiscardHandler))
	k.addTLS(nil)
	require.Empty(t, k.users)
	k.addTLS(&tls.Config{})
	require.Len(t, k.users, 1)
	alone := newTickets("", nil, slog.New(slog.DiscardHandler))
	alone.addTLS(&tls.Config{})
	require.Empty(t, alone.users, "crypto/tls rotates keys of its own")
}

func TestTicketKeysFileIsChecked(t *testing.T) {
	err := Config{TicketKeysFile: filepath.Join(t.TempDir(), "none")}.Validate()
	require.ErrorContains(t, err, "TicketKeysFile")
	assert.ErrorContains(t, err, "no such file")
	assert.ErrorContains(t, err, "ngmqd ticket-keys")
	require.ErrorContains(t, Config{EarlyData: numEarlyData}.Validate(), "EarlyData")
	for e, name := range map[EarlyData]string{EarlyDataOff: "off", EarlyDataOn: "on", EarlyDataSingleUse: "single-use"} {
		assert.Equal(t, name, e.String())
		var read EarlyData
		require.NoError(t, read.UnmarshalText([]byte(name)))
		assert.Equal(t, e, read)
	}
}
