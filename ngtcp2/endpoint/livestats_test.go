package endpoint

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/ngtcp2"
)

func TestLiveStats(t *testing.T) {
	leakCheck(t)
	l := echoServer(t, Config{})
	e := start(t, Config{})
	c := dial(t, e, l.Addr().String())
	ask(t, c, make([]byte, 500_000))

	live, err := l.Endpoint().LiveStats(within(t))
	require.NoError(t, err)
	assert.Greater(t, live.Count(PacketsSent), uint64(300))
	assert.Greater(t, live.Count(PacketsReceived), uint64(300))
	assert.Greater(t, live.Count(GSODatagrams), live.Count(GSOMessages))
	assert.LessOrEqual(t, live.Count(GSODatagrams), live.Count(DatagramsSent))
	ended := l.Endpoint().Stats()
	assert.Zero(t, ended.Count(PacketsSent), "of connections that have ended")

	over, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = l.Endpoint().LiveStats(over)
	if err != nil { // the workers may be faster
		assert.ErrorIs(t, err, context.Canceled)
	}

	c.Conn().Post(func() { c.Conn().Close(9, "") })
	closed(t, c)
	eventually(t, func() bool { s := l.Endpoint().Stats(); return s.Count(ClosedByPeer) == 1 }, "the close did not arrive")
	ended = l.Endpoint().Stats()
	assert.GreaterOrEqual(t, ended.Count(PacketsSent), live.Count(PacketsSent))
	assert.EqualValues(t, 1, ended.Count(CloseReceivedApplication))
	ours := e.Stats()
	assert.EqualValues(t, 1, ours.Count(CloseSentApplication))
	require.NoError(t, l.Shutdown(within(t)))
	after, err := l.Endpoint().LiveStats(within(t))
	require.NoError(t, err)
	assert.Equal(t, l.Endpoint().Stats(), after)
}

func TestCloseClass(t *testing.T) {
	for want, c := range map[Counter]ngtcp2.ConnectionError{
		CloseSentNoError:     ngtcp2.ApplicationClose(0, ""),
		CloseSentTransport:   ngtcp2.TransportClose(ngtcp2.ProtocolViolation, ""),
		CloseSentTLS:         ngtcp2.TLSAlertClose(42, ""),
		CloseSentApplication: ngtcp2.ApplicationClose(0x101, ""),
	} {
		assert.Equal(t, want, closeClass(CloseSentNoError, c.Kind, c.Code))
	}
	var n counters
	n.countClose(&ngtcp2.TransportError{Code: 0x12a})
	n.countClose(ngtcp2.ErrIdleTimeout)
	assert.EqualValues(t, 1, n[CloseReceivedTLS].Load())
}
