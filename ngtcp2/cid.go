package ngtcp2

import (
	"encoding/hex"
	"fmt"
)

// Lengths of Connection IDs in bytes (NGTCP2_*_CIDLEN, RFC 9000 section 17.2).
const (
	MaxCIDLen         = 20
	MinCIDLen         = 1
	MinInitialDCIDLen = 8 // a client's first destination CID is at least this long
)

// ConnectionID is a QUIC Connection ID of 0 to 20 bytes (ngtcp2_cid). It is
// comparable, so it serves as a map key. The zero value has length 0.
type ConnectionID struct {
	n uint8
	b [MaxCIDLen]byte
}

// NewConnectionID copies b. It fails when b is longer than MaxCIDLen.
func NewConnectionID(b []byte) (ConnectionID, error) {
	var c ConnectionID
	if len(b) > MaxCIDLen {
		return c, fmt.Errorf("ngtcp2: connection id of %d bytes, at most %d allowed", len(b), MaxCIDLen)
	}
	c.n = uint8(copy(c.b[:], b))
	return c, nil
}

// Bytes returns a copy-free view of *c, valid as long as c is.
func (c *ConnectionID) Bytes() []byte { return c.b[:c.n] }

// Append appends the bytes of c to dst.
func (c ConnectionID) Append(dst []byte) []byte { return append(dst, c.b[:c.n]...) }

// Len is the length in bytes.
func (c ConnectionID) Len() int { return int(c.n) }

// IsZero reports whether c has length 0.
func (c ConnectionID) IsZero() bool { return c.n == 0 }

// String is c in hexadecimal.
func (c ConnectionID) String() string { return hex.EncodeToString(c.b[:c.n]) }

// StatelessResetToken authenticates a stateless reset (RFC 9000 section 10.3).
type StatelessResetToken [StatelessResetTokenLen]byte
