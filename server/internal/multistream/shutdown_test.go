//go:build !noquic

package multistream

import (
	"fmt"
	"io"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/crypto"
	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/ngtcp2"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
	"github.com/ngmq/ngmq/server"
	"github.com/ngmq/ngmq/server/internal/mqtttest"
)

// ways are how a client may end a stream.
var ways = map[string]func(*stream){
	"gracefully":    func(st *stream) { st.Close() },
	"abort receive": func(st *stream) { st.stopReading(5) },
	"abort send":    func(st *stream) { st.l.on(func() { st.s.Reset(5) }) },
	"abort both":    func(st *stream) { st.abort(5) },
}

// killed makes the server reset a stream.
func killed(st *stream) { st.Write([]byte{0, 0}) }

func withWill(p *packet.Connect) *packet.Connect {
	p.Will = &packet.Will{Topic: "will", Payload: []byte(p.ClientID)}
	return p
}

// closedWith waits for the end of the connection and gives the server's code.
func closedWith(t *testing.T, l *link) uint64 {
	t.Helper()
	select {
	case <-l.closed:
	case <-time.After(mqtttest.Patience):
		require.Fail(t, "the connection did not end")
	}
	var e *ngtcp2.ApplicationError
	require.ErrorAs(t, l.err, &e)
	return e.Code
}

// The end of the control stream is the end of the client, whatever its data streams do.
func TestControlStreamEnds(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{})
	watch := s.over(t, "tcp")
	watch.ConnectAs("watch")
	watch.Subscribe("will", 0)
	from := s.publisher(t)
	for name, end := range ways {
		for _, again := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, reconnect %t", name, again), func(t *testing.T) {
				c := s.dial(t, packet.V50)
				c.Connect(withWill(lasting(t.Name())))
				data := c.stream()
				data.Subscribe(t.Name(), 2)
				end(raw(c.Client))
				watch.ExpectMessage("will", t.Name())
				assert.Equal(t, server.CodeControlStreamLost, closedWith(t, c.l))
				if !again {
					return
				}
				from.Publish(t.Name(), "meanwhile", 2)
				c, ack := s.connect(t, t.Name())
				assert.True(t, ack.SessionPresent)
				c.ExpectMessage(t.Name(), "meanwhile")
				from.Publish(t.Name(), "now", 1)
				c.ExpectMessage(t.Name(), "now")
			})
		}
	}
}

// The end of a data stream is not that of the client: no will, no event; what is not
// acknowledged comes again on control, what has been subscribed there is gone.
func TestDataStreamEnds(t *testing.T) {
	t.Parallel()
	gone := make(chan string, 100)
	s := start(t, server.Config{Handlers: server.Handlers{
		Disconnect: func(ev *server.DisconnectEvent) { gone <- ev.Client.ID },
	}})
	watch := s.over(t, "tcp")
	watch.ConnectAs("watch")
	watch.Subscribe("will", 0)
	eachQoS(t, func(t *testing.T, pub, sub byte) {
		ends := maps.Clone(ways)
		ends["by the server"] = killed
		for name, end := range ends {
			topic := name + t.Name()
			c := s.dial(t, packet.V50)
			c.Connect(withWill(lasting(topic)))
			data := c.stream()
			data.Subscribe(topic, sub)
			from := s.over(t, "tcp")
			from.ConnectAs("from " + topic)
			from.Publish(topic, "in flight", pub)
			qos := min(pub, sub)
			first := mqtttest.Expect[*packet.Publish](data)
			assert.False(t, first.Dup)
			if qos == 2 {
				from.Publish(topic, "received", pub)
				second := mqtttest.Expect[*packet.Publish](data)
				data.Send(&packet.Pubrec{PacketID: second.PacketID})
				mqtttest.Expect[*packet.Pubrel](data)
			}
			end(raw(data))
			if qos > 0 {
				dup := mqtttest.Expect[*packet.Publish](c.Client)
				assert.True(t, dup.Dup)
				assert.Equal(t, first.PacketID, dup.PacketID)
				assert.Equal(t, "in flight", string(dup.Payload))
			}
			if qos == 2 {
				assert.Equal(t, first.PacketID+1, mqtttest.Expect[*packet.Pubrel](c.Client).PacketID)
			}
			switch name {
			case "gracefully":
				assert.ErrorIs(t, raw(data).wait(t), io.EOF)
			case "by the server":
				assert.Equal(t, reset{uint64(packet.MalformedPacket)}, raw(data).wait(t))
			default:
				require.Eventually(t, func() bool { return s.Stats().Subscriptions == 1 }, mqtttest.Patience, time.Millisecond)
			}
			from.Publish(topic, "nobody", pub)
			c.Ping()
			c.Send(&packet.Disconnect{})
			c.ExpectEnd()
			assert.Equal(t, topic, <-gone)
			from.Send(&packet.Disconnect{})
			from.ExpectEnd()
			<-gone
		}
	})
	watch.Ping()
}

