//go:build !noquic

package multistream

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/server"
)

// A handler sees how each message came: transport, stream, and how many streams there are.
func TestPublishHandlerSeesTheStream(t *testing.T) {
	t.Parallel()
	type seen struct {
		transport string
		stream    int64
		streams   int
	}
	came := make(chan seen, 1)
	s := start(t, server.Config{StreamClients: true})
	assert.NoError(t, s.HandlePublish("#", func(e *server.PublishEvent) error {
		state, _ := s.Lookup(e.Client.ID)
		came <- seen{e.Client.Conn.Transport, e.Stream, state.Streams}
		return nil
	}))
	c := s.dial(t, packet.V50)
	c.Connect(withWill(&packet.Connect{ClientID: "c", CleanStart: true}))
	c.Publish("t", "control", 1)
	assert.Equal(t, seen{"quic", 0, 1}, <-came)
	for n := range 2 {
		data := c.stream()
		data.Publish("t", "data", 2)
		assert.Equal(t, seen{"quic", raw(data).s.ID(), n + 2}, <-came)
	}
	c.l.open(t, true, encode(message("t", "unidirectional", 0, 0)))
	assert.Equal(t, seen{"quic", 2, 4}, <-came, "the id of the first unidirectional stream is 2")
	c.datagram(message("t", "datagram", 0, 0))
	assert.Equal(t, seen{"quic", server.DatagramStream, 4}, <-came)
	own := c.stream()
	own.ConnectAs("own")
	own.Publish("t", "a client of its own", 1)
	assert.Equal(t, seen{"quic", 0, 1}, <-came)
	c.l.cut()
	assert.Equal(t, seen{"quic", 0, 0}, <-came, "the will")
	other := s.over(t, "tcp")
	other.ConnectAs("over tcp")
	other.Publish("t", "tcp", 1)
	assert.Equal(t, seen{"tcp", 0, 1}, <-came)
}
