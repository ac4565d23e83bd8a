//go:build asan

package ngtcp2

// The address sanitizer wants what is lent to C on the Go heap, where it has red
// zones: one path per ReadPkts, one header per Accept and DecodeVersionCID.
const (
	dataPathAllocs      = 1
	firstDatagramAllocs = 4
)
