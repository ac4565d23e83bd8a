package ngtcp2

// #include "shim_api.h"
// #cgo noescape shim_accept
// #cgo nocallback shim_accept
// #cgo noescape shim_decode_version_cid
// #cgo nocallback shim_decode_version_cid
import "C"

import (
	"unsafe"
)

// The functions of this file need no Conn; any goroutine may call them.

// PktHeader is the header of a packet (ngtcp2_pkt_hd).
type PktHeader struct {
	DCID, SCID ConnectionID
	Version    uint32
	Type       PacketType
	Token      []byte // view of the packet; only Initial packets have one
}

// Accept tells whether pkt, a whole datagram that belongs to no connection, may
// start one; then h is its header. ErrRetry: only with a Retry packet. Any other
// error: drop it (ngtcp2_accept).
func Accept(pkt []byte) (h PktHeader, err error) {
	var hd C.shim_pkt_hd
	if len(pkt) == 0 {
		return h, ErrInvalidArgument
	}
	if rv := C.shim_accept(&hd, (*C.uint8_t)(unsafe.SliceData(pkt)), C.size_t(len(pkt))); rv != 0 {
		return h, codeError(Code(rv))
	}
	h = PktHeader{
		DCID:    *(*ConnectionID)(unsafe.Pointer(&hd.dcid)),
		SCID:    *(*ConnectionID)(unsafe.Pointer(&hd.scid)),
		Version: uint32(hd.version),
		Type:    PacketType(hd._type),
	}
	if hd.token_len > 0 {
		h.Token = pkt[hd.token_off : hd.token_off+hd.token_len]
	}
	return h, nil
}

// VersionCID is the version-independent part of a packet (RFC 8999).
type VersionCID struct {
	Version uint32 // 0 for short header and Version Negotiation packets
	DCID    []byte // view of the packet; may be longer than MaxCIDLen in unknown versions
	SCID    []byte // view of the packet; nil for short header packets
}

// DecodeVersionCID decodes the version-independent part of pkt; short header
// packets carry a DCID of shortDCIDLen bytes. With ErrVersionNegotiation v is
// valid and the server should answer with WriteVersionNegotiation. Any other
// error: drop the packet (ngtcp2_pkt_decode_version_cid).
func DecodeVersionCID(pkt []byte, shortDCIDLen int) (v VersionCID, err error) {
	if len(pkt) == 0 || shortDCIDLen < 0 {
		return v, ErrInvalidArgument
	}
	if pkt[0]&0x80 == 0 { // the common case without a call into C
		return decodeShort(pkt, shortDCIDLen)
	}
	return decodeLong(pkt, shortDCIDLen)
}

func decodeShort(pkt []byte, dcidLen int) (v VersionCID, err error) {
	if len(pkt) < 1+dcidLen {
		return v, ErrInvalidArgument
	}
	v.DCID = pkt[1 : 1+dcidLen]
	return v, nil
}

func decodeLong(pkt []byte, shortDCIDLen int) (v VersionCID, err error) {
	var c C.shim_version_cid
	rv := C.shim_decode_version_cid(&c, (*C.uint8_t)(unsafe.SliceData(pkt)), C.size_t(len(pkt)), C.size_t(shortDCIDLen))
	if rv != 0 && Code(rv) != CodeVersionNegotiation {
		return v, codeError(Code(rv))
	}
	v = VersionCID{
		Version: uint32(c.version),
		DCID:    pkt[c.dcid_off : c.dcid_off+c.dcid_len],
		SCID:    pkt[c.scid_off : c.scid_off+c.scid_len],
	}
	if rv != 0 {
		return v, ErrVersionNegotiation
	}
	return v, nil
}

// codeError is the error for a bare code, without allocation for the codes that
// packets from the network can cause.
func codeError(c Code) error {
	switch c {
	case CodeInvalidArgument:
		return ErrInvalidArgument
	case CodeRetry:
		return ErrRetry
	case CodeNoBuf:
		return ErrNoBuf
	}
	return newError(c)
}

// IsSupportedVersion reports whether ngtcp2 supports version
// (ngtcp2_is_supported_version).
func IsSupportedVersion(version uint32) bool {
	return C.ngtcp2_is_supported_version(C.uint32_t(version)) != 0
}

