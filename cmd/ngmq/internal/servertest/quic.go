//go:build !noquic

package servertest

import "github.com/ngmq/ngmq/server"

// overQUIC has a server listen for QUIC.
func overQUIC(cfg *server.Config) { cfg.QUIC = []string{"127.0.0.1:0"} }
