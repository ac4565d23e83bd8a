//go:build noquic

package server

import "strings"

// DefaultQUIC is the QUIC address of the zero Config: none, for this build is without
// QUIC (tag noquic).
const DefaultQUIC = Off

// checkQUIC says whether this build can listen on the addresses of Config.QUIC.
func checkQUIC(addrs []string) error {
	if len(addrs) == 0 {
		return nil
	}
	return &ConfigError{
		Field: "QUIC", Value: strings.Join(addrs, ","), Problem: "this program was built without QUIC (build tag noquic)",
		Remedy: "listen with TCP or TLS and switch QUIC off (ngmqd: --quic off), or build it without the tag",
	}
}

// openQUIC has nothing to open: checkQUIC lets no address through.
func (s *Server) openQUIC(resolved, *identity) error { return nil }

// checkQlogDir refuses to promise files that are never made.
func checkQlogDir(dir string) error {
	if dir == "" {
		return nil
	}
	return &ConfigError{
		Field: "QlogDir", Value: dir, Problem: "this program was built without QUIC (build tag noquic)",
		Remedy: "leave it out (ngmqd: --qlog-dir)",
	}
}
