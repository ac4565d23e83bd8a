package ngtcp2

import (
	"errors"
	"fmt"
	"strings"
)

// Class says what an Error means for the connection.
type Class uint8

const (
	// Transitional: the call failed, the connection lives on.
	Transitional Class = iota + 1
	// Fatal: the connection is over; write CONNECTION_CLOSE once
	// (WriteConnectionClose with CloseFor) and enter the closing period.
	Fatal
	// Drop: the connection (or packet) is over and nothing is written for it:
	// DRAINING, CLOSING, IDLE_CLOSE, DROP_CONN, RETRY and the like.
	Drop
)

// String is the name of the class.
func (c Class) String() string {
	switch c {
	case Transitional:
		return "transitional"
	case Fatal:
		return "fatal"
	case Drop:
		return "drop"
	}
	return fmt.Sprintf("class(%d)", uint8(c))
}

// Code is an error code of the library (NGTCP2_ERR_*).
type Code int32

// Error codes (ngtcp2.h).
const (
	CodeInvalidArgument           Code = -201
	CodeNoBuf                     Code = -202
	CodeProto                     Code = -203
	CodeInvalidState              Code = -204
	CodeAckFrame                  Code = -205
	CodeStreamIDBlocked           Code = -206
	CodeStreamInUse               Code = -207
	CodeStreamDataBlocked         Code = -208
	CodeFlowControl               Code = -209
	CodeConnectionIDLimit         Code = -210
	CodeStreamLimit               Code = -211
	CodeFinalSize                 Code = -212
	CodeCrypto                    Code = -213
	CodePktNumExhausted           Code = -214
	CodeRequiredTransportParam    Code = -215
	CodeMalformedTransportParam   Code = -216
	CodeFrameEncoding             Code = -217
	CodeDecrypt                   Code = -218
	CodeStreamShutWr              Code = -219
	CodeStreamNotFound            Code = -220
	CodeStreamState               Code = -221
	CodeRecvVersionNegotiation    Code = -222
	CodeClosing                   Code = -223
	CodeDraining                  Code = -224
	CodeTransportParam            Code = -225
	CodeDiscardPkt                Code = -226
	CodeConnIDBlocked             Code = -227
	CodeInternal                  Code = -228
	CodeCryptoBufferExceeded      Code = -229
	CodeWriteMore                 Code = -230
	CodeRetry                     Code = -231
	CodeDropConn                  Code = -232
	CodeAEADLimitReached          Code = -233
	CodeNoViablePath              Code = -234
	CodeVersionNegotiation        Code = -235
	CodeHandshakeTimeout          Code = -236
	CodeVersionNegotiationFailure Code = -237
	CodeIdleClose                 Code = -238
	CodeFatal                     Code = -500
	CodeNoMem                     Code = -501
	CodeCallbackFailure           Code = -502
)

// Error is a failed call: everything about it, fetched in the call itself.
type Error struct {
	Class     Class
	Code      Code
	Transport uint64 // QUIC transport error code to close with (0x100+Alert for TLS)
	Alert     uint8  // TLS alert (RFC 8446 section 6) when Code is CodeCrypto
	Text      string // OpenSSL's error text, may be empty
}

// Error names the library's code, the QUIC code and the TLS failure.
func (e *Error) Error() string {
	s := "ngtcp2: " + e.Code.String()
	if e.Code == CodeCrypto {
		s += fmt.Sprintf(" (TLS alert %d)", e.Alert)
	}
	if e.Text != "" {
		s += ": " + e.Text
	}
	return s
}

// Is reports whether target is an *Error with the same Code, so that
// errors.Is(err, ErrDraining) works for every Error with that code.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// Errors that callers commonly test for with errors.Is.
var (
	ErrStreamIDBlocked    error = newError(CodeStreamIDBlocked)
	ErrStreamDataBlocked  error = newError(CodeStreamDataBlocked)
	ErrStreamShutWr       error = newError(CodeStreamShutWr)
	ErrStreamNotFound     error = newError(CodeStreamNotFound)
	ErrInvalidArgument    error = newError(CodeInvalidArgument)
	ErrInvalidState       error = newError(CodeInvalidState)
	ErrConnIDBlocked      error = newError(CodeConnIDBlocked)
	ErrNoBuf              error = newError(CodeNoBuf)
	ErrClosing            error = newError(CodeClosing)
	ErrDraining           error = newError(CodeDraining)
	ErrDropConn           error = newError(CodeDropConn)
	ErrRetry              error = newError(CodeRetry)
	ErrVersionNegotiation error = newError(CodeVersionNegotiation)
	ErrIdleTimeout        error = newError(CodeIdleClose)
	ErrHandshakeTimeout   error = newError(CodeHandshakeTimeout)
)

