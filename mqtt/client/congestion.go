package client

import (
	"fmt"

	"github.com/ngmq/ngmq/ngtcp2/congestion"
)

// CongestionControl says how fast the client sends over a QUIC connection whose path may be
// full (RFC 9002 section 7). The server decides for itself how it sends to the client. For TCP
// the operating system decides.
type CongestionControl = congestion.Control

// What CongestionControl can be; package congestion says what they are good for.
const (
	CongestionCubic = congestion.Cubic
	CongestionBBR   = congestion.BBR
	CongestionReno  = congestion.Reno
)

// validateCongestion is for Options and Dialer.
func validateCongestion(c CongestionControl) error {
	if !c.Known() {
		return fmt.Errorf("client: Options.CongestionControl %d is unknown: use CongestionCubic, CongestionBBR or CongestionReno", uint8(c))
	}
	return nil
}
