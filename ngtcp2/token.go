package ngtcp2

// #include "shim_api.h"
import "C"

import (
	"net/netip"
	"time"
)

// The functions of this file need no Conn; any goroutine may call them. Tokens
// are encrypted with a secret of at least 16 random bytes that all servers
// behind one address share. Their timestamps may come from any clock, as long
// as generation and verification use the same: tokens that are to outlive the
// process need wall-clock nanoseconds.

// RetryToken is what a Retry token proves.
type RetryToken struct {
	Version   uint32
	Remote    netip.AddrPort // the client's address
	RetrySCID ConnectionID   // SCID of the Retry packet = DCID of the Initial that returns
	ODCID     ConnectionID   // DCID of the client's first Initial; output of verification
}

// proof is t in C form; only the address can be wrong.
func (t RetryToken) proof(ts Timestamp) (p C.shim_proof, err error) {
	p.version, p.ts = C.uint32_t(t.Version), C.uint64_t(ts)
	p.retry_scid, p.odcid = cidToC(t.RetrySCID), cidToC(t.ODCID)
	return p, addrToC(&p.remote, t.Remote)
}

// GenerateRetryToken makes the token for a Retry packet
// (ngtcp2_crypto_generate_retry_token2).
func GenerateRetryToken(secret []byte, t RetryToken, ts Timestamp) ([]byte, error) {
	p, err := t.proof(ts)
	if err != nil {
		return nil, err
	}
	dst := make([]byte, C.SHIM_RETRY_TOKEN_MAX)
	return tokenOrError(dst, C.shim_generate_retry_token(span(dst), span(secret), &p))
}

// VerifyRetryToken checks that token is for t.Version, t.Remote and t.RetrySCID
// and no older than timeout, and returns the ODCID inside. ErrTokenUnreadable:
// not one of ours. ErrTokenInvalid: answer with InvalidToken
// (ngtcp2_crypto_verify_retry_token2).
func VerifyRetryToken(token, secret []byte, t RetryToken, timeout time.Duration, ts Timestamp) (odcid ConnectionID, err error) {
	p, err := t.proof(ts)
	if err != nil {
		return odcid, err
	}
	p.timeout = C.uint64_t(max(timeout, 0))
	if rv := C.shim_verify_retry_token(span(token), span(secret), &p); rv != 0 {
		return odcid, tokenError(rv)
	}
	return cidFromC(p.odcid), nil
}

// GenerateToken makes a token for NEW_TOKEN (SubmitNewToken) that proves that
// remote is a client's address (ngtcp2_crypto_generate_regular_token).
func GenerateToken(secret []byte, remote netip.AddrPort, ts Timestamp) ([]byte, error) {
	p, err := RetryToken{Remote: remote}.proof(ts)
	if err != nil {
		return nil, err
	}
	dst := make([]byte, C.SHIM_TOKEN_MAX)
	return tokenOrError(dst, C.shim_generate_token(span(dst), span(secret), &p))
}

// VerifyToken checks a token of GenerateToken: remote's address and an age up to
// timeout. Errors as VerifyRetryToken, but either way the token is to be
// ignored: RFC 9000 section 8.1.3 (ngtcp2_crypto_verify_regular_token2).
func VerifyToken(token, secret []byte, remote netip.AddrPort, timeout time.Duration, ts Timestamp) error {
	p, err := RetryToken{Remote: remote}.proof(ts)
	if err != nil {
		return err
	}
	p.timeout = C.uint64_t(max(timeout, 0))
	if rv := C.shim_verify_token(span(token), span(secret), &p); rv != 0 {
		return tokenError(rv)
	}
	return nil
}

func tokenOrError(dst []byte, n C.int64_t) ([]byte, error) {
	if n < 0 {
		return nil, newError(CodeInternal)
	}
	return dst[:n], nil
}

func tokenError(rv C.int) error {
	if rv == C.SHIM_TOKEN_UNREADABLE {
		return ErrTokenUnreadable
	}
	return ErrTokenInvalid
}

// IsRetryToken reports whether token has the form of a GenerateRetryToken token,
// IsToken that of a GenerateToken token: it tells which to verify.
func IsRetryToken(token []byte) bool {
	return len(token) > 0 && token[0] == C.SHIM_RETRY_TOKEN_MAGIC
}

// IsToken reports whether token has the form of a GenerateToken token.
func IsToken(token []byte) bool {
	return len(token) > 0 && token[0] == C.SHIM_TOKEN_MAGIC
}

// maxNewToken is the longest token for NEW_TOKEN, in bytes: the frame must fit in
// a packet of 1200 bytes, or it holds up all that the connection has to send.
const maxNewToken = 1024

// SubmitNewToken sends token, of 1 to 1024 bytes, to the client in a NEW_TOKEN
// frame; server only. token is copied (ngtcp2_conn_submit_new_token).
func (c *Conn) SubmitNewToken(token []byte) error {
	if c.c == nil {
		return ErrFreed
	}
	if len(token) == 0 || len(token) > maxNewToken {
		return ErrInvalidArgument
	}
	C.shim_conn_submit_new_token(c.c, span(token))
	return c.done()
}
