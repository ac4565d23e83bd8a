//go:build !noquic

package server_test

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

// peer is a QUIC client that sees every event of its connection.
type peer struct {
	conn    *endpoint.Conn
	control *endpoint.Stream
	events  chan event
	kept    []event
	data    []byte // of the control stream; worker only
	closing bool   // worker only: close the connection when more than sent bytes have been sent
	sent    uint64 // worker only
}

type event struct {
	kind   string
	stream int64
	code   uint64
	err    error
	data   string // the control stream so far
}

// newPeer connects a peer and sends first on the control stream.
func newPeer(t *testing.T, s *running, first []byte) *peer {
	t.Helper()
	p := &peer{events: make(chan event, 1000)}
	ctx, cancel := context.WithTimeout(context.Background(), mqtttest.Patience)
	defer cancel()
	s.startClients(t)
	conn, err := s.clients.Dial(ctx, s.Addrs().QUIC[0].String(), endpoint.DialConfig{
		TLS: s.trust, Handler: p,
		Ready: func(c *endpoint.Conn) {
			p.control, _ = c.OpenStream()
			p.control.Write(first)
		},
	})
	require.NoError(t, err)
	p.conn = conn
	t.Cleanup(func() { conn.Post(func() { conn.Close(0, "") }) })
	return p
}

func (p *peer) OnStreamOpen(s *endpoint.Stream) { p.events <- event{kind: "open", stream: s.ID()} }
func (p *peer) OnStreamData(s *endpoint.Stream, data []byte, fin bool) {
	s.Consume(len(data))
	if s == p.control {
		p.data = append(p.data, data...)
	}
	kind := "data"
	if fin {
		kind = "fin"
	}
	p.events <- event{kind: kind, stream: s.ID(), data: string(p.data)}
}
func (p *peer) OnStreamReset(s *endpoint.Stream, code uint64) {
	p.events <- event{kind: "reset", stream: s.ID(), code: code}
}
func (p *peer) OnStopSending(s *endpoint.Stream, code uint64) {
	p.events <- event{kind: "stop", stream: s.ID(), code: code}
}
func (p *peer) OnStreamClosed(*endpoint.Stream) {}
func (p *peer) OnFlush() {
	switch {
	case !p.closing:
	case p.conn.Info().BytesSent > p.sent:
		p.conn.Close(0, "")
	default: // pacing may hold the packet back for a moment
		p.conn.Post(p.conn.MarkDirty)
	}
}
func (p *peer) OnClosed(err error) { p.events <- event{kind: "closed", err: err} }

// on runs f on the worker.
func (p *peer) on(f func()) { p.conn.Post(f) }

// wait gives the next event of a kind on a stream, or of the connection. Events that
// were passed over are kept.
func (p *peer) wait(t *testing.T, kind string, stream int64) event {
	t.Helper()
	for i, e := range p.kept {
		if e.kind == kind && e.stream == stream {
			p.kept = slices.Delete(p.kept, i, i+1)
			return e
		}
	}
	deadline := time.After(mqtttest.Patience)
	for {
		select {
		case e := <-p.events:
			if e.kind == kind && e.stream == stream {
				return e
			}
			p.kept = append(p.kept, e)
		case <-deadline:
			t.Fatalf("no %s on stream %d", kind, stream)
		}
	}
}

// closedWith waits for the end and gives the server's application error code.
func (p *peer) closedWith(t *testing.T) uint64 {
	t.Helper()
	var e *ngtcp2.ApplicationError
	require.ErrorAs(t, p.wait(t, "closed", 0).err, &e)
	return e.Code
}

func encode(packets ...packet.Packet) (b []byte) {
	for _, p := range packets {
		b = p.AppendTo(b, packet.V50)
	}
	return b
}

func mortal() *packet.Connect {
	return &packet.Connect{ClientID: "mortal", CleanStart: true, Will: &packet.Will{Topic: "will", Payload: []byte("dead")}}
}

// watchWill subscribes to the wills of mortal.
func watchWill(t *testing.T, s *running) *mqtttest.Client {
	t.Helper()
	watch := connected(t, s, "tcp", packet.V50, "watch")
	watch.Subscribe("will", 0)
	return watch
}

