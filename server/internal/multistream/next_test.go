//go:build !noquic

package multistream

import (
	"context"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
	"github.com/ngmq/ngmq/server"
	"github.com/ngmq/ngmq/server/internal/listener/quic"
	"github.com/ngmq/ngmq/server/internal/mqtttest"
)

// MQTT-next: flow headers.

// Flags of a flow header.
const (
	flagClean   = 1 << 0
	flagAbort   = 1 << 1
	flagReset   = 1 << 2 // an error costs the flow
	flagRecover = 2 << 2 // an error costs the stream
	flagQoS     = 1 << 4
	flagAlias   = 1 << 5
	flagSubs    = 1 << 6
)

// next is a server with MQTT-next.
func next(t testing.TB, cfg server.Config) *running {
	t.Helper()
	cfg.MQTTNext = server.MQTTNextOn
	return start(t, cfg)
}

// flow opens the bidirectional stream of a flow of the client.
func (c *client) flow(id, expiry, flags byte) *mqtttest.Client {
	c.t.Helper()
	return mqtttest.New(c.t, c.l.open(c.t, false, []byte{0x12, id, expiry, flags}), c.version)
}

// expectRefused waits until the server has reset the stream, both ways, with a code.
func expectRefused(t testing.TB, st *stream, code uint64) {
	t.Helper()
	assert.Equal(t, reset{code}, st.wait(t))
	st.expectStopped(t, packet.ReasonCode(code))
}

// With the option off nothing of it is on the wire.
func TestNextIsOff(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{})
	s.trust = s.offers(t, "MQTT-next", "mqtt")
	c, _ := s.connect(t, "c")
	assert.Equal(t, "mqtt", c.l.conn.TLS().ALPN)
	expectRefused(t, raw(c.flow(2, 0, 0)), uint64(packet.MalformedPacket))
	ctx, cancel := context.WithTimeout(context.Background(), mqtttest.Patience)
	defer cancel()
	_, err := s.clients.Dial(ctx, s.Addrs().QUIC[0].String(), endpoint.DialConfig{TLS: s.offers(t, "MQTT-next"), Handler: &link{closed: make(chan struct{})}})
	assert.Error(t, err)
}

// The server prefers MQTT-next, and serves clients that do not know it as ever.
func TestNextIsNegotiated(t *testing.T) {
	t.Parallel()
	s := next(t, server.Config{})
	c, _ := s.connect(t, "new")
	assert.Equal(t, "MQTT-next", c.l.conn.TLS().ALPN)
	s.trust = s.offers(t, "mqtt")
	old, _ := s.connect(t, "old")
	assert.Equal(t, "mqtt", old.l.conn.TLS().ALPN)
	expectRefused(t, raw(old.flow(2, 0, 0)), uint64(packet.MalformedPacket))
	data := old.stream()
	data.Subscribe("t", 1)
	c.Publish("t", "x", 1)
	data.ExpectMessage("t", "x")
}

func TestNextControlHeader(t *testing.T) {
	t.Parallel()
	s := next(t, server.Config{})
	for name, header := range map[string][]byte{"none": nil, "short": {0x11, 0, 0}, "long": {0x11, 0xC0, 0, 0, 0, 0, 0, 0, 0, 0x7F}} {
		t.Run(name, func(t *testing.T) {
			l := dialLink(t, s)
			c := &client{mqtttest.New(t, l.open(t, false, header), packet.V50), t, l, packet.V50}
			c.ConnectAs(t.Name())
			c.Subscribe("t", 1)
			c.Publish("t", "x", 1)
			c.ExpectMessage("t", "x")
		})
	}
	t.Run("in pieces", func(t *testing.T) {
		l := dialLink(t, s)
		st := l.open(t, false, []byte{0x11})
		st.Write([]byte{0x40})
		st.Write([]byte{0})
		c := mqtttest.New(t, st, packet.V50)
		c.Raw([]byte{0})
		c.ConnectAs(t.Name())
	})
	for name, header := range map[string][]byte{
		"id": {0x11, 2, 0}, "optional headers": {0x11, 0, 0x80}, "data flow": {0x12, 2, 0, 0}, "user flow": {0x14}, "unknown": {0x1F},
	} {
		t.Run(name, func(t *testing.T) {
			l := dialLink(t, s)
			l.open(t, false, append(header, encode(lasting("c"))...))
			assert.Equal(t, server.CodeFlowError, closedWith(t, l))
		})
	}
}

// Streams with and without a header, both ways and of the client alone.
func TestNextDataFlows(t *testing.T) {
	t.Parallel()
	s := next(t, server.Config{})
	headers := map[string][]byte{
		"none":  nil,
		"short": {0x12, 2, 0, 0},
		"long":  {0x12, 0xC0, 0, 0, 0, 0, 0, 0, 4, 0xC0, 0, 0, 0, 0, 0, 1, 0, flagRecover},
	}
	for name, header := range headers {
		t.Run(name, func(t *testing.T) {
			c, _ := s.connect(t, t.Name())
			st := c.l.open(t, false, nil)
			for _, b := range header {
				st.Write([]byte{b})
				c.Ping() // so that each comes in a datagram of its own
			}
			data := mqtttest.New(t, st, packet.V50)
			data.Subscribe(t.Name(), 2)
			data.Publish("elsewhere", "x", 2)
			c.Publish(t.Name(), "bidi", 2)
			data.ExpectMessage(t.Name(), "bidi")
			uni := c.l.open(t, true, header)
			uni.Write(encode(message(t.Name(), "uni", 1, 1)))
			uni.Close()
			mqtttest.Expect[*packet.Puback](c.Client)
			data.ExpectMessage(t.Name(), "uni")
			raw(data).Close()
			assert.ErrorIs(t, raw(data).wait(t), io.EOF)
			c.Ping()
		})
	}
}

