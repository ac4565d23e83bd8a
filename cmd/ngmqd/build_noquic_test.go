//go:build noquic

package main

var (
	transports = []string{"tcp", "tls", "ws", "wss", "unix"}
	anyQUIC    []string // off by default
)

const (
	badQUIC      = "built without QUIC (build tag noquic)" // in what is said about --quic :0
	versionLines = `^ngmqd \S+\nwithout QUIC \(build tag noquic\)\n$`
)
