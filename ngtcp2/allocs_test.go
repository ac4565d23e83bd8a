//go:build !asan

package ngtcp2

// What the hot path may allocate per call.
const (
	dataPathAllocs      = 0
	firstDatagramAllocs = 0
)
