//go:build !noquic

package server_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
	"github.com/ngmq/ngmq/server"
	"github.com/ngmq/ngmq/server/internal/mqtttest"
)

func loopback(n int) netip.Addr { return netip.AddrFrom4([4]byte{127, 0, 0, byte(n)}) }

// inFlight is how many messages of QoS 2 a roaming client has open at once.
const inFlight = 20

// flood publishes batches of messages of QoS 2 and moves at every step of each.
func flood(t *testing.T, c *mqtttest.Client, batches int, move func()) {
	for b := range batches {
		for i := range inFlight {
			c.Send(&packet.Publish{Topic: []byte("t"), Payload: fmt.Append(nil, b*inFlight+i), QoS: 2, PacketID: uint16(i + 1)})
		}
		move()
		for range inFlight {
			c.Send(&packet.Pubrel{PacketID: mqtttest.Expect[*packet.Pubrec](c).PacketID})
		}
		move()
		for range inFlight {
			mqtttest.Expect[*packet.Pubcomp](c)
		}
	}
}

// collect receives n messages of QoS 2, in order and each once, and moves in between: with
// messages that are not acknowledged, and with some that are not released.
func collect(t *testing.T, c *mqtttest.Client, n int, move func()) {
	next, completed, pings := 0, 0, 0
	for seen := 1; completed < n || pings > 0; seen++ {
		p, err := c.Read()
		require.NoError(t, err)
		switch p := p.(type) {
		case *packet.Publish:
			require.False(t, p.Dup, "nothing is sent twice")
			require.Equal(t, fmt.Sprint(next), string(p.Payload))
			next++
			c.Send(&packet.Pubrec{PacketID: p.PacketID})
		case *packet.Pubrel:
			completed++
			c.Send(&packet.Pubcomp{PacketID: p.PacketID})
		case *packet.Pingresp:
			pings--
		default:
			require.Fail(t, "unexpected", "%T", p)
		}
		if seen%25 == 0 && completed < n {
			move()
			pings++
			c.Send(&packet.Pingreq{}) // from there
		}
	}
	assert.Equal(t, n, next)
}

// Publisher and subscriber change their addresses all the time, by NAT or by migration,
// and with them the worker that their packets come to. The sessions do not notice: every
// message comes once, in order, and nobody connects again.
func TestRoamingUnderTraffic(t *testing.T) {
	t.Parallel()
	const batches = 6
	for _, how := range []string{"NAT", "migration"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			s := start(t, server.Config{Workers: 4})
			roamer := func(id string) (*mqtttest.Client, func()) {
				if how == "migration" {
					c, conn := dialAt(t, s, s.Addrs().QUIC[0].String())
					c.ConnectAs(id)
					return c, func() { migrate(t, conn) }
				}
				nat := mqtttest.NewNAT(t, s.Addrs().QUIC[0])
				c, _ := dialAt(t, s, nat.Addr())
				c.ConnectAs(id)
				n := 0
				return c, func() { n++; nat.Rebind(t, loopback(100+n%20)) }
			}
			sub, subMove := roamer("sub")
			sub.Subscribe("t", 2)
			pub, pubMove := roamer("pub")
			var done sync.WaitGroup
			done.Go(func() { collect(t, sub, batches*inFlight, subMove) })
			flood(t, pub, batches, pubMove)
			done.Wait()
			for _, c := range []*mqtttest.Client{pub, sub} {
				c.Send(&packet.Disconnect{})
				c.ExpectEnd()
			}
			stats := s.Stats()
			assert.EqualValues(t, 2, stats.ClientsTotal)
			assert.Zero(t, stats.Takeovers)
			assert.EqualValues(t, 2, s.quicCount("accepted"))
			assert.EqualValues(t, 0, s.quicCount("stateless_resets"))
			assert.Greater(t, s.quicCount("path_changes"), uint64(10))
			assert.Positive(t, s.quicCount("forwarded"), "no packet came to another worker")
			assert.Positive(t, stats.Moves)
		})
	}
}

// record collects what handlers are told.
type record struct {
	mu    sync.Mutex
	moved []server.MovedEvent
	asked []netip.AddrPort // Authorize, at each PUBLISH
	gone  chan *server.DisconnectEvent
	wills chan netip.AddrPort
}

func (r *record) handlers() server.Handlers {
	return server.Handlers{
		Moved: func(e *server.MovedEvent) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.moved = append(r.moved, *e)
		},
		Authorize: func(c *server.Client, a server.Action, topic string) error {
			r.mu.Lock()
			defer r.mu.Unlock()
			if a == server.ActionPublish && topic == "ask" {
				r.asked = append(r.asked, c.Conn.Remote)
			}
			if topic == "home" && c.Conn.Remote.Addr() != loopback(1) {
				return server.Refuse(packet.NotAuthorized, "only at home")
			}
			return nil
		},
		Disconnect: func(e *server.DisconnectEvent) { r.gone <- e },
	}
}

