package endpoint

import (
	"bytes"
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/ngtcp2"
)

// reflector sends back what comes on any stream, resets a stream on which "r" comes, and
// tells of resets.
type reflector struct{ stopped chan uint64 }

func (r reflector) OnConn(*Conn) ConnHandler { return r }
func (reflector) OnStreamOpen(*Stream)       {}
func (reflector) OnStreamData(s *Stream, data []byte, fin bool) {
	s.Consume(len(data))
	if string(data) == "r" {
		s.Reset(9)
		return
	}
	s.Write(data)
	if fin {
		s.CloseWrite()
	}
}
func (reflector) OnStreamReset(*Stream, uint64)          {}
func (r reflector) OnStopSending(_ *Stream, code uint64) { r.stopped <- code }
func (reflector) OnStreamClosed(*Stream)                 {}
func (reflector) OnFlush()                               {}
func (reflector) OnClosed(error)                         {}

// reflected is a connection to a reflector that allows some streams.
func reflected(t *testing.T, streams int) (*StreamConn, reflector) {
	t.Helper()
	leakCheck(t)
	r := reflector{make(chan uint64, 9)}
	server := start(t, Config{TLS: serverTLS(t), Addrs: []string{"127.0.0.1:0"}, Workers: 1, Handler: r, MaxBidiStreams: streams})
	return dial(t, start(t, Config{Workers: 1}), server.Addrs()[0].String()), r
}

func echoed(t *testing.T, c net.Conn, text string) {
	t.Helper()
	require.NoError(t, c.SetDeadline(time.Now().Add(waitLimit)))
	_, err := c.Write([]byte(text))
	require.NoError(t, err)
	b := make([]byte, len(text))
	_, err = io.ReadFull(c, b)
	require.NoError(t, err)
	assert.Equal(t, text, string(b))
}

func TestOpenFurtherStreams(t *testing.T) {
	client, _ := reflected(t, 3)
	first, err := client.Open(within(t))
	require.NoError(t, err)
	second, err := client.Open(within(t))
	require.NoError(t, err)
	_, err = client.Open(within(t))
	assert.ErrorIs(t, err, ngtcp2.ErrStreamIDBlocked)
	large := bytes.Repeat([]byte("0123456789abcdef"), 1<<14)
	for _, c := range []*StreamConn{first, client, second} {
		result := make(chan error, 1)
		go func() { _, err := c.Write(large); result <- err }()
		got := make([]byte, len(large))
		_, err := io.ReadFull(c, got)
		require.NoError(t, err)
		assert.True(t, bytes.Equal(large, got))
		require.NoError(t, <-result)
	}
	require.NoError(t, first.Handshake(within(t)))
	assert.Equal(t, client.TLS(), first.TLS())

	require.NoError(t, first.CloseWrite())
	_, err = first.Read(make([]byte, 1))
	assert.ErrorIs(t, err, io.EOF, "the peer ended its side too")
	<-first.Closed()
	_, err = first.Write([]byte("x"))
	assert.Error(t, err)
	require.Eventually(t, func() bool { // the peer allows another one
		first, err = client.Open(within(t))
		return err == nil
	}, waitLimit, time.Millisecond)
	echoed(t, first, "again")

	require.NoError(t, client.Close())
	<-client.Closed()
	<-first.Closed()
	_, err = second.Read(make([]byte, 1))
	assert.Error(t, err)
	_, err = client.Open(within(t))
	assert.ErrorIs(t, err, ErrClosed)
}

// TestFurtherStreamEndsAlone: by the peer's reset, and by Close while the peer still sends.
func TestFurtherStreamEndsAlone(t *testing.T) {
	client, r := reflected(t, 5)
	reset, err := client.Open(within(t))
	require.NoError(t, err)
	_, err = reset.Write([]byte("r"))
	require.NoError(t, err)
	_, err = reset.Read(make([]byte, 1))
	var ae *ngtcp2.ApplicationError
	require.ErrorAs(t, err, &ae)
	assert.Equal(t, uint64(9), ae.Code)

	closed, err := client.Open(within(t))
	require.NoError(t, err)
	echoed(t, closed, "hello")
	_, err = closed.Write([]byte("last"))
	require.NoError(t, err)
	require.NoError(t, closed.Close())
	assert.ErrorIs(t, closed.Close(), net.ErrClosed)
	select {
	case code := <-r.stopped:
		if ngtcp2.ReportsStopSending() { // else the next write notices, and does not know the code
			assert.Equal(t, CodeDropped, code)
		}
	case <-closed.Closed(): // the peer's FIN was faster
	case <-time.After(waitLimit):
		require.Fail(t, "nothing happened")
	}
	echoed(t, client, "the connection lives")
}

func TestOpenIsGivenUpWithItsContext(t *testing.T) {
	client, _ := reflected(t, 2)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for {
		c, err := client.Open(ctx)
		if err != nil {
			require.ErrorIs(t, err, context.Canceled)
			break
		}
		require.NoError(t, c.Close())
	}
	require.Eventually(t, func() bool { // nothing is left open
		c, err := client.Open(within(t))
		if err == nil {
			echoed(t, c, "x")
			require.NoError(t, c.Close())
		}
		return err == nil
	}, waitLimit, time.Millisecond)
}
