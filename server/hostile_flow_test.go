package server_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/server"
	"github.com/ngmq/ngmq/server/internal/broker"
	"github.com/ngmq/ngmq/server/internal/mqtttest"
)

// eventually waits for something that the server does on its own.
func (f *front) eventually(done func() bool, text string) {
	f.t.Helper()
	require.Eventually(f.t, done, mqtttest.Patience, time.Millisecond, text)
}

// A reader that never reads costs the memory that its queue may take.
func TestHostileReader(t *testing.T) {
	const queue, size, messages = 4 << 20, 16 << 10, 1500
	message := (&packet.Publish{Topic: []byte("flood"), Payload: make([]byte, size)}).AppendTo(nil, packet.V50)
	onFronts(t, server.Config{Limits: server.Limits{MaxQueuedBytes: queue}}, func(f *front) {
		t := f.t
		deaf, loud := f.attacker(packet.V50), f.attacker(packet.V50)
		deaf.Subscribe("flood", 0)
		grows(t, queue+6<<20, func() { // with what is in buffers of sockets and streams
			for range messages {
				loud.Raw(message)
			}
			loud.Ping()
			assert.NotZero(t, f.Stats().Dropped[broker.DropQueueFull])
		})
		deaf.Conn().Close()
		loud.Send(&packet.Disconnect{})
		f.eventually(func() bool { return f.Stats().Clients == int64(len(f.probes)) }, "clients stay")
	})
}

// 300,000 messages for a session that is away: the limit of its queue holds, and the
// publisher is acknowledged all the same.
func TestHostileOfflineSession(t *testing.T) {
	const messages, batch, queue = 300_000 / slowdown, 1000, 10_000
	burst := bytes.Repeat(pub1("away", 40).AppendTo(nil, packet.V311), batch)
	acks := make([]byte, 4*batch)
	onFronts(t, server.Config{}, func(f *front) {
		t := f.t
		away := client(f.t, f.running, f.transport, packet.V50)
		away.Connect(&packet.Connect{ClientID: "away", CleanStart: true,
			Properties: packet.AppendUint32(nil, packet.SessionExpiryInterval, 1000)})
		away.Subscribe("away", 1)
		away.Send(&packet.Disconnect{})
		away.ExpectEnd()
		before := f.Stats().Dropped[broker.DropQueueFull]
		conn := f.attacker(packet.V311).Conn()
		grows(t, queue*400, func() {
			for range messages / batch {
				conn.SetDeadline(time.Now().Add(mqtttest.Patience))
				_, err := conn.Write(burst)
				require.NoError(t, err)
				_, err = io.ReadFull(conn, acks)
				require.NoError(t, err)
			}
		})
		assert.EqualValues(t, messages-queue, f.Stats().Dropped[broker.DropQueueFull]-before)
	})
}

func pub1(topic string, size int) *packet.Publish {
	return &packet.Publish{Topic: []byte(topic), Payload: make([]byte, size), QoS: 1, PacketID: 1}
}

// Connections that say nothing, or say CONNECT a byte at a time, end at the deadline.
func TestHostileSilence(t *testing.T) {
	const silent, deadline = 50, 400 * time.Millisecond
	connect := (&packet.Connect{ClientID: "slow", CleanStart: true}).AppendTo(nil, packet.V50)
	onFronts(t, server.Config{Timeouts: server.Timeouts{Connect: deadline}}, func(f *front) {
		t := f.t
		begin := time.Now()
		var conns []net.Conn
		for range silent {
			conns = append(conns, f.dial(t, f.transport))
		}
		slow := f.dial(t, f.transport)
		var drip sync.WaitGroup
		drip.Go(func() {
			for _, b := range connect {
				if _, err := slow.Write([]byte{b}); err != nil {
					return
				}
				time.Sleep(2 * deadline / time.Duration(len(connect))) // the pace of the attack
			}
		})
		for _, conn := range append(conns, slow) {
			conn.SetReadDeadline(begin.Add(deadline + mqtttest.Patience))
			_, err := conn.Read(make([]byte, 1))
			assert.Error(t, err)
			assert.NotErrorIs(t, err, os.ErrDeadlineExceeded, "left open")
			conn.Close()
		}
		drip.Wait()
		f.eventually(func() bool { return f.Stats().Connections == int64(len(f.probes)) }, "connections stay")
	})
}

