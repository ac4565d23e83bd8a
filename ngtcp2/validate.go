package ngtcp2

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// ngtcp2 aborts the process on most values that are refused here.

const (
	maxVarint      = 1<<62 - 1
	maxMaxAckDelay = (1 << 14) * time.Millisecond // RFC 9000 section 18.2
	minActiveCIDs  = 2
	maxActiveCIDs  = 8 // ngtcp2's limit
	maxAckDelayExp = 20
)

// check appends to errs.
type check struct {
	name string
	errs []error
}

func (c *check) bad(ok bool, field, remedy string) {
	if !ok {
		c.errs = append(c.errs, fmt.Errorf("ngtcp2: %s.%s: %s", c.name, field, remedy))
	}
}

func (c *check) varint(v uint64, field string) {
	c.bad(v <= maxVarint, field, "at most 1<<62-1 allowed")
}

// Validate reports every field of s that ngtcp2 would not accept, joined.
func (s *Settings) Validate() error {
	c := check{name: "Settings"}
	c.bad(s.CCAlgo <= CCBBR, "CCAlgo", "use CCReno, CCCubic or CCBBR")
	c.bad(s.InitialTS != NoExpiry, "InitialTS", "use a time of the connection's clock")
	c.bad(s.InitialRTT > 0, "InitialRTT", "must be above 0; DefaultSettings has 333 ms")
	c.bad(s.MaxTxUDPPayloadSize >= MaxUDPPayloadSize && s.MaxTxUDPPayloadSize <= MaxTxUDPPayloadSize,
		"MaxTxUDPPayloadSize", "use 1200 to 65527 bytes; DefaultSettings has 1452")
	c.bad(s.TokenType <= TokenNewToken, "TokenType", "use TokenUnknown, TokenRetry or TokenNewToken")
	c.varint(s.MaxWindow, "MaxWindow")
	c.varint(s.MaxStreamWindow, "MaxStreamWindow")
	c.bad(s.AckThresh >= 0, "AckThresh", "must not be negative; DefaultSettings has 2")
	c.bad(s.HandshakeTimeout >= 0, "HandshakeTimeout", "must not be negative; 0 means none")
	c.bad(s.InitialPktNum <= math.MaxInt32, "InitialPktNum", "at most 1<<31-1 allowed")
	c.bad(allSupported(s.PreferredVersions), "PreferredVersions", "use VersionV1 and VersionV2 only")
	c.bad(availableOK(s.AvailableVersions), "AvailableVersions", "use supported and reserved versions only")
	c.bad(availableHas(s.AvailableVersions, s.PreferredVersions), "AvailableVersions", "must hold all PreferredVersions")
	for _, size := range s.PMTUDProbes {
		c.bad(size > MaxUDPPayloadSize && int(size) <= s.MaxTxUDPPayloadSize, "PMTUDProbes",
			"each must be above 1200 and at most MaxTxUDPPayloadSize")
	}
	return errors.Join(c.errs...)
}

func allSupported(versions []uint32) bool {
	for _, v := range versions {
		if !IsSupportedVersion(v) {
			return false
		}
	}
	return true
}

// isReserved reports whether v is of the form 0x?a?a?a?a (RFC 9000 section 15).
func isReserved(v uint32) bool { return v&0x0f0f0f0f == 0x0a0a0a0a }

func availableOK(versions []uint32) bool {
	for _, v := range versions {
		if !isReserved(v) && !IsSupportedVersion(v) {
			return false
		}
	}
	return true
}

// availableHas reports whether available, when set, holds all preferred.
func availableHas(available, preferred []uint32) bool {
	for _, p := range preferred {
		if len(available) > 0 && !contains(available, p) {
			return false
		}
	}
	return true
}

func contains(versions []uint32, v uint32) bool {
	for _, w := range versions {
		if w == v {
			return true
		}
	}
	return false
}

// Validate reports every field of t that ngtcp2 would not accept from this role,
// joined.
func (t *TransportParams) Validate(server bool) error {
	c := check{name: "TransportParams"}
	c.varint(t.InitialMaxData, "InitialMaxData")
	c.varint(t.InitialMaxStreamDataBidiLocal, "InitialMaxStreamDataBidiLocal")
	c.varint(t.InitialMaxStreamDataBidiRemote, "InitialMaxStreamDataBidiRemote")
	c.varint(t.InitialMaxStreamDataUni, "InitialMaxStreamDataUni")
	c.bad(t.InitialMaxStreamsBidi <= 1<<60, "InitialMaxStreamsBidi", "at most 1<<60 allowed")
	c.bad(t.InitialMaxStreamsUni <= 1<<60, "InitialMaxStreamsUni", "at most 1<<60 allowed")
	c.varint(t.MaxDatagramFrameSize, "MaxDatagramFrameSize")
	c.bad(t.MaxIdleTimeout >= 0, "MaxIdleTimeout", "must not be negative; 0 means none")
	c.bad(t.MaxUDPPayloadSize >= MaxUDPPayloadSize && t.MaxUDPPayloadSize <= maxVarint,
		"MaxUDPPayloadSize", "at least 1200 bytes; DefaultTransportParams has 65527")
	c.bad(t.ActiveConnectionIDLimit >= minActiveCIDs && t.ActiveConnectionIDLimit <= maxActiveCIDs,
		"ActiveConnectionIDLimit", "use 2 to 8; DefaultTransportParams has 2")
	c.bad(t.AckDelayExponent <= maxAckDelayExp, "AckDelayExponent", "at most 20 allowed; DefaultTransportParams has 3")
	c.bad(t.MaxAckDelay >= 0 && t.MaxAckDelay < maxMaxAckDelay, "MaxAckDelay", "use 0 to 16383 ms; DefaultTransportParams has 25 ms")
	if server {
		c.bad(t.OriginalDCIDPresent, "OriginalDCID", "a server must set it and OriginalDCIDPresent")
		c.bad(t.PreferredAddr == nil || !t.PreferredAddr.CID.IsZero(), "PreferredAddr.CID", "must not be empty (RFC 9000 section 18.2)")
	} else {
		c.clientOnly(t)
	}
	return errors.Join(c.errs...)
}

func (c *check) clientOnly(t *TransportParams) {
	const remedy = "is for servers only"
	c.bad(!t.OriginalDCIDPresent, "OriginalDCID", remedy)
	c.bad(!t.RetrySCIDPresent, "RetrySCID", remedy)
	c.bad(!t.StatelessResetTokenPresent, "StatelessResetToken", remedy)
	c.bad(t.PreferredAddr == nil, "PreferredAddr", remedy)
}
