package ngtcp2

// #include "shim_api.h"
import "C"

// HeapBytes is the number of bytes that ngtcp2 (through its allocator) and this
// package hold on the C heap now, in the whole process. It returns to its
// earlier value when everything made since has been freed. OpenSSL's own memory
// is not in it, but its objects are in HeapBlocks.
func HeapBytes() int64 { return int64(C.shim_heap_bytes()) }

// HeapBlocks is the number of blocks behind HeapBytes plus the number of live
// SSL objects and their ngtcp2 contexts.
func HeapBlocks() int64 { return int64(C.shim_heap_blocks()) }

// Version is the version of the ngtcp2 library in use (ngtcp2_version).
func Version() string { return C.GoString(C.shim_version()) }

// ReportsStopSending tells whether the library that this was compiled with reports
// STOP_SENDING when it arrives (ngtcp2 1.24). Before that EventStopSending comes when
// the stream is written next, without a code.
func ReportsStopSending() bool { return C.NGTCP2_VERSION_NUM >= 0x011800 }
