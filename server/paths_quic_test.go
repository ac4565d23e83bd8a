//go:build !noquic

package server_test

import (
	"context"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
	"github.com/ngmq/ngmq/server"
	"github.com/ngmq/ngmq/server/internal/mqtttest"
)

// Clients that know the transport parameter do not migrate; a NAT may change their
// address as often as it likes (RFC 9000 section 9).
func TestNoMigration(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{NoMigration: true, Workers: 3})
	nat := mqtttest.NewNAT(t, s.Addrs().QUIC[0])
	c, conn := dialAt(t, s, nat.Addr())
	c.ConnectAs("a")
	c.Subscribe("t", 2)
	ctx, cancel := context.WithTimeout(context.Background(), mqtttest.Patience)
	defer cancel()
	require.Eventually(t, func() bool { return conn.Migrate(ctx, endpoint.Migration{}) != endpoint.ErrNotConfirmed }, mqtttest.Patience, 5e6)
	assert.ErrorIs(t, conn.Migrate(ctx, endpoint.Migration{}), endpoint.ErrMigrationDisabled)
	for i := range 6 {
		nat.Rebind(t, netip.AddrFrom4([4]byte{127, 0, 0, byte(20 + i)}))
		c.Send(&packet.Publish{Topic: []byte("t"), Payload: []byte("x"), QoS: 2, PacketID: 7})
		mqtttest.Expect[*packet.Pubrec](c)
		c.Send(&packet.Pubrel{PacketID: 7})
		complete(t, c)
	}
	assert.EqualValues(t, 1, s.Stats().ClientsTotal)
	assert.EqualValues(t, 1, s.quicCount("accepted"))
	assert.EqualValues(t, 6, s.quicCount("path_changes"))
	c.Send(&packet.Disconnect{})
	c.ExpectEnd()
}

// Clients go to the preferred address, also where migration is forbidden otherwise, and
// one that does not care stays.
func TestPreferredAddrs(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{QUIC: anyQUIC, TCP: []string{server.Off}, NoMigration: true, Workers: 2, PreferredAddrs: []string{"127.0.0.77:0"}})
	addrs := s.Addrs().QUIC
	require.Len(t, addrs, 2)
	assert.Equal(t, "127.0.0.77", addrs[1].Addr().String())
	c, conn := dialAt(t, s, addrs[0].String())
	c.ConnectAs("follows")
	c.Subscribe("t", 1)
	require.Eventually(t, func() bool { return conn.RemoteAddr().String() == addrs[1].String() }, mqtttest.Patience, 5e6)
	c.Ping()

	ctx, cancel := context.WithTimeout(context.Background(), mqtttest.Patience)
	defer cancel()
	stays, err := s.clients.DialConn(ctx, addrs[0].String(), endpoint.DialConfig{TLS: s.trust, ServerName: "localhost", IgnorePreferredAddr: true})
	require.NoError(t, err)
	d := mqtttest.New(t, stays, packet.V50)
	d.ConnectAs("stays")
	d.Publish("t", "hello", 1)
	c.ExpectMessage("t", "hello")
	assert.Equal(t, addrs[0].String(), stays.RemoteAddr().String())
	assert.EqualValues(t, 1, s.quicCount("path_changes"))
}

func TestValidatePaths(t *testing.T) {
	t.Parallel()
	for want, cfg := range map[string]server.Config{
		`PreferredAddrs "localhost:1": not an address`:                                                         {PreferredAddrs: []string{"localhost:1"}},
		`PreferredAddrs "0.0.0.0:1": not an address`:                                                           {PreferredAddrs: []string{"0.0.0.0:1"}},
		`PreferredAddrs "127.0.0.2:1": the second one of its kind`:                                             {PreferredAddrs: []string{"127.0.0.1:1", "127.0.0.2:1"}},
		`PreferredAddrs "192.0.2.1:1": other machines can reach`:                                               {PreferredAddrs: []string{"192.0.2.1:1"}},
		`PreferredAddrs: is for QUIC, which is off`:                                                            {QUIC: []string{server.Off}, PreferredAddrs: []string{"127.0.0.1:1"}},
		`NoMigration: is for QUIC, which is off; give QUIC an address`:                                         {QUIC: []string{server.Off}, NoMigration: true},
		`LoadBalancer: is for QUIC, which is off; give QUIC an address`:                                        {QUIC: []string{server.Off}, LoadBalancer: &server.LoadBalancer{ServerID: []byte{1}, NonceLen: 4}},
		`LoadBalancer "server ID 0102": not a form of Connection IDs: quiclb: Config.NonceLen: 3: use 4 to 17`: {LoadBalancer: &server.LoadBalancer{ServerID: []byte{1, 2}, NonceLen: 3}},
	} {
		err := cfg.Validate()
		assert.ErrorContains(t, err, want)
		assert.ErrorContains(t, err, "(ngmqd: --")
	}
	require.NoError(t, server.Config{AllowAnonymous: true, PreferredAddrs: []string{"192.0.2.1:1", "[2001:db8::1]:1"},
		LoadBalancer: &server.LoadBalancer{ID: 6, ServerID: []byte{1}, NonceLen: 8, Key: make([]byte, 16)}}.Validate())
}
