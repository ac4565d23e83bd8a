//go:build !noquic

package main

var (
	transports = []string{"quic", "tcp", "tls"}
	anyQUIC    = []string{"--quic", "127.0.0.1:0"}
)

const (
	badQUIC      = "--allow-anonymous" // in what is said about --quic :0
	versionLines = `^ngmqd \S+\nngtcp2 1\.\d+\.\d+\S*\nOpenSSL 3\.\d+`
)
