//go:build !noquic

package quic

// maxDatagram is the largest DATAGRAM frame that is taken, in bytes: whatever fits in a
// packet (RFC 9221 section 3).
const maxDatagram = 65535

// OnDatagram implements endpoint.DatagramHandler.
func (c *conn) OnDatagram(data []byte, early bool) {
	defer c.guard()
	if c.over {
		return
	}
	err := c.client.Datagram(data, early)
	c.qc.MarkDirty()
	if err != nil {
		c.end(verdict(err))
	}
}

// OnDatagramAcked implements endpoint.DatagramHandler.
func (c *conn) OnDatagramAcked(uint64) {}

// OnDatagramLost implements endpoint.DatagramHandler: it is not sent again.
func (c *conn) OnDatagramLost(uint64) { c.client.DatagramLost() }

// datagramSink is a stream of a connection whose client may get datagrams.
type datagramSink struct{ sink }

// MaxDatagram implements broker.DatagramSink.
func (k datagramSink) MaxDatagram() int { return k.s.Conn().MaxDatagramSize() }

// Datagram implements broker.DatagramSink.
func (k datagramSink) Datagram(p []byte) bool { return k.s.Conn().SendDatagram(p, 0) == nil }
