//go:build !noquic

package client

import (
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/crypto"
	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
)

// streamServer answers on all streams as answer does; a test changes what happens. All of it runs
// on one worker.
type streamServer struct {
	opened    func(*endpoint.Stream)                          // a data stream; nil: it is served
	packet    func(*endpoint.Stream, packet.Packet) (ok bool) // ok: that is the answer
	datagrams chan string
}

func (s *streamServer) OnConn(c *endpoint.Conn) endpoint.ConnHandler {
	return &streamConn{s, c, map[int64]*packet.Decoder{}}
}

type streamConn struct {
	*streamServer
	conn *endpoint.Conn
	decs map[int64]*packet.Decoder
}

func (c *streamConn) OnStreamOpen(s *endpoint.Stream) {
	c.decs[s.ID()] = packet.NewDecoder(0)
	if s.ID() > 0 {
		c.decs[s.ID()].SetVersion(packet.V50)
		if c.opened != nil {
			c.opened(s)
		}
	}
}

func (c *streamConn) OnStreamData(s *endpoint.Stream, data []byte, fin bool) {
	s.Consume(len(data))
	dec := c.decs[s.ID()]
	dec.Feed(data)
	for p, err := dec.Next(); p != nil && err == nil; p, err = dec.Next() {
		if connect, ok := p.(*packet.Connect); ok {
			dec.SetVersion(connect.Version)
			reply(s, &packet.Connack{})
			continue
		}
		if c.packet == nil || !c.packet(s, p) {
			agree(s, p)
		}
	}
	if fin {
		s.CloseWrite()
	}
}
func (c *streamConn) OnStreamReset(*endpoint.Stream, uint64) {}
func (c *streamConn) OnStopSending(*endpoint.Stream, uint64) {}
func (c *streamConn) OnStreamClosed(*endpoint.Stream)        {}
func (c *streamConn) OnDatagram(b []byte, _ bool)            { c.datagrams <- string(b) }
func (c *streamConn) OnDatagramAcked(uint64)                 {}
func (c *streamConn) OnDatagramLost(uint64)                  {}
func (c *streamConn) OnFlush()                               {}
func (c *streamConn) OnClosed(error)                         {}

func reply(s *endpoint.Stream, p packet.Packet) { s.Write(p.AppendTo(nil, packet.V50)) }

// agree answers yes.
func agree(s *endpoint.Stream, p packet.Packet) {
	switch p := p.(type) {
	case *packet.Publish:
		if p.QoS == 1 {
			reply(s, &packet.Puback{PacketID: p.PacketID})
		}
	case *packet.Subscribe:
		reply(s, &packet.Suback{PacketID: p.PacketID, ReasonCodes: make([]packet.ReasonCode, len(p.Subscriptions))})
	case *packet.Unsubscribe:
		reply(s, &packet.Unsuback{PacketID: p.PacketID, ReasonCodes: make([]packet.ReasonCode, len(p.Filters))})
	}
}

// manyStreams is a client with named streams, and its server.
func manyStreams(t *testing.T, s *streamServer, o Options) *Client {
	t.Helper()
	cert, err := crypto.GenerateDevCert(t.TempDir())
	require.NoError(t, err)
	tls, err := crypto.NewContext(crypto.Config{CertFile: cert.CertFile, KeyFile: cert.KeyFile, ALPN: []string{alpn}})
	require.NoError(t, err)
	e, err := endpoint.New(endpoint.Config{TLS: tls, Addrs: []string{"127.0.0.1:0"}, Workers: 1, Handler: s, MaxDatagram: cap(s.datagrams)})
	require.NoError(t, err)
	require.NoError(t, e.Start())
	t.Cleanup(func() { e.Shutdown(within(t)); tls.Close() })
	o.Servers, o.TLS, o.Streams = []string{"quic://" + e.Addrs()[0].String()}, TLS{CAFile: cert.CAFile}, StreamNamed
	c, err := New(o)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	c.probeTimeout = patience
	return c
}

// TestServersOfOneStream: whatever a server does about a second stream, the client makes do with one.
func TestServersOfOneStream(t *testing.T) {
	for name, s := range map[string]*streamServer{
		"refuses the stream":    {opened: func(s *endpoint.Stream) { s.Refuse(3) }},
		"ends the connection":   {opened: func(s *endpoint.Stream) { s.Conn().Close(1, "one stream only") }},
		"does not answer there": {packet: func(s *endpoint.Stream, _ packet.Packet) bool { return s.ID() > 0 }},
	} {
		t.Run(name, func(t *testing.T) {
			c := manyStreams(t, s, Options{})
			if s.packet != nil { // this one costs it
				c.probeTimeout = 100 * time.Millisecond
			}
			for range 2 {
				_, err := c.Connect(within(t))
				require.NoError(t, err)
				_, err = c.Publish(within(t), Message{Topic: "a", QoS: 1, Stream: "b"})
				require.NoError(t, err)
				_, err = c.SubscribeOn(within(t), "c", nil, packet.Subscription{Filter: "a"})
				require.NoError(t, err)
				info, err := c.Connection(within(t))
				require.NoError(t, err)
				assert.Equal(t, 1, info.Streams)
				require.NoError(t, c.Disconnect(within(t)))
			}
		})
	}
}

