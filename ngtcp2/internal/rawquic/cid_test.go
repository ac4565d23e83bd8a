package rawquic_test

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/ngtcp2"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
	"github.com/ngmq/ngmq/ngtcp2/internal/rawquic"
)

// asBoth runs a test with the Core as server and as client.
func asBoth(t *testing.T, test func(t *testing.T, x *exchange)) {
	for _, client := range []bool{false, true} {
		t.Run(fmt.Sprintf("client=%v", client), func(t *testing.T) {
			test(t, establish(t, client, rawquic.Config{}))
		})
	}
}

// frames are the received frames of a type.
func (x *exchange) frames(kind uint64) (list []rawquic.Frame) {
	for _, f := range x.Received {
		if f.Type == kind {
			list = append(list, f)
		}
	}
	return list
}

// A peer that retires its own CID ("retire prior to") gets RETIRE_CONNECTION_ID for
// it, and the next one is in use: a stateless reset with its token counts (RFC 9000
// sections 5.1.2 and 10.3.1).
func TestRetirePriorTo(t *testing.T) {
	asBoth(t, func(t *testing.T, x *exchange) {
		cid, token := make([]byte, len(x.SCID)), make([]byte, 16)
		_, _ = rand.Read(cid)
		_, _ = rand.Read(token)
		x.app(rawquic.NewCID(1, 1, cid, token))
		x.w.settle()
		retired := x.frames(rawquic.TypeRetireCID)
		require.Len(t, retired, 1)
		assert.Zero(t, retired[0].ID)
		x.alive()
		reset := append(append([]byte{0x40}, make([]byte, 40)...), token...)
		x.deliver(reset)
		x.w.settle()
		assert.ErrorIs(t, x.w.conns[0].err, ngtcp2.ErrStatelessReset)
	})
}

// A CID of the Core that the peer retires is replaced, the peer goes on with
// another one, and the retired one leads nowhere.
func TestRetiredCIDIsReplaced(t *testing.T) {
	asBoth(t, func(t *testing.T, x *exchange) {
		given := x.frames(rawquic.TypeNewCID)
		require.NotEmpty(t, given, "spare CIDs are given after the handshake")
		last := slices.MaxFunc(given, func(a, b rawquic.Frame) int { return cmp.Compare(a.ID, b.ID) })
		x.Received = nil
		old := x.DCID
		x.DCID = given[0].Data
		x.app(rawquic.Bytes(rawquic.TypeRetireCID, 0))
		x.w.settle()
		fresh := x.frames(rawquic.TypeNewCID)
		require.Len(t, fresh, 1)
		assert.Equal(t, last.ID+1, fresh[0].ID)
		x.alive()
		x.DCID = fresh[0].Data
		x.alive()
		before := x.w.core.Stats()
		x.DCID = old
		x.app([]byte{rawquic.TypePing})
		x.w.settle()
		after := x.w.core.Stats()
		unknown := func(s *endpoint.Stats) uint64 {
			return s.Count(endpoint.DropUnknownCID) + s.Count(endpoint.StatelessResets)
		}
		assert.Greater(t, unknown(&after), unknown(&before))
	})
}
