package ngtcp2

// #include "shim_api.h"
// #cgo noescape shim_conn_extend
// #cgo nocallback shim_conn_extend
import "C"

// The methods of this file report no events, so they may be called while the
// events of an earlier call are being drained.

// OpenStreamBidi opens a bidirectional stream. ErrStreamIDBlocked: wait for
// EventMaxStreamsBidi (ngtcp2_conn_open_bidi_stream).
func (c *Conn) OpenStreamBidi() (int64, error) { return c.openStream(0) }

// OpenStreamUni opens a unidirectional stream. ErrStreamIDBlocked: wait for
// EventMaxStreamsUni (ngtcp2_conn_open_uni_stream).
func (c *Conn) OpenStreamUni() (int64, error) { return c.openStream(1) }

func (c *Conn) openStream(uni C.int) (int64, error) {
	if c.c == nil {
		return -1, ErrFreed
	}
	if C.shim_conn_open_stream(c.c, uni) != 0 {
		return -1, c.done()
	}
	return int64(c.ev.c.res.n), nil
}

// Which directions shutdownStream stops; the values of shim.h.
const (
	shutdownBoth  = 0
	shutdownRead  = 1
	shutdownWrite = 2
)

// ShutdownStream resets both directions: RESET_STREAM and STOP_SENDING with
// code. Data not yet sent is released now, the rest when the stream closes. An
// unknown stream is no error (ngtcp2_conn_shutdown_stream).
func (c *Conn) ShutdownStream(id int64, code uint64) error {
	return c.shutdownStream(id, code, shutdownBoth)
}

// ShutdownStreamRead sends STOP_SENDING with code
// (ngtcp2_conn_shutdown_stream_read).
func (c *Conn) ShutdownStreamRead(id int64, code uint64) error {
	return c.shutdownStream(id, code, shutdownRead)
}

// ShutdownStreamWrite sends RESET_STREAM with code
// (ngtcp2_conn_shutdown_stream_write).
func (c *Conn) ShutdownStreamWrite(id int64, code uint64) error {
	return c.shutdownStream(id, code, shutdownWrite)
}

func (c *Conn) shutdownStream(id int64, code uint64, how C.int) error {
	if c.c == nil {
		return ErrFreed
	}
	C.shim_conn_shutdown_stream(c.c, how, C.int64_t(id), C.uint64_t(code))
	return c.done()
}

// Consume gives back n bytes of credit to both windows, the stream's and the
// connection's: call it when the application has consumed n bytes, and only
// then. For a stream that is gone the connection's window alone grows
// (ngtcp2_conn_extend_max_stream_offset, ngtcp2_conn_extend_max_offset).
func (c *Conn) Consume(id int64, n uint64) error { return c.extend(id, n, n) }

// ExtendMaxStreamOffset gives back n bytes of credit to the stream's window
// alone; an unknown stream is no error (ngtcp2_conn_extend_max_stream_offset).
func (c *Conn) ExtendMaxStreamOffset(id int64, n uint64) error { return c.extend(id, n, 0) }

// ExtendMaxOffset gives back n bytes of credit to the connection's window alone
// (ngtcp2_conn_extend_max_offset).
func (c *Conn) ExtendMaxOffset(n uint64) error { return c.extend(-1, 0, n) }

func (c *Conn) extend(id int64, stream, conn uint64) error {
	if c.c == nil {
		return ErrFreed
	}
	if C.shim_conn_extend(c.c, C.int64_t(id), C.uint64_t(stream), C.uint64_t(conn)) == 0 {
		return nil
	}
	return c.done()
}

// ExtendMaxStreamsBidi allows the peer n more bidirectional streams; call it
// with 1 for each of the peer's streams that has closed
// (ngtcp2_conn_extend_max_streams_bidi).
func (c *Conn) ExtendMaxStreamsBidi(n uint64) {
	if c.c != nil {
		C.shim_conn_extend_streams(c.c, 0, C.uint64_t(n))
	}
}

// ExtendMaxStreamsUni allows the peer n more unidirectional streams
// (ngtcp2_conn_extend_max_streams_uni).
func (c *Conn) ExtendMaxStreamsUni(n uint64) {
	if c.c != nil {
		C.shim_conn_extend_streams(c.c, 1, C.uint64_t(n))
	}
}

// Urgencies of streams (RFC 9218 section 4.1): 0 is the most urgent.
const (
	DefaultUrgency = C.SHIM_URGENCY_DEFAULT
	MaxUrgency     = C.SHIM_URGENCIES - 1
)

// SetStreamUrgency says when the data of stream id is sent: streams of the lowest
// urgency number go first, those of the same take turns, and the others wait as
// long as these have something to send and credit to do so. A new stream has
// DefaultUrgency. It may change at any time, for data queued already too; the peer
// does not learn of it. ErrInvalidArgument: above MaxUrgency. ErrStreamNotFound.
func (c *Conn) SetStreamUrgency(id int64, urgency uint8) error {
	switch {
	case c.c == nil:
		return ErrFreed
	case urgency > MaxUrgency:
		return ErrInvalidArgument
	case C.shim_conn_set_urgency(c.c, C.int64_t(id), C.uint8_t(urgency)) != 0:
		return ErrStreamNotFound
	}
	return nil
}

// StreamInfo is the state of one stream's send side.
type StreamInfo struct {
	Queued  uint64 // bytes queued and not yet sent
	Unacked uint64 // bytes sent and not yet acknowledged
	MaxLeft uint64 // bytes of the peer's credit left (ngtcp2_conn_get_max_stream_data_left)
}

// StreamInfo returns the state of stream id; ok is false when it is unknown.
func (c *Conn) StreamInfo(id int64) (info StreamInfo, ok bool) {
	if c.c == nil {
		return info, false
	}
	var s C.shim_stream_info
	if C.shim_conn_stream_info(c.c, C.int64_t(id), &s) != 0 {
		return info, false
	}
	return StreamInfo{uint64(s.queued), uint64(s.unacked), uint64(s.max_left)}, true
}

// IsBidiStream reports whether id is of a bidirectional stream
// (ngtcp2_is_bidi_stream).
func IsBidiStream(id int64) bool { return id&2 == 0 }

// IsLocalStream reports whether this side opened stream id
// (ngtcp2_conn_is_local_stream).
func (c *Conn) IsLocalStream(id int64) bool {
	return c.c != nil && C.shim_conn_is_local_stream(c.c, C.int64_t(id)) != 0
}
