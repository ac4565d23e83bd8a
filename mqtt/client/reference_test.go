package client

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// sendsTo is a refusal that names other servers.
func sendsTo(code packet.ReasonCode, reference string) packet.Connack {
	return packet.Connack{ReasonCode: code, Properties: packet.AppendString(nil, packet.ServerReference, reference)}
}

func TestReferences(t *testing.T) {
	for _, k := range []struct{ from, text, want string }{
		{"mqtts://u:p@a:7", "b b:8 [::1]:9 10.0.0.1", "mqtts://u:p@b:7 mqtts://u:p@b:8 mqtts://u:p@[::1]:9 mqtts://u:p@10.0.0.1:7"},
		{"mqtts://a", "b mqtts://x:y@c", "mqtts://b mqtts://c"},
		{"wss://a:1/path?q", "b wss://c/other", "wss://b:1/path?q wss://c/other"},
		{"mqtts://a", "b b b", "mqtts://b"},
		{"mqtts://a:1", "mqtt://b tcp://b ws://b wss://c unix:///run/x http://d :5 b:port", "wss://c"},
		{"wss://a", "ws://b mqtt://b", ""},
		{"mqtt://a", "mqtt://b:2 ws://c mqtts://d unix:///run/x", "mqtt://b:2 ws://c mqtts://d"},
		{"unix:///run/x", "unix:///run/y mqtt://b mqtts://c", "mqtts://c"},
		{"mqtts://a", "", ""},
	} {
		assert.Equal(t, k.want, strings.Join(referred(k.text, k.from), " "), "%s from %s", k.text, k.from)
	}
	many := make([]string, 1000)
	for i := range many {
		many[i] = fmt.Sprint("h", i)
	}
	assert.Len(t, referred(strings.Join(many, " "), "mqtts://a"), maxReferences)
}

// TestReferenceIsNotFollowed unless asked for; the error says where the server points.
func TestReferenceIsNotFollowed(t *testing.T) {
	url, accept := listen(t)
	result := async(func() error { _, err := Dial(within(t), url, Options{}); return err })
	welcome(accept, sendsTo(packet.UseAnotherServer, "other.example"))
	err := receive(t, result)
	var refusal *ReasonError
	require.ErrorAs(t, err, &refusal)
	assert.ErrorContains(t, err, `Server Reference "other.example"`)
	_, err = New(Options{Dial: func(context.Context) (net.Conn, error) { return nil, net.ErrClosed }, FollowReference: true})
	assert.ErrorContains(t, err, "FollowReference")
}

// TestUseAnotherServer: for this connection; the next one begins at the list again.
func TestUseAnotherServer(t *testing.T) {
	first, acceptFirst := listen(t)
	second, acceptSecond := listen(t)
	c, err := New(Options{Servers: []string{first}, FollowReference: true})
	require.NoError(t, err)
	defer c.Close()
	for range 2 {
		result := async(func() error { _, err := c.Connect(within(t)); return err })
		welcome(acceptFirst, sendsTo(packet.UseAnotherServer, strings.TrimPrefix(second, "mqtt://")))
		welcome(acceptSecond, packet.Connack{})
		require.NoError(t, receive(t, result))
		assert.Equal(t, second, c.Stats().Server)
		require.NoError(t, c.Close())
	}
}

// TestServerMoved: for good; the one that has moved is the last resort.
func TestServerMoved(t *testing.T) {
	first, acceptFirst := listen(t)
	second, acceptSecond := listen(t)
	c, err := New(Options{Servers: []string{first}, FollowReference: true})
	require.NoError(t, err)
	defer c.Close()
	result := async(func() error { _, err := c.Connect(within(t)); return err })
	welcome(acceptFirst, sendsTo(packet.ServerMoved, strings.TrimPrefix(second, "mqtt://")))
	welcome(acceptSecond, packet.Connack{})
	require.NoError(t, receive(t, result))
	require.NoError(t, c.Close())
	reconnect(t, c, acceptSecond, packet.Connack{})
	require.NoError(t, c.Close())

	result = async(func() error { _, err := c.Connect(within(t)); return err })
	welcome(acceptSecond, packet.Connack{ReasonCode: packet.ServerBusy})
	welcome(acceptFirst, packet.Connack{})
	require.NoError(t, receive(t, result))
}

// TestReferencesInACircle end, and so does a chain.
func TestReferencesInACircle(t *testing.T) {
	first, acceptFirst := listen(t)
	second, acceptSecond := listen(t)
	for _, code := range []packet.ReasonCode{packet.UseAnotherServer, packet.ServerMoved} {
		c, err := New(Options{Servers: []string{first}, FollowReference: true})
		require.NoError(t, err)
		for _, accepts := range [][]func() *peer{{acceptFirst, acceptSecond}, {acceptSecond, acceptFirst}} {
			if code == packet.UseAnotherServer {
				accepts = []func() *peer{acceptFirst, acceptSecond}
			}
			result := async(func() error { _, err := c.Connect(within(t)); return err })
			for _, accept := range accepts {
				s := accept()
				expect[*packet.Connect](s)
				refusal := sendsTo(code, first+" "+second)
				s.send(&refusal)
			}
			var refusal *ReasonError
			assert.ErrorAs(t, receive(t, result), &refusal)
		}
	}

	c, err := New(Options{Servers: []string{first}, FollowReference: true})
	require.NoError(t, err)
	result := async(func() error { _, err := c.Connect(within(t)); return err })
	accept := acceptFirst
	for range maxHops {
		next, acceptNext := listen(t)
		welcome(accept, sendsTo(packet.UseAnotherServer, next))
		accept = acceptNext
	}
	welcome(accept, sendsTo(packet.UseAnotherServer, second))
	assert.ErrorContains(t, receive(t, result), "Server Reference")
}

// TestDisconnectedForAnotherServer: with Reconnect the client goes there by itself.
func TestDisconnectedForAnotherServer(t *testing.T) {
	for _, code := range []packet.ReasonCode{packet.UseAnotherServer, packet.ServerMoved} {
		first, acceptFirst := listen(t)
		second, acceptSecond := listen(t)
		c, err := New(Options{Servers: []string{first}, FollowReference: true, Reconnect: true, Backoff: soon})
		require.NoError(t, err)
		s, _ := reconnect(t, c, acceptFirst, packet.Connack{})
		s.send(&packet.Disconnect{ReasonCode: code, Properties: packet.AppendString(nil, packet.ServerReference, second)})
		s, _ = welcome(acceptSecond, packet.Connack{})
		require.NoError(t, c.AwaitConnection(within(t)))
		s.nc.Close()
		next := acceptFirst
		if code == packet.ServerMoved {
			next = acceptSecond
		}
		welcome(next, packet.Connack{})
		require.NoError(t, c.Close())
	}
}
