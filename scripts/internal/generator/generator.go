// Package generator is what the load generators of scripts/bench, on our own QUIC, and of
// scripts/peers, on quic-go, have in common: requests under way at the same time, and the
// figures of a server process.
package generator

import (
	"errors"
	"slices"
	"sync"
	"time"
)

// Each calls f for 0 to n-1 from atOnce goroutines; after the first error it begins no more.
// It gives all errors joined.
func Each(n, atOnce int, f func(i int) error) error {
	var mu sync.Mutex
	var errs []error
	next := 0
	take := func() (int, bool) {
		mu.Lock()
		defer mu.Unlock()
		next++
		return next - 1, next <= n && len(errs) == 0
	}
	var ended sync.WaitGroup
	for range min(atOnce, n) {
		ended.Go(func() {
			for i, ok := take(); ok; i, ok = take() {
				if err := f(i); err != nil {
					mu.Lock()
					errs = append(errs, err)
					mu.Unlock()
				}
			}
		})
	}
	ended.Wait()
	return errors.Join(errs...)
}

// Median of values, which are put in order; 0 without any.
func Median(values []float64) float64 {
	slices.Sort(values)
	n := len(values)
	if n == 0 {
		return 0
	}
	return (values[(n-1)/2] + values[n/2]) / 2
}

// Micros is a duration in microseconds.
func Micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
