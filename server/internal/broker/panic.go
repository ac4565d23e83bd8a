package broker

import (
	"fmt"
	"log/slog"
	"runtime/debug"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// A panic is a bug of the broker or of the program around it. It costs the connection
// on which it happens, never the process. What is locked when it happens must be
// unlocked by defer wherever foreign code (a handler, a store, a transport) is called.

var errPanic = &Error{Code: packet.ImplementationSpecificError, Reason: "internal error"}

// LogPanic logs v, with which the calling goroutine has panicked, with its stack, and
// counts it. It is for listeners that recover; where says what was going on. Any
// goroutine.
func (b *Broker) LogPanic(where string, v any) {
	b.count.panics.Add(1)
	defer func() { _ = recover() }() // of the logger: there is nobody left to tell
	b.log(logPanic, slog.LevelError, "panic", "where", where, "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
}

// Protect calls fn and gives its error. A panic is logged with where and becomes an
// *Error. Any goroutine.
func (b *Broker) Protect(where string, fn func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			b.LogPanic(where, v)
			err = &Error{Code: packet.UnspecifiedError, Reason: errPanic.Reason}
		}
	}()
	return fn()
}

// endFlush, deferred, ends a Flush and, when it has panicked, the connection.
func (c *Client) endFlush(w *writer) {
	v := recover()
	if v == nil {
		writers.Put(w)
		return
	}
	c.b.LogPanic("flush", v)
	_ = c.b.Protect("flush", func() error { w.abandon(); return nil })
	c.kick(errPanic.Code, errPanic.Reason)
}

// abandon gives back the messages of a Flush that did not get to its end.
func (w *writer) abandon() {
	for i := range w.batch[:w.n] {
		if m := w.batch[i].m; m != nil {
			m.Release()
		}
	}
	for _, d := range w.drops {
		d.m.Release()
	}
}
