//go:build !noquic

package client_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/client"
	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/server"
)

// TestDatagramsWithServer: QoS 0 goes in datagrams both ways, what is too large and QoS 1 on the stream; one
// who has not asked gets none.
func TestDatagramsWithServer(t *testing.T) {
	s, o := serveWith(t, server.Config{})
	subscriber := func(datagrams bool) (*client.Client, chan string) {
		got := make(chan string, 10)
		o := o
		o.Datagrams, o.OnMessage = datagrams, func(m client.Message) { got <- string(m.Payload) }
		c := connect(t, o)
		_, err := c.Subscribe(within(t), packet.Subscription{Filter: "t", QoS: 1})
		require.NoError(t, err)
		return c, got
	}
	by, inDatagrams := subscriber(true)
	other, onStream := subscriber(false)
	for i, m := range []client.Message{{Payload: []byte("0")}, {Payload: []byte("1"), QoS: 1}, {Payload: []byte(strings.Repeat("x", 5000))}} {
		m.Topic = "t"
		_, err := by.Publish(within(t), m)
		require.NoError(t, err)
		assert.Equal(t, string(m.Payload), next(t, inDatagrams), i)
		assert.Equal(t, string(m.Payload), next(t, onStream), i)
	}
	info, err := by.Connection(within(t))
	require.NoError(t, err)
	assert.Equal(t, client.DatagramInfo{Sent: 1, TooLarge: 1, Received: 1}, info.QUIC.Datagrams)
	info, err = other.Connection(within(t))
	require.NoError(t, err)
	assert.Zero(t, info.QUIC.Datagrams)
	n := s.Stats()
	assert.EqualValues(t, 1, n.DatagramsReceived)
	assert.EqualValues(t, 1, n.DatagramsSent)
	assert.EqualValues(t, 1, n.DatagramsTooLarge)
	assert.Zero(t, n.DatagramsDropped)
}

// TestManyDatagramsWithServer: a burst is neither lost on a good path, nor doubled.
func TestManyDatagramsWithServer(t *testing.T) {
	const n = 2000
	_, o := serveWith(t, server.Config{})
	got := make(chan string, n)
	o.Datagrams, o.OnMessage = true, func(m client.Message) { got <- m.Topic }
	c := connect(t, o)
	_, err := c.Subscribe(within(t), packet.Subscription{Filter: "#"})
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range n {
			_, err := c.Publish(within(t), client.Message{Topic: "t", Payload: make([]byte, 200)})
			assert.NoError(t, err)
		}
	}()
	<-done
	require.Eventually(t, func() bool {
		info, err := c.Connection(within(t))
		require.NoError(t, err)
		d := info.QUIC.Datagrams
		return uint64(len(got))+d.Dropped+d.Lost >= n
	}, patience, 5*time.Millisecond)
	info, err := c.Connection(within(t))
	require.NoError(t, err)
	assert.EqualValues(t, n, info.QUIC.Datagrams.Sent, "they wait for their turn, and none goes on the stream")
	t.Logf("%+v", info.QUIC.Datagrams)
}

// TestDisconnectAfterDatagrams: all that was published goes out before.
func TestDisconnectAfterDatagrams(t *testing.T) {
	const n = 300
	s, o := serveWith(t, server.Config{})
	o.Datagrams = true
	c := connect(t, o)
	for range n {
		_, err := c.Publish(within(t), client.Message{Topic: "t", Payload: make([]byte, 900)})
		require.NoError(t, err)
	}
	require.NoError(t, c.Disconnect(within(t)))
	assert.Eventually(t, func() bool { return s.Stats().DatagramsReceived+s.Stats().DatagramsDropped > n*8/10 }, patience, time.Millisecond)
}

func next(t *testing.T, got <-chan string) string {
	t.Helper()
	select {
	case s := <-got:
		return s
	case <-time.After(patience):
		require.FailNow(t, "nothing came")
		return ""
	}
}
