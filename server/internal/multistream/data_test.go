//go:build !noquic

package multistream

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/server"
	"github.com/ngmq/ngmq/server/internal/mqtttest"
)

func TestSubscribeOnDataStreamPublishOnControl(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{})
	eachQoS(t, func(t *testing.T, pub, sub byte) {
		c, _ := s.connect(t, t.Name())
		data := c.stream()
		data.Subscribe("t", sub)
		c.Publish("t", "hello", pub)
		got := data.ExpectMessage("t", "hello")
		assert.Equal(t, min(pub, sub), got.QoS)
		data.Ping()
		c.Ping()
		assert.Zero(t, c.l.opened, "the server opens no stream")
		c.Send(&packet.Disconnect{})
		c.ExpectEnd()
	})
}

func TestFivePublishingStreams(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{})
	const streams, messages = 5, 100
	eachQoS(t, func(t *testing.T, pub, sub byte) {
		c, _ := s.connect(t, t.Name())
		to := s.over(t, "tcp")
		to.ConnectAs("to " + t.Name())
		to.Subscribe(t.Name()+"/#", sub)
		var batch [streams][]byte
		for i := range batch {
			for n := range messages {
				p := message(fmt.Sprintf("%s/%d", t.Name(), i), fmt.Sprint(n), pub, uint16(n+1))
				batch[i] = p.AppendTo(batch[i], packet.V50)
			}
		}
		var clients [streams]*mqtttest.Client
		for i := range clients {
			clients[i] = c.stream()
			clients[i].Raw(batch[i])
		}
		next := [streams]int{}
		for _, got := range receive(t, to, streams*messages) {
			i := got.Topic[len(got.Topic)-1] - '0'
			assert.Equal(t, fmt.Sprint(next[i]), string(got.Payload), "the order of a stream")
			next[i]++
		}
		for _, from := range clients {
			acknowledged(t, from, pub, messages)
		}
	})
}

// acknowledged waits for the acknowledgements of n messages, whose identifiers begin
// with 1.
func acknowledged(t *testing.T, from *mqtttest.Client, qos byte, n uint16) {
	t.Helper()
	for id := uint16(1); id <= n; id++ {
		switch qos {
		case 1:
			assert.Equal(t, id, mqtttest.Expect[*packet.Puback](from).PacketID)
		case 2:
			assert.Equal(t, id, mqtttest.Expect[*packet.Pubrec](from).PacketID)
		}
	}
	for id := uint16(1); id <= n && qos == 2; id++ {
		from.Send(&packet.Pubrel{PacketID: id})
		assert.Equal(t, packet.Success, mqtttest.Expect[*packet.Pubcomp](from).ReasonCode)
	}
}

func TestParallelPublishesInAnyOrder(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{})
	c, _ := s.connect(t, "c")
	c.Subscribe("#", 0)
	clients := []*mqtttest.Client{c.stream(), c.stream(), c.stream(), c.stream()}
	var all sync.WaitGroup
	for i, from := range clients {
		all.Go(func() {
			for n := range 20 {
				from.Publish(fmt.Sprint("t/", i), fmt.Sprint(n), byte(n%3))
			}
		})
	}
	next := map[string]int{}
	for range 20 * len(clients) {
		got := c.Receive()
		assert.Equal(t, fmt.Sprint(next[string(got.Topic)]), string(got.Payload))
		next[string(got.Topic)]++
	}
	all.Wait()
}

func TestIncompletePacketBlocksNoOtherStream(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{})
	c, _ := s.connect(t, "c")
	c.Subscribe("#", 2)
	slow, fast := c.stream(), c.stream()
	p := message("slow", "late", 1, 1).AppendTo(nil, packet.V50)
	slow.Raw(p[:5])
	for n := range 10 {
		fast.Publish("fast", fmt.Sprint(n), 2)
		c.ExpectMessage("fast", fmt.Sprint(n))
	}
	slow.Raw(p[5:])
	c.ExpectMessage("slow", "late")
	mqtttest.Expect[*packet.Puback](slow)
}

func TestSmallAndLargePacketsOnOneStream(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{})
	large := strings.Repeat("0123456789abcdef", 50_000) // 0.8 MB
	eachQoS(t, func(t *testing.T, pub, sub byte) {
		c, _ := s.connect(t, t.Name())
		data := c.stream()
		data.Subscribe(t.Name(), sub)
		from := c.stream()
		for _, payload := range []string{"small", "small too", large, "after"} {
			from.Publish(t.Name(), payload, pub)
			data.ExpectMessage(t.Name(), payload)
		}
	})
}

// damaged sends bytes on a data stream and checks that the server resets it, and it alone.
func damaged(t *testing.T, s *running, bytes []byte, code packet.ReasonCode) {
	c, _ := s.connect(t, t.Name())
	other := c.stream()
	other.Subscribe("t", 1)
	data := c.stream()
	data.Ping()
	data.Raw(bytes)
	assert.Equal(t, reset{uint64(code)}, raw(data).wait(t))
	raw(data).expectStopped(t, code)
	other.Publish("t", "still here", 1)
	other.ExpectMessage("t", "still here")
	c.Ping()
	c.stream().Ping()
}

