package broker

import (
	"log/slog"
	"sync/atomic"
	"time"
)

// logTopic is a kind of log line that a stranger can cause as often as he likes. At
// most one line per logInterval and kind is written; it tells how many were left out.
type logTopic uint8

const (
	logRefused logTopic = iota
	logClosed
	logDropped
	logPanic
	logRetained
	logHandler
	numLogTopics
)

// logInterval is the least time between two lines of one kind.
const logInterval = time.Second

type logLimit struct {
	next    atomic.Int64 // broker time from which a line may be written
	skipped atomic.Int64
}

// log writes a line of a kind, unless one has just been written.
func (b *Broker) log(kind logTopic, level slog.Level, text string, args ...any) {
	l := &b.logLimits[kind]
	now, next := b.now(), l.next.Load()
	if now < next || !l.next.CompareAndSwap(next, now+int64(logInterval)) {
		l.skipped.Add(1)
		return
	}
	if n := l.skipped.Swap(0); n > 0 {
		args = append(args, "skipped", n)
	}
	b.cfg.Logger.Log(b.ctx, level, text, args...)
}
