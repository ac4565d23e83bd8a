//go:build !noquic

package multistream

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
	"github.com/ngmq/ngmq/server"
)

// A client that is too fast on one data stream gets no credit there until it is within its
// rate again. It loses nothing, and is answered on its other streams meanwhile.
func TestPublisherOnDataStreamIsHeldByCredit(t *testing.T) {
	t.Parallel()
	const messages, size, rate = 128, 8 << 10, 400 << 10 // a message has 8 KiB
	s := start(t, server.Config{Limits: server.Limits{MaxByteRate: rate}})
	sub := s.over(t, "tcp")
	sub.ConnectAs("sub")
	sub.Subscribe("t", 0)
	c, _ := s.connect(t, "c")
	fast, other := c.stream(), c.stream()
	began := time.Now()
	fast.Raw(bytes.Repeat(message("t", string(make([]byte, size)), 0, 0).AppendTo(nil, packet.V50), messages))
	held := func() (n int) {
		c.l.on(func() { n = raw(fast).s.Buffered() })
		return n
	}
	for i := range messages {
		require.Len(t, sub.Receive().Payload, size)
		if i%16 == 0 {
			c.Ping()
			other.Ping()
		}
		if i == messages/4 {
			waits := held()
			// What comes at once is the rate of a second, and a window besides.
			allowed := rate + int(rate*time.Since(began).Seconds()) + endpoint.DefaultStreamWindow
			assert.GreaterOrEqual(t, waits, messages*size-allowed)
		}
	}
	// The last of it came when the rate had let the rest but a window in.
	assert.Greater(t, time.Since(began), 500*time.Millisecond)
	require.Eventually(t, func() bool { return held() == 0 }, 10*time.Second, 10*time.Millisecond, "credit in the end")
}
