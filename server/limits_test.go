package server_test

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/server"
	"github.com/ngmq/ngmq/server/internal/mqtttest"
)

// neighbour is a client at another address.
func neighbour(t *testing.T, s *running) *mqtttest.Client {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	conn, err := d.Dial("tcp", s.Addrs().TCP[0].String())
	require.NoError(t, err)
	return mqtttest.New(t, conn, packet.V50)
}

// knock sends a CONNECT and gives the code of the CONNACK.
func knock(c *mqtttest.Client, id string) packet.ReasonCode {
	c.Send(&packet.Connect{ClientID: id, CleanStart: true})
	return mqtttest.Expect[*packet.Connack](c).ReasonCode
}

func connections(t *testing.T, s *running, n int64) {
	t.Helper()
	require.Eventually(t, func() bool { return s.Stats().Connections == n }, mqtttest.Patience, time.Millisecond)
}

// A connection counts while it is open, however it ends and whether or not it was let in.
func TestMaxConnectionsPerIP(t *testing.T) {
	t.Parallel()
	for _, transport := range addressed() {
		t.Run(transport, func(t *testing.T) {
			s := start(t, server.Config{Limits: server.Limits{MaxConnectionsPerIP: 2}})
			first := connected(t, s, transport, packet.V50, "first")
			for round := range 5 {
				second := connected(t, s, transport, packet.V50, "second")
				third, old := client(t, s, transport, packet.V50), client(t, s, transport, packet.V311)
				assert.Equal(t, packet.QuotaExceeded, knock(third, "third"))
				assert.Equal(t, packet.ServerUnavailable, knock(old, "old"), "0x03 in 3.1.1")
				third.ExpectEnd()
				old.ExpectEnd()
				silent := client(t, s, transport, packet.V50) // ends without CONNECT
				silent.Raw([]byte{0x10})
				silent.Conn().Close()
				first.Ping()
				other := neighbour(t, s)
				other.ConnectAs("other")
				other.Send(&packet.Disconnect{})
				other.ExpectEnd()
				if round%2 == 0 {
					second.Send(&packet.Disconnect{})
					second.ExpectEnd()
				} else {
					second.Conn().Close()
				}
				connections(t, s, 1)
			}
		})
	}
}

// An address that opens connections and says nothing does not fill the server.
func TestSilentConnectionsOfOneAddress(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{Limits: server.Limits{MaxConnectionsPerIP: 2, MaxConnections: 20}})
	for range 40 {
		client(t, s, "tcp", packet.V50)
	}
	neighbour(t, s).ConnectAs("other")
	assert.LessOrEqual(t, s.Stats().Connections, int64(11))
}

// All ten CONNECTs are sent within the second in which a rate of one lets one in, and
// another perhaps: the handshakes, which take their time, come before.
func TestMaxConnectRate(t *testing.T) {
	t.Parallel()
	for name, limits := range map[string]server.Limits{"all": {MaxConnectRate: 1}, "per IP": {MaxConnectRatePerIP: 1}} {
		for _, transport := range addressed() {
			t.Run(name+" "+transport, func(t *testing.T) {
				t.Parallel()
				s := start(t, server.Config{Limits: limits})
				var clients []*mqtttest.Client
				for i := range 10 {
					clients = append(clients, client(t, s, transport, []packet.Version{packet.V50, packet.V311}[i%2]))
				}
				for i, c := range clients {
					c.Send(&packet.Connect{ClientID: fmt.Sprint(i), CleanStart: true})
				}
				codes := map[packet.ReasonCode]int{}
				for _, c := range clients {
					code := mqtttest.Expect[*packet.Connack](c).ReasonCode
					codes[code]++
					if code != packet.Success {
						c.ExpectEnd()
					}
				}
				assert.Positive(t, codes[packet.Success])
				assert.Positive(t, codes[packet.ConnectionRateExceeded])
				assert.Positive(t, codes[packet.ServerUnavailable], "0x03 in 3.1.1")
				assert.Equal(t, 10, codes[packet.Success]+codes[packet.ConnectionRateExceeded]+codes[packet.ServerUnavailable])
				if name == "per IP" {
					neighbour(t, s).ConnectAs("other")
				}
				assert.Eventually(t, func() bool {
					return knock(client(t, s, transport, packet.V50), "later") == packet.Success
				}, mqtttest.Patience, 100*time.Millisecond)
			})
		}
	}
}

