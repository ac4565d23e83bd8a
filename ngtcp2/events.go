package ngtcp2

// #include "shim_api.h"
import "C"

import "unsafe"

// Events is the array that callbacks append to, in C memory. Each worker has
// one and all its Conns share it: every call of a Conn that can run callbacks
// empties it first, so drain it after each call. It grows with what one call
// brings (at most the datagrams of a run and the flow control windows) and gives
// the memory back after a while. Not safe for concurrent use.
type Events struct{ c *C.shim_events }

// NewEvents allocates an empty array; the owner frees it with Free after the
// last Conn that uses it. It panics when memory is exhausted.
func NewEvents() *Events {
	c := C.shim_events_new()
	if c == nil {
		panic("ngtcp2: NewEvents: out of memory")
	}
	return &Events{c}
}

// Free releases the C memory. Calling it twice does nothing.
func (e *Events) Free() {
	C.shim_events_del(e.c)
	e.c = nil
}

// Len is the number of events of the last call.
func (e *Events) Len() int { return int(e.c.len) }

// At is a view of event i, valid until the next call of any Conn that uses e.
// It panics when i is out of range.
func (e *Events) At(i int) *Event {
	return &unsafe.Slice((*Event)(unsafe.Pointer(e.c.ev)), int(e.c.len))[i]
}

// Data is a view of the bytes of ev, valid as long as ev.
func (e *Events) Data(ev *Event) []byte {
	if ev.len == 0 {
		return nil
	}
	arena := unsafe.Slice((*byte)(unsafe.Pointer(e.c.arena)), int(e.c.arena_len))
	return arena[ev.off : ev.off+ev.len : ev.off+ev.len]
}

// CID is the Connection ID carried by EventNewCID, EventRetireCID and
// EventDCIDStatus.
func (e *Events) CID(ev *Event) ConnectionID {
	b := e.Data(ev)
	if ev.Type == EventDCIDStatus && ev.B != 0 {
		b = b[:len(b)-StatelessResetTokenLen]
	}
	var c ConnectionID
	c.n = uint8(copy(c.b[:], b))
	return c
}

// Path is the path carried by EventPathValidation and EventBeginPathValidation.
func (e *Events) Path(ev *Event) Path {
	return pathFromBytes(e.Data(ev))
}

func pathFromBytes(b []byte) Path {
	var p C.shim_path
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&p)), C.sizeof_shim_path), b)
	return pathFromC(&p)
}

// MaxGivenCIDs is how many CIDs GiveCID keeps: what one call of a Conn can issue.
const MaxGivenCIDs = C.SHIM_GIVEN_CIDS_MAX

// GiveCID keeps id, of the length of ConnConfig.SCID, for a Conn with
// ConnConfig.GivenCIDs to issue. It reports false, and forgets id, when MaxGivenCIDs are
// there.
func (e *Events) GiveCID(id ConnectionID) bool {
	if e.c.given_len == MaxGivenCIDs {
		return false
	}
	e.c.given[e.c.given_len] = cidToC(id)
	e.c.given_len++
	return true
}

// GivenCIDs is how many CIDs of GiveCID have not been issued.
func (e *Events) GivenCIDs() int { return int(e.c.given_len) }

// DropGivenCIDs forgets those that have not been issued.
func (e *Events) DropGivenCIDs() { e.c.given_len = 0 }

// err is the failure of the last call, which has failed.
func (e *Events) err() *Error {
	r := &e.c.res
	err := newError(Code(r.code))
	err.Transport = uint64(r.transport_code)
	err.Alert = uint8(r.tls_alert)
	err.Text = C.GoStringN(&r.text[0], C.int(r.text_len))
	return err
}
