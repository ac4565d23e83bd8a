// Package hist is a histogram of durations for many writers: log-linear buckets, each
// at most 1.6 % wide, from one nanosecond to half an hour. Recording is one atomic
// addition and allocates nothing.
package hist

import (
	"iter"
	"math/bits"
	"sync/atomic"
	"time"
)

const (
	subBits = 6 // a power of two is divided into 64 buckets: 1.6 % each
	subs    = 1 << subBits
	maxBits = 41 // up to 2^41 ns, 36 minutes; more counts as that
	buckets = (maxBits - subBits + 1) * subs
)

// Histogram counts durations. The zero value is ready; any goroutine may use it. It
// must not be copied.
type Histogram struct {
	counts [buckets]atomic.Uint64
	sum    atomic.Int64
}

// bucket of a duration in nanoseconds.
func bucket(n uint64) int {
	if n < subs {
		return int(n)
	}
	shift := bits.Len64(n) - 1 - subBits
	return min((shift+1)*subs+int(n>>shift)-subs, buckets-1)
}

// upper is the largest duration of a bucket.
func upper(i int) time.Duration {
	if i < subs {
		return time.Duration(i)
	}
	shift := i/subs - 1
	return time.Duration((uint64(subs+i%subs)+1)<<shift - 1)
}

// lower is the smallest one.
func lower(i int) time.Duration {
	if i == 0 {
		return 0
	}
	return upper(i-1) + 1
}

// Record counts d; less than zero counts as zero.
func (h *Histogram) Record(d time.Duration) {
	h.counts[bucket(uint64(max(d, 0)))].Add(1)
	h.sum.Add(int64(max(d, 0)))
}

// Reset forgets everything. What is recorded meanwhile is counted or not.
func (h *Histogram) Reset() {
	for i := range h.counts {
		h.counts[i].Store(0)
	}
	h.sum.Store(0)
}

// Snapshot is a histogram at one moment.
type Snapshot struct {
	counts [buckets]uint64
	count  uint64
	sum    time.Duration
}

// Snapshot copies h.
func (h *Histogram) Snapshot() *Snapshot {
	s := &Snapshot{sum: time.Duration(h.sum.Load())}
	for i := range h.counts {
		s.counts[i] = h.counts[i].Load()
		s.count += s.counts[i]
	}
	return s
}

// Count is the number of durations.
func (s *Snapshot) Count() uint64 { return s.count }

// Mean is their mean; 0 without any.
func (s *Snapshot) Mean() time.Duration {
	if s.count == 0 {
		return 0
	}
	return s.sum / time.Duration(s.count)
}

// Least is the lower end of the bucket with the least duration; 0 without any.
func (s *Snapshot) Least() time.Duration {
	for i, n := range s.counts {
		if n > 0 {
			return lower(i)
		}
	}
	return 0
}

// Quantile is the upper end of the bucket with the q-th part of all durations, q from 0
// (the least) to 1 (the greatest); 0 without any.
func (s *Snapshot) Quantile(q float64) time.Duration {
	if s.count == 0 {
		return 0
	}
	rank := max(uint64(q*float64(s.count)+0.5), 1)
	seen := uint64(0)
	for i, n := range s.counts {
		if seen += n; seen >= rank && n > 0 {
			return upper(i)
		}
	}
	return upper(buckets - 1)
}

// Add counts the durations of other too.
func (s *Snapshot) Add(other *Snapshot) {
	for i, n := range other.counts {
		s.counts[i] += n
	}
	s.count += other.count
	s.sum += other.sum
}

// Powers yields the number of durations up to 1, 2, 4, 8, ... microseconds, each with
// its upper limit, from the first that is not 0 to the last.
func (s *Snapshot) Powers() iter.Seq2[time.Duration, uint64] {
	return func(yield func(time.Duration, uint64) bool) {
		i, left := 0, s.count
		for limit := time.Microsecond; left > 0; limit *= 2 {
			var n uint64
			for ; i < buckets && (upper(i) <= limit || i == buckets-1); i++ {
				n += s.counts[i]
			}
			if (n > 0 || left < s.count) && !yield(limit, n) {
				return
			}
			left -= n
		}
	}
}
