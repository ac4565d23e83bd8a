package endpoint

import (
	"cmp"
	"slices"

	"github.com/ngmq/ngmq/ngtcp2"
)

// EarlyState says what became of a connection's early data (0-RTT).
type EarlyState uint8

const (
	// EarlyNone: there was none, or it is not known yet (a server, before any has
	// arrived).
	EarlyNone EarlyState = iota
	// EarlyPending: the application works ahead of the handshake.
	EarlyPending
	// EarlyAccepted: the server took it.
	EarlyAccepted
	// EarlyRejected: the server refused it, and it had no effect. The client has
	// sent everything again.
	EarlyRejected
)

// String is the name of the state in lower case.
func (s EarlyState) String() string {
	return [...]string{"none", "pending", "accepted", "rejected"}[s]
}

// HandshakeHandler is what a ConnHandler implements to learn that the handshake is
// complete.
type HandshakeHandler interface {
	// OnHandshakeCompleted is called on the worker, once for every connection and
	// after Handler.OnConn or DialConfig.Ready: at once after them, or later when
	// there is early data. From then on what arrives is no attacker's copy, and
	// Conn.EarlyData and Conn.TLS are final.
	OnHandshakeCompleted()
}

// EarlyData is what became of early data; final once HandshakeCompleted.
func (c *Conn) EarlyData() EarlyState { return c.earlyState }

// HandshakeCompleted reports whether the handshake is complete. Before that, with
// early data, a server does not know whether its peer is the client that it seems to
// be or somebody who sends a copy of that client's packets.
func (c *Conn) HandshakeCompleted() bool { return c.completed }

// Early reports whether what OnStreamData brought last came in a 0-RTT packet, which
// may be an attacker's copy (see Config.EarlyData).
func (s *Stream) Early() bool { return s.early }

// SetHandler makes h the application of c from now on, in the place of the handler that
// OnConn returned: for one that works differently once the handshake is complete. The old
// one is not called again, nor is h told what that one was told.
func (c *Conn) SetHandler(h ConnHandler) { c.setHandler(h) }

// setHandler makes h the application of c.
func (c *Conn) setHandler(h ConnHandler) {
	c.handler = h
	c.datagramHandler, _ = h.(DatagramHandler)
}

// beginEarly hands a client's connection that can send 0-RTT to the application,
// before the first packet is written.
func (c *Conn) beginEarly() {
	if c.early == nil || c.dial == nil || c.closing != nil {
		return
	}
	d := c.dial
	c.dial, c.early.dial = nil, d
	d.complete(c)
}

// beginServerEarly hands a server's connection to the application when the first
// early data has arrived. Nothing else gets here before the handshake is complete
// (RFC 9001 section 5.7).
func (c *Conn) beginServerEarly() {
	if c.server && c.handshaking && c.handler == nil && c.closing == nil {
		c.earlyState = EarlyPending
		c.setHandler(c.core.cfg.Handler.OnConn(c))
	}
}

// settleEarly ends the wait for the server's verdict: tls is its word.
func (c *Conn) settleEarly() {
	tls := c.nc.TLSState()
	switch {
	case tls.EarlyData:
		c.earlyState = EarlyAccepted
		c.core.stats.inc(EarlyDataAccepted)
	case tls.EarlyDataRejected || c.earlyState != EarlyNone:
		c.earlyState = EarlyRejected
		c.core.stats.inc(EarlyDataRejected)
	}
	if tls.Resumed {
		c.core.stats.inc(HandshakesResumed)
	} else {
		c.core.stats.inc(HandshakesFull)
	}
	if c.early != nil && !c.early.rejected {
		c.dropEarly()
	}
}

// tellCompleted tells the application that the handshake is complete.
func (c *Conn) tellCompleted() {
	if h, ok := c.app().(HandshakeHandler); ok {
		h.OnHandshakeCompleted()
	}
}

// earlyLog is what a client keeps until its server has accepted early data: what has
// to be done again when it is rejected. After that it holds the streams that the
// server's new limits do not allow yet.
type earlyLog struct {
	dial      *dialing // for another attempt after Version Negotiation
	streams   map[int64]*earlyStream
	datagrams []uint64 // ids of those that were sent or wait
	rejected  bool
	waiting   [2][]*earlyStream // after rejection, to be opened again, in order of id; by kind
}

