package ngtcp2

import (
	"net/netip"
	"time"
)

// TransportParams is ngtcp2_transport_params in Go form: what one side
// announces to the other (RFC 9000 section 18.2). Start from
// DefaultTransportParams. It is copied when the Conn is made. Fields marked
// (set by ngtcp2) are ignored in local parameters.
type TransportParams struct {
	// PreferredAddr is a server's preferred address; nil (default) = none.
	PreferredAddr *PreferredAddr
	// OriginalDCID: a server must set it to the DCID of the client's first
	// Initial (after Retry: the one inside the token) and OriginalDCIDPresent.
	OriginalDCID        ConnectionID
	OriginalDCIDPresent bool
	// InitialSCID is the sender's first source CID (set by ngtcp2).
	InitialSCID        ConnectionID
	InitialSCIDPresent bool
	// RetrySCID: a server sets it to the DCID of the Initial that carried a
	// valid Retry token, and RetrySCIDPresent.
	RetrySCID        ConnectionID
	RetrySCIDPresent bool
	// Flow control windows in bytes; default 0: the peer may send nothing.
	InitialMaxStreamDataBidiLocal  uint64
	InitialMaxStreamDataBidiRemote uint64
	InitialMaxStreamDataUni        uint64
	InitialMaxData                 uint64
	// Numbers of streams that the peer may open at first; default 0.
	InitialMaxStreamsBidi uint64
	InitialMaxStreamsUni  uint64
	// MaxIdleTimeout closes a silent connection; 0 (default) = never.
	MaxIdleTimeout time.Duration
	// MaxUDPPayloadSize is the largest datagram accepted; default 65527 bytes.
	MaxUDPPayloadSize uint64
	// ActiveConnectionIDLimit is the number of the peer's CIDs stored; default
	// 2, range 2-8.
	ActiveConnectionIDLimit uint64
	// AckDelayExponent scales the ACK Delay field; default 3.
	AckDelayExponent uint64
	// MaxAckDelay is the longest delay of an acknowledgement; default 25 ms,
	// below 16384 ms, whole milliseconds.
	MaxAckDelay time.Duration
	// MaxDatagramFrameSize enables DATAGRAM frames (RFC 9221); 0 (default) =
	// off.
	MaxDatagramFrameSize uint64
	// StatelessResetToken: a server's token for its first CID. NewServerConn
	// fills it from ConnConfig.ResetSecret when it is not present.
	StatelessResetToken        StatelessResetToken
	StatelessResetTokenPresent bool
	// DisableActiveMigration asks the peer not to migrate. Default false.
	DisableActiveMigration bool
	// GreaseQUICBit allows the peer to clear the fixed bit (RFC 9287). Default
	// false.
	GreaseQUICBit bool
	// VersionInfo is version_information (RFC 9368) (set by ngtcp2); nil = not
	// sent.
	VersionInfo *VersionInfo
}

// PreferredAddr is a server's preferred address (ngtcp2_preferred_addr). An
// invalid IPv4 or IPv6 means that there is none of that family.
type PreferredAddr struct {
	CID                 ConnectionID
	IPv4, IPv6          netip.AddrPort
	StatelessResetToken StatelessResetToken
}

// VersionInfo is the version_information parameter (ngtcp2_version_info).
type VersionInfo struct {
	ChosenVersion     uint32
	AvailableVersions []uint32
}
