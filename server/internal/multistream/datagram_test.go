//go:build !noquic

package multistream

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/ngtcp2"
	"github.com/ngmq/ngmq/server"
	"github.com/ngmq/ngmq/server/internal/mqtttest"
)

// datagram sends a packet in a datagram.
func (c *client) datagram(p packet.Packet) {
	c.t.Helper()
	var err error
	c.l.on(func() { err = c.l.conn.SendDatagram(p.AppendTo(nil, c.version), 0) })
	require.NoError(c.t, err)
}

// inDatagram waits for a message in a datagram.
func (c *client) inDatagram() *packet.Publish {
	c.t.Helper()
	select {
	case b := <-c.l.datagrams:
		d := packet.NewDecoder(0)
		d.SetVersion(c.version)
		d.Feed(b)
		p, err := d.Next()
		require.NoError(c.t, err)
		require.Zero(c.t, d.Buffered())
		return p.(*packet.Publish)
	case <-time.After(mqtttest.Patience):
		require.FailNow(c.t, "no datagram")
		return nil
	}
}

func TestDatagramsBothWays(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{})
	c := s.dial(t, packet.V50)
	c.datagram(message("t", "before CONNECT", 0, 0))
	s.eventually(t, "it is dropped", func(n server.Stats) bool { return n.DatagramsDropped == 1 })
	c.Connect(&packet.Connect{ClientID: "c", CleanStart: true,
		Properties: packet.AppendUserProperty(nil, server.DatagramProperty, server.DatagramQoS0)})
	plain, _ := s.connect(t, "plain")
	data := c.stream()
	data.Subscribe("t", 1)
	plain.Subscribe("t", 1)

	c.datagram(message("t", "0", 0, 0))
	assert.Equal(t, "0", string(c.inDatagram().Payload))
	plain.ExpectMessage("t", "0")
	c.datagram(message("t", "not in a datagram", 1, 1))
	plain.Publish("t", "1", 1)
	large := strings.Repeat("x", 3000)
	plain.Publish("t", large, 0)
	for _, x := range []*mqtttest.Client{plain.Client, data} {
		x.ExpectMessage("t", "1")
		x.ExpectMessage("t", large)
	}
	assert.Empty(t, c.l.datagrams)
	assert.Empty(t, plain.l.datagrams)
	c.Ping() // the server has seen what c sent before
	n := s.Stats()
	assert.EqualValues(t, 1, n.DatagramsReceived)
	assert.EqualValues(t, 2, n.DatagramsDropped)
	assert.EqualValues(t, 1, n.DatagramsSent)
	assert.EqualValues(t, 1, n.DatagramsTooLarge)
}

// More datagrams than wait at a time: the rest goes on the stream, and nothing is lost on
// a good path.
func TestManyDatagrams(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{Datagrams: server.DatagramsAlways})
	c, _ := s.connect(t, "c")
	c.Subscribe("t", 0)
	const n = 400
	var batch []byte
	for i := range n {
		batch = message("t", fmt.Sprintf("%d %s", i, strings.Repeat("x", 500)), 0, 0).AppendTo(batch, packet.V50)
	}
	s.publisher(t).Raw(batch)
	seen := map[string]bool{}
	var stats server.Stats
	require.Eventually(t, func() bool {
		stats = s.Stats()
		return stats.DatagramsSent+stats.DatagramsFull == n
	}, mqtttest.Patience, time.Millisecond)
	for range stats.DatagramsSent {
		seen[string(c.inDatagram().Payload)] = true
	}
	for len(seen) < n {
		seen[string(c.Receive().Payload)] = true
	}
	assert.Positive(t, stats.DatagramsSent)
}

func TestDatagramsOff(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{Datagrams: server.DatagramsOff})
	c, _ := s.connect(t, "c")
	c.l.on(func() {
		assert.ErrorIs(t, c.l.conn.SendDatagram([]byte{0}, 0), ngtcp2.ErrDatagramOff)
	})
}
