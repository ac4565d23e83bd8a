package endpoint

import (
	"bytes"

	"github.com/ngmq/ngmq/ngtcp2"
)

// handleEvent acts on one event of the binding. Before the application has got the
// connection and after a close was asked for, only the bookkeeping is done.
func (c *Conn) handleEvent(events *ngtcp2.Events, ev *ngtcp2.Event) {
	switch ev.Type {
	case ngtcp2.EventHandshakeCompleted:
		c.handshakeCompleted()
	case ngtcp2.EventHandshakeConfirmed:
		c.handshakeConfirmed()
	case ngtcp2.EventStreamOpen:
		c.streamOpened(ev.StreamID)
	case ngtcp2.EventStreamData:
		c.streamData(ev, events.Data(ev))
	case ngtcp2.EventStreamAcked:
		c.streamAcked(ev.StreamID, ev.A)
	case ngtcp2.EventStreamClose:
		c.streamClosed(ev.StreamID)
	case ngtcp2.EventStreamReset:
		c.streamReset(ev.StreamID, ev.A)
	case ngtcp2.EventStopSending:
		c.stopSending(ev.StreamID, ev.A)
	case ngtcp2.EventNewCID:
		c.core.table.add(events.CID(ev), c)
		c.core.giveCIDs()
	case ngtcp2.EventRetireCID:
		c.core.table.remove(events.CID(ev), c)
	case ngtcp2.EventNewToken:
		if c.onToken != nil {
			c.onToken(bytes.Clone(events.Data(ev)))
		}
	case ngtcp2.EventSession:
		if c.onSession != nil {
			c.onSession(bytes.Clone(events.Data(ev)))
		}
	case ngtcp2.EventEarlyDataRejected:
		c.earlyRejected()
	case ngtcp2.EventMaxStreamsBidi, ngtcp2.EventMaxStreamsUni:
		c.reopen()
	case ngtcp2.EventDatagram:
		c.datagramReceived(events.Data(ev), ev.Flags&ngtcp2.FlagEarly != 0)
	case ngtcp2.EventDatagramAcked:
		c.datagramAcked(ev.A)
	case ngtcp2.EventDatagramLost:
		c.datagramLost(ev.A)
	case ngtcp2.EventVersionNegotiation:
		if d := c.attempt(); d != nil {
			d.server = versionsOf(events.Data(ev))
		}
	case ngtcp2.EventDCIDStatus:
		c.dcidStatus(events.Data(ev), ev)
	case ngtcp2.EventBeginPathValidation:
		c.needProof().validating = events.Path(ev)
		c.migration.begun(events.Path(ev))
		c.followPath()
	case ngtcp2.EventPathValidation:
		c.pathValidated(events.Path(ev), ev.Flags)
	}
}

// app is the handler to call, nil when the application is not to hear more.
func (c *Conn) app() ConnHandler {
	if c.closing != nil {
		return nil
	}
	return c.handler
}

func (c *Conn) handshakeCompleted() {
	if !c.handshaking {
		return
	}
	c.settleHandshake()
	c.completed = true
	c.settleEarly()
	c.core.stats.inc(HandshakesCompleted)
	if c.keepAlive = c.core.cfg.KeepAlive; c.keepAlive > 0 {
		c.nc.SetKeepAliveTimeout(c.keepAlive)
	}
	switch d := c.dial; {
	case d != nil:
		c.dial = nil
		d.complete(c)
	case c.server && c.handler == nil:
		c.setHandler(c.core.cfg.Handler.OnConn(c))
	}
	c.tellCompleted()
}

// handshakeConfirmed frees a server's SSL object, which has no more work.
func (c *Conn) handshakeConfirmed() {
	c.nc.ReleaseTLS()
	c.core.giveToken(c)
}

func (c *Conn) streamOpened(id int64) {
	s := c.addStream(id)
	c.beginServerEarly()
	if h := c.app(); h != nil {
		h.OnStreamOpen(s)
	}
}

func (c *Conn) streamData(ev *ngtcp2.Event, data []byte) {
	s := c.stream(ev.StreamID)
	if s == nil {
		return
	}
	s.unread += uint64(len(data))
	s.early = ev.Flags&ngtcp2.FlagEarly != 0
	h := c.app()
	switch {
	case s.discard:
		s.Consume(len(data))
	case h != nil:
		h.OnStreamData(s, data, ev.Flags&ngtcp2.FlagFin != 0)
	}
}

func (c *Conn) streamAcked(id int64, n uint64) {
	if s := c.stream(id); s != nil {
		s.acked(n)
	}
}

// streamClosed gives the peer another stream, and the connection the credit of
// what the application did not consume.
func (c *Conn) streamClosed(id int64) {
	switch {
	case c.local(id):
	case ngtcp2.IsBidiStream(id):
		c.nc.ExtendMaxStreamsBidi(1)
	default:
		c.nc.ExtendMaxStreamsUni(1)
	}
	s := c.stream(id)
	if s == nil {
		return
	}
	s.Consume(int(s.unread))
	c.removeStream(s)
	if h := c.app(); h != nil {
		h.OnStreamClosed(s)
	}
}

func (c *Conn) streamReset(id int64, code uint64) {
	if s := c.stream(id); s != nil {
		if h := c.app(); h != nil && !s.discard {
			h.OnStreamReset(s, code)
		}
	}
}

// stopSending: the transport has answered with RESET_STREAM.
func (c *Conn) stopSending(id int64, code uint64) {
	if s := c.stream(id); s != nil {
		s.finished = true
		s.dropOutput()
		if h := c.app(); h != nil {
			h.OnStopSending(s, code)
		}
	}
}

// dcidStatus keeps the reset tokens of the peer's CIDs in use.
func (c *Conn) dcidStatus(data []byte, ev *ngtcp2.Event) {
	if ev.B == 0 {
		return
	}
	token := ngtcp2.StatelessResetToken(data[len(data)-ngtcp2.StatelessResetTokenLen:])
	if ev.Flags&ngtcp2.FlagDeactivate != 0 {
		c.core.table.removeToken(token, c)
	} else {
		c.core.table.addToken(token, c)
	}
}

// expiry is the connection's deadline.
func (c *Conn) expiry() ngtcp2.Timestamp {
	switch {
	case c.nc == nil:
		return c.closing.until
	case c.half != nil:
		return min(c.nc.Expiry(), c.half.until)
	case c.closing != nil && c.closing.graceful:
		return min(c.nc.Expiry(), c.closing.graceBy)
	}
	return c.nc.Expiry()
}
