//go:build !noquic

package server_test

import (
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/server"
)

func TestDefaultQUICStaysOnLoopback(t *testing.T) { assertLoopback(t, server.DefaultQUIC) }

func TestValidateQUIC(t *testing.T) {
	for addr, want := range map[string]string{":14567": "--allow-anonymous", "127.0.0.1:99999": "host:port"} {
		err := server.Config{QUIC: []string{addr}}.Validate()
		assert.ErrorContains(t, err, `QUIC "`+addr+`"`)
		assert.ErrorContains(t, err, want)
	}
}

func TestUDPAddressInUse(t *testing.T) {
	busy, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	defer busy.Close()
	assertInUse(t, "QUIC", server.Config{TCP: []string{freePort(t)}, QUIC: []string{busy.LocalAddr().String()}})
}

// Everything that is wrong is said at once, each with its own remedy.
func TestEveryAddressThatCannotBeOpenedIsNamed(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer tcp.Close()
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	defer udp.Close()
	_, err = server.New(server.Config{
		TCP:  []string{tcp.Addr().String(), "192.0.2.1:1883"}, // TEST-NET-1 (RFC 5737)
		QUIC: []string{udp.LocalAddr().String()}, AllowAnonymous: true,
	})
	for _, want := range []string{tcp.Addr().String(), udp.LocalAddr().String(), "192.0.2.1:1883", "ss -lntup", "ip addr"} {
		assert.ErrorContains(t, err, want)
	}
}

func TestTwoServersOnOnePort(t *testing.T) {
	first := start(t, server.Config{})
	quic := first.Addrs().QUIC[0].String()
	_, err := server.New(server.Config{TCP: []string{server.Off}, QUIC: []string{quic}})
	require.ErrorContains(t, err, "in use")
}
