//go:build !noquic

package multistream

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/ngtcp2"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
	"github.com/ngmq/ngmq/server"
	"github.com/ngmq/ngmq/server/internal/mqtttest"
)

// Behaviour that no other broker has a test for.

func TestSamePacketIdentifierOnTwoStreams(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{})
	c, _ := s.connect(t, "c")
	a, b := c.stream(), c.stream()
	a.Subscribe("a", 2)
	b.Subscribe("b", 2)
	c.Subscribe("in", 2)
	for qos := byte(1); qos <= 2; qos++ {
		a.Send(message("in", "a", qos, 5))
		b.Send(message("in", "b", qos, 5))
		assert.ElementsMatch(t, []string{"a", "b"}, texts(receive(t, c.Client, 2)))
		for _, from := range []*mqtttest.Client{a, b} {
			acknowledgedAs(t, from, qos, 5)
		}
		s.Publish(server.Publication{Topic: "a", Payload: []byte("a"), QoS: qos})
		s.Publish(server.Publication{Topic: "b", Payload: []byte("b"), QoS: qos})
		onA, onB := mqtttest.Expect[*packet.Publish](a), mqtttest.Expect[*packet.Publish](b)
		assert.NotEqual(t, onA.PacketID, onB.PacketID, "those of the server are the session's")
		for _, from := range []*mqtttest.Client{a, b} {
			id := onA.PacketID
			if from == b {
				id = onB.PacketID
			}
			if qos == 1 {
				from.Send(&packet.Puback{PacketID: id})
				continue
			}
			from.Send(&packet.Pubrec{PacketID: id})
			assert.Equal(t, id, mqtttest.Expect[*packet.Pubrel](from).PacketID)
			from.Send(&packet.Pubcomp{PacketID: id})
		}
	}
}

// acknowledgedAs is acknowledged for one message.
func acknowledgedAs(t *testing.T, from *mqtttest.Client, qos byte, id uint16) {
	t.Helper()
	if qos == 1 {
		assert.Equal(t, id, mqtttest.Expect[*packet.Puback](from).PacketID)
		return
	}
	assert.Equal(t, id, mqtttest.Expect[*packet.Pubrec](from).PacketID)
	from.Send(&packet.Pubrel{PacketID: id})
	ack := mqtttest.Expect[*packet.Pubcomp](from)
	assert.Equal(t, id, ack.PacketID)
	assert.Equal(t, packet.Success, ack.ReasonCode)
}

// A client sends again on control, after a reconnect, what it sent on data streams.
func TestResentOnControlAfterReconnect(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{})
	watch := s.over(t, "tcp")
	watch.ConnectAs("watch")
	watch.Subscribe("t", 2)
	c, _ := s.connect(t, "c")
	data, other := c.stream(), c.stream()
	data.Send(message("t", "QoS 1", 1, 1))
	mqtttest.Expect[*packet.Puback](data)
	data.Send(message("t", "before PUBREC", 2, 2))
	mqtttest.Expect[*packet.Pubrec](data)
	other.Send(message("t", "after PUBREC", 2, 3))
	mqtttest.Expect[*packet.Pubrec](other)
	other.Send(&packet.Pubrel{PacketID: 3})
	mqtttest.Expect[*packet.Pubcomp](other)
	assert.ElementsMatch(t, []string{"QoS 1", "before PUBREC", "after PUBREC"}, texts(receive(t, watch, 3)))
	c.l.cut()
	c, _ = s.connect(t, "c")
	again := func(payload string, qos byte, id uint16) {
		p := message("t", payload, qos, id)
		p.Dup = true
		c.Send(p)
	}
	again("QoS 1", 1, 1)
	mqtttest.Expect[*packet.Puback](c.Client)
	again("before PUBREC", 2, 2)
	acknowledgedAs(t, c.Client, 2, 2)
	c.Send(&packet.Pubrel{PacketID: 3})
	assert.Equal(t, packet.PacketIdentifierNotFound, mqtttest.Expect[*packet.Pubcomp](c.Client).ReasonCode)
	c.Publish("t", "end", 2)
	assert.Equal(t, []string{"QoS 1", "end"}, texts(receive(t, watch, 2)), "QoS 2 exactly once")
}

func TestKeepAliveWithTrafficOnDataStreamsOnly(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{})
	c := s.dial(t, packet.V50)
	for seconds := uint16(1); !keptAlive(t, c, seconds); seconds++ {
		require.Less(t, seconds, uint16(6), "this machine is too busy")
		c = s.dial(t, packet.V50)
	}
	assert.Equal(t, packet.KeepAliveTimeout, mqtttest.Expect[*packet.Disconnect](c.Client).ReasonCode)
}