// The control stream alone is the network connection: its end is the client's.
func TestControlStreamLost(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{})
	watch := watchWill(t, s)
	ends := map[string]func(*peer){
		"FIN":          func(p *peer) { p.control.CloseWrite() },
		"RESET_STREAM": func(p *peer) { p.control.Reset(5) },
		"STOP_SENDING": func(p *peer) {
			p.control.StopReading(5)
			if !ngtcp2.ReportsStopSending() { // then the answer finds it
				p.control.Write(encode(&packet.Pingreq{}))
			}
		},
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			p := newPeer(t, s, encode(mortal()))
			p.wait(t, "data", 0)
			p.on(func() { end(p) })
			watch.ExpectMessage("will", "dead")
			assert.Equal(t, server.CodeControlStreamLost, p.closedWith(t))
		})
	}
}

func TestCloseCodes(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{})
	cases := map[string]struct {
		send []byte
		want uint64
	}{
		"DISCONNECT":     {encode(&packet.Connect{ClientID: "c", CleanStart: true}, &packet.Disconnect{}), server.CodeNormal},
		"malformed":      {append(encode(&packet.Connect{ClientID: "c", CleanStart: true}), 0xC1, 0), uint64(packet.MalformedPacket)},
		"no CONNECT":     {encode(&packet.Pingreq{}), uint64(packet.ProtocolError)},
		"second CONNECT": {encode(&packet.Connect{ClientID: "c", CleanStart: true}, &packet.Connect{ClientID: "c", CleanStart: true}), uint64(packet.ProtocolError)},
		"wrong version":  {[]byte("\x10\x0d\x00\x04MQTT\x09\x02\x00\x00\x00\x01c"), uint64(packet.UnsupportedProtocolVersion)},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, c.want, newPeer(t, s, c.send).closedWith(t))
		})
	}
	assert.Equal(t, server.CodeOverloaded, server.CloseCode(packet.ServerBusy))
	assert.Equal(t, server.CodeNormal, server.CloseCode(packet.NormalDisconnection))
	assert.Equal(t, uint64(0x8E), server.CloseCode(packet.SessionTakenOver))
}

// Clients exist that send DISCONNECT and CONNECTION_CLOSE in one go: the DISCONNECT
// counts, there is no will.
func TestDataWithTheClose(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{})
	watch := watchWill(t, s)
	goodbye := strings.Repeat("goodbye", 100) // more than an ACK that is sent before it
	for range 10 {
		p := newPeer(t, s, encode(mortal()))
		p.wait(t, "data", 0)
		p.on(func() {
			p.control.Write(encode(&packet.Publish{Topic: []byte("will"), Payload: []byte(goodbye)}, &packet.Disconnect{}))
			p.closing, p.sent = true, p.conn.Info().BytesSent+uint64(len(goodbye))
		})
		watch.ExpectMessage("will", goodbye)
	}
	connected(t, s, "tcp", packet.V50, "other").Publish("will", "last", 1)
	watch.ExpectMessage("will", "last")
}

// A client that vanishes is lost after the QUIC idle timeout, or when its MQTT keep
// alive is over; one that is there but silent stays as long as its keep alive allows. On a
// busy machine, which does not let it answer in time, it takes a longer timeout to show that.
func TestIdleTimeoutDoesNotEndSilentClients(t *testing.T) {
	t.Parallel()
	lives := silentClient(t, time.Second) || silentClient(t, 4*time.Second) || silentClient(t, 10*time.Second)
	assert.True(t, lives)
}

// silentClient says whether a client lives that says nothing for longer than the idle timeout.
func silentClient(t *testing.T, idle time.Duration) (lives bool) {
	s := start(t, server.Config{QUIC: anyQUIC, TCP: []string{server.Off}, Timeouts: server.Timeouts{Idle: idle}})
	c := client(t, s, "quic", packet.V50)
	c.Connect(&packet.Connect{ClientID: "silent", CleanStart: true, KeepAlive: 60})
	c.Subscribe("t", 0)
	<-time.After(idle * 5 / 2) // the silence
	require.NoError(t, s.Publish(server.Publication{Topic: "t", Payload: []byte("still here")}))
	p, err := c.Read()
	if err != nil {
		t.Logf("with %s: %s", idle, err)
		return false
	}
	return assert.IsType(t, &packet.Publish{}, p)
}

// Clients that have vanished do not hold up the end.
func TestShutdownDoesNotWaitForTheDead(t *testing.T) {
	s := start(t, server.Config{})
	for i := range 10 {
		connected(t, s, "quic", packet.V50, fmt.Sprint(i))
	}
	now, cancel := context.WithCancel(context.Background())
	cancel()
	s.clients.Shutdown(now) // without a packet
	begin := time.Now()
	s.stop()
	require.NoError(t, s.wait(t))
	assert.Less(t, time.Since(begin), 4*time.Second)
	assert.Zero(t, s.Stats().Connections)
}
