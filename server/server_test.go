package server_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/server"
	"github.com/ngmq/ngmq/server/internal/mqtttest"
)

func TestPublishSubscribe(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{})
	for _, transport := range transports {
		for _, v := range []packet.Version{packet.V31, packet.V311, packet.V50} {
			for qos := range byte(3) {
				t.Run(fmt.Sprintf("%s %s QoS %d", transport, v, qos), func(t *testing.T) {
					topic := t.Name()
					sub := connected(t, s, transport, v, "sub")
					sub.Subscribe("TestPublishSubscribe/#", qos)
					pub := connected(t, s, transport, v, "pub")
					pub.Publish(topic, "hello", qos)
					got := sub.ExpectMessage(topic, "hello")
					assert.Equal(t, qos, got.QoS)
					sub.Send(&packet.Disconnect{})
					assert.Nil(t, sub.ExpectEnd())
				})
			}
		}
	}
}

func TestEveryTransportReachesEveryOther(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{})
	for i, from := range transports {
		for j, to := range transports {
			sub := connected(t, s, to, packet.V50, fmt.Sprintf("sub%d%d", i, j))
			sub.Subscribe("t", 1)
			connected(t, s, from, packet.V311, fmt.Sprintf("pub%d%d", i, j)).Publish("t", from+to, 1)
			sub.ExpectMessage("t", from+to)
			sub.Send(&packet.Disconnect{})
			sub.ExpectEnd()
		}
	}
}

func TestLargeMessages(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{})
	payload := strings.Repeat("0123456789abcdef", 1<<16) // 1 MiB
	var subs []*mqtttest.Client
	for i := range 6 {
		sub := connected(t, s, transports[i%len(transports)], packet.V50, fmt.Sprint("sub", i))
		sub.Subscribe("large", 1)
		subs = append(subs, sub)
	}
	for _, transport := range transports {
		pub := connected(t, s, transport, packet.V50, "pub")
		pub.Publish("large", payload, 1)
		for _, sub := range subs {
			sub.ExpectMessage("large", payload)
		}
	}
}

// MQTT-3.1.2-8: the will is due when the network connection is lost.
func TestWillOnLostConnection(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{})
	for _, transport := range transports {
		t.Run(transport, func(t *testing.T) {
			watch := connected(t, s, "tcp", packet.V50, "watch")
			watch.Subscribe("will", 0)
			c := client(t, s, transport, packet.V50)
			c.Connect(&packet.Connect{ClientID: "mortal", CleanStart: true, Will: &packet.Will{Topic: "will", Payload: []byte(transport)}})
			c.Conn().Close()
			watch.ExpectMessage("will", transport)
		})
	}
}

// MQTT-3.14.4-3: a DISCONNECT deletes the will.
func TestNoWillAfterDisconnect(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{})
	watch := connected(t, s, "tcp", packet.V50, "watch")
	watch.Subscribe("will", 0)
	for _, transport := range transports {
		c := client(t, s, transport, packet.V50)
		c.Connect(&packet.Connect{ClientID: "mortal", CleanStart: true, Will: &packet.Will{Topic: "will", Payload: []byte(transport)}})
		c.Send(&packet.Disconnect{})
		assert.Nil(t, c.ExpectEnd())
	}
	connected(t, s, "tcp", packet.V50, "other").Publish("will", "last", 0)
	watch.ExpectMessage("will", "last")
}

// MQTT-3.1.4-3: the client that is taken over gets 0x8E.
func TestTakeoverAcrossTransports(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{})
	last := connected(t, s, favourite, packet.V50, "one")
	for _, transport := range []string{"tls", favourite, "tcp", "tls", "tcp", favourite, favourite} {
		next := connected(t, s, transport, packet.V50, "one")
		end := last.ExpectEnd()
		require.NotNil(t, end)
		assert.Equal(t, packet.SessionTakenOver, end.ReasonCode)
		last = next
	}
	last.Ping()
}

// MQTT-3.1.2-5: a session goes from one transport to another.
func TestSessionAcrossTransports(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{})
	pub := connected(t, s, "tcp", packet.V50, "pub")
	expiry := packet.AppendUint32(nil, packet.SessionExpiryInterval, 60)
	resume := &packet.Connect{ClientID: "roamer", Properties: expiry}
	c := client(t, s, favourite, packet.V50)
	assert.False(t, c.Connect(resume).SessionPresent)
	c.Subscribe("roam", 1)
	for i, transport := range []string{"tcp", favourite, "tls", favourite} {
		c.Send(&packet.Disconnect{})
		c.ExpectEnd()
		pub.Publish("roam", fmt.Sprint(i), 1)
		c = client(t, s, transport, packet.V50)
		assert.True(t, c.Connect(resume).SessionPresent)
		c.ExpectMessage("roam", fmt.Sprint(i))
	}
}

