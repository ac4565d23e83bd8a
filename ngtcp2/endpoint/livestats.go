package endpoint

import (
	"context"
	"errors"

	"github.com/ngmq/ngmq/ngtcp2"
	"github.com/ngmq/ngmq/ngtcp2/endpoint/internal/udp"
)

// LiveStats is Stats with what live connections have counted so far. Each worker stops
// for it: 0.6 ms per 1,000 connections. A connection is counted once, so that no
// counter falls from one call to the next. When ctx ends first the numbers are those
// of Stats, and ctx's error is returned.
func (e *Endpoint) LiveStats(ctx context.Context) (Stats, error) {
	e.mu.Lock()
	started := e.started
	e.mu.Unlock()
	if !started {
		return e.Stats(), nil
	}
	parts := make(chan *Stats, len(e.workers))
	for _, w := range e.workers {
		w.core.inbox.post(func() { parts <- w.core.liveStats() })
	}
	var s Stats
	for range e.workers {
		select {
		case part := <-parts:
			s.add(part)
		case <-e.done:
			return e.Stats(), nil
		case <-ctx.Done():
			return e.Stats(), ctx.Err()
		}
	}
	e.addShared(&s)
	return s, nil
}

// liveStats is what this worker has counted, live connections included. Worker only.
func (c *Core) liveStats() *Stats {
	var live counters
	for _, conn := range c.conns() {
		if conn.nc != nil {
			live.addConn(conn.nc)
		}
	}
	s := &Stats{}
	c.stats.addTo(s)
	live.addTo(s)
	return s
}

// addConn adds what ngtcp2 has counted for a connection.
func (c *counters) addConn(nc *ngtcp2.Conn) {
	info := nc.Info()
	c[PacketsSent].Add(info.PktSent)
	c[PacketsReceived].Add(info.PktRecv)
	c[PacketsDiscarded].Add(info.PktDiscarded)
	c[PacketsLost].Add(info.PktLost)
	c[BytesLost].Add(info.BytesLost)
	c[KeyUpdates].Add(nc.KeyUpdates())
}

// closeClass is the counter of a CONNECTION_CLOSE, first the one of no error.
func closeClass(first Counter, kind ngtcp2.CloseKind, code uint64) Counter {
	const cryptoErrors = 0x100 // of them, one per TLS alert
	switch {
	case code == 0:
		return first
	case kind == ngtcp2.CloseApplication:
		return first + (CloseSentApplication - CloseSentNoError)
	case code >= ngtcp2.CryptoError && code < ngtcp2.CryptoError+cryptoErrors:
		return first + (CloseSentTLS - CloseSentNoError)
	}
	return first + (CloseSentTransport - CloseSentNoError)
}

// countClose counts the peer's CONNECTION_CLOSE, if cause is one.
func (c *counters) countClose(cause error) {
	var te *ngtcp2.TransportError
	var ae *ngtcp2.ApplicationError
	switch {
	case errors.As(cause, &te):
		c.inc(closeClass(CloseReceivedNoError, ngtcp2.CloseTransport, te.Code))
	case errors.As(cause, &ae):
		c.inc(closeClass(CloseReceivedNoError, ngtcp2.CloseApplication, ae.Code))
	}
}

// countGSO counts what a socket has sent as runs since the last time.
func (c *counters) countGSO(s *udp.Socket) {
	if messages, datagrams := s.TakeGSO(); messages > 0 {
		c.add(GSOMessages, messages)
		c.add(GSODatagrams, datagrams)
	}
}