// Who sends too fast has to wait, loses nothing and does not count as silent; others
// are served meanwhile.
func TestRateWait(t *testing.T) {
	t.Parallel()
	const messages, size = 128, 8 << 10
	for name, limits := range map[string]server.Limits{"bytes": {MaxByteRate: 400 << 10}, "messages": {MaxMessageRate: 50}} {
		for _, transport := range transports {
			t.Run(name+" "+transport, func(t *testing.T) {
				t.Parallel()
				s := start(t, server.Config{Limits: limits})
				sub := connected(t, s, transport, packet.V50, "sub")
				sub.Subscribe("t", 0)
				other := connected(t, s, transport, packet.V50, "other")
				pub := client(t, s, transport, packet.V50)
				pub.Connect(&packet.Connect{ClientID: "pub", CleanStart: true, KeepAlive: 1})
				message := (&packet.Publish{Topic: []byte("t"), Payload: make([]byte, size)}).AppendTo(nil, packet.V50)
				burst := append(bytes.Repeat(message, messages), 0xC0, 0) // and a PINGREQ
				began := time.Now()
				sent := make(chan error, 1)
				go func() {
					_, err := pub.Conn().Write(burst)
					sent <- err
				}()
				for i := range messages {
					require.Len(t, sub.Receive().Payload, size)
					if i%32 == 0 {
						other.Ping()
					}
				}
				require.NoError(t, <-sent)
				// The burst of one second and a window of 256 KiB come at once.
				assert.Greater(t, time.Since(began), 500*time.Millisecond)
				mqtttest.Expect[*packet.Pingresp](pub)
			})
		}
	}
}

func TestRateDisconnect(t *testing.T) {
	t.Parallel()
	for name, limits := range map[string]server.Limits{"bytes": {MaxByteRate: 1000}, "messages": {MaxMessageRate: 10}} {
		limits.RatePolicy = server.RateDisconnect
		s := start(t, server.Config{Limits: limits})
		other := connected(t, s, favourite, packet.V50, "other")
		for _, transport := range transports {
			for _, v := range []packet.Version{packet.V311, packet.V50} {
				c := connected(t, s, transport, v, "pub")
				burst := (&packet.Publish{Topic: []byte("t"), Payload: make([]byte, 100)}).AppendTo(nil, v)
				c.Raw([]byte(strings.Repeat(string(burst), 100)))
				end := c.ExpectEnd()
				if v == packet.V50 {
					require.NotNil(t, end, name)
					assert.Equal(t, packet.MessageRateTooHigh, end.ReasonCode)
				}
				other.Ping()
			}
		}
	}
}

func TestMaxSubscribeRate(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{Limits: server.Limits{MaxSubscribeRate: 5}})
	for _, transport := range transports {
		for v, refused := range map[packet.Version]packet.ReasonCode{packet.V50: packet.QuotaExceeded, packet.V311: packet.UnspecifiedError} {
			c := connected(t, s, transport, v, "c"+transport)
			p := &packet.Subscribe{PacketID: 1}
			for i := range 50 {
				p.Subscriptions = append(p.Subscriptions, packet.Subscription{Filter: fmt.Sprint(i)})
			}
			c.Send(p)
			codes := mqtttest.Expect[*packet.Suback](c).ReasonCodes
			assert.Equal(t, []packet.ReasonCode{0, 0, 0, 0, 0}, codes[:5])
			assert.Contains(t, codes[5:], refused)
			connected(t, s, transport, v, "other").Subscribe("t", 1)
			c.Ping()
		}
	}
}

// Topics beyond the limits are refused by themselves; the client goes on.
func TestTopicLimits(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{Limits: server.Limits{MaxTopicLength: 10, MaxTopicLevels: 3}})
	for _, transport := range transports {
		c := connected(t, s, transport, packet.V50, "c")
		for _, topic := range []string{"12345678901", "a/b/c/d"} {
			c.Send(&packet.Publish{Topic: []byte(topic), QoS: 1, PacketID: 1})
			assert.Equal(t, packet.TopicNameInvalid, mqtttest.Expect[*packet.Puback](c).ReasonCode)
			c.Send(&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: topic}}})
			assert.Equal(t, []packet.ReasonCode{packet.TopicFilterInvalid}, mqtttest.Expect[*packet.Suback](c).ReasonCodes)
			w := client(t, s, transport, packet.V50)
			w.Send(&packet.Connect{ClientID: "w", CleanStart: true, Will: &packet.Will{Topic: topic}})
			assert.Equal(t, packet.TopicNameInvalid, mqtttest.Expect[*packet.Connack](w).ReasonCode)
		}
		c.Subscribe("a/+/#", 0)
		c.Publish("a/b/c", "x", 0)
		c.ExpectMessage("a/b/c", "x")
	}
}

