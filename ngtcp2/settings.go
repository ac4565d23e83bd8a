package ngtcp2

import "time"

// TokenType tells where Settings.Token comes from (ngtcp2_token_type).
type TokenType uint32

// Token types. Only a server has to set one.
const (
	TokenUnknown  TokenType = 0
	TokenRetry    TokenType = 1 // from a Retry packet
	TokenNewToken TokenType = 2 // from a NEW_TOKEN frame
)

// Settings is ngtcp2_settings in Go form: local behaviour of one connection
// that is not sent to the peer. Start from DefaultSettings. It is copied when
// the Conn is made. (rand_ctx has no counterpart: randomness always comes from
// OpenSSL's RAND_bytes.)
type Settings struct {
	// CCAlgo is the congestion controller; default CCCubic.
	CCAlgo CongestionControl
	// InitialTS is the time of creation on the clock of all later calls; the
	// handshake timeout counts from it. Default 0: set it.
	InitialTS Timestamp
	// InitialRTT is the RTT assumed before a sample exists; default 333 ms
	// (RFC 9002 section 6.2.2).
	InitialRTT time.Duration
	// MaxTxUDPPayloadSize is the largest datagram to send, in bytes; default
	// 1452, range 1200-65527.
	MaxTxUDPPayloadSize int
	// Token: a client's token to send in its Initial packets; a server's
	// verified token from the client's Initial. Default none.
	Token     []byte
	TokenType TokenType
	// MaxWindow is the ceiling in bytes of the automatically tuned connection
	// window; 0 (default) = the window stays at InitialMaxData.
	MaxWindow uint64
	// MaxStreamWindow is the same for each stream's window.
	MaxStreamWindow uint64
	// AckThresh is the number of ack-eliciting packets that triggers an
	// immediate acknowledgement; default 2 (RFC 9000 section 13.2.2). Fewer, if they
	// brought nothing but data, are acknowledged by the next packet that is written
	// anyway, or after 4/5 of TransportParams.MaxAckDelay (full packets: 1 ms).
	AckThresh int
	// NoTxUDPPayloadSizeShaping lifts the limit of 1200 bytes before path MTU
	// discovery. Default false.
	NoTxUDPPayloadSizeShaping bool
	// HandshakeTimeout counts from InitialTS; HandleExpiry then returns
	// ErrHandshakeTimeout. 0 (default) = none.
	HandshakeTimeout time.Duration
	// PreferredVersions are the versions to negotiate (RFC 9368), best first.
	// Default none: the client's version is kept.
	PreferredVersions []uint32
	// AvailableVersions are announced in the version_information parameter.
	// Default: PreferredVersions, else version 1 (server) or the client's own.
	AvailableVersions []uint32
	// OriginalVersion is the version of a client's first attempt, when it
	// reacts to a Version Negotiation packet. Default 0.
	OriginalVersion uint32
	// NoPMTUD disables path MTU discovery. Default false. (With it, datagrams go
	// back to 1200 bytes when the path turns out to be narrower: RFC 8899 section
	// 4.3.)
	NoPMTUD bool
	// InitialPktNum is the first packet number of each space, 0 (default) to
	// 1<<31-1.
	InitialPktNum uint32
	// PMTUDProbes are the datagram sizes to probe, in bytes and in order, each
	// above 1200. Default: ngtcp2's own.
	PMTUDProbes []uint16
	// GlitchRatelimBurst and GlitchRatelimRate (tokens, tokens per second)
	// bound a peer's suspicious but legal frames; defaults 10000 and 330.
	GlitchRatelimBurst uint64
	GlitchRatelimRate  uint64

	// Qlog and Log have what ngtcp2 writes about the connection, qlog and debug
	// log, collected for Events.TakeLogs, whose records carry LogID. Default off.
	Qlog, Log bool
	LogID     uint64
}