func TestShutdownTellsClients(t *testing.T) {
	s := start(t, server.Config{})
	var v5, v3, silent []*mqtttest.Client
	for _, transport := range transports {
		v5 = append(v5, connected(t, s, transport, packet.V50, "v5"+transport))
		v3 = append(v3, connected(t, s, transport, packet.V311, "v3"+transport))
		silent = append(silent, client(t, s, transport, packet.V50))
	}
	begin := time.Now()
	s.stop()
	for _, c := range v5 {
		end := c.ExpectEnd()
		require.NotNil(t, end)
		assert.Equal(t, packet.ServerShuttingDown, end.ReasonCode)
	}
	for _, c := range append(v3, silent...) {
		assert.Nil(t, c.ExpectEnd())
	}
	require.NoError(t, s.wait(t))
	assert.Less(t, time.Since(begin), 5*time.Second)
	require.NoError(t, s.Shutdown(context.Background()), "again")
}

func TestShutdownWithoutRun(t *testing.T) {
	s, err := server.New(server.Config{QUIC: anyQUIC, TCP: anyPort, TLS: anyPort})
	require.NoError(t, err)
	require.NoError(t, s.Shutdown(context.Background()))
	require.NoError(t, s.Run(context.Background()), "over before it began")
}

// MQTT-3.1.4: a connection without a CONNECT does not stay.
func TestConnectDeadline(t *testing.T) {
	s := start(t, server.Config{Timeouts: server.Timeouts{Connect: 100 * time.Millisecond}})
	for _, transport := range transports {
		t.Run(transport, func(t *testing.T) {
			c := client(t, s, transport, packet.V50)
			c.Conn().Write([]byte{0x10}) // and nothing more; it may be too late already
			c.ExpectEnd()
		})
	}
	t.Run("TLS handshake", func(t *testing.T) {
		s := start(t, server.Config{Timeouts: server.Timeouts{Handshake: 100 * time.Millisecond}})
		conn, err := tcpConn(s.Addrs().TLS[0])
		require.NoError(t, err)
		mqtttest.New(t, conn, packet.V50).ExpectEnd()
	})
}

// MQTT-3.1.2-22: a client that is silent for 1.5 times its keep alive is disconnected.
func TestKeepAlive(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{})
	var clients []*mqtttest.Client
	for _, transport := range transports {
		c := client(t, s, transport, packet.V50)
		c.Connect(&packet.Connect{ClientID: "silent" + transport, CleanStart: true, KeepAlive: 1})
		clients = append(clients, c)
	}
	for _, c := range clients {
		end := c.ExpectEnd()
		require.NotNil(t, end)
		assert.Equal(t, packet.KeepAliveTimeout, end.ReasonCode)
	}
}

func TestMaxConnections(t *testing.T) {
	t.Parallel()
	for _, transport := range transports {
		t.Run(transport, func(t *testing.T) {
			s := start(t, server.Config{Limits: server.Limits{MaxConnections: 2}})
			first := connected(t, s, favourite, packet.V50, "first")
			second := connected(t, s, "tcp", packet.V50, "second")
			refused(t, s, transport)
			first.Ping()
			second.Send(&packet.Disconnect{})
			second.ExpectEnd()
			assert.Eventually(t, func() bool { return s.Stats().Connections == 1 }, mqtttest.Patience, time.Millisecond)
			connected(t, s, transport, packet.V50, "third").Ping()
		})
	}
}

// MQTT-4.13.1-1: malformed packets end the connection, with the right code.
func TestMalformedPacket(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{})
	for _, transport := range transports {
		c := connected(t, s, transport, packet.V50, "bad")
		c.Raw([]byte{0xC1, 0x00}) // PINGREQ with a reserved flag
		end := c.ExpectEnd()
		require.NotNil(t, end, transport)
		assert.Equal(t, packet.MalformedPacket, end.ReasonCode)
	}
}

func TestSlowConsumerIsCutOff(t *testing.T) {
	s := start(t, server.Config{Timeouts: server.Timeouts{Write: 50 * time.Millisecond}})
	slow := connected(t, s, "tcp", packet.V50, "slow")
	slow.Subscribe("flood", 0)
	pub := connected(t, s, "tcp", packet.V50, "pub")
	payload := strings.Repeat("x", 1<<20)
	assert.Eventually(t, func() bool {
		pub.Publish("flood", payload, 1)
		return s.Stats().Clients == 1
	}, 2*mqtttest.Patience, time.Millisecond)
}
