//go:build !noquic

package multistream

import (
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/ngtcp2"
	"github.com/ngmq/ngmq/server"
	"github.com/ngmq/ngmq/server/internal/mqtttest"
)

// Other wire models than several data streams: streams of the client alone, a client per
// stream, one stream.

// A client publishes on unidirectional streams, with or without a flow header, and has the
// acknowledgements on control.
func TestUnidirectionalStreams(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{})
	headers := map[string][]byte{
		"no header":   nil,
		"header":      {0x12, 2, 0, 0},
		"long header": {0x12, 0xC0, 0, 0, 0, 0, 0, 0, 9, 0x80, 0, 1, 0, 0x71},
	}
	for name, header := range headers {
		t.Run(name, func(t *testing.T) {
			eachQoS(t, func(t *testing.T, pub, sub byte) {
				c, _ := s.connect(t, t.Name())
				data := c.stream()
				data.Subscribe("t/"+t.Name(), sub)
				for n := range 3 {
					id := uint16(n + 1)
					uni := c.l.open(t, true, header)
					uni.Write(encode(message("t/"+t.Name(), fmt.Sprint(n), pub, id)))
					if n == 1 {
						uni.Close() // a stream for each message
					}
					switch pub {
					case 1:
						assert.Equal(t, id, mqtttest.Expect[*packet.Puback](c.Client).PacketID)
					case 2:
						assert.Equal(t, id, mqtttest.Expect[*packet.Pubrec](c.Client).PacketID)
						if n == 0 {
							uni.Write(encode(&packet.Pubrel{PacketID: id}))
						} else {
							c.Send(&packet.Pubrel{PacketID: id})
						}
						assert.Equal(t, packet.Success, mqtttest.Expect[*packet.Pubcomp](c.Client).ReasonCode)
					}
					data.ExpectMessage("t/"+t.Name(), fmt.Sprint(n))
				}
			})
		})
	}
}

func TestWhatIsWrongOnAUnidirectionalStream(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{})
	cases := map[string]struct {
		bytes []byte
		code  packet.ReasonCode
	}{
		"SUBSCRIBE":      {encode(&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: "t"}}}), packet.ProtocolError},
		"PINGREQ":        {encode(&packet.Pingreq{}), packet.ProtocolError},
		"zero bytes":     {[]byte{0, 0}, packet.MalformedPacket},
		"control header": {[]byte{0x11, 0, 0}, packet.MalformedPacket},
		"more headers":   {[]byte{0x12, 0, 0, 0x80}, packet.MalformedPacket},
		"two headers":    {[]byte{0x12, 0, 0, 0, 0x12, 0, 0, 0}, packet.MalformedPacket},
	}
	c, _ := s.connect(t, "c")
	for name, bad := range cases {
		t.Run(name, func(t *testing.T) {
			c.l.open(t, true, bad.bytes).expectStopped(t, bad.code)
			c.Ping()
		})
	}
}

// Every stream that begins with CONNECT is a client of its own.
func TestStreamClients(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{StreamClients: true})
	watch := s.over(t, "tcp")
	watch.ConnectAs("watch")
	watch.Subscribe("will", 0)
	c, _ := s.connect(t, "first")
	var clients []*mqtttest.Client
	for i := range 5 {
		m := c.stream()
		m.Connect(withWill(&packet.Connect{ClientID: fmt.Sprint("client ", i), CleanStart: true}))
		m.Subscribe(fmt.Sprint("t/", i), 2)
		clients = append(clients, m)
	}
	data := c.stream() // of the first one
	data.Subscribe("t/0", 1)
	c.Publish("t/0", "both", 2)
	data.ExpectMessage("t/0", "both")
	clients[0].ExpectMessage("t/0", "both")
	assert.EqualValues(t, 7, s.Stats().Clients)

	clients[0].Send(&packet.Disconnect{})
	assert.ErrorIs(t, raw(clients[0]).wait(t), io.EOF)
	raw(clients[1]).Close()
	watch.ExpectMessage("will", "client 1")
	raw(clients[2]).abort(1)
	watch.ExpectMessage("will", "client 2")
	clients[3].Raw([]byte{0, 0})
	assert.Equal(t, packet.MalformedPacket, mqtttest.Expect[*packet.Disconnect](clients[3]).ReasonCode)
	watch.ExpectMessage("will", "client 3")
	other := s.over(t, "tcp")
	other.Connect(&packet.Connect{ClientID: "first"})
	assert.Equal(t, packet.SessionTakenOver, mqtttest.Expect[*packet.Disconnect](c.Client).ReasonCode)
	assert.ErrorIs(t, raw(c.Client).wait(t), io.EOF)
	clients[4].Publish("t/4", "still here", 0)
	clients[4].ExpectMessage("t/4", "still here")
	late := c.stream()
	late.Connect(&packet.Connect{ClientID: "late", CleanStart: true})
	clients[4].Send(&packet.Disconnect{})
	clients[4].ExpectEnd()
	late.Ping()
	late.Send(&packet.Disconnect{})
	late.ExpectEnd()
	assert.Equal(t, server.CodeNormal, closedWith(t, c.l))
	require.Eventually(t, func() bool { return s.Stats().Connections == 2 }, mqtttest.Patience, time.Millisecond)
}

// Streams that are clients of their own are no data streams, and a client that is gone has
// none, whatever its connection opens.
func TestStreamsAreCounted(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{StreamClients: true})
	c, _ := s.connect(t, "first")
	own := c.stream()
	own.ConnectAs("own")
	assert.Zero(t, s.Stats().Streams)
	data := c.stream()
	data.Ping()
	assert.EqualValues(t, 1, s.Stats().Streams)
	c.Send(&packet.Disconnect{})
	s.eventually(t, "the client is gone", func(x server.Stats) bool { return x.Clients == 1 })
	late := c.l.open(t, false, encode(&packet.Pingreq{}))
	own.Ping()
	late.Close()
	own.Ping()
	assert.Zero(t, s.Stats().Streams)
}

// A stream's client counts like any other, and goes with the connection.
func TestStreamClientsAreLimited(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{StreamClients: true, Limits: server.Limits{MaxConnections: 2}})
	c, _ := s.connect(t, "first")
	second := c.stream()
	second.ConnectAs("second")
	third := c.stream()
	third.Send(&packet.Connect{ClientID: "third", CleanStart: true})
	assert.Equal(t, reset{server.CodeOverloaded}, raw(third).wait(t))
	second.Ping()
	c.l.cut()
	require.Eventually(t, func() bool { return s.Stats().Connections == 0 }, mqtttest.Patience, time.Millisecond)
}

func TestSingleSubscription(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{SingleSubscription: true})
	c, _ := s.connect(t, "c")
	a, b := c.stream(), c.stream()
	a.Subscribe("t", 2)
	b.Subscribe("t", 2)
	c.Publish("t", "one copy", 2)
	b.ExpectMessage("t", "one copy")
	a.Ping()
	c.Ping()
}

func TestControlStreamAlone(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{Limits: server.Limits{MaxStreams: -1, MaxUniStreams: -1}})
	c, _ := s.connect(t, "c")
	var bidi, uni error
	c.l.on(func() {
		_, bidi = c.l.conn.OpenStream()
		_, uni = c.l.conn.OpenUniStream()
	})
	assert.ErrorIs(t, bidi, ngtcp2.ErrStreamIDBlocked)
	assert.ErrorIs(t, uni, ngtcp2.ErrStreamIDBlocked)
	c.Subscribe("t", 2)
	c.Publish("t", "x", 1)
	c.ExpectMessage("t", "x")
}