// Memory follows the bytes that arrive, not the length that is announced.
func TestHostileLength(t *testing.T) {
	const clients = 100
	connect := append([]byte{0x10, 0x80, 0x80, 0x0F}, "\x00\x04MQTT\x05\x00\x00\x00"...)    // 240 KiB
	publish := append([]byte{0x30, 0x80, 0x80, 0xC0, 0x03}, "\x00\x01t\x00 and no more"...) // 7 MiB
	onFronts(t, server.Config{}, func(f *front) {
		t := f.t
		var strangers []net.Conn
		var liars []*mqtttest.Client
		for range clients {
			strangers, liars = append(strangers, f.dial(t, f.transport)), append(liars, f.attacker(packet.V50))
		}
		grows(t, 12<<20, func() { // 724 MiB are announced; handshakes have left something
			want := f.Stats().BytesReceived + uint64(clients*(len(connect)+len(publish)))
			for i := range clients {
				strangers[i].Write(connect)
				liars[i].Raw(publish)
			}
			f.eventually(func() bool { return f.Stats().BytesReceived >= want }, "bytes are missing")
		})
		for i := range clients {
			strangers[i].Close()
			liars[i].Conn().Close()
		}
	})
}

// However many take one session from another, one client has it in the end.
func TestHostileTakeovers(t *testing.T) {
	const storms, each = 4, 15
	onFronts(t, server.Config{}, func(f *front) {
		t := f.t
		var dialled [storms][]net.Conn
		for i := range dialled {
			for range each {
				dialled[i] = append(dialled[i], f.dial(t, transports[i%len(transports)]))
			}
		}
		var storm sync.WaitGroup
		connect := (&packet.Connect{ClientID: "wanted", CleanStart: false,
			Properties: packet.AppendUint32(nil, packet.SessionExpiryInterval, 100)}).AppendTo(nil, packet.V50)
		for _, conns := range dialled {
			storm.Go(func() {
				for _, conn := range conns {
					conn.SetDeadline(time.Now().Add(mqtttest.Patience))
					conn.Write(connect)
					conn.Read(make([]byte, 1)) // CONNACK, or the end
				}
			})
		}
		storm.Wait()
		f.eventually(func() bool { return f.Stats().Clients == int64(len(f.probes))+1 }, "not one client")
		left := 0
		for _, conns := range dialled {
			for _, conn := range conns {
				if alive(conn) {
					left++
				}
				conn.Close()
			}
		}
		assert.Equal(t, 1, left)
		assert.EqualValues(t, len(f.probes)+1, f.Stats().Sessions)
		f.eventually(func() bool { return f.Stats().Connections == int64(len(f.probes)) }, "connections stay")
	})
}

// alive reports whether a connection answers a PINGREQ; a DISCONNECT may be waiting.
func alive(conn net.Conn) bool {
	conn.Write([]byte{0xC0, 0})
	b, _ := readUntil(conn, []byte{0xD0, 0})
	return bytes.HasSuffix(b, []byte{0xD0, 0})
}

// readUntil reads up to the end of a connection, or until what has come ends with want.
func readUntil(conn net.Conn, want []byte) (b []byte, err error) {
	conn.SetReadDeadline(time.Now().Add(mqtttest.Patience))
	chunk := make([]byte, 256)
	for err == nil && !bytes.HasSuffix(b, want) {
		var n int
		n, err = conn.Read(chunk)
		b = append(b, chunk[:n]...)
	}
	return b, err
}

// Many clients are lost at once, each with a will.
func TestHostileWills(t *testing.T) {
	const clients = 150
	onFronts(t, server.Config{}, func(f *front) {
		heir := connected(f.t, f.running, "tcp", packet.V50, "heir")
		heir.Subscribe("will/+", 1)
		var lost []*mqtttest.Client
		for i := range clients {
			c := client(f.t, f.running, f.transport, packet.V50)
			c.Connect(&packet.Connect{ClientID: fmt.Sprint("mortal", i), CleanStart: true,
				Will: &packet.Will{Topic: fmt.Sprint("will/", i), Payload: make([]byte, 1000), QoS: 1}})
			lost = append(lost, c)
		}
		for _, c := range lost {
			c.Conn().Close()
		}
		for range clients {
			heir.Receive()
		}
		heir.Send(&packet.Disconnect{})
	})
}

// Subscriptions that come and go all the time neither lose nor reorder the messages of
// others.
func TestHostileChurn(t *testing.T) {
	const messages = 100 / slowdown
	onFronts(t, server.Config{}, func(f *front) {
		churner, reader, writer := f.attacker(packet.V50), f.attacker(packet.V50), f.attacker(packet.V50)
		reader.Subscribe("steady/+", 1)
		var churn sync.WaitGroup
		stop := make(chan struct{})
		churn.Go(func() { churnAway(churner.Conn(), stop) })
		for i := range messages {
			writer.Publish("steady/x", fmt.Sprint(i), 1)
			reader.ExpectMessage("steady/x", fmt.Sprint(i))
		}
		close(stop)
		churn.Wait()
		for _, c := range []*mqtttest.Client{reader, writer} {
			c.Send(&packet.Disconnect{})
		}
	})
}

