package ngtcp2

// #include "shim_api.h"
import "C"

import "unsafe"

// Each line fails to compile when Go and C disagree: a constant difference that
// is not zero overflows the array length or the index.
var (
	_ [unsafe.Sizeof(Event{}) - C.sizeof_shim_event]byte
	_ [C.sizeof_shim_event - unsafe.Sizeof(Event{})]byte
	_ [unsafe.Sizeof(StreamChunk{}) - C.sizeof_shim_chunk]byte
	_ [C.sizeof_shim_chunk - unsafe.Sizeof(StreamChunk{})]byte
	_ [unsafe.Sizeof(Datagram{}) - C.sizeof_shim_dgram]byte
	_ [C.sizeof_shim_dgram - unsafe.Sizeof(Datagram{})]byte
	_ [unsafe.Sizeof(ConnectionID{}) - C.sizeof_shim_cid]byte
	_ [C.sizeof_shim_cid - unsafe.Sizeof(ConnectionID{})]byte
)

var zeroIndex [1]struct{}

var (
	_ = zeroIndex[unsafe.Offsetof(Event{}.Type)-unsafe.Offsetof(C.shim_event{}._type)]
	_ = zeroIndex[unsafe.Offsetof(Event{}.Flags)-unsafe.Offsetof(C.shim_event{}.flags)]
	_ = zeroIndex[unsafe.Offsetof(Event{}.StreamID)-unsafe.Offsetof(C.shim_event{}.stream_id)]
	_ = zeroIndex[unsafe.Offsetof(Event{}.A)-unsafe.Offsetof(C.shim_event{}.a)]
	_ = zeroIndex[unsafe.Offsetof(Event{}.B)-unsafe.Offsetof(C.shim_event{}.b)]
	_ = zeroIndex[unsafe.Offsetof(Event{}.off)-unsafe.Offsetof(C.shim_event{}.data_off)]
	_ = zeroIndex[unsafe.Offsetof(Event{}.len)-unsafe.Offsetof(C.shim_event{}.data_len)]
	_ = zeroIndex[unsafe.Offsetof(StreamChunk{}.StreamID)-unsafe.Offsetof(C.shim_chunk{}.stream_id)]
	_ = zeroIndex[unsafe.Offsetof(StreamChunk{}.Buf)-unsafe.Offsetof(C.shim_chunk{}.buf)]
	_ = zeroIndex[unsafe.Offsetof(StreamChunk{}.Off)-unsafe.Offsetof(C.shim_chunk{}.off)]
	_ = zeroIndex[unsafe.Offsetof(StreamChunk{}.Len)-unsafe.Offsetof(C.shim_chunk{}.len)]
	_ = zeroIndex[unsafe.Offsetof(StreamChunk{}.Fin)-unsafe.Offsetof(C.shim_chunk{}.fin)]
	_ = zeroIndex[unsafe.Offsetof(Datagram{}.Off)-unsafe.Offsetof(C.shim_dgram{}.off)]
	_ = zeroIndex[unsafe.Offsetof(Datagram{}.Len)-unsafe.Offsetof(C.shim_dgram{}.len)]
	_ = zeroIndex[unsafe.Offsetof(Datagram{}.ECN)-unsafe.Offsetof(C.shim_dgram{}.ecn)]
	_ = zeroIndex[unsafe.Offsetof(ConnectionID{}.n)-unsafe.Offsetof(C.shim_cid{}.len)]
	_ = zeroIndex[unsafe.Offsetof(ConnectionID{}.b)-unsafe.Offsetof(C.shim_cid{}.data)]
)

