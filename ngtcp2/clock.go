package ngtcp2

import (
	"math"
	"time"
)

// Timestamp is a point in time in monotonic nanoseconds (ngtcp2_tstamp). Its
// origin is arbitrary; all calls for one Conn must use the same clock, and it
// must not go backwards.
type Timestamp uint64

// NoExpiry is the Timestamp of a timer that is not armed (UINT64_MAX).
const NoExpiry Timestamp = math.MaxUint64

var clockStart = time.Now()

// Now reads the process' monotonic clock. It starts near zero when the process
// starts and never equals NoExpiry. Any goroutine may call it.
func Now() Timestamp { return Timestamp(time.Since(clockStart)) + 1 }

// Add returns t+d. NoExpiry stays NoExpiry.
func (t Timestamp) Add(d time.Duration) Timestamp {
	if t == NoExpiry {
		return t
	}
	return t + Timestamp(d)
}

// Sub returns the time from u to t. It is math.MaxInt64 when t is NoExpiry.
func (t Timestamp) Sub(u Timestamp) time.Duration {
	if t == NoExpiry {
		return math.MaxInt64
	}
	return time.Duration(t - u)
}
