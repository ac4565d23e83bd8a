//go:build !linux

package stream

import "net"

// listenConfig leaves the options of connections to package net.
func listenConfig() *net.ListenConfig {
	cfg := new(net.ListenConfig)
	cfg.SetMultipathTCP(false)
	return cfg
}
