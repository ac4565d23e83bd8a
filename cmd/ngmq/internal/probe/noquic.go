//go:build noquic

package probe

import (
	"context"

	"github.com/ngmq/ngmq/cmd/ngmq/internal/remote"
)

// quicDialer is for builds with QUIC.
type quicDialer struct{}

func newQUICDialer(Config) (*quicDialer, error) { return nil, remote.ErrNoQUIC }

func (*quicDialer) close() {}

func (*quicDialer) dial(context.Context, remote.Server, Kind) (*dialed, error) {
	return nil, remote.ErrNoQUIC
}
