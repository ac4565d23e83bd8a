//go:build noquic

package main

// libraries says that there are none.
func libraries() string { return "without QUIC (build tag noquic)" }