// Constants that both sides spell out.
var (
	_ = zeroIndex[MaxWritePkts-C.SHIM_WRITE_PKTS_MAX]
	_ = zeroIndex[C.SHIM_EV_EARLY_DATA_REJECTED-EventEarlyDataRejected]
	_ = zeroIndex[C.SHIM_EV_SESSION-EventSession]
	_ = zeroIndex[C.SHIM_EV_DATAGRAM-EventDatagram]
	_ = zeroIndex[C.SHIM_EV_MAX_STREAM_DATA-EventMaxStreamData]
	_ = zeroIndex[C.SHIM_EV_STREAM_CLOSE-EventStreamClose]
	_ = zeroIndex[C.SHIM_EVF_DEACTIVATE-FlagDeactivate]
	_ = zeroIndex[C.SHIM_EVF_HAS_CODE-FlagHasCode]
	_ = zeroIndex[C.SHIM_STATE_STATELESS_RESET-stateStatelessReset]
	_ = zeroIndex[C.SHIM_STATE_CLOSING-stateClosing]
	_ = zeroIndex[C.SHIM_STATE_FAILED-stateFailed]
	_ = zeroIndex[MaxCIDLen-C.NGTCP2_MAX_CIDLEN]
	_ = zeroIndex[MinCIDLen-C.NGTCP2_MIN_CIDLEN]
	_ = zeroIndex[MinInitialDCIDLen-C.NGTCP2_MIN_INITIAL_DCIDLEN]
	_ = zeroIndex[StatelessResetTokenLen-C.NGTCP2_STATELESS_RESET_TOKENLEN]
	_ = zeroIndex[MinStatelessResetRand-C.NGTCP2_MIN_STATELESS_RESET_RANDLEN]
	_ = zeroIndex[MaxUDPPayloadSize-C.NGTCP2_MAX_UDP_PAYLOAD_SIZE]
	_ = zeroIndex[MaxTxUDPPayloadSize-C.NGTCP2_MAX_TX_UDP_PAYLOAD_SIZE]
	_ = zeroIndex[VersionV1-C.NGTCP2_PROTO_VER_V1]
	_ = zeroIndex[VersionV2-C.NGTCP2_PROTO_VER_V2]
	_ = zeroIndex[CCReno-C.NGTCP2_CC_ALGO_RENO]
	_ = zeroIndex[CCCubic-C.NGTCP2_CC_ALGO_CUBIC]
	_ = zeroIndex[CCBBR-C.NGTCP2_CC_ALGO_BBR]
	_ = zeroIndex[PacketInitial-C.NGTCP2_PKT_INITIAL]
	_ = zeroIndex[Packet0RTT-C.NGTCP2_PKT_0RTT]
	_ = zeroIndex[PacketHandshake-C.NGTCP2_PKT_HANDSHAKE]
	_ = zeroIndex[PacketRetry-C.NGTCP2_PKT_RETRY]
	_ = zeroIndex[Packet1RTT-C.NGTCP2_PKT_1RTT]
	_ = zeroIndex[PacketVersionNegotiation-C.NGTCP2_PKT_VERSION_NEGOTIATION]
	_ = zeroIndex[PacketStatelessReset-C.NGTCP2_PKT_STATELESS_RESET]
	_ = zeroIndex[TokenUnknown-C.NGTCP2_TOKEN_TYPE_UNKNOWN]
	_ = zeroIndex[TokenRetry-C.NGTCP2_TOKEN_TYPE_RETRY]
	_ = zeroIndex[TokenNewToken-C.NGTCP2_TOKEN_TYPE_NEW_TOKEN]
	_ = zeroIndex[NotECT-C.NGTCP2_ECN_NOT_ECT]
	_ = zeroIndex[ECT1-C.NGTCP2_ECN_ECT_1]
	_ = zeroIndex[ECT0-C.NGTCP2_ECN_ECT_0]
	_ = zeroIndex[CE-C.NGTCP2_ECN_CE]
	_ = zeroIndex[CloseTransport-C.NGTCP2_CCERR_TYPE_TRANSPORT]
	_ = zeroIndex[CloseApplication-C.NGTCP2_CCERR_TYPE_APPLICATION]
	_ = zeroIndex[NoError-C.NGTCP2_NO_ERROR]
	_ = zeroIndex[InternalError-C.NGTCP2_INTERNAL_ERROR]
	_ = zeroIndex[ConnectionRefused-C.NGTCP2_CONNECTION_REFUSED]
	_ = zeroIndex[FlowControlError-C.NGTCP2_FLOW_CONTROL_ERROR]
	_ = zeroIndex[StreamLimitError-C.NGTCP2_STREAM_LIMIT_ERROR]
	_ = zeroIndex[StreamStateError-C.NGTCP2_STREAM_STATE_ERROR]
	_ = zeroIndex[FinalSizeError-C.NGTCP2_FINAL_SIZE_ERROR]
	_ = zeroIndex[FrameEncodingError-C.NGTCP2_FRAME_ENCODING_ERROR]
	_ = zeroIndex[TransportParameterError-C.NGTCP2_TRANSPORT_PARAMETER_ERROR]
	_ = zeroIndex[ConnectionIDLimitError-C.NGTCP2_CONNECTION_ID_LIMIT_ERROR]
	_ = zeroIndex[ProtocolViolation-C.NGTCP2_PROTOCOL_VIOLATION]
	_ = zeroIndex[InvalidToken-C.NGTCP2_INVALID_TOKEN]
	_ = zeroIndex[ApplicationErrorCode-C.NGTCP2_APPLICATION_ERROR]
	_ = zeroIndex[CryptoBufferExceeded-C.NGTCP2_CRYPTO_BUFFER_EXCEEDED]
	_ = zeroIndex[KeyUpdateError-C.NGTCP2_KEY_UPDATE_ERROR]
	_ = zeroIndex[AEADLimitReached-C.NGTCP2_AEAD_LIMIT_REACHED]
	_ = zeroIndex[NoViablePath-C.NGTCP2_NO_VIABLE_PATH]
	_ = zeroIndex[VersionNegotiationError-C.NGTCP2_VERSION_NEGOTIATION_ERROR]
	_ = zeroIndex[CryptoError-C.NGTCP2_CRYPTO_ERROR]
	_ = zeroIndex[CodeInvalidArgument-C.NGTCP2_ERR_INVALID_ARGUMENT]
	_ = zeroIndex[CodeNoBuf-C.NGTCP2_ERR_NOBUF]
	_ = zeroIndex[CodeProto-C.NGTCP2_ERR_PROTO]
	_ = zeroIndex[CodeInvalidState-C.NGTCP2_ERR_INVALID_STATE]
	_ = zeroIndex[CodeAckFrame-C.NGTCP2_ERR_ACK_FRAME]
	_ = zeroIndex[CodeStreamIDBlocked-C.NGTCP2_ERR_STREAM_ID_BLOCKED]
	_ = zeroIndex[CodeStreamInUse-C.NGTCP2_ERR_STREAM_IN_USE]
	_ = zeroIndex[CodeStreamDataBlocked-C.NGTCP2_ERR_STREAM_DATA_BLOCKED]
	_ = zeroIndex[CodeFlowControl-C.NGTCP2_ERR_FLOW_CONTROL]
	_ = zeroIndex[CodeConnectionIDLimit-C.NGTCP2_ERR_CONNECTION_ID_LIMIT]
	_ = zeroIndex[CodeStreamLimit-C.NGTCP2_ERR_STREAM_LIMIT]
	_ = zeroIndex[CodeFinalSize-C.NGTCP2_ERR_FINAL_SIZE]
	_ = zeroIndex[CodeCrypto-C.NGTCP2_ERR_CRYPTO]
	_ = zeroIndex[CodePktNumExhausted-C.NGTCP2_ERR_PKT_NUM_EXHAUSTED]
	_ = zeroIndex[CodeRequiredTransportParam-C.NGTCP2_ERR_REQUIRED_TRANSPORT_PARAM]
	_ = zeroIndex[CodeMalformedTransportParam-C.NGTCP2_ERR_MALFORMED_TRANSPORT_PARAM]
	_ = zeroIndex[CodeFrameEncoding-C.NGTCP2_ERR_FRAME_ENCODING]
	_ = zeroIndex[CodeDecrypt-C.NGTCP2_ERR_DECRYPT]
	_ = zeroIndex[CodeStreamShutWr-C.NGTCP2_ERR_STREAM_SHUT_WR]
	_ = zeroIndex[CodeStreamNotFound-C.NGTCP2_ERR_STREAM_NOT_FOUND]
	_ = zeroIndex[CodeStreamState-C.NGTCP2_ERR_STREAM_STATE]
	_ = zeroIndex[CodeRecvVersionNegotiation-C.NGTCP2_ERR_RECV_VERSION_NEGOTIATION]
	_ = zeroIndex[CodeClosing-C.NGTCP2_ERR_CLOSING]
	_ = zeroIndex[CodeDraining-C.NGTCP2_ERR_DRAINING]
	_ = zeroIndex[CodeTransportParam-C.NGTCP2_ERR_TRANSPORT_PARAM]
	_ = zeroIndex[CodeDiscardPkt-C.NGTCP2_ERR_DISCARD_PKT]
	_ = zeroIndex[CodeConnIDBlocked-C.NGTCP2_ERR_CONN_ID_BLOCKED]
	_ = zeroIndex[CodeInternal-C.NGTCP2_ERR_INTERNAL]
	_ = zeroIndex[CodeCryptoBufferExceeded-C.NGTCP2_ERR_CRYPTO_BUFFER_EXCEEDED]
	_ = zeroIndex[CodeWriteMore-C.NGTCP2_ERR_WRITE_MORE]
	_ = zeroIndex[CodeRetry-C.NGTCP2_ERR_RETRY]
	_ = zeroIndex[CodeDropConn-C.NGTCP2_ERR_DROP_CONN]
	_ = zeroIndex[CodeAEADLimitReached-C.NGTCP2_ERR_AEAD_LIMIT_REACHED]
	_ = zeroIndex[CodeNoViablePath-C.NGTCP2_ERR_NO_VIABLE_PATH]
	_ = zeroIndex[CodeVersionNegotiation-C.NGTCP2_ERR_VERSION_NEGOTIATION]
	_ = zeroIndex[CodeHandshakeTimeout-C.NGTCP2_ERR_HANDSHAKE_TIMEOUT]
	_ = zeroIndex[CodeVersionNegotiationFailure-C.NGTCP2_ERR_VERSION_NEGOTIATION_FAILURE]
	_ = zeroIndex[CodeIdleClose-C.NGTCP2_ERR_IDLE_CLOSE]
	_ = zeroIndex[CodeFatal-C.NGTCP2_ERR_FATAL]
	_ = zeroIndex[CodeNoMem-C.NGTCP2_ERR_NOMEM]
	_ = zeroIndex[CodeCallbackFailure-C.NGTCP2_ERR_CALLBACK_FAILURE]
)
