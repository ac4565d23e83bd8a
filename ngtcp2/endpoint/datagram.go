package endpoint

import (
	"github.com/ngmq/ngmq/ngtcp2"
)

// datagramBlock is the size in bytes of the blocks that a worker copies datagrams
// into: ten of a full packet each.
const datagramBlock = 16 << 10

// DatagramHandler is what a ConnHandler implements to have datagrams (RFC 9221);
// Config.MaxDatagram turns them on. Like those of ConnHandler its methods are called
// on the connection's worker and must not block.
type DatagramHandler interface {
	// OnDatagram: a datagram arrived; data is valid during the call. early: in a
	// 0-RTT packet, which may be an attacker's copy (see Config.EarlyData).
	OnDatagram(data []byte, early bool)
	// OnDatagramAcked: the peer's transport has received datagram id of
	// SendDatagram. Its application may have dropped it all the same.
	OnDatagramAcked(id uint64)
	// OnDatagramLost: datagram id is taken for lost, or did not fit the path or the
	// peer any more. It is not sent again. Rarely, when acknowledgements were lost,
	// OnDatagramAcked follows, or the peer has it.
	OnDatagramLost(id uint64)
}

// SendDatagram queues a copy of data for the next write, before stream data, in this
// turn of the worker. id comes back to DatagramHandler. Datagrams are under
// congestion control, and neither ordered nor repeated. Errors, after which nothing
// is queued: ngtcp2.ErrDatagramOff, the peer takes none; ngtcp2.ErrDatagramTooLarge,
// longer than MaxDatagramSize; ngtcp2.ErrDatagramQueueFull,
// ngtcp2.MaxQueuedDatagrams wait, try again in OnFlush; ErrClosed.
func (c *Conn) SendDatagram(data []byte, id uint64) error {
	switch {
	case c.Closed():
		return ErrClosed
	case len(data) > maxDatagram:
		return ngtcp2.ErrDatagramTooLarge
	}
	b, off := c.core.copyDatagram(data)
	if err := c.nc.QueueDatagram(id, b, off, len(data)); err != nil {
		return err
	}
	c.core.datagramUsed += len(data)
	if c.early != nil {
		c.early.sentDatagram(id)
	}
	c.core.markDirty(c)
	return nil
}

// MaxDatagramSize is the longest datagram in bytes that SendDatagram takes now; it
// grows with path MTU discovery. 0: the peer takes none, or it is not known yet.
func (c *Conn) MaxDatagramSize() int {
	if c.nc == nil {
		return 0
	}
	return c.nc.MaxDatagramSize()
}

// QueuedDatagrams is the number of datagrams that wait to be sent.
func (c *Conn) QueuedDatagrams() int {
	if c.nc == nil {
		return 0
	}
	return c.nc.QueuedDatagrams()
}

// copyDatagram puts data behind the last datagram in the worker's block. The
// reference is the caller's; the place is taken when datagramUsed has been raised.
func (c *Core) copyDatagram(data []byte) (b ngtcp2.Buffer, off int) {
	if c.datagrams.IsZero() || len(c.datagrams.Bytes())-c.datagramUsed < len(data) {
		c.datagrams.Release()
		c.datagrams, c.datagramUsed = ngtcp2.NewBuffer(max(datagramBlock, len(data))), 0
	}
	copy(c.datagrams.Bytes()[c.datagramUsed:], data)
	c.datagrams.Retain()
	return c.datagrams, c.datagramUsed
}

// datagramReceived hands a datagram over, to a server's application also before the
// handshake is complete.
func (c *Conn) datagramReceived(data []byte, early bool) {
	c.beginServerEarly()
	if c.datagramHandler != nil && c.app() != nil {
		c.datagramHandler.OnDatagram(data, early)
	}
}

func (c *Conn) datagramAcked(id uint64) {
	if c.datagramHandler != nil && c.app() != nil {
		c.datagramHandler.OnDatagramAcked(id)
	}
}

func (c *Conn) datagramLost(id uint64) {
	if c.early != nil {
		c.early.lostDatagram(id)
	}
	if c.datagramHandler != nil && c.app() != nil {
		c.datagramHandler.OnDatagramLost(id)
	}
}
