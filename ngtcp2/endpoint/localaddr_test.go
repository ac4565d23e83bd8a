package endpoint

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestLocalAddr(t *testing.T) {
	leakCheck(t)
	local := netip.MustParseAddr("127.0.0.1")
	client := start(t, Config{LocalAddr: local})
	l := echoServer(t, Config{})
	c := dial(t, client, l.Addr().String())
	assert.Equal(t, []byte("x"), ask(t, c, []byte("x")))
	assert.Equal(t, local, netip.MustParseAddrPort(c.LocalAddr().String()).Addr())
	_, err := client.DialConn(within(t), "[::1]:9", DialConfig{TLS: clientTLS(t)})
	require.ErrorContains(t, err, "Config.LocalAddr 127.0.0.1 is of another address family")

	_, err = New(Config{LocalAddr: netip.MustParseAddr("192.0.2.1")}) // TEST-NET-1: no interface has it
	require.ErrorContains(t, err, "assign requested address")
}
