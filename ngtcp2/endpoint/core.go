package endpoint

import (
	"errors"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/ngmq/ngmq/ngtcp2"
	"github.com/ngmq/ngmq/ngtcp2/endpoint/internal/udp"
	"github.com/ngmq/ngmq/ngtcp2/quiclb"
)

// Batch is a set of received datagrams that lie in one buffer.
type Batch = udp.Batch

// Message is one or several datagrams of one path in a Batch.
type Message = udp.Message

// Transmit is a run of datagrams to send, in a shared buffer.
type Transmit = udp.Transmit

const (
	// txBuffer is a worker's send buffer in bytes: four GSO runs. Where nothing
	// is listened on it is clientTxBuffer: one run.
	txBuffer       = 256 << 10
	clientTxBuffer = 80 << 10
	// txRoom is what must be left of it for another connection to write:
	// enough for a run of ten packets.
	txRoom = 16 << 10
	// maxClosing bounds the closing and draining connections of a worker
	// (about 1.5 KB each); beyond it they are forgotten at once.
	maxClosing = 16 << 10
)

// ErrClosed is returned by methods of a connection, stream or endpoint that has
// ended.
var ErrClosed = errors.New("endpoint: closed")

// Core is the engine of one worker without I/O and clock: a CID table, timers,
// an accept policy and connections. The driver calls, in a loop,
//
//	Receive        for each Batch that arrived
//	HandleInbox    for what other goroutines asked (InboxSignal says when)
//	HandleExpiry   when Expiry has passed
//	Poll, Sent     until Busy is false: take datagrams, report what was sent
//
// Worker goroutine only. The time must not go backwards.
type Core struct {
	cfg    *Config // with defaults, shared by all workers
	worker int
	peers  int // number of workers
	cidLen int
	lb     *quiclb.Server // makes CIDs; nil without Config.LoadBalancer
	shared *shared
	stats  counters

	events *ngtcp2.Events
	table  cidTable
	timers timerHeap
	dirty  dirtyQueue
	inbox  inbox
	tx     txQueue
	live   atomic.Int64 // connections with state in C; others read it
	closed int          // closing and draining ones

	datagram     datagram          // the one being routed
	run          []ngtcp2.Datagram // datagrams of one connection, collected for one call
	runConn      *Conn
	runCID       []byte // of the last datagram in run
	runPath      ngtcp2.Path
	chunks       [][]ngtcp2.StreamChunk // spare slices for Conn.pending
	buffers      []ngtcp2.Buffer        // spare first buffers for streams
	datagrams    ngtcp2.Buffer          // block that SendDatagram copies into; zero before the first
	datagramUsed int                    // bytes of datagrams
	now          ngtcp2.Timestamp       // of the call under way
	wallOffset   ngtcp2.Timestamp       // from now to Unix time
	limits       limits
	retried      lastRetry
	ahead        ahead
	forward      func(worker int, m Message, pkt []byte) bool // nil: no other workers
	ending       bool                                         // Shutdown: no new connections
	alone        bool                                         // made by NewCore
	records      map[uint64]*recorded                         // by Conn.recordID
	recordID     uint64                                       // the last one

	// In an Endpoint: make and give up the socket of a migration.
	openLocal  func(local, remote netip.AddrPort) (netip.AddrPort, error)
	closeLocal func(local netip.AddrPort, at ngtcp2.Timestamp)
}

type limits struct{ versions, retries, resets, refusals limiter }

// NewCore makes the only Core of an Endpoint without sockets, for drivers such
// as a simulation. Free it with Free.
func NewCore(cfg Config) (*Core, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	cfg.Workers = 1
	if err := cfg.makeServers(); err != nil {
		return nil, err
	}
	c := newCore(&cfg, 0, &shared{recorder: newRecorder(&cfg)})
	c.alone = true
	return c, nil
}

func newCore(cfg *Config, worker int, sh *shared) *Core {
	size := txBuffer
	if cfg.TLS == nil {
		size = clientTxBuffer
	}
	c := &Core{
		cidLen: cidLen, cfg: cfg, worker: worker, peers: cfg.Workers, shared: sh,
		events:     ngtcp2.NewEvents(),
		table:      newCIDTable(),
		inbox:      newInbox(),
		tx:         txQueue{buf: make([]byte, size)},
		wallOffset: ngtcp2.Timestamp(time.Now().UnixNano()) - ngtcp2.Now(),
		run:        make([]ngtcp2.Datagram, 0, ngtcp2.MaxReadRun),
		runCID:     make([]byte, 0, ngtcp2.MaxCIDLen),
		limits: limits{newLimiter(versionNegotiationRate), newLimiter(retryRate),
			newLimiter(statelessResetRate), newLimiter(refuseRate)},
	}
	if cfg.servers != nil {
		c.lb = cfg.servers[worker]
		c.cidLen = c.lb.Len()
		c.giveCIDs()
	}
	return c
}

