package endpoint

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/ngmq/ngmq/ngtcp2"
)

const (
	// maxRecordBytes bounds what waits for the recorder in bytes: a quarter of a
	// second of a busy worker. Beyond it records are dropped.
	maxRecordBytes = 8 << 20
	// maxRecorded bounds the connections that are recorded at a time: each may have a
	// file open, and 1,024 descriptors is the usual limit of a process.
	maxRecorded = 512
	// maxKeptBuffer is what a recorded connection keeps between batches, in bytes.
	maxKeptBuffer = 32 << 10
)

// recorder writes qlog and ngtcp2's debug log on a goroutine of its own, so that no
// worker waits for a file. Workers hand it bytes through a bounded queue.
type recorder struct {
	cfg    *Config
	log    bool // Config.LogQUIC, and the Logger wants debug lines
	signal chan struct{}
	done   chan struct{}
	conns  atomic.Int64 // recorded ones
	missed atomic.Uint64

	mu    sync.Mutex
	queue recordQueue
	ended bool
}

// recordQueue is what the workers have handed over.
type recordQueue struct {
	bytes   []byte
	entries []recordEntry
}

// recordEntry is a record, or, without a kind, the end of its connection.
type recordEntry struct {
	conn *recorded
	kind ngtcp2.LogKind
	end  int // in bytes; it begins where the one before ends
}

// recorded is a connection that is recorded. The recorder's goroutine owns what is
// below info.
type recorded struct {
	info   QlogInfo
	opened bool
	w      io.WriteCloser // nil: none, or it has failed
	buf    []byte         // of the batch under way
	logger *slog.Logger
}

// newRecorder starts the recorder that cfg asks for; nil when there is nothing to
// record.
func newRecorder(cfg *Config) *recorder {
	log := cfg.LogQUIC && cfg.Logger.Enabled(context.Background(), slog.LevelDebug)
	if cfg.Qlog == nil && !log {
		return nil
	}
	r := &recorder{cfg: cfg, log: log, signal: make(chan struct{}, 1), done: make(chan struct{})}
	go r.run()
	return r
}

// stop writes what waits and ends the goroutine. nil is allowed. No worker runs any
// more.
func (r *recorder) stop() {
	if r == nil {
		return
	}
	r.mu.Lock()
	r.ended = true
	r.mu.Unlock()
	r.ring()
	<-r.done
}

func (r *recorder) ring() {
	select {
	case r.signal <- struct{}{}:
	default:
	}
}

// record admits a connection, nil when too many are recorded. (any worker)
func (r *recorder) record(info QlogInfo) *recorded {
	if r.conns.Add(1) > maxRecorded {
		r.conns.Add(-1)
		r.missed.Add(1)
		return nil
	}
	return &recorded{info: info}
}

// add hands over a copy of a record. It never waits for a file. (any worker)
func (r *recorder) add(conn *recorded, kind ngtcp2.LogKind, data []byte) {
	r.mu.Lock()
	q := &r.queue
	if len(q.bytes)+len(data) > maxRecordBytes {
		r.missed.Add(1)
	} else {
		q.bytes = append(q.bytes, data...)
		q.entries = append(q.entries, recordEntry{conn, kind, len(q.bytes)})
	}
	r.mu.Unlock()
	r.ring()
}

// end says that nothing more comes of conn. (any worker)
func (r *recorder) end(conn *recorded) {
	r.mu.Lock()
	r.queue.entries = append(r.queue.entries, recordEntry{conn: conn, end: len(r.queue.bytes)})
	r.mu.Unlock()
	r.ring()
}

// run writes until stop.
func (r *recorder) run() {
	defer close(r.done)
	var batch recordQueue
	for ended := false; !ended; {
		<-r.signal
		batch.bytes, batch.entries = batch.bytes[:0], batch.entries[:0]
		r.mu.Lock()
		batch, r.queue = r.queue, batch
		ended = r.ended
		r.mu.Unlock()
		r.write(&batch)
		clear(batch.entries) // connections that have ended are not held
	}
}

// write hands each record of a batch on, one Write per connection.
func (r *recorder) write(batch *recordQueue) {
	start := 0
	for _, e := range batch.entries {
		data := batch.bytes[start:e.end]
		start = e.end
		switch e.kind {
		case ngtcp2.LogQlog:
			e.conn.buf = append(e.conn.buf, data...)
		case ngtcp2.LogDebug:
			r.logLine(e.conn, data)
		}
	}
	for _, e := range batch.entries {
		r.flush(e.conn)
		if e.kind == 0 {
			r.close(e.conn)
		}
	}
}

// flush writes what the batch brought of c.
func (r *recorder) flush(c *recorded) {
	if len(c.buf) == 0 {
		return
	}
	if !c.opened {
		c.opened = true
		c.w = r.open(c)
	}
	if c.w != nil {
		if _, err := c.w.Write(c.buf); err != nil {
			r.failed(c, "writing", err)
			r.closeFile(c)
		}
	} else {
		r.missed.Add(1)
	}
	if c.buf = c.buf[:0]; cap(c.buf) > maxKeptBuffer {
		c.buf = nil
	}
}

func (r *recorder) open(c *recorded) io.WriteCloser {
	w, err := r.cfg.Qlog(c.info)
	if err != nil {
		r.failed(c, "opening", err)
		return nil
	}
	return w
}

func (r *recorder) close(c *recorded) {
	r.closeFile(c)
	c.opened = true // it stays closed
	r.conns.Add(-1)
}

func (r *recorder) closeFile(c *recorded) {
	if c.w == nil {
		return
	}
	if err := c.w.Close(); err != nil {
		r.failed(c, "closing", err)
	}
	c.w = nil
}

func (r *recorder) failed(c *recorded, doing string, err error) {
	r.cfg.Logger.Warn("endpoint: qlog: "+doing, "conn", c.info.ODCID, "err", err)
}

func (r *recorder) logLine(c *recorded, line []byte) {
	if c.logger == nil {
		c.logger = r.cfg.Logger.With("conn", c.info.ODCID.String(), "role", c.info.Role())
	}
	c.logger.Debug("ngtcp2: " + string(line))
}
