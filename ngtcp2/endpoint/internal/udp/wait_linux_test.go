//go:build linux

package udp

import (
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func blocking(t *testing.T) *Socket {
	s, err := Listen(Config{Addr: "127.0.0.1:0"})
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	require.NoError(t, s.Block())
	return s
}

// A wait in a system call ends with a datagram, an interrupt that may have come before it,
// the time limit, and Close.
func TestWaitBatch(t *testing.T) {
	s := blocking(t)
	b := s.NewBatch()
	result := make(chan error)
	wait := func(d time.Duration) { go func() { result <- s.WaitBatch(b, d) }() }

	_, err := s.WriteBatch([]byte("x"), []Transmit{{Remote: s.LocalAddr(), Len: 1, SegmentSize: 1}})
	require.NoError(t, err)
	wait(-1)
	require.NoError(t, <-result)
	require.Len(t, b.Msgs, 1)

	wait(-1)
	_, err = s.WriteBatch([]byte("x"), []Transmit{{Remote: s.LocalAddr(), Len: 1, SegmentSize: 1}})
	require.NoError(t, err)
	require.NoError(t, <-result)
	require.Len(t, b.Msgs, 1)

	s.Interrupt()
	wait(-1)
	require.NoError(t, <-result)
	assert.Empty(t, b.Msgs)

	wait(-1)
	s.Interrupt()
	require.NoError(t, <-result)

	began := time.Now()
	wait(20 * time.Millisecond)
	require.NoError(t, <-result)
	assert.GreaterOrEqual(t, time.Since(began), 20*time.Millisecond)

	wait(-1)
	require.NoError(t, s.Close())
	require.ErrorIs(t, <-result, net.ErrClosed)
	s.Interrupt() // does nothing
	require.ErrorIs(t, s.WaitBatch(b, -1), net.ErrClosed)
}

func TestWaitBatchAllocatesNothing(t *testing.T) {
	s := blocking(t)
	b := s.NewBatch()
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		s.Interrupt()
		_ = s.WaitBatch(b, time.Minute)
	}))
}
