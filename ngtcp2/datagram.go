package ngtcp2

// #include "shim_api.h"
// #cgo noescape shim_conn_queue_dgram
// #cgo nocallback shim_conn_queue_dgram
import "C"

import (
	"errors"
	"math"
)

// MaxQueuedDatagrams is the number of datagrams that wait in a Conn at most: a
// sender that is faster than the path shall learn it, since old datagrams are of
// little use.
const MaxQueuedDatagrams = C.SHIM_DGRAMS_MAX

// Errors of QueueDatagram. The connection lives on.
var (
	// ErrDatagramOff: the peer takes no datagrams (its max_datagram_frame_size
	// is 0).
	ErrDatagramOff = errors.New("ngtcp2: the peer takes no datagrams")
	// ErrDatagramTooLarge: longer than MaxDatagramSize.
	ErrDatagramTooLarge = errors.New("ngtcp2: datagram is longer than the path or the peer allows")
	// ErrDatagramQueueFull: MaxQueuedDatagrams wait already; try again after
	// WritePkts.
	ErrDatagramQueueFull = errors.New("ngtcp2: too many datagrams wait to be sent")
)

// QueueDatagram queues b.Bytes()[off:off+n] to be sent in a DATAGRAM frame (RFC
// 9221) by the next WritePkts, before stream data. It takes over one reference to
// b in every case, and releases it once the bytes are in a packet. id comes back
// in EventDatagramAcked or EventDatagramLost; it may be any number. A datagram is
// never sent again. Before the peer's transport parameters are known it waits;
// EventDatagramLost also tells that they, or a path that got smaller, do not
// allow it after all. Errors: ErrDatagramOff, ErrDatagramTooLarge,
// ErrDatagramQueueFull, ErrInvalidArgument for a range outside of b, ErrFreed
// (ngtcp2_conn_writev_datagram).
func (c *Conn) QueueDatagram(id uint64, b Buffer, off, n int) error {
	switch {
	case c.c == nil:
		b.Release()
		return ErrFreed
	case b.IsZero() || off < 0 || n < 0 || off > math.MaxUint32 || n > math.MaxUint32:
		b.Release()
		return ErrInvalidArgument
	}
	d := C.shim_dgram_out{id: C.uint64_t(id), buf: b.c(), off: C.uint32_t(off), len: C.uint32_t(n)}
	return dgramError(C.shim_conn_queue_dgram(c.c, d))
}

// QueuedDatagrams is the number of datagrams that wait to be sent.
func (c *Conn) QueuedDatagrams() int {
	if c.c == nil {
		return 0
	}
	return int(C.shim_conn_queued_dgrams(c.c))
}

func dgramError(rv C.int) error {
	switch rv {
	case 0:
		return nil
	case C.SHIM_DGRAM_OFF:
		return ErrDatagramOff
	case C.SHIM_DGRAM_TOO_LARGE:
		return ErrDatagramTooLarge
	case C.SHIM_DGRAM_FULL:
		return ErrDatagramQueueFull
	}
	return ErrInvalidArgument
}

// MaxDatagramSize is the longest payload that QueueDatagram takes now, in bytes: the
// lesser of what the peer takes and what fits in one packet of the path, which
// grows with path MTU discovery. 0: the peer takes none, or its transport
// parameters are not known yet.
func (c *Conn) MaxDatagramSize() int {
	if c.c == nil {
		return 0
	}
	return int(C.shim_dgram_limit(c.c))
}
