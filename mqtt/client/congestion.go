package client

import (
	"fmt"
	"slices"
)

// CongestionControl says how fast the client sends over a QUIC connection whose path may be
// full (RFC 9002 section 7). The server decides for itself how it sends to the client. For TCP
// the operating system decides.
type CongestionControl uint8

const (
	// CongestionCubic takes each lost packet for a sign of a full path (RFC 9438), as TCP
	// does on most systems.
	CongestionCubic CongestionControl = iota
	// CongestionBBR goes by the rate at which data arrives, and by round trips (BBR version
	// 2): on paths that lose packets though they are not full it is several times faster,
	// and it keeps long queues short. On a slow path with a queue shorter than a round trip
	// it loses many packets while it finds out the rate: ngtcp2 makes no pauses until then.
	CongestionBBR
	// CongestionReno is the one that RFC 9002 describes.
	CongestionReno
	numCongestionControls
)

var congestionNames = []string{CongestionCubic: "cubic", CongestionBBR: "bbr", CongestionReno: "reno"}

// String is "cubic", "bbr" or "reno".
func (c CongestionControl) String() string {
	if c < numCongestionControls {
		return congestionNames[c]
	}
	return fmt.Sprintf("CongestionControl(%d)", uint8(c))
}

// UnmarshalText reads what String gives.
func (c *CongestionControl) UnmarshalText(text []byte) error {
	i := slices.Index(congestionNames, string(text))
	if i < 0 {
		return fmt.Errorf("%q is not one of %q", text, congestionNames)
	}
	*c = CongestionControl(i)
	return nil
}

// validate is for Options and Dialer.
func (c CongestionControl) validate() error {
	if c >= numCongestionControls {
		return fmt.Errorf("client: Options.CongestionControl %d is unknown: use CongestionCubic, CongestionBBR or CongestionReno", uint8(c))
	}
	return nil
}
