package endpoint

import (
	"time"

	"github.com/ngmq/ngmq/ngtcp2"
)

// InitiateKeyUpdate changes the packet protection keys with the next packet (RFC 9001
// section 6). The transport does so by itself before a limit of the cipher is
// reached, and answers the peer's updates. ngtcp2.ErrInvalidState: the handshake is
// not confirmed, or the last update is not acknowledged or less than 3 PTO past; try
// again later.
func (c *Conn) InitiateKeyUpdate() error {
	if c.Closed() {
		return ErrClosed
	}
	if err := c.nc.InitiateKeyUpdate(c.core.now); err != nil {
		return err
	}
	c.MarkDirty()
	return nil
}

// HandshakeConfirmed reports whether the peer is known to have completed the
// handshake too (RFC 9001 section 4.1.2).
func (c *Conn) HandshakeConfirmed() bool { return c.nc != nil && c.nc.HandshakeConfirmed() }

// PeerParams are the peer's transport parameters (RFC 9000 section 18.2); ok is false
// before they are known and when closed. While EarlyData is EarlyPending they are
// those of the session.
func (c *Conn) PeerParams() (p ngtcp2.TransportParams, ok bool) {
	if c.nc == nil {
		return p, false
	}
	return c.nc.RemoteTransportParams()
}

// StreamsLeft is how many streams of each kind this side may open now.
func (c *Conn) StreamsLeft() (bidi, uni uint64) {
	if c.nc == nil {
		return 0, 0
	}
	return c.nc.StreamsBidiLeft(), c.nc.StreamsUniLeft()
}

// SendCredit is how many bytes of stream data the peer allows beyond those that were
// sent, over all streams (RFC 9000 section 4.1).
func (c *Conn) SendCredit() uint64 {
	if c.nc == nil {
		return 0
	}
	return c.nc.MaxDataLeft()
}

// Buffered is the number of bytes of all streams that were written and are not
// acknowledged.
func (c *Conn) Buffered() int { return c.buffered }

// PTO is the probe timeout (RFC 9002 section 6.2.1); 0 when closed.
func (c *Conn) PTO() time.Duration {
	if c.nc == nil {
		return 0
	}
	return c.nc.PTO()
}

// Info is the state of the stream's sending side; zero when closed.
func (s *Stream) Info() ngtcp2.StreamInfo {
	if !s.open || s.conn.nc == nil {
		return ngtcp2.StreamInfo{}
	}
	info, _ := s.conn.nc.StreamInfo(s.id)
	return info
}

// SetUrgency says when the stream's data is sent: streams of the lowest number go
// first, those of the same take turns. Default ngtcp2.DefaultUrgency, the last
// ngtcp2.MaxUrgency. It may change at any time; the peer does not learn of it
// (RFC 9218 section 4.1). ngtcp2.ErrInvalidArgument: above the last; ErrClosed.
func (s *Stream) SetUrgency(urgency uint8) error {
	switch {
	case !s.open || s.conn.nc == nil:
		return ErrClosed
	case urgency > ngtcp2.MaxUrgency:
		return ngtcp2.ErrInvalidArgument
	}
	if e := s.conn.early.stream(s.id); e != nil {
		e.urgency = urgency
		if s.conn.early.rejected {
			return nil // once it is open again
		}
	}
	return s.conn.nc.SetStreamUrgency(s.id, urgency)
}
