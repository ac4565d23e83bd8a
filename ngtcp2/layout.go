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
	_ = zeroIndex[C.SHIM_EV_DATAGRAM-EventDatagram]
	_ = zeroIndex[C.SHIM_EVF_DEACTIVATE-FlagDeactivate]
	_ = zeroIndex[C.SHIM_STATE_STATELESS_RESET-stateStatelessReset]
	_ = zeroIndex[MaxCIDLen-C.NGTCP2_MAX_CIDLEN]
	_ = zeroIndex[StatelessResetTokenLen-C.NGTCP2_STATELESS_RESET_TOKENLEN]
)