// Errors of this package itself.
var (
	// ErrFreed: the Conn has been freed.
	ErrFreed = errors.New("ngtcp2: connection was freed")
	// ErrStatelessReset: the peer answered with a stateless reset.
	ErrStatelessReset = errors.New("ngtcp2: stateless reset by peer")
	// ErrTokenUnreadable: a token is not of this server (other secret, other
	// format); RFC 9000 section 8.1.3: treat it as if it were absent.
	ErrTokenUnreadable = errors.New("ngtcp2: token is not readable")
	// ErrTokenInvalid: a token of this server that has expired or belongs to
	// another address or connection id.
	ErrTokenInvalid = errors.New("ngtcp2: token is not valid")
)

// TransportError is a CONNECTION_CLOSE with a transport error code (frame
// 0x1c). Codes from 0x100 to 0x1ff carry a TLS alert.
type TransportError struct {
	Code      uint64
	FrameType uint64 // frame that triggered it, 0 = unknown
	Reason    string // at most 1024 bytes, as sent by the peer: not trusted text
}

// Error names code and reason.
func (e *TransportError) Error() string {
	if a, ok := e.Alert(); ok {
		return fmt.Sprintf("ngtcp2: closed by peer: TLS alert %d: %q", a, e.Reason)
	}
	return fmt.Sprintf("ngtcp2: closed by peer: transport error 0x%x: %q", e.Code, e.Reason)
}

// Alert is the TLS alert inside the code, if there is one.
func (e *TransportError) Alert() (uint8, bool) {
	return uint8(e.Code), e.Code >= CryptoError && e.Code < CryptoError+0x100
}

// ApplicationError is a CONNECTION_CLOSE with an application error code (frame
// 0x1d).
type ApplicationError struct {
	Code   uint64
	Reason string // as sent by the peer: not trusted text
}

// Error names code and reason.
func (e *ApplicationError) Error() string {
	return fmt.Sprintf("ngtcp2: closed by peer: application error 0x%x: %q", e.Code, e.Reason)
}

// CloseKind is the kind of a ConnectionError (ngtcp2_ccerr_type).
type CloseKind uint32

// Kinds of CONNECTION_CLOSE.
const (
	CloseTransport   CloseKind = 0
	CloseApplication CloseKind = 1
	closeSilent      CloseKind = 255
)

// ConnectionError is what WriteConnectionClose sends (ngtcp2_ccerr).
type ConnectionError struct {
	Kind   CloseKind
	Code   uint64
	Reason string // cut to 1024 bytes
}

// maxReason is the longest reason phrase sent, in bytes: the frame must fit in a
// packet of 1200 bytes, and ngtcp2 keeps as much of a peer's.
const maxReason = 1024

// cutReason shortens s to maxReason between two characters.
func cutReason(s string) string {
	if len(s) <= maxReason {
		return s
	}
	return strings.ToValidUTF8(s[:maxReason], "")
}

// TransportClose closes with a QUIC transport error code
// (ngtcp2_ccerr_set_transport_error). NoError is a plain close.
func TransportClose(code uint64, reason string) ConnectionError {
	return ConnectionError{Kind: CloseTransport, Code: code, Reason: reason}
}

// ApplicationClose closes with an application error code
// (ngtcp2_ccerr_set_application_error).
func ApplicationClose(code uint64, reason string) ConnectionError {
	return ConnectionError{Kind: CloseApplication, Code: code, Reason: reason}
}

// TLSAlertClose closes with a TLS alert (ngtcp2_ccerr_set_tls_alert).
func TLSAlertClose(alert uint8, reason string) ConnectionError {
	return TransportClose(CryptoError|uint64(alert), reason)
}

// CloseFor is the CONNECTION_CLOSE that answers err (ngtcp2_ccerr_set_liberr,
// or the TLS alert). For a Drop error, WriteConnectionClose writes nothing. An
// err that is no *Error closes with InternalError. The frame type is 0, unknown
// (RFC 9000 section 19.19): ngtcp2 does not say which frame was at fault.
func CloseFor(err error) ConnectionError {
	var e *Error
	if !errors.As(err, &e) {
		return TransportClose(InternalError, "")
	}
	if e.Class == Drop {
		return ConnectionError{Kind: closeSilent}
	}
	return TransportClose(e.Transport, "")
}
