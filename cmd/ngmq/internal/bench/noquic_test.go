//go:build noquic

package bench

import "github.com/ngmq/ngmq/server"

// overQUIC leaves a server without QUIC.
func overQUIC(*server.Config) {}