func TestWhatIsWrongOnADataStreamResetsItAlone(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{Limits: server.Limits{MaxPacketSize: 100_000}})
	connect := encode(&packet.Connect{ClientID: "another"})
	cases := map[string]struct {
		bytes []byte
		code  packet.ReasonCode
	}{
		"zero bytes":         {make([]byte, 10), packet.MalformedPacket},
		"CONNECT":            {connect, packet.ProtocolError},
		"flow header":        {[]byte{0x12, 1, 0}, packet.MalformedPacket},
		"AUTH":               {encode(&packet.Auth{ReasonCode: packet.Reauthenticate}), packet.ProtocolError},
		"DISCONNECT":         {encode(&packet.Disconnect{}), packet.ProtocolError},
		"SUBACK":             {[]byte{0x90, 4, 0, 1, 0, 0}, packet.ProtocolError},
		"too large":          {encode(message("t", strings.Repeat("x", 100_000), 0, 0)), packet.PacketTooLarge},
		"alias out of range": {encode(&packet.Publish{Topic: []byte("t"), Properties: packet.AppendUint16(nil, packet.TopicAlias, 1000)}), packet.TopicAliasInvalid},
		"unknown alias":      {encode(&packet.Publish{Properties: packet.AppendUint16(nil, packet.TopicAlias, 1)}), packet.ProtocolError},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) { damaged(t, s, c.bytes, c.code) })
	}
}

func encode(packets ...packet.Packet) (b []byte) {
	for _, p := range packets {
		b = p.AppendTo(b, packet.V50)
	}
	return b
}

func TestTwoSubscribingAndTwoPublishingStreams(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{})
	eachQoS(t, func(t *testing.T, pub, sub byte) {
		c, _ := s.connect(t, t.Name())
		a, b := c.stream(), c.stream()
		a.Subscribe(t.Name()+"/a", sub)
		b.Subscribe(t.Name()+"/b", sub)
		from, also := c.stream(), c.stream()
		for n := range 10 {
			from.Publish(t.Name()+"/a", fmt.Sprint("a", n), pub)
			also.Publish(t.Name()+"/b", fmt.Sprint("b", n), pub)
			a.ExpectMessage(t.Name()+"/a", fmt.Sprint("a", n))
			b.ExpectMessage(t.Name()+"/b", fmt.Sprint("b", n))
		}
	})
}

func TestDuplicateSubscriptionOnTwoStreams(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{})
	eachQoS(t, func(t *testing.T, pub, sub byte) {
		c, _ := s.connect(t, t.Name())
		a, b := c.stream(), c.stream()
		a.Subscribe(t.Name(), sub)
		b.Subscribe(t.Name(), sub)
		c.Publish(t.Name(), "two copies", pub)
		a.ExpectMessage(t.Name(), "two copies")
		b.ExpectMessage(t.Name(), "two copies")
		raw(a).Close()
		require.Error(t, raw(a).wait(t))
		c.Publish(t.Name(), "one copy", pub)
		b.ExpectMessage(t.Name(), "one copy")
		c.Ping() // there is none on control
		b.Ping()
	})
}

func TestTwoPublishesOnOneStreamKeepTheirOrder(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{})
	eachQoS(t, func(t *testing.T, pub, sub byte) {
		c, _ := s.connect(t, t.Name())
		to := c.stream()
		to.Subscribe(t.Name(), sub)
		from := c.stream()
		from.Raw(encode(message(t.Name(), "1", pub, 1), message(t.Name(), "2", pub, 2)))
		assert.Equal(t, []string{"1", "2"}, texts(receive(t, to, 2)))
		acknowledged(t, from, pub, 2)
	})
}

func TestUnsubscribe(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{})
	eachQoS(t, func(t *testing.T, pub, sub byte) {
		c, _ := s.connect(t, t.Name())
		a, b := c.stream(), c.stream()
		quiet := func() {
			c.Publish(t.Name(), "nobody", pub)
			a.Ping()
			b.Ping()
		}
		a.Subscribe(t.Name(), sub)
		assert.Equal(t, packet.NoSubscriptionExisted, unsubscribe(b, t.Name()), "another stream")
		c.Publish(t.Name(), "still", pub)
		a.ExpectMessage(t.Name(), "still")
		assert.Equal(t, packet.Success, unsubscribe(a, t.Name()), "the same stream")
		quiet()
		a.Subscribe(t.Name(), sub)
		b.Subscribe(t.Name(), sub)
		assert.Equal(t, packet.Success, unsubscribe(c.Client, t.Name()), "control: all streams")
		quiet()
		assert.Equal(t, packet.NoSubscriptionExisted, unsubscribe(c.Client, t.Name()))
	})
}

// What is queued before the CONNECT has been answered waits for that, in flow control.
func TestPublishBeforeTheConnack(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{})
	large := strings.Repeat("x", 800_000)
	eachQoS(t, func(t *testing.T, pub, sub byte) {
		to := s.over(t, "tcp")
		to.ConnectAs("to " + t.Name())
		to.Subscribe(t.Name(), sub)
		c := s.dial(t, packet.V50)
		data := mqtttest.New(t, c.l.open(t, false, encode(message(t.Name(), large, pub, 1), message(t.Name(), "small", pub, 2))), packet.V50)
		c.Connect(lasting(t.Name()))
		assert.Equal(t, []string{large, "small"}, texts(receive(t, to, 2)))
		acknowledged(t, data, pub, 2)
		data.Publish(t.Name(), "after", pub)
		to.ExpectMessage(t.Name(), "after")
	})
}
