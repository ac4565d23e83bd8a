//go:build !noquic

package multistream

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/server"
	"github.com/ngmq/ngmq/server/internal/mqtttest"
)

// MQTT 3.1.1 clients with several streams: the rules are those of 5.0, with acknowledgements
// that have no reason codes and sessions that last unless Clean Session is asked for.

// connect311 connects a 3.1.1 client with a session that lasts.
func (s *running) connect311(t testing.TB, id string) (*client, *packet.Connack) {
	t.Helper()
	c := s.dial(t, packet.V311)
	return c, c.Connect(&packet.Connect{ClientID: id})
}

// over311 connects a 3.1.1 client over another transport.
func (s *running) over311(t testing.TB, transport, id string) (*mqtttest.Client, *packet.Connack) {
	t.Helper()
	c := mqtttest.New(t, s.over(t, transport).Conn(), packet.V311)
	return c, c.Connect(&packet.Connect{ClientID: id})
}

// unsubscribe311 sends an UNSUBSCRIBE and waits for the UNSUBACK, which says nothing.
func unsubscribe311(c *mqtttest.Client, filter string) {
	c.Send(&packet.Unsubscribe{PacketID: 9, Filters: []string{filter}})
	mqtttest.Expect[*packet.Unsuback](c)
}

// Acknowledgements go on the stream of the PUBLISH, messages on that of the SUBSCRIBE, and an
// UNSUBSCRIBE ends what its stream has, on control everything.
func TestStreamsOf311(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{})
	eachQoS(t, func(t *testing.T, pub, sub byte) {
		c, _ := s.connect311(t, t.Name())
		in, other, from := c.stream(), c.stream(), c.stream()
		in.Subscribe(t.Name(), sub)
		from.Publish(t.Name(), "on its stream", pub)
		assert.Equal(t, min(pub, sub), in.ExpectMessage(t.Name(), "on its stream").QoS)
		unsubscribe311(other, t.Name())
		c.Publish(t.Name(), "still", pub)
		in.ExpectMessage(t.Name(), "still")
		unsubscribe311(in, t.Name())
		from.Publish(t.Name(), "nobody", pub)
		in.Subscribe(t.Name(), sub)
		other.Subscribe(t.Name(), sub)
		from.Publish(t.Name(), "two copies", pub)
		in.ExpectMessage(t.Name(), "two copies")
		other.ExpectMessage(t.Name(), "two copies")
		unsubscribe311(c.Client, t.Name())
		from.Publish(t.Name(), "nobody", pub)
		for _, st := range []*mqtttest.Client{in, other, from, c.Client} {
			st.Ping()
		}
		c.Send(&packet.Disconnect{})
		c.ExpectEnd()
	})
}

func TestSamePacketIdentifierOnTwoStreamsOf311(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{})
	c, _ := s.connect311(t, "c")
	a, b := c.stream(), c.stream()
	c.Subscribe("in", 2)
	for qos := byte(1); qos <= 2; qos++ {
		a.Send(message("in", "a", qos, 5))
		b.Send(message("in", "b", qos, 5))
		assert.ElementsMatch(t, []string{"a", "b"}, texts(receive(t, c.Client, 2)))
		acknowledgedAs(t, a, qos, 5)
		acknowledgedAs(t, b, qos, 5)
	}
}

// What is in flight on a stream that ends comes again on control; its subscriptions go.
func TestDataStreamOf311Ends(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{})
	for name, end := range ways {
		t.Run(name, func(t *testing.T) {
			c, _ := s.connect311(t, t.Name())
			data := c.stream()
			data.Subscribe(t.Name(), 2)
			from := s.publisher(t)
			from.Publish(t.Name(), "in flight", 1)
			from.Publish(t.Name(), "received", 2)
			first, second := mqtttest.Expect[*packet.Publish](data), mqtttest.Expect[*packet.Publish](data)
			data.Send(&packet.Pubrec{PacketID: second.PacketID})
			mqtttest.Expect[*packet.Pubrel](data)
			end(raw(data))
			again := mqtttest.Expect[*packet.Publish](c.Client)
			assert.True(t, again.Dup)
			assert.Equal(t, first.PacketID, again.PacketID)
			assert.Equal(t, "in flight", string(again.Payload))
			assert.Equal(t, second.PacketID, mqtttest.Expect[*packet.Pubrel](c.Client).PacketID)
			c.Send(&packet.Puback{PacketID: first.PacketID})
			c.Send(&packet.Pubcomp{PacketID: second.PacketID})
			from.Publish(t.Name(), "nobody", 1)
			c.Subscribe(t.Name(), 1)
			from.Publish(t.Name(), "once", 1)
			c.ExpectMessage(t.Name(), "once")
			c.Ping()
		})
	}
}

// A 3.1.1 client has no DISCONNECT that says why: its stream is reset with the reason.
func TestWhatIsWrongOnADataStreamOf311ResetsItAlone(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{})
	c, _ := s.connect311(t, "c")
	other := c.stream()
	other.Subscribe("t", 1)
	for name, wrong := range map[string]struct {
		bytes []byte
		code  packet.ReasonCode
	}{
		"zero bytes": {make([]byte, 4), packet.MalformedPacket},
		"CONNECT":    {(&packet.Connect{ClientID: "another"}).AppendTo(nil, packet.V311), packet.ProtocolError},
		"AUTH":       {[]byte{0xF0, 0}, packet.MalformedPacket},
		"QoS 3":      {[]byte{0x36, 5, 0, 1, 't', 0, 1}, packet.MalformedPacket},
	} {
		t.Run(name, func(t *testing.T) {
			data := c.stream()
			data.Ping()
			data.Raw(wrong.bytes)
			assert.Equal(t, reset{uint64(wrong.code)}, raw(data).wait(t))
			other.Publish("t", "still here", 1)
			other.ExpectMessage("t", "still here")
			c.Ping()
		})
	}
}

