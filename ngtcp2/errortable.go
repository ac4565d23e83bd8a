package ngtcp2

import "fmt"

// errorInfo is what is fixed about a library code.
type errorInfo struct {
	name      string
	class     Class
	transport uint64
}

// errorTable has every NGTCP2_ERR_* of ngtcp2.h; the transport codes are those
// of ngtcp2_err_infer_quic_transport_error_code (a test compares both).
var errorTable = map[Code]errorInfo{
	CodeInvalidArgument:           {"ERR_INVALID_ARGUMENT", Transitional, InternalError},
	CodeNoBuf:                     {"ERR_NOBUF", Transitional, ProtocolViolation},
	CodeProto:                     {"ERR_PROTO", Fatal, ProtocolViolation},
	CodeInvalidState:              {"ERR_INVALID_STATE", Transitional, ProtocolViolation},
	CodeAckFrame:                  {"ERR_ACK_FRAME", Fatal, FrameEncodingError},
	CodeStreamIDBlocked:           {"ERR_STREAM_ID_BLOCKED", Transitional, ProtocolViolation},
	CodeStreamInUse:               {"ERR_STREAM_IN_USE", Transitional, ProtocolViolation},
	CodeStreamDataBlocked:         {"ERR_STREAM_DATA_BLOCKED", Transitional, ProtocolViolation},
	CodeFlowControl:               {"ERR_FLOW_CONTROL", Fatal, FlowControlError},
	CodeConnectionIDLimit:         {"ERR_CONNECTION_ID_LIMIT", Fatal, ConnectionIDLimitError},
	CodeStreamLimit:               {"ERR_STREAM_LIMIT", Fatal, StreamLimitError},
	CodeFinalSize:                 {"ERR_FINAL_SIZE", Fatal, FinalSizeError},
	CodeCrypto:                    {"ERR_CRYPTO", Fatal, ProtocolViolation},
	CodePktNumExhausted:           {"ERR_PKT_NUM_EXHAUSTED", Drop, InternalError},
	CodeRequiredTransportParam:    {"ERR_REQUIRED_TRANSPORT_PARAM", Fatal, TransportParameterError},
	CodeMalformedTransportParam:   {"ERR_MALFORMED_TRANSPORT_PARAM", Fatal, TransportParameterError},
	CodeFrameEncoding:             {"ERR_FRAME_ENCODING", Fatal, FrameEncodingError},
	CodeDecrypt:                   {"ERR_DECRYPT", Fatal, ProtocolViolation},
	CodeStreamShutWr:              {"ERR_STREAM_SHUT_WR", Transitional, ProtocolViolation},
	CodeStreamNotFound:            {"ERR_STREAM_NOT_FOUND", Transitional, ProtocolViolation},
	CodeStreamState:               {"ERR_STREAM_STATE", Fatal, StreamStateError},
	CodeRecvVersionNegotiation:    {"ERR_RECV_VERSION_NEGOTIATION", Drop, ProtocolViolation},
	CodeClosing:                   {"ERR_CLOSING", Drop, ProtocolViolation},
	CodeDraining:                  {"ERR_DRAINING", Drop, ProtocolViolation},
	CodeTransportParam:            {"ERR_TRANSPORT_PARAM", Fatal, TransportParameterError},
	CodeDiscardPkt:                {"ERR_DISCARD_PKT", Transitional, ProtocolViolation},
	CodeConnIDBlocked:             {"ERR_CONN_ID_BLOCKED", Transitional, ProtocolViolation},
	CodeInternal:                  {"ERR_INTERNAL", Fatal, InternalError},
	CodeCryptoBufferExceeded:      {"ERR_CRYPTO_BUFFER_EXCEEDED", Fatal, CryptoBufferExceeded},
	CodeWriteMore:                 {"ERR_WRITE_MORE", Transitional, ProtocolViolation},
	CodeRetry:                     {"ERR_RETRY", Drop, ProtocolViolation},
	CodeDropConn:                  {"ERR_DROP_CONN", Drop, ProtocolViolation},
	CodeAEADLimitReached:          {"ERR_AEAD_LIMIT_REACHED", Drop, AEADLimitReached},
	CodeNoViablePath:              {"ERR_NO_VIABLE_PATH", Fatal, NoViablePath},
	CodeVersionNegotiation:        {"ERR_VERSION_NEGOTIATION", Drop, ProtocolViolation},
	CodeHandshakeTimeout:          {"ERR_HANDSHAKE_TIMEOUT", Fatal, InternalError},
	CodeVersionNegotiationFailure: {"ERR_VERSION_NEGOTIATION_FAILURE", Fatal, VersionNegotiationError},
	CodeIdleClose:                 {"ERR_IDLE_CLOSE", Drop, ProtocolViolation},
	CodeFatal:                     {"ERR_FATAL", Fatal, ProtocolViolation},
	CodeNoMem:                     {"ERR_NOMEM", Fatal, InternalError},
	CodeCallbackFailure:           {"ERR_CALLBACK_FAILURE", Fatal, InternalError},
}

// String is the library's name of the code without its prefix.
func (c Code) String() string {
	if info, ok := errorTable[c]; ok {
		return info.name
	}
	return fmt.Sprintf("ERR_(%d)", int32(c))
}

// newError fills the fixed parts of an Error. An unknown code is Fatal.
func newError(c Code) *Error {
	info, ok := errorTable[c]
	if !ok {
		info = errorInfo{class: Fatal, transport: InternalError}
	}
	return &Error{Class: info.class, Code: c, Transport: info.transport}
}
