package crypto

import (
	"bytes"
	"crypto/tls"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func ticketKey(b byte) []byte { return bytes.Repeat([]byte{b}, TicketKeyLen) }

// Tickets outlive a reload, and a rotation, with their key.
func TestTicketKeysAndReload(t *testing.T) {
	ca := newTestCA(t, "ca")
	server := serverConfig(t, ca)
	server.TicketKeys = [][]byte{ticketKey(1)}
	ctx := open(t, server)
	cfg := clientTLS(ca)
	cfg.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	connect := func(resumed bool) {
		t.Helper()
		out := handshake(t, ctx, "", goClient(cfg))
		require.NoError(t, out.ours)
		require.NoError(t, out.theirs)
		assert.Equal(t, resumed, out.state.Resumed)
		assert.Equal(t, resumed, out.peer.DidResume)
	}
	connect(false)
	require.NoError(t, ctx.Reload())
	connect(true)
	server.TicketKeys = [][]byte{ticketKey(2), ticketKey(1)}
	require.NoError(t, ctx.ReloadConfig(server))
	connect(true)
	server.TicketKeys = [][]byte{ticketKey(2)}
	require.NoError(t, ctx.ReloadConfig(server))
	connect(true) // the ticket has been replaced
	server.TicketKeys = [][]byte{ticketKey(3)}
	require.NoError(t, ctx.ReloadConfig(server))
	connect(false)
}

func TestTicketConfig(t *testing.T) {
	base := Config{CertFile: "c", KeyFile: "k", ALPN: []string{"mqtt"}}
	short := base
	short.TicketKeys = [][]byte{ticketKey(1), make([]byte, TicketKeyLen-1)}
	requireFault(t, short.Validate(), "TicketKeys", "", "key 1 has 79 bytes")
	many := base
	many.TicketKeys = make([][]byte, maxTicketKeys+1)
	requireFault(t, many.Validate(), "TicketKeys", "", "holds 17 keys")
	for _, c := range []Config{{EarlyData: true}, {TicketKeys: [][]byte{ticketKey(1)}}} {
		c.Role, c.ALPN = Client, base.ALPN
		requireFault(t, c.Validate(), "TicketKeys", "", "for the server role")
	}

	// A Context keeps keys of its own.
	key := ticketKey(1)
	cfg := Config{TicketKeys: [][]byte{key}}
	copied := cfg.clone()
	key[0] = 9
	assert.Equal(t, ticketKey(1), copied.TicketKeys[0])
}

func TestSetSessionRefusesGarbage(t *testing.T) {
	ctx := open(t, Config{Role: Client, ALPN: []string{"mqtt"}, CAPEM: newTestCA(t, "ca").pem})
	ssl, err := ctx.NewSSL("localhost")
	require.NoError(t, err)
	defer freeSSL(ssl)
	for _, der := range [][]byte{nil, {1}, bytes.Repeat([]byte{0x30}, 100)} {
		_, err := SetSession(ssl, der)
		assert.ErrorContains(t, err, "set session")
	}
	slots := SSLSlots()
	assert.NotEqual(t, slots.Version, slots.Session)
	assert.Equal(t, slots, SSLSlots())
}
