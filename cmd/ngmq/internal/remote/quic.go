//go:build !noquic

package remote

import (
	"github.com/ngmq/ngmq/mqtt/client"
	"github.com/ngmq/ngmq/ngtcp2"
)

// QUICSettings puts the congestion control into the settings of a connection.
func QUICSettings(cc client.CongestionControl) func(*ngtcp2.Settings) {
	return func(s *ngtcp2.Settings) { s.CCAlgo = ngtcp2.CongestionControlOf(cc) }
}