// earlyStream is one stream of an earlyLog.
type earlyStream struct {
	s           *Stream
	chunks      []ngtcp2.StreamChunk // all that was written; owns a reference each
	reset, stop *uint64              // codes of Reset and StopReading
	urgency     uint8
}

// Kinds of streams, as indexes.
const (
	bidi = iota
	uni
)

func kindOf(id int64) int {
	if ngtcp2.IsBidiStream(id) {
		return bidi
	}
	return uni
}

var openers = [...]func(*ngtcp2.Conn) (int64, error){bidi: (*ngtcp2.Conn).OpenStreamBidi, uni: (*ngtcp2.Conn).OpenStreamUni}

func newEarlyLog() *earlyLog { return &earlyLog{streams: make(map[int64]*earlyStream)} }

// opened adds a stream.
func (l *earlyLog) opened(s *Stream) {
	if !l.rejected {
		l.streams[s.id] = &earlyStream{s: s, urgency: ngtcp2.DefaultUrgency}
	}
}

// keep remembers ch. When its stream waits to be opened again it takes over the
// reference and returns true.
func (l *earlyLog) keep(ch ngtcp2.StreamChunk) bool {
	e := l.streams[ch.StreamID]
	if e == nil {
		return false
	}
	if !l.rejected && !ch.Buf.IsZero() {
		ch.Buf.Retain()
	}
	e.chunks = appendChunk(e.chunks, ch)
	return l.rejected
}

func (l *earlyLog) sentDatagram(id uint64) {
	if !l.rejected {
		l.datagrams = append(l.datagrams, id)
	}
}

func (l *earlyLog) lostDatagram(id uint64) {
	if i := slices.Index(l.datagrams, id); i >= 0 {
		l.datagrams = slices.Delete(l.datagrams, i, i+1)
	}
}

// blocked reports whether streams of a kind wait, so that no other may be opened.
func (l *earlyLog) blocked(kind int) bool { return l != nil && len(l.waiting[kind]) > 0 }

// stream is the entry of stream id, nil when there is none.
func (l *earlyLog) stream(id int64) *earlyStream {
	if l == nil {
		return nil
	}
	return l.streams[id]
}

// release drops what was written.
func (e *earlyStream) release() {
	for i := range e.chunks {
		e.chunks[i].Buf.Release()
	}
	e.chunks = nil
}

// dropEarly forgets the log.
func (c *Conn) dropEarly() {
	if c.early == nil {
		return
	}
	for _, e := range c.early.streams {
		e.release()
	}
	c.early = nil
}

// earlyRejected does again what the server has refused: the transport has forgotten
// all streams. Of the datagrams those that were sent are lost.
func (c *Conn) earlyRejected() {
	l := c.early
	if l == nil {
		return
	}
	c.releasePending()
	l.rejected = true
	for _, e := range l.streams {
		k := kindOf(e.s.id)
		l.waiting[k] = append(l.waiting[k], e)
	}
	for k := range l.waiting {
		slices.SortFunc(l.waiting[k], func(a, b *earlyStream) int { return cmp.Compare(a.s.id, b.s.id) })
	}
	lost := l.datagrams[:max(len(l.datagrams)-c.nc.QueuedDatagrams(), 0)]
	l.datagrams = nil
	c.reopen()
	for _, id := range lost {
		c.datagramLost(id)
	}
}

// reopen opens streams again as far as the server's limits allow.
func (c *Conn) reopen() {
	l := c.early
	if l == nil || !l.rejected {
		return
	}
	for k := range l.waiting {
		for len(l.waiting[k]) > 0 {
			id, err := openers[k](c.nc)
			if err != nil {
				break
			}
			e := l.waiting[k][0]
			l.waiting[k] = l.waiting[k][1:]
			delete(l.streams, id)
			c.repeat(e)
		}
	}
	if len(l.streams) == 0 {
		c.early = nil
	}
}

// repeat does on a stream that is open again what was done before.
func (c *Conn) repeat(e *earlyStream) {
	_ = c.nc.SetStreamUrgency(e.s.id, e.urgency)
	for _, ch := range e.chunks {
		c.chunk(ch)
	}
	if e.stop != nil {
		_ = c.nc.ShutdownStreamRead(e.s.id, *e.stop)
	}
	if e.reset != nil {
		_ = c.nc.ShutdownStreamWrite(e.s.id, *e.reset)
	}
	c.MarkDirty()
}