// last is the newest MovedEvent, when there are n.
func (r *record) last(t *testing.T, n int) server.MovedEvent {
	t.Helper()
	require.Eventually(t, func() bool { r.mu.Lock(); defer r.mu.Unlock(); return len(r.moved) >= n }, mqtttest.Patience, 5e6)
	r.mu.Lock()
	defer r.mu.Unlock()
	require.Len(t, r.moved, n)
	return r.moved[n-1]
}

// A new address is seen by handlers and access control, in events, log and counters.
func TestMovedIsVisible(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	r := &record{gone: make(chan *server.DisconnectEvent, 1), wills: make(chan netip.AddrPort, 1)}
	s := start(t, server.Config{Workers: 2, Handlers: r.handlers(), Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	s.HandlePublish("will", func(e *server.PublishEvent) error { r.wills <- e.Client.Conn.Remote; return nil })
	nat := mqtttest.NewNAT(t, s.Addrs().QUIC[0])
	first := nat.Outer()
	c, _ := dialAt(t, s, nat.Addr())
	c.Connect(&packet.Connect{ClientID: "m", CleanStart: true, Will: &packet.Will{Topic: "will"}})
	c.Publish("home", "x", 1)

	second := nat.Rebind(t, loopback(50))
	c.Ping()
	e := r.last(t, 1)
	assert.Equal(t, "m", e.Client.ID)
	assert.Equal(t, second, e.Client.Conn.Remote)
	assert.Equal(t, first, e.From.Remote)
	assert.Equal(t, "quic", e.Client.Conn.Transport)
	assert.Equal(t, e.From.TLS, e.Client.Conn.TLS)
	c.Publish("ask", "x", 1)
	c.Send(&packet.Publish{Topic: []byte("home"), Payload: []byte("x"), QoS: 1, PacketID: 9})
	assert.Equal(t, packet.NotAuthorized, mqtttest.Expect[*packet.Puback](c).ReasonCode)

	third := nat.Rebind(t, loopback(1))
	c.Ping()
	e = r.last(t, 2)
	assert.Equal(t, third, e.Client.Conn.Remote)
	assert.Equal(t, second, e.From.Remote)
	c.Publish("home", "x", 1)
	assert.Equal(t, []netip.AddrPort{second}, r.asked)
	assert.EqualValues(t, 2, s.Stats().Moves)
	assert.EqualValues(t, 2, s.quicCount("path_changes"))

	c.Send(&packet.Disconnect{ReasonCode: packet.DisconnectWithWill})
	assert.Equal(t, third, <-r.wills, "the will's publisher is where it was last")
	assert.Equal(t, third, (<-r.gone).Client.Conn.Remote)
	s.stop()
	require.NoError(t, s.wait(t))
	assert.Contains(t, log.String(), fmt.Sprintf(`msg="client moved" client=m remote=%s from=%s`, second, first))
}

// The limit of connections per address counts clients where they are: who leaves makes
// room, who comes takes it, and nobody who is there is sent away.
func TestMovedCountsForItsAddress(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{Limits: server.Limits{MaxConnectionsPerIP: 1}})
	clients := 0
	connectFrom := func(n int) (*mqtttest.NAT, *mqtttest.Client, packet.ReasonCode) {
		nat := mqtttest.NewNAT(t, s.Addrs().QUIC[0])
		nat.Rebind(t, loopback(n))
		c, _ := dialAt(t, s, nat.Addr())
		clients++
		c.Send(&packet.Connect{ClientID: fmt.Sprint(clients), CleanStart: true})
		return nat, c, mqtttest.Expect[*packet.Connack](c).ReasonCode
	}
	nat, c, code := connectFrom(60)
	require.Equal(t, packet.Success, code)
	_, _, code = connectFrom(60)
	assert.Equal(t, packet.QuotaExceeded, code)
	nat.Rebind(t, loopback(61))
	c.Ping()
	require.Eventually(t, func() bool { return s.Stats().Moves == 1 }, mqtttest.Patience, 5e6)
	_, _, code = connectFrom(61)
	assert.Equal(t, packet.QuotaExceeded, code, "its place is taken")
	_, other, code := connectFrom(60)
	assert.Equal(t, packet.Success, code, "its place is free")
	nat.Rebind(t, loopback(60))
	c.Ping()
	require.Eventually(t, func() bool { return s.Stats().Moves == 2 }, mqtttest.Patience, 5e6)
	for _, c := range []*mqtttest.Client{c, other} {
		c.Send(&packet.Disconnect{})
		c.ExpectEnd()
	}
}

// The number of streams is that of the moment.
func TestLookupCountsStreams(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{})
	p := newPeer(t, s, encode(&packet.Connect{ClientID: "s", CleanStart: true}))
	p.wait(t, "data", 0)
	streams := func(want int) {
		t.Helper()
		require.Eventually(t, func() bool { state, ok := s.Lookup("s"); return ok && state.Streams == want }, mqtttest.Patience, 1e6)
	}
	streams(1)
	var opened *endpoint.Stream // the last one
	p.on(func() {
		for range 2 {
			var err error
			if opened, err = p.conn.OpenStream(); assert.NoError(t, err) {
				opened.Write(encode(&packet.Pingreq{}))
			}
		}
	})
	p.wait(t, "data", 8)
	streams(3)
	p.on(func() { opened.CloseWrite() })
	streams(2)
}
