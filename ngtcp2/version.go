package ngtcp2

import "github.com/ngmq/ngmq/ngtcp2/congestion"

// QUIC versions (ngtcp2: NGTCP2_PROTO_VER_*).
const (
	VersionV1 uint32 = 0x00000001 // RFC 9000
	VersionV2 uint32 = 0x6b3343cf // RFC 9369
)

// CongestionControl selects the congestion controller (ngtcp2_cc_algo).
type CongestionControl uint32

// Congestion controllers. The default of DefaultSettings is CCCubic.
const (
	CCReno  CongestionControl = 0 // RFC 9002
	CCCubic CongestionControl = 1 // RFC 9438
	CCBBR   CongestionControl = 2 // BBR v2
)

// CongestionControlOf is c for Settings.CCAlgo; of one that is not known it is CCCubic.
func CongestionControlOf(c congestion.Control) CongestionControl {
	switch c {
	case congestion.BBR:
		return CCBBR
	case congestion.Reno:
		return CCReno
	}
	return CCCubic
}

// PacketType is a version-independent packet type (ngtcp2_pkt_type).
type PacketType uint8

// Packet types.
const (
	PacketInitial            PacketType = 0x10
	Packet0RTT               PacketType = 0x11
	PacketHandshake          PacketType = 0x12
	PacketRetry              PacketType = 0x13
	Packet1RTT               PacketType = 0x40
	PacketVersionNegotiation PacketType = 0x80
	PacketStatelessReset     PacketType = 0x81
)

// QUIC transport error codes (RFC 9000 section 20.1, RFC 9368).
const (
	NoError                 uint64 = 0x0
	InternalError           uint64 = 0x1
	ConnectionRefused       uint64 = 0x2
	FlowControlError        uint64 = 0x3
	StreamLimitError        uint64 = 0x4
	StreamStateError        uint64 = 0x5
	FinalSizeError          uint64 = 0x6
	FrameEncodingError      uint64 = 0x7
	TransportParameterError uint64 = 0x8
	ConnectionIDLimitError  uint64 = 0x9
	ProtocolViolation       uint64 = 0xa
	InvalidToken            uint64 = 0xb
	ApplicationErrorCode    uint64 = 0xc
	CryptoBufferExceeded    uint64 = 0xd
	KeyUpdateError          uint64 = 0xe
	AEADLimitReached        uint64 = 0xf
	NoViablePath            uint64 = 0x10
	VersionNegotiationError uint64 = 0x11
	CryptoError             uint64 = 0x100 // + TLS alert
)

// Sizes and defaults of ngtcp2 and RFC 9000.
const (
	MaxUDPPayloadSize      = 1200  // bytes; packets before path MTU discovery
	MaxTxUDPPayloadSize    = 65527 // bytes; the largest datagram that can be written
	StatelessResetTokenLen = 16    // bytes
	MinStatelessResetRand  = 5     // bytes of unpredictable bits in a stateless reset
)
