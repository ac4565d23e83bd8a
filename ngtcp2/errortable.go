package ngtcp2

// #include "shim_api.h"
import "C"

// classes has every NGTCP2_ERR_* of ngtcp2.h. A code means the same class in
// every call: those that ngtcp2 returns for a wrong or untimely call are
// Transitional, those for what the peer did are Fatal.
var classes = map[Code]Class{
	CodeInvalidArgument:           Transitional,
	CodeNoBuf:                     Transitional,
	CodeProto:                     Fatal,
	CodeInvalidState:              Transitional,
	CodeAckFrame:                  Fatal,
	CodeStreamIDBlocked:           Transitional,
	CodeStreamInUse:               Transitional,
	CodeStreamDataBlocked:         Transitional,
	CodeFlowControl:               Fatal,
	CodeConnectionIDLimit:         Fatal,
	CodeStreamLimit:               Fatal,
	CodeFinalSize:                 Fatal,
	CodeCrypto:                    Fatal,
	CodePktNumExhausted:           Drop, // no packet can be written any more
	CodeRequiredTransportParam:    Fatal,
	CodeMalformedTransportParam:   Fatal,
	CodeFrameEncoding:             Fatal,
	CodeDecrypt:                   Fatal,
	CodeStreamShutWr:              Transitional,
	CodeStreamNotFound:            Transitional,
	CodeStreamState:               Fatal,
	CodeRecvVersionNegotiation:    Drop, // try again with another version
	CodeClosing:                   Drop,
	CodeDraining:                  Drop,
	CodeTransportParam:            Fatal,
	CodeDiscardPkt:                Transitional,
	CodeConnIDBlocked:             Transitional,
	CodeInternal:                  Fatal,
	CodeCryptoBufferExceeded:      Fatal,
	CodeWriteMore:                 Transitional,
	CodeRetry:                     Drop,
	CodeDropConn:                  Drop,
	CodeAEADLimitReached:          Drop, // no packet can be protected any more
	CodeNoViablePath:              Fatal,
	CodeVersionNegotiation:        Drop,
	CodeHandshakeTimeout:          Fatal,
	CodeVersionNegotiationFailure: Fatal,
	CodeIdleClose:                 Drop,
	CodeFatal:                     Fatal,
	CodeNoMem:                     Fatal,
	CodeCallbackFailure:           Fatal,
}

// String is the library's name of the code (ngtcp2_strerror).
func (c Code) String() string { return C.GoString(C.ngtcp2_strerror(C.int(c))) }

// newError fills what follows from the code. An unknown code is Fatal
// (ngtcp2_err_infer_quic_transport_error_code).
func newError(c Code) *Error {
	class, ok := classes[c]
	if !ok {
		class = Fatal
	}
	return &Error{Class: class, Code: c, Transport: uint64(C.ngtcp2_err_infer_quic_transport_error_code(C.int(c)))}
}