// A client that does not read a stream, which is full to the brim, ends it: what it sent last
// is answered before the stream ends from the other side too.
func TestFullDataStreamEndsWithItsAnswers(t *testing.T) {
	t.Parallel()
	const count, size, last = 64, 32 << 10, 500
	s := start(t, server.Config{})
	from := s.publisher(t)
	c, _ := s.connect(t, "c")
	data := c.stream()
	data.Subscribe("t", 0)
	for range count {
		from.Publish("t", strings.Repeat("x", size), 0)
	}
	from.Ping()
	full := func() bool { // the window of the client; then the server's share of the stream fills
		st := raw(data)
		st.mu.Lock()
		defer st.mu.Unlock()
		return len(st.in) > endpoint.DefaultStreamWindow-size
	}
	require.Eventually(t, full, mqtttest.Patience, time.Millisecond)
	c.Ping() // the server knows that it has arrived
	var words []byte
	for id := range uint16(last) {
		words = message("nobody", "x", 1+byte(id%2), id+1).AppendTo(words, packet.V50)
	}
	data.Raw(append(words, encode(&packet.Pingreq{})...))
	require.NoError(t, data.Conn().Close())

	messages, answers := 0, 0
	for {
		p, err := data.Read()
		if err != nil {
			assert.ErrorIs(t, err, io.EOF)
			break
		}
		switch p.(type) {
		case *packet.Publish:
			messages++
		case *packet.Puback, *packet.Pubrec:
			answers++
		default:
			assert.IsType(t, &packet.Pingresp{}, p)
			assert.Equal(t, last, answers)
		}
	}
	assert.Equal(t, last, answers)
	assert.Less(t, messages, count, "the stream was full")
	c.Ping()
}

func TestServerStopsAndStarts(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{QUIC: []string{"127.0.0.99:0"}}) // whose ports nobody else is given meanwhile
	c, _ := s.connect(t, "c")
	data := c.stream()
	data.Subscribe("t", 1)
	go s.stop()
	assert.Equal(t, packet.ServerShuttingDown, mqtttest.Expect[*packet.Disconnect](c.Client).ReasonCode)
	assert.EqualValues(t, packet.ServerShuttingDown, closedWith(t, c.l))
	s.stop()
	s = start(t, server.Config{QUIC: []string{s.Addrs().QUIC[0].String()}})
	c, ack := s.connect(t, "c")
	assert.False(t, ack.SessionPresent)
	data = c.stream()
	data.Subscribe("t", 1)
	c.Publish("t", "again", 1)
	data.ExpectMessage("t", "again")
}

func tlsOf(l *link) (state crypto.ConnectionState) {
	l.on(func() { state = l.conn.TLS() })
	return state
}

// A session goes from QUIC to TLS and back to QUIC by takeover; the old connection is told.
func TestTakeover(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{})
	s.resumes = true
	for qos := range byte(3) {
		t.Run(fmt.Sprint("QoS ", qos), func(t *testing.T) {
			c, _ := s.connect(t, t.Name())
			data := c.stream()
			data.Subscribe(t.Name(), qos)
			from := s.over(t, "tcp")
			from.ConnectAs("from " + t.Name())
			publish := func(c *mqtttest.Client) {
				from.Publish(t.Name(), "x", qos)
				c.ExpectMessage(t.Name(), "x")
				c.Ping() // the acknowledgement has arrived
			}
			publish(data)
			secure := s.over(t, "tls")
			assert.True(t, secure.Connect(lasting(t.Name())).SessionPresent)
			assert.Equal(t, packet.SessionTakenOver, mqtttest.Expect[*packet.Disconnect](c.Client).ReasonCode)
			assert.EqualValues(t, packet.SessionTakenOver, closedWith(t, c.l))
			publish(secure)
			c, ack := s.connect(t, t.Name())
			assert.True(t, ack.SessionPresent)
			assert.True(t, tlsOf(c.l).Resumed, "the TLS session is resumed")
			assert.Equal(t, packet.SessionTakenOver, mqtttest.Expect[*packet.Disconnect](secure).ReasonCode)
			publish(c.Client)
			data = c.stream()
			data.Subscribe(t.Name(), qos)
			publish(data)
		})
	}
}
