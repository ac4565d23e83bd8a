//go:build noquic

package bench

import (
	"github.com/ngmq/ngmq/cmd/ngmq/internal/remote"
	"github.com/ngmq/ngmq/mqtt/client"
)

func newQUICDialer(remote.Server, *client.TLS) (dialer, error) { return nil, remote.ErrNoQUIC }
