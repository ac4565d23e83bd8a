//go:build noquic

package servertest

import "github.com/ngmq/ngmq/server"

// overQUIC leaves a server without QUIC.
func overQUIC(*server.Config) {}
