// Package congestion names the congestion controllers of package ngtcp2, for configurations.
// It is pure Go: a build without QUIC has them too.
package congestion

import (
	"fmt"
	"slices"
)

// Control says how fast an endpoint sends over a QUIC connection whose path may be full
// (RFC 9002 section 7). Each of the two decides for itself. ngtcp2.CongestionControlOf is what
// ngtcp2.Settings calls it.
type Control uint8

const (
	// Cubic takes each lost packet for a sign of a full path (RFC 9438), as TCP does on most
	// systems. It is the default.
	Cubic Control = iota
	// BBR goes by the rate at which data arrives, and by round trips (BBR version 2): on
	// paths that lose packets though they are not full it is several times faster, and it
	// keeps long queues short. On a slow path with a queue shorter than a round trip it
	// loses many packets while it finds out the rate: ngtcp2 makes no pauses until then.
	BBR
	// Reno is the one that RFC 9002 describes.
	Reno
)

var names = []string{Cubic: "cubic", BBR: "bbr", Reno: "reno"}

// Known reports whether c is one of the constants.
func (c Control) Known() bool { return int(c) < len(names) }

// String is "cubic", "bbr" or "reno".
func (c Control) String() string {
	if c.Known() {
		return names[c]
	}
	return fmt.Sprintf("CongestionControl(%d)", uint8(c))
}

// UnmarshalText reads what String gives; the error lists the names.
func (c *Control) UnmarshalText(text []byte) error {
	i := slices.Index(names, string(text))
	if i < 0 {
		return fmt.Errorf("%q is not one of %q", text, names)
	}
	*c = Control(i)
	return nil
}