// A session with messages in flight on several streams, both ways, goes on over TCP, TLS and
// WebSocket, and then over QUIC again, where a SUBSCRIBE on a data stream moves what it had.
func TestSessionOf311GoesOnElsewhere(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{})
	for _, transport := range []string{"tcp", "tls", "ws"} {
		for _, takeover := range []bool{false, true} {
			name := transport + " after loss"
			if takeover {
				name = transport + " by takeover"
			}
			t.Run(name, func(t *testing.T) { elsewhere311(t, s, transport, takeover) })
		}
	}
}

func elsewhere311(t *testing.T, s *running, transport string, takeover bool) {
	watch := s.over(t, "tcp")
	watch.ConnectAs("watch " + t.Name())
	watch.Subscribe(t.Name()+"/up", 2)
	from := s.publisher(t)
	c, ack := s.connect311(t, t.Name())
	assert.False(t, ack.SessionPresent)
	down, up := c.stream(), c.stream()
	down.Subscribe(t.Name()+"/down", 2)
	from.Publish(t.Name()+"/down", "in flight", 2)
	sent := mqtttest.Expect[*packet.Publish](down)
	up.Send(message(t.Name()+"/up", "before PUBREC", 2, 2))
	mqtttest.Expect[*packet.Pubrec](up)
	watch.ExpectMessage(t.Name()+"/up", "before PUBREC")
	if !takeover {
		c.l.cut()
	}

	there, ack := s.over311(t, transport, t.Name())
	assert.True(t, ack.SessionPresent)
	if takeover { // without a DISCONNECT, which 3.1.1 does not know
		assert.EqualValues(t, packet.SessionTakenOver, closedWith(t, c.l))
	}
	again := mqtttest.Expect[*packet.Publish](there)
	assert.True(t, again.Dup)
	assert.Equal(t, sent.PacketID, again.PacketID)
	there.Send(&packet.Pubrec{PacketID: again.PacketID})
	mqtttest.Expect[*packet.Pubrel](there)
	there.Send(&packet.Pubcomp{PacketID: again.PacketID})
	dup := message(t.Name()+"/up", "before PUBREC", 2, 2)
	dup.Dup = true
	there.Send(dup)
	acknowledgedAs(t, there, 2, 2)
	there.Publish(t.Name()+"/up", "after", 2)
	watch.ExpectMessage(t.Name()+"/up", "after") // and nothing twice
	from.Publish(t.Name()+"/down", "on the byte stream", 2)
	there.ExpectMessage(t.Name()+"/down", "on the byte stream")
	there.Ping() // or the PUBREL comes again after the takeover

	c, ack = s.connect311(t, t.Name())
	assert.True(t, ack.SessionPresent)
	there.ExpectEnd()
	from.Publish(t.Name()+"/down", "on control", 2)
	c.ExpectMessage(t.Name()+"/down", "on control")
	down = c.stream()
	down.Subscribe(t.Name()+"/down", 2)
	from.Publish(t.Name()+"/down", "on its stream", 2)
	down.ExpectMessage(t.Name()+"/down", "on its stream")
	c.Ping() // no copy
}

// With Clean Session nothing of any stream is left.
func TestCleanSessionOf311(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{})
	c, _ := s.connect311(t, "c")
	data := c.stream()
	data.Subscribe("t", 2)
	s.publisher(t).Publish("t", "in flight", 1)
	mqtttest.Expect[*packet.Publish](data)
	c.l.cut()
	c = s.dial(t, packet.V311)
	assert.False(t, c.Connect(&packet.Connect{ClientID: "c", CleanStart: true}).SessionPresent)
	c.Ping()
	require.Zero(t, s.Stats().Subscriptions)
}

// Unidirectional streams, with a flow header and without, and datagrams are for any version.
func TestUnidirectionalStreamsAndDatagramsOf311(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{Datagrams: server.DatagramsAlways})
	c, _ := s.connect311(t, "c")
	c.Subscribe("t", 1)
	for id, header := range [][]byte{nil, {0x12, 2, 0, 0}} {
		p := message("t", "unidirectional", 1, uint16(id+1))
		c.l.open(t, true, p.AppendTo(header, packet.V311))
		ids, got := 0, 0
		for ids+got < 2 {
			switch p := must(t, c.Client).(type) {
			case *packet.Puback:
				assert.EqualValues(t, id+1, p.PacketID)
				ids++
			case *packet.Publish:
				c.Send(&packet.Puback{PacketID: p.PacketID})
				got++
			}
		}
	}
	c.datagram(message("t", "datagram", 0, 0))
	assert.Equal(t, "datagram", string(c.inDatagram().Payload))
}

// must gives the next packet.
func must(t *testing.T, c *mqtttest.Client) packet.Packet {
	t.Helper()
	p, err := c.Read()
	require.NoError(t, err)
	return p
}
