//go:build !noquic

package server_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/ngtcp2"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
	"github.com/ngmq/ngmq/ngtcp2/quiclb"
	"github.com/ngmq/ngmq/server"
	"github.com/ngmq/ngmq/server/internal/mqtttest"
)

// balancer is a load balancer for UDP as package quiclb describes it: it routes by
// Connection ID and keeps no state but where to send the answers.
type balancer struct {
	front   *net.UDPConn
	codec   *quiclb.Codec
	servers map[string]netip.AddrPort // by server ID
	order   []netip.AddrPort          // for what has no server's Connection ID
	relays  sync.WaitGroup

	mu      sync.Mutex
	flows   map[flow]*net.UDPConn
	guessed map[netip.AddrPort]netip.AddrPort // the server of a client without such a Connection ID
	dropped int                               // short header and unroutable
}

type flow struct{ client, server netip.AddrPort }

func newBalancer(t *testing.T, form quiclb.Config, servers map[string]netip.AddrPort) *balancer {
	t.Helper()
	codec, err := quiclb.New(form)
	require.NoError(t, err)
	front, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	b := &balancer{front: front, codec: codec, servers: servers, flows: map[flow]*net.UDPConn{}, guessed: map[netip.AddrPort]netip.AddrPort{}}
	for _, s := range servers {
		b.order = append(b.order, s)
	}
	b.relays.Go(b.run)
	t.Cleanup(func() {
		front.Close()
		b.mu.Lock()
		for _, c := range b.flows {
			c.Close()
		}
		b.mu.Unlock()
		b.relays.Wait()
	})
	return b
}

func (b *balancer) addr() netip.AddrPort { return b.front.LocalAddr().(*net.UDPAddr).AddrPort() }

func (b *balancer) run() {
	buf := make([]byte, 65536)
	for {
		n, client, err := b.front.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		if server, ok := b.route(buf[:n], client); ok {
			b.flow(flow{client, server}).Write(buf[:n])
		}
	}
}

// route finds the server of a datagram.
func (b *balancer) route(d []byte, client netip.AddrPort) (netip.AddrPort, bool) {
	long := d[0]&0x80 != 0
	dcid := d[1:]
	if long && len(d) > 6 && len(d) > 6+int(d[5]) {
		dcid = d[6 : 6+int(d[5])]
	}
	if id, _, ok := b.codec.Decode(dcid); ok {
		if server, ok := b.servers[string(id)]; ok {
			return server, true
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !long {
		b.dropped++
		return netip.AddrPort{}, false
	}
	if _, known := b.guessed[client]; !known {
		b.guessed[client] = b.order[len(b.guessed)%len(b.order)]
	}
	return b.guessed[client], true
}

// flow is the socket from which the server gets what the client sends.
func (b *balancer) flow(f flow) *net.UDPConn {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c := b.flows[f]; c != nil {
		return c
	}
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(f.server))
	if err != nil {
		panic(err)
	}
	b.flows[f] = c
	b.relays.Go(func() {
		buf := make([]byte, 65536)
		for n, err := c.Read(buf); err == nil; n, err = c.Read(buf) {
			b.front.WriteToUDPAddrPort(buf[:n], f.client)
		}
	})
	return c
}

// dialAt connects a raw client to a server at another address than its own.
func dialAt(t testing.TB, s *running, addr string) (*mqtttest.Client, *endpoint.Conn) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), mqtttest.Patience)
	defer cancel()
	s.startClients(t)
	conn, err := s.clients.DialConn(ctx, addr, endpoint.DialConfig{TLS: s.trust, ServerName: "localhost"})
	require.NoError(t, err)
	return mqtttest.New(t, conn, packet.V50), conn.Conn()
}

// keepFound has a client show its server where it is, also while it waits for an answer: one
// that was sent to an address that the NAT has given up is sent again, but nobody asks for it.
func keepFound(c *endpoint.Conn) {
	c.Post(func() { c.SetKeepAlive(time.Second) })
}

// migrate goes to another port, when the server has given the Connection IDs for it.
func migrate(t testing.TB, c *endpoint.Conn) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), mqtttest.Patience)
	defer cancel()
	var err error
	require.Eventually(t, func() bool {
		err = c.Migrate(ctx, endpoint.Migration{})
		return !errors.Is(err, endpoint.ErrNotConfirmed) && !errors.Is(err, ngtcp2.ErrConnIDBlocked)
	}, mqtttest.Patience, 5*time.Millisecond)
	require.NoError(t, err)
}

