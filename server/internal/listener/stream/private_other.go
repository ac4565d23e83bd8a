//go:build !unix

package stream

// makePrivate: this system has no modes.
func makePrivate(uintptr) {}