// A flow that the server does not serve is refused, and it alone.
func TestNextRefuses(t *testing.T) {
	t.Parallel()
	s := next(t, server.Config{})
	cases := map[string]struct {
		bytes []byte
		code  uint64
	}{
		"control flow":       {[]byte{0x11, 0, 0}, quic.FlowStreamType},
		"server flow":        {[]byte{0x13, 3, 0, 0}, quic.FlowNotOwner},
		"user flow":          {[]byte{0x14, 'h', 'i'}, quic.FlowRefused},
		"unknown flow":       {[]byte{0x15}, quic.FlowStreamType},
		"zero id":            {[]byte{0x12, 0, 0, 0}, quic.FlowBadID},
		"odd id":             {[]byte{0x12, 3, 0, 0}, quic.FlowNotOwner},
		"optional headers":   {[]byte{0x12, 2, 0, 0x80, 1}, quic.FlowOptionalHeader},
		"aliases":            {[]byte{0x12, 2, 0, flagAlias}, quic.FlowPersistentTopic},
		"reserved tolerance": {[]byte{0x12, 2, 0, flagReset | flagRecover}, quic.FlowRefused},
		"huge odd id":        {[]byte{0x12, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0}, quic.FlowNotOwner},
	}
	c, _ := s.connect(t, "c")
	other := c.flow(20, 0, 0)
	for name, bad := range cases {
		t.Run(name, func(t *testing.T) {
			expectRefused(t, c.l.open(t, false, bad.bytes), bad.code)
			c.l.open(t, true, bad.bytes).expectStopped(t, packet.ReasonCode(bad.code))
			other.Ping()
			c.Ping()
		})
	}
	for name, cut := range map[string][]byte{"cut header": {0x12, 0x40}, "cut packet": {0x12, 2, 0, 0, 0x30, 9, 0}} {
		t.Run(name, func(t *testing.T) {
			st := c.l.open(t, false, cut)
			st.Close()
			assert.Equal(t, reset{quic.FlowIncompletePacket}, st.wait(t))
			other.Ping()
		})
	}
}

// What an error costs is for the client to say.
func TestNextTolerance(t *testing.T) {
	t.Parallel()
	s := next(t, server.Config{})
	c, _ := s.connect(t, "c")
	none := c.stream()
	none.Raw([]byte{0, 0})
	expectRefused(t, raw(none), uint64(packet.MalformedPacket))
	for flags, code := range map[byte]uint64{flagReset: quic.FlowCancelled, flagRecover: quic.FlowPacketCancelled} {
		data := c.flow(2, 0, flags)
		data.Ping()
		data.Raw([]byte{0, 0})
		expectRefused(t, raw(data), code)
		c.Ping()
	}
	data := c.flow(4, 0, 0)
	data.Ping()
	data.Raw([]byte{0, 0})
	assert.Equal(t, packet.MalformedPacket, mqtttest.Expect[*packet.Disconnect](c.Client).ReasonCode)
	assert.Equal(t, server.CodeFlowError, closedWith(t, c.l))
	require.Equal(t, "NOT_FLOW_OWNER", server.FlowCodes[quic.FlowNotOwner].Name)
}

// A client that opens the stream of a flow again has given up the earlier one, of which it
// may not have heard.
func TestNextFlowOpenedTwice(t *testing.T) {
	t.Parallel()
	s := next(t, server.Config{})
	c, _ := s.connect(t, "c")
	first := c.flow(2, 0, 0)
	first.Subscribe("t", 1)
	second := c.flow(2, 0, 0)
	second.Ping()
	expectRefused(t, raw(first), quic.FlowPacketCancelled)
	second.Subscribe("t", 1)
	c.Publish("t", "x", 1)
	second.ExpectMessage("t", "x")
	for range 2 { // of the client alone: nothing is in the way
		uni := c.l.open(t, true, []byte{0x12, 2, 0, 0})
		uni.Write(encode(message("t", "uni", 0, 0)))
		second.ExpectMessage("t", "uni")
	}
}

// Flows that tolerate no error and are not read cost the connection, once.
func TestNextFlowsAreNotRead(t *testing.T) {
	t.Parallel()
	for flags, code := range map[byte]uint64{0: 0, flagReset: quic.FlowCancelled} {
		s := next(t, server.Config{Limits: server.Limits{MaxQueuedMessages: 10, QueuePolicy: server.DropClient}})
		from := s.publisher(t)
		c, _ := s.connect(t, "c")
		var flows []*mqtttest.Client
		for id := range byte(3) {
			f := c.flow(2+2*id, 0, flags)
			f.Subscribe("t", 1)
			flows = append(flows, f)
		}
		const enough = 200 // for the windows, what is buffered, and the queues
		for range enough {
			from.Send(message("t", strings.Repeat("x", 50_000), 0, 0))
		}
		from.Ping()
		if code == 0 {
			assert.Equal(t, server.CodeFlowError, closedWith(t, c.l))
			s.eventually(t, "the client is gone", func(x server.Stats) bool { return x.Clients == 1 && x.Streams == 0 })
			continue
		}
		for _, f := range flows {
			raw(f).expectStopped(t, packet.ReasonCode(code))
		}
		c.Ping()
	}
}