// churnAway subscribes and unsubscribes until stop, and closes the connection.
func churnAway(conn net.Conn, stop <-chan struct{}) {
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(6 * mqtttest.Patience))
	go io.Copy(io.Discard, conn)
	levels := []string{"+", "steady", "x", "#"}
	for {
		select {
		case <-stop:
			return
		default:
		}
		s, u := &packet.Subscribe{PacketID: 1}, &packet.Unsubscribe{PacketID: 2}
		for range 20 {
			filter := levels[rand.IntN(3)] + "/" + levels[rand.IntN(4)]
			if rand.IntN(3) == 0 {
				filter = "$share/g/" + filter
			}
			s.Subscriptions = append(s.Subscriptions, packet.Subscription{Filter: filter})
			u.Filters = append(u.Filters, filter)
		}
		if _, err := conn.Write(u.AppendTo(s.AppendTo(nil, packet.V50), packet.V50)); err != nil {
			return
		}
	}
}

// QoS 2 messages that are never released: Receive Maximum ends a 5.0 client; one of
// 3.1.1 cannot be told, and costs little more than its packet identifiers.
func TestHostileUnreleased(t *testing.T) {
	const all = 65_535
	flood := func(v packet.Version) (b []byte) {
		for id := 1; id <= all; id++ {
			b = (&packet.Publish{Topic: []byte("t"), QoS: 2, PacketID: uint16(id)}).AppendTo(b, v)
		}
		return b
	}
	recent, old := flood(packet.V50), flood(packet.V311)
	onFronts(t, server.Config{}, func(f *front) {
		t := f.t
		c := f.attacker(packet.V50)
		c.Conn().Write(recent) // may fail in the middle
		last := byte(0)
		for b := untilEnd(t, c.Conn()); len(b) > 1; b = b[2+int(b[1]):] {
			if b[0] == 0xE0 {
				last = b[2]
			}
		}
		assert.Equal(t, packet.ReceiveMaximumExceeded, packet.ReasonCode(last))

		c = f.attacker(packet.V311)
		grows(t, 8<<20, func() {
			done := make(chan struct{})
			go func() {
				defer close(done)
				c.Conn().SetReadDeadline(time.Now().Add(mqtttest.Patience))
				_, err := io.ReadFull(c.Conn(), make([]byte, 4*all)) // PUBREC
				assert.NoError(t, err)
			}()
			c.Raw(old)
			<-done
		})
		c.Send(&packet.Disconnect{})
	})
}

// A subscriber that acknowledges nothing until there is no packet identifier left: the
// rest waits in its queue, and goes on with the first identifier that is free.
func TestHostilePacketIDs(t *testing.T) {
	const all, batch = 65_535, 4369 // a fifteenth
	limits := server.Limits{MaxInflight: all}
	burst := bytes.Repeat(pub1("t", 1).AppendTo(nil, packet.V311), batch)
	message := pub1("t", 1).AppendTo(nil, packet.V311)
	onFronts(t, server.Config{Limits: limits}, func(f *front) {
		t := f.t
		greedy, writer := f.attacker(packet.V311), f.attacker(packet.V311).Conn()
		greedy.Subscribe("t", 1)
		in := greedy.Conn()
		take := func(n int) []byte {
			b := make([]byte, n*len(message))
			in.SetReadDeadline(time.Now().Add(mqtttest.Patience))
			_, err := io.ReadFull(in, b)
			require.NoError(t, err)
			return b[len(b)-len(message):]
		}
		write := func(b []byte, n int) {
			writer.SetDeadline(time.Now().Add(mqtttest.Patience))
			_, err := writer.Write(b)
			require.NoError(t, err)
			_, err = io.ReadFull(writer, make([]byte, 4*n)) // PUBACK
			require.NoError(t, err)
		}
		grows(t, 24<<20, func() {
			for range all / batch {
				write(burst, batch)
				take(batch)
			}
			write(burst, batch)
		})
		greedy.Ping() // before any further message
		greedy.Send(&packet.Puback{PacketID: 777})
		assert.Equal(t, []byte{777 >> 8, 777 & 255}, take(1)[5:7])
		greedy.Send(&packet.Disconnect{})
		writer.Close()
	})
}
