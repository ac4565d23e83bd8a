package ngtcp2

// #include "shim_api.h"
import "C"

import (
	"fmt"
	"math"
	"sync/atomic"
	"unsafe"
)

// Buffer is a reference-counted block of C memory for stream data. It is a
// small value; copies share the block. The count is atomic, so references may
// be held and released by different goroutines; the bytes must not be changed
// any more once a range of them has been queued on a stream.
type Buffer struct{ p unsafe.Pointer }

// NewBuffer allocates a block of capacity bytes (not zeroed) with one
// reference. It panics when capacity is negative, above 4 GiB-1, or when memory
// is exhausted, as make does.
func NewBuffer(capacity int) Buffer {
	if capacity < 0 || capacity > math.MaxUint32 {
		panic(fmt.Sprintf("ngtcp2: NewBuffer(%d): capacity out of range", capacity))
	}
	p := C.shim_buf_new(C.uint32_t(capacity))
	if p == nil {
		panic(fmt.Sprintf("ngtcp2: NewBuffer(%d): out of memory", capacity))
	}
	return Buffer{unsafe.Pointer(p)}
}

func (b Buffer) c() *C.shim_buf { return (*C.shim_buf)(b.p) }

// IsZero reports whether b is the zero Buffer, which holds no block.
func (b Buffer) IsZero() bool { return b.p == nil }

// Bytes is a view of the whole capacity, valid while a reference is held.
func (b Buffer) Bytes() []byte {
	if b.p == nil {
		return nil
	}
	first := (*byte)(unsafe.Add(b.p, C.sizeof_shim_buf))
	return unsafe.Slice(first, int(b.c().cap))
}

// Retain adds one reference.
func (b Buffer) Retain() { atomic.AddInt32((*int32)(&b.c().refs), 1) }

// Release drops one reference; the last one frees the block. Releasing the zero
// Buffer does nothing.
func (b Buffer) Release() {
	if b.p != nil && atomic.AddInt32((*int32)(&b.c().refs), -1) == 0 {
		C.shim_buf_free(b.c())
	}
}

// StreamChunk is a range of a Buffer to send on a stream. It mirrors
// shim_chunk. A chunk with Len 0 and Fin ends the stream.
type StreamChunk struct {
	StreamID int64
	Buf      Buffer
	Off, Len uint32
	Fin      bool
}