// keptAlive connects with a keep alive and pings for longer than that on a data stream.
// false: it was not done in time, and the server may have ended the connection.
func keptAlive(t *testing.T, c *client, seconds uint16) bool {
	last, interval := time.Now(), time.Duration(seconds)*time.Second
	c.Send(&packet.Connect{ClientID: "c", CleanStart: true, KeepAlive: seconds})
	data := c.stream()
	for begin := last; time.Since(begin) < interval*5/2; {
		before := last
		last = time.Now()
		data.Conn().Write(encode(&packet.Pingreq{}))
		_, err := data.Read()
		if time.Since(before) > interval*14/10 {
			return false
		}
		require.NoError(t, err, "taken for silent")
		select {
		case <-c.l.closed:
		case <-time.After(200 * time.Millisecond):
		}
	}
	mqtttest.Expect[*packet.Connack](c.Client)
	return true
}

// A subscribing stream that is not read fills its windows and its queue, and stops no
// other one; what has been kept for it comes when it is read.
func TestStalledSubscribingStream(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{Limits: server.Limits{MaxQueuedMessages: 200}})
	eachQoS(t, func(t *testing.T, pub, sub byte) {
		c, _ := s.connect(t, t.Name())
		from := s.over(t, "tcp")
		from.ConnectAs("from " + t.Name())
		stalled, runs := c.stream(), c.stream()
		stalled.Subscribe(t.Name()+"/stalled", sub)
		runs.Subscribe(t.Name()+"/runs", sub)
		c.Subscribe(t.Name()+"/control", sub)
		large := strings.Repeat("x", 10_000)
		for range 300 { // 3 MB
			from.Publish(t.Name()+"/stalled", large, pub)
		}
		for n := range 50 {
			from.Publish(t.Name()+"/runs", fmt.Sprint(n), pub)
			runs.ExpectMessage(t.Name()+"/runs", fmt.Sprint(n))
			from.Publish(t.Name()+"/control", fmt.Sprint(n), pub)
			c.ExpectMessage(t.Name()+"/control", fmt.Sprint(n))
		}
		for _, m := range receive(t, stalled, 100) { // half of the queue, and what is in the windows
			assert.Equal(t, large, string(m.Payload))
		}
		c.l.cut()
	})
}

func TestMoreStreamsThanTheLimit(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{})
	c, _ := s.connect(t, "c")
	open := []*mqtttest.Client{}
	for range 63 { // and the control stream
		open = append(open, c.stream())
	}
	for i, data := range open {
		data.Subscribe(fmt.Sprint("t/", i), 1)
	}
	var err error
	c.l.on(func() { _, err = c.l.conn.OpenStream() })
	assert.ErrorIs(t, err, ngtcp2.ErrStreamIDBlocked)
	for range 200 { // they come back
		raw(open[0]).Close()
		require.Error(t, raw(open[0]).wait(t))
		var st *stream
		require.Eventually(t, func() bool {
			st = c.l.tryOpen()
			return st != nil
		}, mqtttest.Patience, time.Millisecond)
		open = append(open[1:], mqtttest.New(t, st, packet.V50))
		open[len(open)-1].Ping()
	}
}

// tryOpen opens a stream, if the server allows it now.
func (l *link) tryOpen() (st *stream) {
	l.on(func() {
		s, err := l.conn.OpenStream()
		if err == nil {
			st = &stream{l: l, s: s, changed: make(chan struct{}, 1), stopped: make(chan uint64, 1)}
			s.UserData = st
		}
	})
	return st
}

func TestConnectRefusedDropsWhatCameOnDataStreams(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{Handlers: server.Handlers{Connect: func(ev *server.ConnectEvent) error {
		if ev.Client.ID == "intruder" {
			return server.Refuse(packet.NotAuthorized, "go away")
		}
		return nil
	}}})
	watch := s.over(t, "tcp")
	watch.ConnectAs("watch")
	watch.Subscribe("t", 0)
	c := s.dial(t, packet.V50)
	data := c.l.open(t, false, encode(message("t", "from outside", 1, 1)))
	uni := c.l.open(t, true, encode(message("t", "from outside", 1, 1)))
	_ = uni
	c.Send(&packet.Connect{ClientID: "intruder"})
	assert.Equal(t, packet.NotAuthorized, mqtttest.Expect[*packet.Connack](c.Client).ReasonCode)
	assert.EqualValues(t, packet.NotAuthorized, closedWith(t, c.l))
	require.Error(t, data.wait(t))
	s.Publish(server.Publication{Topic: "t", Payload: []byte("end")})
	watch.ExpectMessage("t", "end")
}

