package stream

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/server/internal/broker"
	"github.com/ngmq/ngmq/server/internal/mqtttest"
)

// listen starts a broker with a TCP listener.
func listen(t testing.TB, cfg broker.Config, writeTimeout time.Duration) (*Listener, *broker.Broker) {
	t.Helper()
	cfg.AllowAnonymous = true
	b := broker.New(cfg)
	loop := startTestLoop(t, b)
	l, err := Listen(netip.MustParseAddrPort("127.0.0.1:0"), Config{
		Broker: b, Loop: loop, Logger: slog.New(slog.DiscardHandler),
		HandshakeTimeout: time.Second, WriteTimeout: writeTimeout,
	})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 2)
	go func() { ended <- l.Serve(ctx) }()
	go func() { b.Run(ctx); ended <- nil }()
	t.Cleanup(func() {
		l.Close()
		stop, cancelStop := context.WithTimeout(context.Background(), mqtttest.Patience)
		defer cancelStop()
		assert.NoError(t, b.Shutdown(stop))
		l.Wait(stop)
		cancel()
		assert.NoError(t, <-ended)
		assert.NoError(t, <-ended)
		loop.Close()
	})
	return l, b
}

func connect(t testing.TB, l *Listener, id string) *mqtttest.Client {
	t.Helper()
	c := mqtttest.New(t, dial(t, l), packet.V50)
	c.ConnectAs(id)
	return c
}

func dial(t testing.TB, l *Listener) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	return conn
}

func TestAnyChunking(t *testing.T) {
	l, _ := listen(t, broker.Config{}, time.Minute)
	c := mqtttest.New(t, dial(t, l), packet.V50)
	stream := (&packet.Connect{ClientID: "drip", CleanStart: true}).AppendTo(nil, packet.V50)
	stream = (&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: "a", QoS: 1}}}).AppendTo(stream, packet.V50)
	stream = (&packet.Publish{Topic: []byte("a"), Payload: []byte("hello")}).AppendTo(stream, packet.V50)
	for _, b := range stream {
		c.Raw([]byte{b})
	}
	mqtttest.Expect[*packet.Connack](c)
	mqtttest.Expect[*packet.Suback](c)
	c.ExpectMessage("a", "hello")
}

// A burst fills the small read buffer, so the large one is borrowed and given back.
func TestManyMessagesInOrder(t *testing.T) {
	l, _ := listen(t, broker.Config{}, time.Minute)
	c := connect(t, l, "c")
	c.Subscribe("n", 0)
	const n = 2000
	var burst []byte
	for i := range n {
		burst = (&packet.Publish{Topic: []byte("n"), Payload: fmt.Append(nil, strings.Repeat("x", 100), i)}).AppendTo(burst, packet.V50)
	}
	go c.Raw(burst)
	for i := range n {
		p := c.Receive()
		require.Equal(t, fmt.Sprint(strings.Repeat("x", 100), i), string(p.Payload))
	}
	c.Ping()
}

// What was sent before a half close is answered.
func TestHalfClose(t *testing.T) {
	l, b := listen(t, broker.Config{}, time.Minute)
	conn := dial(t, l).(*net.TCPConn)
	c := mqtttest.New(t, conn, packet.V50)
	c.Raw((&packet.Connect{ClientID: "half", CleanStart: true}).AppendTo(nil, packet.V50))
	c.Send(&packet.Pingreq{})
	require.NoError(t, conn.CloseWrite())
	mqtttest.Expect[*packet.Connack](c)
	mqtttest.Expect[*packet.Pingresp](c)
	assert.Nil(t, c.ExpectEnd())
	assert.Eventually(t, func() bool { return b.Stats().Connections == 0 }, mqtttest.Patience, time.Millisecond)
}

// The last packet arrives though the client sends on: closing with unread input
// would reset the connection.
func TestLastPacketSurvivesUnreadInput(t *testing.T) {
	l, _ := listen(t, broker.Config{}, time.Minute)
	for range 20 {
		c := connect(t, l, "c")
		c.Raw(append([]byte{0xC1, 0}, make([]byte, 256<<10)...))
		end := c.ExpectEnd()
		require.NotNil(t, end)
		assert.Equal(t, packet.MalformedPacket, end.ReasonCode)
	}
}

func TestSlowConsumerBlocksNobody(t *testing.T) {
	l, b := listen(t, broker.Config{MaxQueuedMessages: 10}, time.Second)
	slow := connect(t, l, "slow")
	slow.Subscribe("flood", 0)
	fast := connect(t, l, "fast")
	fast.Subscribe("flood", 0)
	payload := strings.Repeat("x", 1<<20)
	assert.Eventually(t, func() bool {
		fast.Publish("flood", payload, 0)
		fast.ExpectMessage("flood", payload)
		return b.Stats().Clients == 1
	}, 2*mqtttest.Patience, time.Millisecond)
}

func TestWaitCutsOffWhoDoesNotLeave(t *testing.T) {
	l, b := listen(t, broker.Config{}, time.Minute)
	deaf := connect(t, l, "deaf")
	l.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	l.Wait(ctx)
	assert.Eventually(t, func() bool { return b.Stats().Connections == 0 }, mqtttest.Patience, time.Millisecond)
	_, err := deaf.Read()
	assert.Error(t, err)
}

// A process that is out of file descriptors for a while goes on afterwards.
func TestAcceptErrorsDoNotEndServing(t *testing.T) {
	l, err := Listen(netip.MustParseAddrPort("127.0.0.1:0"), Config{
		Broker: broker.New(broker.Config{AllowAnonymous: true}), Logger: slog.New(slog.DiscardHandler), WriteTimeout: time.Minute,
	})
	require.NoError(t, err)
	failures := 3
	accept := l.accept
	l.accept = func() (socket, error) {
		if failures--; failures >= 0 {
			return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
		}
		return accept()
	}
	ended := make(chan error)
	go func() { ended <- l.Serve(context.Background()) }()
	connect(t, l, "patient").Conn().Close()
	require.NoError(t, l.Close())
	require.NoError(t, <-ended)
	l.Wait(context.Background())
}

func TestBatch(t *testing.T) {
	b := newBatch()
	assert.Equal(t, batchBytes, b.Room())
	assert.Empty(t, b.vector(false))
	b.Write([]byte("head"))
	b.Write([]byte(" and more"))
	assert.Equal(t, batchBytes-13, b.Room())
	assert.Equal(t, net.Buffers{[]byte("head and more")}, b.vector(false))
	assert.Equal(t, net.Buffers{[]byte("\x82\x0dhead and more")}, b.vector(true))
	b.reset()
	assert.Equal(t, batchBytes, b.Room())
	assert.Empty(t, b.vector(false))
}

func BenchmarkPublishSubscribeQoS0(b *testing.B) {
	l, _ := listen(b, broker.Config{}, time.Minute)
	sub := connect(b, l, "sub")
	sub.Subscribe("t", 0)
	pub := connect(b, l, "pub")
	b.ReportAllocs()
	for b.Loop() {
		pub.Publish("t", "hello", 0)
		sub.Receive()
	}
}