func TestTopicAliasMaximum(t *testing.T) {
	t.Parallel()
	for most, alias := range map[int]uint16{2: 3, -1: 1} {
		s := start(t, server.Config{Limits: server.Limits{TopicAliasMaximum: most}})
		for _, transport := range transports {
			c := client(t, s, transport, packet.V50)
			ack := c.Connect(&packet.Connect{ClientID: "c", CleanStart: true})
			granted, _ := ack.Properties.Uint(packet.TopicAliasMaximum)
			assert.Equal(t, max(most, 0), int(granted))
			c.Send(&packet.Publish{Topic: []byte("t"), Properties: packet.AppendUint16(nil, packet.TopicAlias, alias)})
			assert.Equal(t, packet.TopicAliasInvalid, c.ExpectEnd().ReasonCode)
		}
	}
}

func TestMaxWillDelay(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{Limits: server.Limits{MaxWillDelay: time.Second}})
	sub := connected(t, s, favourite, packet.V50, "sub")
	sub.Subscribe("will", 0)
	for _, transport := range transports {
		c := client(t, s, transport, packet.V50)
		c.Connect(&packet.Connect{
			ClientID: transport, CleanStart: true, Properties: packet.AppendUint32(nil, packet.SessionExpiryInterval, 3600),
			Will: &packet.Will{Topic: "will", Properties: packet.AppendUint32(nil, packet.WillDelayInterval, 3600)},
		})
		c.Conn().Close()
	}
	for range transports {
		sub.ExpectMessage("will", "")
	}
}

// The limits that a client meets with one packet too large or too many.
func TestSmallLimits(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{Limits: server.Limits{
		MaxPacketSize: 1000, ReceiveMaximum: 2, MaxSubscriptions: 2, MaxInflight: 3, MaxKeepAlive: 30, MaxSessions: 3,
	}})
	connected(t, s, favourite, packet.V50, "other") // and "c" and "pub"
	for _, transport := range transports {
		c := client(t, s, transport, packet.V50)
		keepAlive, _ := c.Connect(&packet.Connect{ClientID: "c", CleanStart: true}).Properties.Uint(packet.ServerKeepAlive)
		assert.EqualValues(t, 30, keepAlive)
		c.Subscribe("a", 1)
		c.Subscribe("b", 0)
		c.Send(&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: "c"}, {Filter: "b"}}})
		assert.Equal(t, []packet.ReasonCode{packet.QuotaExceeded, 0}, mqtttest.Expect[*packet.Suback](c).ReasonCodes)

		pub := connected(t, s, transport, packet.V50, "pub")
		one := client(t, s, transport, packet.V50)
		assert.Equal(t, packet.QuotaExceeded, knock(one, "one too many"))
		for range 5 {
			pub.Publish("a", "x", 1)
		}
		for range 3 {
			mqtttest.Expect[*packet.Publish](c)
		}
		c.Ping() // the rest waits for acknowledgements

		for id := range uint16(3) {
			pub.Send(&packet.Publish{Topic: []byte("x"), QoS: 2, PacketID: id + 1})
		}
		mqtttest.Expect[*packet.Pubrec](pub)
		mqtttest.Expect[*packet.Pubrec](pub)
		assert.Equal(t, packet.ReceiveMaximumExceeded, pub.ExpectEnd().ReasonCode)
		c.Send(&packet.Publish{Topic: []byte("x"), Payload: make([]byte, 1000)})
		assert.Equal(t, packet.PacketTooLarge, c.ExpectEnd().ReasonCode)
	}
}

func TestRatePolicyNames(t *testing.T) {
	for _, p := range []server.RatePolicy{server.RateWait, server.RateDisconnect} {
		var q server.RatePolicy
		require.NoError(t, q.UnmarshalText([]byte(p.String())))
		assert.Equal(t, p, q)
	}
	var p server.RatePolicy
	assert.ErrorContains(t, p.UnmarshalText([]byte("drop")), "wait or disconnect")
	assert.Equal(t, "RatePolicy(7)", server.RatePolicy(7).String())
}
