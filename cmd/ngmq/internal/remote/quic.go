//go:build !noquic

package remote

import (
	"github.com/ngmq/ngmq/mqtt/client"
	"github.com/ngmq/ngmq/ngtcp2"
)

// QUICSettings puts the congestion control into the settings of a connection.
func QUICSettings(cc client.CongestionControl) func(*ngtcp2.Settings) {
	algo := map[client.CongestionControl]ngtcp2.CongestionControl{
		client.CongestionCubic: ngtcp2.CCCubic, client.CongestionBBR: ngtcp2.CCBBR, client.CongestionReno: ngtcp2.CCReno,
	}[cc]
	return func(s *ngtcp2.Settings) { s.CCAlgo = algo }
}
