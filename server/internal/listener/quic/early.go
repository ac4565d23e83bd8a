//go:build !noquic

package quic

import (
	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
	"github.com/ngmq/ngmq/server/internal/broker"
)

// Limits of what is kept of a connection until its handshake is complete. Clients send no
// more before that than their congestion window begins with, 10 to 32 packets.
const (
	maxEarlyBytes  = 64 << 10 // bytes of stream data
	maxEarlyEvents = 1024     // see earlyEvent
)

// earlyConn is a connection whose handshake is not complete, with early data (0-RTT). That
// may be a copy of what a client once sent, and the sender's address may be forged. So it
// has no effect but an answer, which nobody but that client can read: a CONNECT that will
// be let in gets its CONNACK (broker.Early), and everything is kept, the CONNECT too. When
// the handshake is complete, a conn takes the place of this handler and is told what has
// been kept. If it never is, nothing has happened.
type earlyConn struct {
	l     *Listener
	qc    *endpoint.Conn
	early *broker.Early
	next  *nextConn // as conn.next
	held  []earlyEvent
	bytes int // of stream data in held
}

// earlyEvent is a call of endpoint.ConnHandler that is kept.
type earlyEvent struct {
	s    *endpoint.Stream
	what earlyKind
	fin  bool
	code uint64
	data []byte
}

type earlyKind uint8

const (
	earlyOpen earlyKind = iota
	earlyData
	earlyReset
	earlyStop
	earlyClosed
)

func newEarlyConn(l *Listener, qc *endpoint.Conn) *earlyConn {
	e := &earlyConn{l: l, qc: qc, next: l.next(qc)}
	e.early = l.cfg.Broker.NewEarly(e)
	return e
}

// OnStreamOpen implements endpoint.ConnHandler.
func (e *earlyConn) OnStreamOpen(s *endpoint.Stream) { e.hold(earlyEvent{s: s, what: earlyOpen}) }

// OnStreamData implements endpoint.ConnHandler. The client gets no credit yet.
func (e *earlyConn) OnStreamData(s *endpoint.Stream, data []byte, fin bool) {
	defer e.guard()
	if s.ID() == controlStream {
		rest, _ := e.next.begin(data)
		if connack := e.early.Feed(rest); connack != nil {
			s.Write(connack)
		}
	}
	e.bytes += len(data)
	if last := len(e.held) - 1; last >= 0 && e.held[last].s == s && e.held[last].what == earlyData && e.bytes <= maxEarlyBytes {
		e.held[last].data = append(e.held[last].data, data...)
		e.held[last].fin = fin
		return
	}
	e.hold(earlyEvent{s: s, what: earlyData, data: append([]byte(nil), data...), fin: fin})
}

// OnStreamReset implements endpoint.ConnHandler.
func (e *earlyConn) OnStreamReset(s *endpoint.Stream, code uint64) {
	e.hold(earlyEvent{s: s, what: earlyReset, code: code})
}

// OnStopSending implements endpoint.ConnHandler.
func (e *earlyConn) OnStopSending(s *endpoint.Stream, code uint64) {
	e.hold(earlyEvent{s: s, what: earlyStop, code: code})
}

// OnStreamClosed implements endpoint.ConnHandler. A Stream can be used when it is closed; it
// does nothing then.
func (e *earlyConn) OnStreamClosed(s *endpoint.Stream) { e.hold(earlyEvent{s: s, what: earlyClosed}) }

// OnFlush implements endpoint.ConnHandler: the CONNACK is written already.
func (e *earlyConn) OnFlush() {}

// OnClosed implements endpoint.ConnHandler: there was no client.
func (e *earlyConn) OnClosed(error) { e.held = nil }

func (e *earlyConn) hold(ev earlyEvent) {
	if e.bytes > maxEarlyBytes || len(e.held) == maxEarlyEvents {
		e.held = nil
		e.qc.Close(CodeOverloaded, "too much early data")
		return
	}
	e.held = append(e.held, ev)
}

// OnHandshakeCompleted implements endpoint.HandshakeHandler: what was kept counts.
func (e *earlyConn) OnHandshakeCompleted() {
	defer e.guard()
	h := e.l.admit(e.qc)
	if c, ok := h.(*conn); ok {
		c.client.Answered(e.early)
	}
	e.qc.SetHandler(h)
	held := e.held
	e.held = nil
	for i := range held {
		if e.qc.Closed() {
			return
		}
		held[i].tell(h)
	}
}

// tell makes the call.
func (ev *earlyEvent) tell(h endpoint.ConnHandler) {
	switch ev.what {
	case earlyOpen:
		h.OnStreamOpen(ev.s)
	case earlyData:
		h.OnStreamData(ev.s, ev.data, ev.fin)
	case earlyReset:
		h.OnStreamReset(ev.s, ev.code)
	case earlyStop:
		h.OnStopSending(ev.s, ev.code)
	case earlyClosed:
		h.OnStreamClosed(ev.s)
	}
}

// Info implements broker.Transport.
func (e *earlyConn) Info() broker.ConnInfo { return (&conn{qc: e.qc}).Info() }

// Wake and Close implement broker.Transport. A broker.Early calls neither.
func (e *earlyConn) Wake()                   {}
func (e *earlyConn) Close(packet.ReasonCode) {}

// guard, deferred by what the worker calls, makes a panic cost this connection only.
func (e *earlyConn) guard() {
	if v := recover(); v != nil {
		e.l.cfg.Broker.LogPanic("early quic connection", v)
		e.held = nil
		e.qc.Close(uint64(packet.ImplementationSpecificError), errPanic.Error())
	}
}