func TestStreamsOpenedOutOfOrder(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{})
	c := s.dial(t, packet.V50) // stream 0
	first, second, third := c.stream(), c.stream(), c.stream()
	third.Send(&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: "t", QoS: 1}}})
	first.Send(&packet.Pingreq{})
	c.Connect(lasting("c"))
	mqtttest.Expect[*packet.Suback](third)
	mqtttest.Expect[*packet.Pingresp](first)
	second.Publish("t", "x", 2)
	third.ExpectMessage("t", "x")
}

func TestResetAndFinInMidPacket(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{})
	c, _ := s.connect(t, "c")
	c.Subscribe("t", 0)
	whole, cut := encode(message("t", "whole", 1, 1)), encode(message("t", "cut", 1, 2))
	faults := s.Stats().StreamFaults
	for name, end := range ways {
		if name == "abort receive" {
			continue
		}
		data := c.stream()
		data.Raw(whole)
		c.ExpectMessage("t", "whole")
		mqtttest.Expect[*packet.Puback](data)
		data.Raw(cut[:len(cut)-1])
		end(raw(data))
		if name == "gracefully" {
			require.Equal(t, reset{uint64(packet.MalformedPacket)}, raw(data).wait(t), "the end of a packet is missing")
			faults++
		}
		c.Ping()
		require.Equal(t, faults, s.Stats().StreamFaults)
	}
}

// A stream that the client ends inside a packet, or inside the header of a unidirectional
// one, is malformed; one that is empty is not. The connection lives on.
func TestFinInMidPacketIsCounted(t *testing.T) {
	t.Parallel()
	whole := encode(message("t", "whole", 0, 0))
	for name, c := range map[string]struct {
		bytes  []byte
		uni    bool
		faults uint64
	}{
		"nothing":           {nil, false, 0},
		"whole packets":     {slices.Concat(whole, whole), false, 0},
		"one byte":          {whole[:1], false, 1},
		"length":            {slices.Concat(whole, []byte{0x30, 0x80}), false, 1},
		"payload":           {slices.Concat(whole, whole[:len(whole)-1]), false, 1},
		"header alone":      {[]byte{0x12, 2, 0, 0}, true, 0},
		"part of a header":  {[]byte{0x12, 2}, true, 1},
		"header and part":   {slices.Concat([]byte{0x12, 2, 0, 0}, whole[:4]), true, 1},
		"header and packet": {slices.Concat([]byte{0x12, 2, 0, 0}, whole), true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, server.Config{})
			client, _ := s.connect(t, "c")
			st := client.l.open(t, c.uni, c.bytes)
			require.NoError(t, st.Close())
			require.Eventually(t, func() bool { return s.Stats().StreamFaults == c.faults && s.Stats().Streams == 0 },
				mqtttest.Patience, time.Millisecond)
			client.Ping()
		})
	}
}

// A client changes its port in the middle of QoS 2, both ways, on data streams.
func TestMigrationDuringQoS2(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{})
	c, _ := s.connect(t, "c")
	to, from := c.stream(), c.stream()
	to.Subscribe("t", 2)
	migrate := func() {
		ctx, cancel := context.WithTimeout(context.Background(), mqtttest.Patience)
		defer cancel()
		before := c.l.conn.LocalAddr().String()
		require.NoError(t, c.l.conn.Migrate(ctx, endpoint.Migration{}))
		assert.NotEqual(t, before, c.l.conn.LocalAddr().String())
	}
	from.Send(message("t", "x", 2, 1))
	mqtttest.Expect[*packet.Pubrec](from)
	got := mqtttest.Expect[*packet.Publish](to)
	migrate()
	from.Send(&packet.Pubrel{PacketID: 1})
	assert.Equal(t, packet.Success, mqtttest.Expect[*packet.Pubcomp](from).ReasonCode)
	to.Send(&packet.Pubrec{PacketID: got.PacketID})
	mqtttest.Expect[*packet.Pubrel](to)
	migrate()
	to.Send(&packet.Pubcomp{PacketID: got.PacketID})
	from.Publish("t", "y", 2)
	to.ExpectMessage("t", "y")
	c.Ping()
}