// Free ends every connection without a packet (OnClosed gets ErrClosed) and
// frees what the Core holds. Nothing may be called afterwards.
func (c *Core) Free() {
	c.HandleInbox(c.now)
	for _, conn := range c.conns() {
		c.stats.inc(ClosedShutdown)
		conn.leave(ErrClosed)
		c.forget(conn)
	}
	for _, b := range c.buffers {
		b.Release()
	}
	c.buffers = nil
	c.datagrams.Release()
	c.datagrams = ngtcp2.Buffer{}
	c.events.Free()
	if c.alone {
		c.shared.recorder.stop()
	}
}

// conns lists the connections, closing ones included.
func (c *Core) conns() []*Conn {
	seen := make(map[*Conn]bool, c.Live()+c.closed)
	list := make([]*Conn, 0, c.Live()+c.closed)
	for _, conn := range c.table.m {
		if !seen[conn] {
			seen[conn] = true
			list = append(list, conn)
		}
	}
	return list
}

// Live is the number of connections, closing and draining ones not included
// (any).
func (c *Core) Live() int { return int(c.live.Load()) }

// Closing is the number of closing and draining connections.
func (c *Core) Closing() int { return c.closed }

// Stats is a snapshot of this Core's counters (any).
func (c *Core) Stats() Stats {
	var s Stats
	c.stats.addTo(&s)
	c.shared.addTo(&s)
	return s
}

// InboxSignal has a token when HandleInbox has something to do.
func (c *Core) InboxSignal() <-chan struct{} { return c.inbox.signal }

// HandleInbox runs what Conn.Wake and Conn.Post left.
func (c *Core) HandleInbox(now ngtcp2.Timestamp) {
	c.now = now
	c.inbox.drain(c.markDirty)
}

// Expiry is when HandleExpiry is due, NoExpiry if never. It costs nothing.
func (c *Core) Expiry() ngtcp2.Timestamp { return min(c.timers.next(), c.ahead.next()) }

// HandleExpiry runs the timers that are due.
func (c *Core) HandleExpiry(now ngtcp2.Timestamp) {
	c.now = now
	c.expireAhead()
	for conn := c.timers.pop(now); conn != nil; conn = c.timers.pop(now) {
		switch at := conn.expiry(); {
		case at > now: // it moved later meanwhile
			c.timers.set(conn, at)
		case conn.nc == nil: // three PTOs are over
			c.forget(conn)
		default:
			c.expire(conn, now)
		}
	}
}

func (c *Core) expire(conn *Conn, now ngtcp2.Timestamp) {
	if conn.half != nil && conn.half.until <= now {
		c.abandon(conn)
		return
	}
	if conn.nc.Expiry() <= now {
		err := conn.nc.HandleExpiry(now)
		c.drain(conn)
		if err != nil {
			c.fail(conn, err)
			return
		}
	}
	c.markDirty(conn)
}

// rearm puts conn's deadline into the heap. Call it after any call that may
// have changed it.
func (c *Core) rearm(conn *Conn) { c.timers.set(conn, conn.expiry()) }

// drain hands the events of the last call for conn to it.
func (c *Core) drain(conn *Conn) {
	c.takeRecords()
	for i := range c.events.Len() {
		conn.handleEvent(c.events, c.events.At(i))
	}
	conn.provePath()
}

// Shutdown closes every connection with application code 0, after what has been
// written is acknowledged (Conn.CloseAfterFlush); a close that the application
// asked for earlier keeps its code. New connections are dropped.
func (c *Core) Shutdown() {
	c.ending = true
	for _, conn := range c.conns() {
		conn.flushApp() // it may want to say something, or to close by itself
		conn.CloseAfterFlush(0, "")
	}
}

// cutGraceful ends the wait of connections that close gracefully.
func (c *Core) cutGraceful() {
	for _, conn := range c.conns() {
		if conn.nc != nil && conn.closing != nil {
			conn.closing.graceful = false
			c.markDirty(conn)
		}
	}
}

// dirtyQueue is a FIFO of connections to be flushed, linked through them.
type dirtyQueue struct{ head, tail *Conn }

func (q *dirtyQueue) push(c *Conn) {
	if q.tail == nil {
		q.head = c
	} else {
		q.tail.nextDirty = c
	}
	q.tail = c
}

func (q *dirtyQueue) pop() *Conn {
	c := q.head
	q.head, c.nextDirty = c.nextDirty, nil
	if q.head == nil {
		q.tail = nil
	}
	return c
}

// markDirty queues conn for the next flush.
func (c *Core) markDirty(conn *Conn) {
	if conn.nc == nil || conn.dirty {
		return
	}
	conn.dirty = true
	c.dirty.push(conn)
}
