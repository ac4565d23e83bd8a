//go:build noquic

package server_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/server"
)

func TestQUICIsOffByDefault(t *testing.T) {
	assert.Equal(t, server.Off, server.DefaultQUIC)
	s := start(t, server.Config{TCP: anyPort})
	assert.Empty(t, s.Addrs().QUIC)
	assert.Len(t, s.Addrs().TCP, 1)
}

func TestQUICAddressIsRefused(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:14567", ":0", "nonsense"} {
		_, err := server.New(server.Config{QUIC: []string{addr}, TCP: []string{"nonsense"}})
		var wrong *server.ConfigError
		require.ErrorAs(t, err, &wrong)
		assert.Equal(t, "QUIC", wrong.Field)
		assert.ErrorContains(t, err, `QUIC "`+addr+`": this program was built without QUIC (build tag noquic)`)
		assert.ErrorContains(t, err, "--quic off")
		assert.ErrorContains(t, err, `TCP "nonsense"`, "the other faults are named too")
	}
}

// The application error codes are part of the API of every build.
func TestCloseCodesExist(t *testing.T) {
	assert.Equal(t, server.CodeOverloaded, server.CloseCode(packet.ServerBusy))
	assert.Equal(t, server.CodeNormal, server.CloseCode(packet.NormalDisconnection))
	assert.Equal(t, uint64(0x8E), server.CloseCode(packet.SessionTakenOver))
}
