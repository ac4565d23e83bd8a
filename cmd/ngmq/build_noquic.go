//go:build noquic

package main

// libraries says that there are none.
func libraries() string { return "without QUIC (build tag noquic)" }

// handshakeTimeout says whether nobody answered the QUIC handshake.
func handshakeTimeout(error) bool { return false }