// A connection stays with its server, whatever becomes of the client's address: the
// messages that it exchanges there by QoS 2 come once each, and no server knows of it but
// the one.
func TestLoadBalancer(t *testing.T) {
	t.Parallel()
	key := []byte("0123456789abcdef")
	for name, form := range map[string]quiclb.Config{
		"plaintext":   {ID: 1, ServerID: make([]byte, 2), NonceLen: 6},
		"single pass": {ID: 2, ServerID: make([]byte, 4), NonceLen: 12, Key: key},
		"four passes": {ID: 3, ServerID: make([]byte, 1), NonceLen: 8, Key: key},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var all []*running
			addrs := map[string]netip.AddrPort{}
			for i := range 2 {
				own := form
				own.ServerID = append([]byte{}, form.ServerID...)
				own.ServerID[0] = byte(0x51 + i)
				s := start(t, server.Config{LoadBalancer: &own, Workers: 3, Retry: server.RetryAlways, QUIC: anyQUIC, TCP: []string{server.Off}})
				all = append(all, s)
				addrs[string(own.ServerID)] = s.Addrs().QUIC[0]
			}
			b := newBalancer(t, form, addrs)
			for i := range 4 {
				roam(t, all[0], b.addr(), fmt.Sprint(i))
			}
			total := uint64(0)
			for _, s := range all {
				n := s.Stats().ClientsTotal
				total += n
				// Every second client, unless one has chosen a Connection ID that says otherwise.
				assert.Positive(t, n)
				assert.Equal(t, n, s.quicCount("accepted"))
				assert.EqualValues(t, 0, s.quicCount("stateless_resets"))
			}
			assert.EqualValues(t, 4, total)
			assert.Positive(t, all[0].quicCount("forwarded")+all[1].quicCount("forwarded"), "no packet came to another worker")
			b.mu.Lock()
			defer b.mu.Unlock()
			assert.Zero(t, b.dropped)
		})
	}
}

// roam is a client that changes its address in every way while it talks to itself.
func roam(t *testing.T, s *running, lb netip.AddrPort, id string) {
	nat := mqtttest.NewNAT(t, lb)
	c, conn := dialAt(t, s, nat.Addr())
	keepFound(conn)
	c.ConnectAs(id)
	c.Subscribe("self/"+id, 2)
	for n := range 6 {
		payload := fmt.Sprint(n)
		c.Send(&packet.Publish{Topic: []byte("self/" + id), Payload: []byte(payload), QoS: 2, PacketID: 7})
		if n == 2 {
			migrate(t, conn)
		} else {
			nat.Rebind(t, netip.AddrFrom4([4]byte{127, 0, 0, byte(10 + n)}))
		}
		mqtttest.Expect[*packet.Pubrec](c)
		c.Send(&packet.Pubrel{PacketID: 7})
		echo := complete(t, c)
		assert.Equal(t, payload, string(echo.Payload))
	}
	c.Send(&packet.Disconnect{})
	c.ExpectEnd()
}

// complete reads the PUBCOMP for what was sent and the message that comes back, in any
// order, and takes it.
func complete(t *testing.T, c *mqtttest.Client) (echo *packet.Publish) {
	t.Helper()
	for completed, released := false, false; !completed || !released; {
		p, err := c.Read()
		require.NoError(t, err)
		switch p := p.(type) {
		case *packet.Pubcomp:
			completed = true
		case *packet.Publish:
			require.Nil(t, echo, "twice")
			echo = p
			c.Send(&packet.Pubrec{PacketID: p.PacketID})
		case *packet.Pubrel:
			released = true
			c.Send(&packet.Pubcomp{PacketID: p.PacketID})
		default:
			require.Fail(t, "unexpected", "%T", p)
		}
	}
	return echo
}

// quicCount is a counter of the QUIC listener.
func (r *running) quicCount(name string) uint64 {
	ctx, cancel := context.WithTimeout(context.Background(), mqtttest.Patience)
	defer cancel()
	for counter, n := range r.QUICStats(ctx) {
		if counter == name {
			return n
		}
	}
	return 1 << 63
}
