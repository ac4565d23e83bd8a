//go:build noquic

package bench

import "github.com/ngmq/ngmq/cmd/ngmq/internal/remote"

func newQUICDialer(remote.Server, *Config) (dialer, error) { return nil, remote.ErrNoQUIC }
