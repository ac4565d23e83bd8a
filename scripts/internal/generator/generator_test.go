package generator

import (
	"errors"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestEach(t *testing.T) {
	var sum atomic.Int64
	require.NoError(t, Each(100, 7, func(i int) error { sum.Add(int64(i)); return nil }))
	assert.EqualValues(t, 4950, sum.Load())
	bad := errors.New("bad")
	calls := 0
	require.ErrorIs(t, Each(100, 1, func(int) error { calls++; return bad }), bad)
	assert.Equal(t, 1, calls)
}

func TestFigures(t *testing.T) {
	assert.Zero(t, Median(nil))
	assert.Equal(t, 2.5, Median([]float64{4, 1, 3, 2}))
	assert.Equal(t, 1500.0, Micros(1500*time.Microsecond))
	before, err := ProcessCPU(os.Getpid())
	require.NoError(t, err)
	assert.Positive(t, before)
	rss, err := ResidentBytes(os.Getpid())
	require.NoError(t, err)
	assert.Greater(t, rss, 1e6)
	_, err = ProcessCPU(1 << 22) // PID_MAX_LIMIT
	assert.Error(t, err)
}
