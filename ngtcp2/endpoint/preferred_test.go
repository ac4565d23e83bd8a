package endpoint

import (
	"errors"
	"net"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The client goes to the preferred address by itself, whichever worker has it.
func TestPreferredAddr(t *testing.T) {
	leakCheck(t)
	l := echoServer(t, Config{Workers: 3, PreferredAddrs: []string{"127.0.0.9:0", "[::1]:0"}})
	addrs := l.Endpoint().Addrs()
	require.Len(t, addrs, 3)
	preferred := addrs[1].String()
	client := start(t, Config{Workers: 1})
	for range 4 { // at one of three workers each
		c := dial(t, client, l.Addr().String())
		assert.Len(t, ask(t, c, make([]byte, 100_000)), 100_000)
		eventually(t, func() bool { return c.RemoteAddr().String() == preferred }, "still at the first address")
		assert.Len(t, ask(t, c, make([]byte, 100_000)), 100_000)
		require.NoError(t, c.Close())
	}
	s := client.Stats()
	assert.Equal(t, uint64(4), s.Count(PathChanges))
	s = l.Endpoint().Stats()
	assert.Equal(t, uint64(4), s.Count(PathChanges))
	assert.Zero(t, s.Count(StatelessResets))

	// Of IPv6 there is only the preferred one: who comes there stays.
	c := dial(t, client, addrs[2].String())
	ask(t, c, []byte("x"))
	assert.Equal(t, addrs[2].String(), c.RemoteAddr().String())
}

func TestPreferredAddrIgnored(t *testing.T) {
	leakCheck(t)
	l := echoServer(t, Config{Workers: 1, PreferredAddrs: []string{"127.0.0.9:0"}})
	client := start(t, Config{Workers: 1})
	c, err := client.DialConn(within(t), l.Addr().String(), DialConfig{TLS: clientTLS(t), IgnorePreferredAddr: true})
	require.NoError(t, err)
	migrate(t, c.conn, Migration{}) // the handshake is confirmed
	assert.Equal(t, l.Addr().String(), c.RemoteAddr().String())
	ask(t, c, []byte("x"))
	require.NoError(t, c.Close())
}

// A socket for any address listens on the preferred one already.
func TestPreferredAddrOfWildcard(t *testing.T) {
	leakCheck(t)
	var l *Listener
	var port string
	eventually(t, func() bool { // the port may be taken in between
		c, err := net.ListenPacket("udp", "0.0.0.0:0")
		require.NoError(t, err)
		port = portOf(c.LocalAddr())
		require.NoError(t, c.Close())
		l, err = NewListener(patient(Config{Workers: 2, TLS: serverTLS(t), Addrs: []string{"0.0.0.0:" + port}, PreferredAddrs: []string{"127.0.0.9:" + port}}))
		require.True(t, err == nil || errors.Is(err, syscall.EADDRINUSE), err)
		return err == nil
	}, "no port is free")
	serveEchoes(t, l)
	assert.Len(t, l.Endpoint().Addrs(), 1)
	c := dial(t, start(t, Config{Workers: 1}), "127.0.0.1:"+port)
	ask(t, c, []byte("x"))
	eventually(t, func() bool { return c.RemoteAddr().String() == "127.0.0.9:"+port }, "still at the first address")
	ask(t, c, make([]byte, 100_000))
}

func TestPreferredAddrsValidate(t *testing.T) {
	for _, bad := range [][]string{{"localhost:1"}, {"0.0.0.0:1"}, {"127.0.0.1:1", "127.0.0.2:1"}, {"[fe80::1%eth0]:1"}} {
		assert.ErrorContains(t, (&Config{PreferredAddrs: bad}).Validate(), "Config.PreferredAddrs:", bad)
	}
	assert.ErrorContains(t, (&Config{PreferredAddrs: []string{"127.0.0.1:1"}}).Validate(), "set Addrs")
	require.NoError(t, (&Config{}).Validate())
}