// WriteVersionNegotiation writes a Version Negotiation packet into dst that
// answers a packet with v's CIDs: they are swapped here. unused are 7 random
// bits. It returns its length (ngtcp2_pkt_write_version_negotiation).
func WriteVersionNegotiation(dst []byte, unused uint8, v VersionCID, versions []uint32) (int, error) {
	if len(v.DCID) > 255 || len(v.SCID) > 255 {
		return 0, ErrInvalidArgument
	}
	n := C.shim_write_version_negotiation(span(dst), C.uint8_t(unused), C.shim_vn{
		dcid: span(v.SCID), scid: span(v.DCID),
		versions: (*C.uint32_t)(unsafe.SliceData(versions)), len: C.size_t(len(versions)),
	})
	return countOrError(n)
}

// span lends b to C for one call.
func span(b []byte) C.shim_span {
	return C.shim_span{(*C.uint8_t)(unsafe.SliceData(b)), C.size_t(len(b))}
}

func countOrError(n C.int64_t) (int, error) {
	if n < 0 {
		return 0, codeError(Code(n))
	}
	return int(n), nil
}

// Retry is the content of a Retry packet.
type Retry struct {
	Version uint32
	DCID    ConnectionID // the client's SCID
	SCID    ConnectionID // chosen by the server; becomes the client's next DCID
	ODCID   ConnectionID // DCID of the Initial that is answered
	Token   []byte       // GenerateRetryToken
}

// WriteRetry writes a Retry packet into dst and returns its length. r needs a
// Token, and an SCID that is not ODCID (ngtcp2_crypto_write_retry).
func WriteRetry(dst []byte, r Retry) (int, error) {
	if len(r.Token) == 0 || r.SCID == r.ODCID { // ngtcp2 aborts
		return 0, ErrInvalidArgument
	}
	ids := C.shim_ids{version: C.uint32_t(r.Version), dcid: cidToC(r.DCID), scid: cidToC(r.SCID), odcid: cidToC(r.ODCID)}
	n := C.shim_write_retry(span(dst), &ids, span(r.Token))
	return countOrError(n)
}

// InitialClose is the content of a CONNECTION_CLOSE packet that is written
// without a Conn.
type InitialClose struct {
	Version uint32
	DCID    ConnectionID // the client's SCID
	SCID    ConnectionID // the DCID of the client's Initial
	Code    uint64       // transport error code, such as InvalidToken
	Reason  string
}

// WriteConnectionCloseInitial writes an Initial packet with CONNECTION_CLOSE
// into dst, which refuses a client without making a Conn, and returns its length
// (ngtcp2_crypto_write_connection_close).
func WriteConnectionCloseInitial(dst []byte, ic InitialClose) (int, error) {
	if ic.Code > maxVarint { // ngtcp2 aborts
		return 0, ErrInvalidArgument
	}
	reason := C.shim_span{(*C.uint8_t)(unsafe.StringData(ic.Reason)), C.size_t(len(ic.Reason))}
	ids := C.shim_ids{version: C.uint32_t(ic.Version), dcid: cidToC(ic.DCID), scid: cidToC(ic.SCID)}
	n := C.shim_write_connection_close(span(dst), &ids, C.uint64_t(ic.Code), reason)
	return countOrError(n)
}

// WriteStatelessReset fills dst with a stateless reset packet and returns its
// length, len(dst) (at least 21; RFC 9000 section 10.3 wants it smaller than the
// packet that it answers and asks for up to 43). The bits before the token are
// random (ngtcp2_pkt_write_stateless_reset).
func WriteStatelessReset(dst []byte, token StatelessResetToken) (int, error) {
	n := C.shim_write_stateless_reset(span(dst), (*C.uint8_t)(&token[0]))
	return countOrError(n)
}

// GenerateStatelessResetToken derives the token of cid from a server's static
// secret (ngtcp2_crypto_generate_stateless_reset_token).
func GenerateStatelessResetToken(secret []byte, cid ConnectionID) (token StatelessResetToken, err error) {
	if rv := C.shim_stateless_reset_token((*C.uint8_t)(&token[0]), span(secret), cidToC(cid)); rv != 0 {
		return token, newError(CodeInternal)
	}
	return token, nil
}
