package rawquic_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/ngtcp2/internal/rawquic"
)

// A congestion window that is full of PATH_RESPONSEs, all of them lost, does not stay so
// until the idle timeout: there is a probe, whose acknowledgement tells of the loss.
func TestLostPathResponses(t *testing.T) {
	asBoth(t, func(t *testing.T, x *exchange) {
		w, conn := x.w, x.w.conns[0].conn
		s, err := conn.OpenStream()
		require.NoError(t, err)
		w.settle()
		delete(w.raws, x.addr)
		for range 40 {
			x.app(rawquic.Bytes(rawquic.TypePathChallenge, make([]byte, 8)))
			w.turn()
			w.now = w.now.Add(20 * time.Millisecond) // pacing
		}
		info := conn.Info()
		require.GreaterOrEqual(t, info.BytesInFlight, info.CWND)
		w.raws[x.addr], x.Received = x.raw, nil
		_, _ = s.Write([]byte("later"))
		conn.MarkDirty()
		for range 10 {
			w.settle()
		}
		arrived := false
		for _, f := range x.Received {
			arrived = arrived || string(f.Data) == "later"
		}
		assert.True(t, arrived, "%+v", conn.Info())
	})
}