// TestLaneEndsWithItsWriter: nothing of a stream that has ended stays as long as the connection.
func TestLaneEndsWithItsWriter(t *testing.T) {
	s := &streamServer{packet: func(s *endpoint.Stream, p packet.Packet) bool {
		if p, ok := p.(*packet.Publish); ok && s.ID() > 0 && string(p.Topic) == "reset" {
			s.Reset(1)
			return true
		}
		return false
	}}
	c := manyStreams(t, s, Options{})
	_, err := c.Connect(within(t))
	require.NoError(t, err)
	writers := func() int {
		stacks := make([]byte, 1<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		return strings.Count(string(stacks), "client.(*lane).write(")
	}
	for _, topic := range []string{"a", "b", "reset", "reset"} {
		_, err = c.Publish(within(t), Message{Topic: topic, QoS: 1, Stream: topic})
		require.NoError(t, err, "on the control stream, if need be")
	}
	assert.Eventually(t, func() bool { return writers() == 3 }, patience, time.Millisecond, "control, a and b")
}

// TestStreamsAskedAgain: one probe without an answer does not make a server one of a single stream for good.
func TestStreamsAskedAgain(t *testing.T) {
	var answers atomic.Bool
	s := &streamServer{packet: func(s *endpoint.Stream, _ packet.Packet) bool { return s.ID() > 0 && !answers.Load() }}
	c := manyStreams(t, s, Options{})
	c.probeTimeout, c.probeAgain = 100*time.Millisecond, 0
	_, err := c.Connect(within(t))
	require.NoError(t, err)
	require.NoError(t, c.Disconnect(within(t)))
	answers.Store(true)
	c.probeTimeout = patience
	_, err = c.Connect(within(t))
	require.NoError(t, err)
	_, err = c.Publish(within(t), Message{Topic: "a", QoS: 1, Stream: "b"})
	require.NoError(t, err)
	info, err := c.Connection(within(t))
	require.NoError(t, err)
	assert.Greater(t, info.Streams, 1)
}

// TestStreamThatEnds: what was not acknowledged on it is sent again on the control stream, and its
// subscriptions are made there; the other streams go on.
func TestStreamThatEnds(t *testing.T) {
	for _, reconnect := range []bool{false, true} {
		seen := make(chan string, 20)
		s := &streamServer{packet: func(s *endpoint.Stream, p packet.Packet) bool {
			switch p := p.(type) {
			case *packet.Subscribe:
				seen <- "SUBSCRIBE " + p.Subscriptions[0].Filter + map[bool]string{true: " on control"}[s.ID() == 0]
			case *packet.Publish:
				seen <- string(p.Topic) + map[bool]string{true: " again"}[p.Dup] + map[bool]string{true: " on control"}[s.ID() == 0]
				if string(p.Topic) == "kill" && s.ID() > 0 {
					s.Reset(1)
					s.StopReading(1)
				}
				return s.ID() > 0 && string(p.Topic) != "fine"
			}
			return false
		}}
		c := manyStreams(t, s, Options{Reconnect: reconnect})
		_, err := c.Connect(within(t))
		require.NoError(t, err)
		for _, stream := range []string{"", "one", "two"} {
			_, err := c.SubscribeOn(within(t), stream, nil, packet.Subscription{Filter: "f" + stream})
			require.NoError(t, err)
		}
		for _, want := range []string{"SUBSCRIBE f on control", "SUBSCRIBE fone", "SUBSCRIBE ftwo"} {
			assert.Equal(t, want, receive(t, seen))
		}
		waiting, err := c.PublishAsync(within(t), Message{Topic: "waits", QoS: 1, Stream: "one"})
		require.NoError(t, err)
		assert.Equal(t, "waits", receive(t, seen))
		_, err = c.Publish(within(t), Message{Topic: "kill", QoS: 1, Stream: "one"})
		require.NoError(t, err)
		_, err = waiting.Wait(within(t))
		require.NoError(t, err)
		var rest []string
		for range 4 {
			rest = append(rest, receive(t, seen))
		}
		assert.Equal(t, []string{"kill", "waits again on control", "kill again on control", "SUBSCRIBE fone on control"}, rest)
		for stream, want := range map[string]string{"one": "fine on control", "two": "fine"} {
			_, err = c.Publish(within(t), Message{Topic: "fine", QoS: 1, Stream: stream})
			require.NoError(t, err)
			assert.Equal(t, want, receive(t, seen))
		}
		require.NoError(t, c.Close())
	}
}

// TestDatagrams: QoS 0 goes in datagrams if the server takes them and the message fits.
func TestDatagrams(t *testing.T) {
	for _, room := range []int{0, 1200} {
		published := make(chan string, 3*maxDatagrams)
		s := &streamServer{datagrams: make(chan string, room), packet: func(s *endpoint.Stream, p packet.Packet) bool {
			if m, ok := p.(*packet.Publish); ok {
				published <- string(m.Topic)
			}
			return false
		}}
		c := manyStreams(t, s, Options{Datagrams: true})
		_, err := c.Connect(within(t))
		require.NoError(t, err)
		small := Message{Topic: "small"}
		_, err = c.Publish(within(t), small)
		require.NoError(t, err)
		if room == 0 {
			assert.Equal(t, "small", receive(t, published))
		} else {
			p, err := small.packet(packet.V50)
			require.NoError(t, err)
			assert.Equal(t, string(p.AppendTo(nil, packet.V50)), receive(t, s.datagrams))
		}
		for _, m := range []Message{{Topic: "large", Payload: make([]byte, 5000)}, {Topic: "QoS 1", QoS: 1}} {
			_, err := c.Publish(within(t), m)
			require.NoError(t, err)
			assert.Equal(t, m.Topic, receive(t, published))
		}
		for range 2 * maxDatagrams {
			_, err := c.Publish(within(t), small)
			require.NoError(t, err)
		}
		require.NoError(t, c.Close())
	}
}

// TestDatagramsThatAreNoMessages: only one whole PUBLISH of QoS 0 with its topic counts, and no more than
// the program keeps up with.
func TestDatagramsThatAreNoMessages(t *testing.T) {
	wire := func(packets ...packet.Packet) (b []byte) {
		for _, p := range packets {
			b = p.AppendTo(b, packet.V50)
		}
		return b
	}
	good := &packet.Publish{Topic: []byte("a"), Payload: []byte("b")}
	aliased := packet.AppendUint16(nil, packet.TopicAlias, 1)
	l := &link{c: &Client{}, version: packet.V50}
	var dec packet.Decoder
	for name, b := range map[string][]byte{
		"empty": nil, "half": wire(good)[:4], "garbage": []byte("datagram"), "two": wire(good, good),
		"QoS 1":       wire(&packet.Publish{Topic: []byte("a"), QoS: 1, PacketID: 1}),
		"no PUBLISH":  wire(&packet.Disconnect{}),
		"alias alone": wire(&packet.Publish{Properties: aliased}),
	} {
		assert.Nil(t, l.decodeDatagram(&dec, b), name)
		assert.Equal(t, "b", string(l.decodeDatagram(&dec, wire(good)).Payload), "after "+name)
	}
	assert.NotNil(t, l.decodeDatagram(&dec, wire(&packet.Publish{Topic: []byte("a"), Properties: aliased})))
	d := newDatagrams(true)
	for range maxDatagrams + 2 {
		d.OnDatagram(wire(good), false)
	}
	assert.Equal(t, DatagramInfo{Received: maxDatagrams + 2, Dropped: 2}, d.info())
}

// TestFollowNetwork: the connection goes to where the system routes from, when that has changed.
func TestFollowNetwork(t *testing.T) {
	c := manyStreams(t, &streamServer{}, Options{FollowNetwork: true})
	_, err := c.Connect(within(t))
	require.NoError(t, err)
	l, err := c.current()
	require.NoError(t, err)
	here := addrOf(l.nc.LocalAddr())
	assert.Equal(t, here, routed(l.nc.RemoteAddr()))
	assert.True(t, present(here))
	q := l.nc.(quicTransport)
	l.moveTo(within(t), q, here, present)
	assert.Equal(t, here, addrOf(l.nc.LocalAddr()))
	there := here.Next() // 127.0.0.2
	assert.False(t, present(there.Next()))
	l.moveTo(within(t), q, there, present)
	assert.Equal(t, there, addrOf(l.nc.LocalAddr()))
	_, err = c.Publish(within(t), Message{Topic: "a", QoS: 1})
	require.NoError(t, err)
	require.NoError(t, c.Disconnect(within(t)))

	changes, stop, err := watchNetwork()
	require.NoError(t, err)
	assert.Empty(t, changes)
	stop()
}
