package ngtcp2

import (
	"fmt"
	"net/netip"
)

// Path is the pair of addresses that a packet travels between (ngtcp2_path).
// Both addresses must be valid and of one family; IPv4 addresses mapped into
// IPv6 count as IPv6. A zone must be a numeric scope id ("2"). Path is
// comparable.
type Path struct {
	Local, Remote netip.AddrPort
}

// String is "local->remote".
func (p Path) String() string { return fmt.Sprintf("%v->%v", p.Local, p.Remote) }

// ECN is the two-bit ECN field of the IP header (RFC 3168).
type ECN uint8

// ECN code points.
const (
	NotECT ECN = 0
	ECT1   ECN = 1
	ECT0   ECN = 2
	CE     ECN = 3
)
