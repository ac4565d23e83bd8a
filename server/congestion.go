package server

// CongestionControl says how fast the server sends to a QUIC client over a path that may be
// full (RFC 9002 section 7). Each client decides for itself how it sends to the server.
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
	return nameOf("CongestionControl", congestionNames, uint8(c))
}

// UnmarshalText reads what String gives.
func (c *CongestionControl) UnmarshalText(text []byte) error {
	i, err := indexOf(congestionNames, text)
	*c = CongestionControl(i)
	return err
}
