package server

import "github.com/ngmq/ngmq/ngtcp2/congestion"

// CongestionControl says how fast the server sends to a QUIC client over a path that may be
// full (RFC 9002 section 7). Each client decides for itself how it sends to the server.
type CongestionControl = congestion.Control

// What CongestionControl can be; package congestion says what they are good for.
const (
	CongestionCubic = congestion.Cubic
	CongestionBBR   = congestion.BBR
	CongestionReno  = congestion.Reno
)
