package ngtcp2

// #include "shim_api.h"
import "C"

import "unsafe"

// LogKind tells what a LogRecord holds.
type LogKind uint32

// Kinds of LogRecord.
const (
	LogQlog  LogKind = 1 // a record of qlog 0.3 in JSON-SEQ form (RFC 7464): 0x1E, JSON, line feed
	LogDebug LogKind = 2 // a line of ngtcp2's debug log, without the line feed
)

// LogRecord is something that ngtcp2 wrote about a connection.
type LogRecord struct {
	ID   uint64 // Settings.LogID of the connection
	Kind LogKind
	Data []byte // in C memory, valid during the call of TakeLogs' f
}

// TakeLogs hands f, in order, the records that the Conns of e have written since the
// last call, those of Conn.Free included, and removes them. Records are whole; those
// beyond 4 MiB are lost, and lost tells how many. Call it now and then while Conns
// have Settings.Qlog or Log set; when nothing was written it costs next to nothing. f
// must not use e or its Conns.
func (e *Events) TakeLogs(f func(LogRecord)) (lost uint64) {
	if e.c.logs_len == 0 && e.c.logs_lost == 0 {
		return 0
	}
	logs := unsafe.Slice((*byte)(unsafe.Pointer(e.c.logs)), int(e.c.logs_len))
	lost = uint64(e.c.logs_lost)
	e.c.logs_len, e.c.logs_lost = 0, 0
	const head = C.sizeof_shim_log
	for len(logs) > 0 {
		var h C.shim_log // records are not aligned
		copy(unsafe.Slice((*byte)(unsafe.Pointer(&h)), head), logs)
		end := head + int(h.len)
		f(LogRecord{ID: uint64(h.id), Kind: LogKind(h.kind), Data: logs[head:end:end]})
		logs = logs[end:]
	}
	return lost
}
