package endpoint

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestEcho(t *testing.T) {
	for _, c := range []struct{ name, listen, host string }{
		{"IPv4", "127.0.0.1:0", "127.0.0.1"},
		{"IPv6", "[::1]:0", "[::1]"},
		{"dual stack over IPv4", "[::]:0", "127.0.0.1"},
		{"dual stack over IPv6", "[::]:0", "[::1]"},
		{"second loopback address", "0.0.0.0:0", "127.0.0.1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			leakCheck(t)
			l := echoServer(t, Config{Addrs: []string{c.listen}, Workers: 2})
			client := start(t, Config{Workers: 1})
			conn := dial(t, client, c.host+":"+portOf(l.Addr().String()))
			for _, size := range []int{1, 5, 1500, 70_000, 1 << 20} {
				msg := bytes.Repeat([]byte{byte(size), 1, 2}, size/3+1)
				assert.True(t, bytes.Equal(msg, ask(t, conn, msg)), "%d bytes", size)
			}
			assert.Equal(t, "mqtt", conn.TLS().ALPN)
			require.NoError(t, conn.Close())
			closed(t, conn)
		})
	}
}

func portOf(addr string) string { return addr[bytes.LastIndexByte([]byte(addr), ':')+1:] }
