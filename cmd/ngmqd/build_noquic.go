//go:build noquic

package main

// libraries says that there are none.
func libraries() string { return "without QUIC (build tag noquic)" }

// nativeHeap is 0: there is none.
func nativeHeap() int64 { return 0 }

// quicWorkers: there are none.
func quicWorkers([]string) (n int, done func()) { return 0, func() {} }
