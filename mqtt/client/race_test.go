package client

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// deaf is a TCP server that takes connections and never answers.
func deaf(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

func TestRaceFirstAnswerWins(t *testing.T) {
	url, accept := listen(t)
	c, err := New(Options{Servers: []string{"mqtts://" + deaf(t), "wss://" + deaf(t), url}, HeadStart: 20 * time.Millisecond, TLS: TLS{Insecure: true}})
	require.NoError(t, err)
	defer c.Close()
	began := time.Now()
	reconnect(t, c, accept, packet.Connack{})
	assert.GreaterOrEqual(t, time.Since(began), 40*time.Millisecond, "two head starts")
	assert.Equal(t, []string{url, c.opts.Servers[0], c.opts.Servers[1]}, c.remembered(c.servers()))
	c.avoidUntil = time.Now()
	assert.Equal(t, c.opts.Servers, c.remembered(c.servers()))
}

// TestRaceGoesOnAfterRefusal: the servers that lost the race get another chance. The one that
// gets it cannot win before: it completes no handshake before the busy one has refused.
func TestRaceGoesOnAfterRefusal(t *testing.T) {
	busy, acceptBusy := listen(t)
	url, accept := listen(t)
	url = "ws" + strings.TrimPrefix(url, "mqtt")
	c, err := New(Options{Servers: []string{"mqtts://" + deaf(t), busy, url}, HeadStart: time.Millisecond})
	require.NoError(t, err)
	defer c.Close()
	result := async(func() error { _, err := c.Connect(within(t)); return err })
	welcome(acceptBusy, packet.Connack{ReasonCode: packet.ServerBusy})
	s := accept()
	for !s.upgraded() { // it was dialled in the first race, and given up
		s = accept()
	}
	s.send(&packet.Connack{})
	require.NoError(t, receive(t, result))
	assert.Equal(t, url, c.worked)
}

// TestRaceWithoutTime: nobody starts, which is an error too.
func TestRaceWithoutTime(t *testing.T) {
	c, err := New(Options{Servers: []string{url0}})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	won, _, err := c.race(ctx, c.opts.Servers)
	assert.Nil(t, won)
	assert.ErrorIs(t, err, context.Canceled)
}

func TestFallbackServers(t *testing.T) {
	c, err := New(Options{Servers: []string{"mqtt://u:p@h", "wss://other"}, Fallback: true})
	require.NoError(t, err)
	assert.Equal(t, []string{"mqtt://u:p@h", "wss://other"}, c.opts.Servers)
	assert.Equal(t, DefaultHeadStart, c.opts.HeadStart)
	assert.Equal(t, []string{"quic://u:p@h:1", "mqtts://u:p@h", "wss://u:p@h", "quic://[::1]:5", "mqtts://[::1]", "wss://[::1]"},
		withFallback([]string{"quic://u:p@h:1", "quic://[::1]:5"}))
	for _, raw := range withFallback([]string{"quic://[::1]:5"}) {
		_, err := parseURL(raw)
		assert.NoError(t, err)
	}
	_, err = New(Options{Servers: []string{"mqtt://h"}, HeadStart: -1})
	assert.ErrorContains(t, err, "HeadStart")
}

// TestGoesBack: from the second server to the first one, when that is there again: with
// DISCONNECT, so without will, and in the same session.
func TestGoesBack(t *testing.T) {
	first, err := net.Listen("tcp", own(t)+":0")
	require.NoError(t, err)
	require.NoError(t, first.Close())
	url, accept := listen(t)
	lost := make(chan error, 1)
	c, err := New(Options{
		Servers: []string{"mqtt://" + first.Addr().String(), url}, HeadStart: time.Minute, ReturnAfter: 20 * time.Millisecond,
		ClientID: "me", SessionExpiry: 60, Reconnect: true, Backoff: Backoff{Min: time.Minute, Max: time.Minute},
		OnConnectionLost: func(err error) { lost <- err },
	})
	require.NoError(t, err)
	defer c.Close()
	second, _ := reconnect(t, c, accept, packet.Connack{})
	back, err := net.Listen("tcp", first.Addr().String())
	require.NoError(t, err)
	defer back.Close()
	expect[*packet.Disconnect](second)
	second.nc.Close()
	assert.ErrorIs(t, receive(t, lost), ErrReturned)
	nc, err := back.Accept()
	require.NoError(t, err)
	s := newPeer(t, nc)
	assert.False(t, expect[*packet.Connect](s).CleanStart)
	s.send(&packet.Connack{SessionPresent: true})
	require.NoError(t, c.AwaitConnection(within(t)))
	assert.Empty(t, c.better())
}
