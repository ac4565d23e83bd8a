package endpoint

import (
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// pair is a connection with both ends in the test's hands.
func pair(t *testing.T) (client, server *StreamConn) {
	t.Helper()
	leakCheck(t)
	l, err := NewListener(Config{TLS: serverTLS(t), Addrs: []string{"127.0.0.1:0"}, Workers: 1})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Shutdown(within(t))) })
	client = dial(t, start(t, Config{Workers: 1}), l.Addr().String())
	_, err = client.Write([]byte("!"))
	require.NoError(t, err)
	c, err := l.Accept()
	require.NoError(t, err)
	server = c.(*StreamConn)
	_, err = io.ReadFull(server, make([]byte, 1))
	require.NoError(t, err)
	return client, server
}

func TestReadDeadline(t *testing.T) {
	client, server := pair(t)
	require.NoError(t, client.SetReadDeadline(time.Now().Add(20*time.Millisecond)))
	_, err := client.Read(make([]byte, 1))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	var ne net.Error
	require.ErrorAs(t, err, &ne)
	assert.True(t, ne.Timeout())
	require.NoError(t, client.SetReadDeadline(time.Time{}))
	_, err = server.Write([]byte("a"))
	require.NoError(t, err)
	_, err = client.Read(make([]byte, 1))
	require.NoError(t, err)
}

// A deadline that is moved wakes a blocked Read.
func TestReadDeadlineWakes(t *testing.T) {
	client, _ := pair(t)
	done := make(chan error)
	go func() {
		_, err := client.Read(make([]byte, 1))
		done <- err
	}()
	require.NoError(t, client.SetReadDeadline(time.Now().Add(-time.Second)))
	assert.ErrorIs(t, <-done, os.ErrDeadlineExceeded)
}

// Write blocks when the peer does not read, honours its deadline, and goes on
// when the peer reads.
func TestBackPressure(t *testing.T) {
	client, server := pair(t)
	require.NoError(t, client.SetWriteDeadline(time.Now().Add(200*time.Millisecond)))
	block := make([]byte, 64<<10)
	written := 0
	for {
		n, err := client.Write(block)
		written += n
		if err != nil {
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			break
		}
		require.Less(t, written, 4<<20, "Write never blocked")
	}
	require.NoError(t, client.SetWriteDeadline(time.Time{}))
	require.NoError(t, server.SetReadDeadline(time.Now().Add(waitLimit)))
	go func() { _ = client.CloseWrite() }()
	n, err := io.Copy(io.Discard, struct{ io.Reader }{server})
	require.NoError(t, err)
	assert.Equal(t, int64(written), n)
	_, err = client.Write(block)
	assert.ErrorIs(t, err, net.ErrClosed)
}

func TestHalfClose(t *testing.T) {
	client, server := pair(t)
	_, err := client.Write([]byte("question"))
	require.NoError(t, err)
	require.NoError(t, client.CloseWrite())
	assert.ErrorIs(t, client.CloseWrite(), net.ErrClosed)
	got, err := io.ReadAll(server)
	require.NoError(t, err)
	assert.Equal(t, "question", string(got))
	_, err = server.Write([]byte("answer"))
	require.NoError(t, err)
	require.NoError(t, server.Close())
	got, err = io.ReadAll(client)
	require.NoError(t, err)
	assert.Equal(t, "answer", string(got))
	closed(t, client)
	closed(t, server)
}

// Close delivers what was written, and unblocks a Read.
func TestCloseDelivers(t *testing.T) {
	client, server := pair(t)
	blocked := make(chan error)
	go func() {
		_, err := client.Read(make([]byte, 1))
		blocked <- err
	}()
	sent := 0
	for range 4 {
		n, err := client.Write(make([]byte, 50_000))
		require.NoError(t, err)
		sent += n
	}
	require.NoError(t, client.Close())
	assert.ErrorIs(t, client.Close(), net.ErrClosed)
	assert.ErrorIs(t, <-blocked, net.ErrClosed)
	_, err := client.Write([]byte("x"))
	assert.ErrorIs(t, err, net.ErrClosed)
	got, err := io.ReadAll(server)
	require.NoError(t, err)
	assert.Len(t, got, sent)
	closed(t, client)
	closed(t, server)
}

func TestSecondStreamIsRefused(t *testing.T) {
	client, server := pair(t)
	opened := make(chan *Stream, 1)
	client.Conn().Post(func() {
		s, _ := client.Conn().OpenStream()
		_, _ = s.Write([]byte("second"))
		opened <- s
	})
	<-opened
	gone := func() bool {
		answer := make(chan bool)
		client.Conn().Post(func() { answer <- client.Conn().others == nil })
		return <-answer
	}
	eventually(t, gone, "the second stream is still there")
	_, err := client.Write([]byte("first"))
	require.NoError(t, err)
	_, err = io.ReadFull(server, make([]byte, 5))
	require.NoError(t, err)
}

func TestAddresses(t *testing.T) {
	client, server := pair(t)
	assert.Equal(t, client.LocalAddr().String(), server.RemoteAddr().String())
	assert.Equal(t, client.RemoteAddr().String(), server.LocalAddr().String())
	assert.False(t, client.Conn().Server())
	assert.True(t, server.Conn().Server())
}
