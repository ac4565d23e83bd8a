package hist

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestQuantiles(t *testing.T) {
	var h Histogram
	for i := range 10000 {
		h.Record(time.Duration(i+1) * time.Microsecond)
	}
	s := h.Snapshot()
	assert.EqualValues(t, 10000, s.Count())
	for q, want := range map[float64]float64{0: 1, 0.5: 5000, 0.9: 9000, 0.99: 9900, 0.999: 9990, 1: 10000} {
		assert.InEpsilon(t, want*1000, float64(s.Quantile(q)), 0.017, "%g", q)
		assert.GreaterOrEqual(t, float64(s.Quantile(q)), want*1000)
	}
	assert.Equal(t, 5000500*time.Nanosecond, s.Mean())
	s.Add(s)
	assert.EqualValues(t, 20000, s.Count())
	h.Reset()
	assert.Zero(t, h.Snapshot().Count())
	assert.Zero(t, h.Snapshot().Quantile(0.5))
	assert.Zero(t, h.Snapshot().Mean())
}

func TestBuckets(t *testing.T) {
	for i := range buckets - 1 {
		assert.Equal(t, i, bucket(uint64(upper(i))))
		assert.Equal(t, i+1, bucket(uint64(upper(i)+1)))
	}
	var h Histogram
	h.Record(-time.Second)
	h.Record(100 * time.Hour)
	assert.Zero(t, h.Snapshot().Quantile(0))
	assert.Greater(t, h.Snapshot().Quantile(1), 30*time.Minute)
}

func TestPowers(t *testing.T) {
	var h Histogram
	for _, d := range []time.Duration{3 * time.Microsecond, 3500, 20 * time.Microsecond} {
		h.Record(d)
	}
	var limits []time.Duration
	var counts []uint64
	for limit, n := range h.Snapshot().Powers() {
		limits, counts = append(limits, limit/time.Microsecond), append(counts, n)
	}
	assert.Equal(t, []time.Duration{4, 8, 16, 32}, limits)
	assert.Equal(t, []uint64{2, 0, 0, 1}, counts)
}

func TestManyWriters(t *testing.T) {
	var h Histogram
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range 1000 {
				h.Record(time.Duration(i))
			}
		})
	}
	all.Wait()
	assert.EqualValues(t, 8000, h.Snapshot().Count())
	assert.Zero(t, testing.AllocsPerRun(100, func() { h.Record(time.Millisecond) }))
}

// The mean is exact, and what is around it must not contradict it.
func TestOneDuration(t *testing.T) {
	for _, d := range []time.Duration{0, 1, 63, 64, 1000, 12345678, time.Hour} {
		var h Histogram
		h.Record(d)
		s := h.Snapshot()
		assert.LessOrEqual(t, s.Least(), s.Mean())
		if d < time.Hour {
			assert.LessOrEqual(t, s.Mean(), s.Quantile(1))
			assert.GreaterOrEqual(t, float64(s.Least()), 0.98*float64(d))
		}
	}
	assert.Zero(t, (&Snapshot{}).Least())
}
