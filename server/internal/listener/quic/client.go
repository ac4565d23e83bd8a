//go:build !noquic

package quic

import (
	"errors"
	"sync/atomic"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
	"github.com/ngmq/ngmq/server/internal/broker"
)

// connectByte is the first byte of a CONNECT packet.
const connectByte = byte(packet.CONNECT) << 4

// errStreamLost is why a client is gone whose stream ended without a DISCONNECT.
var errStreamLost = errors.New("quic: stream ended without DISCONNECT")

// streamClient is a stream that is an MQTT connection of its own (Config.StreamClients): it
// begins with CONNECT, carries everything, and its end is the client's. It implements
// broker.Transport.
type streamClient struct {
	c      *conn
	s      *endpoint.Stream
	client *broker.Client
	owed   int  // see conn.owed
	kept   bool // see conn.keepAlive
	over   bool // Client.Closed has been called

	closing atomic.Uint32 // see conn.closing
}

// openClient makes the client of s, nil when there are too many.
func (c *conn) openClient(s *endpoint.Stream) *streamClient {
	b := c.l.cfg.Broker
	if b.Full() {
		s.UserData = nil
		s.Refuse(CodeOverloaded)
		return nil
	}
	m := &streamClient{c: c, s: s}
	m.client = b.NewClient(m)
	s.UserData = m
	if !m.client.From(c.qc.Path().Remote.Addr()) {
		m.over = true
		m.client.Closed(nil)
		s.Refuse(CodeOverloaded)
		return nil
	}
	c.clients = append(c.clients, m)
	c.live++
	return m
}

// Wake implements broker.Transport.
func (m *streamClient) Wake() { m.c.qc.Wake() }

// Close implements broker.Transport: the worker does it in OnFlush.
func (m *streamClient) Close(code packet.ReasonCode) {
	m.closing.CompareAndSwap(0, 1+uint32(code))
	m.c.qc.Wake()
}

// Info implements broker.Transport.
func (m *streamClient) Info() broker.ConnInfo { return m.c.Info() }

func (m *streamClient) onData(data []byte, fin bool) {
	if m.over {
		m.s.Consume(len(data))
		return
	}
	if len(data) > 0 {
		err := m.client.Feed(data)
		m.c.qc.MarkDirty()
		if err != nil {
			m.end(verdict(err))
		}
	}
	m.owed = giveCredit(m.s, m.owed+len(data), m.client)
	if !m.kept && !m.over {
		m.kept = m.c.keepAlive(m.client.Info())
	}
	if fin {
		m.end(CodeControlStreamLost, errStreamLost)
	}
}

// end flushes a last time and ends the stream: the last packet, then FIN.
func (m *streamClient) end(code uint64, err error) {
	if m.over {
		return
	}
	m.over = true
	m.client.Flush(sink{m.s, sendBound})
	m.s.StopReading(code)
	_ = m.s.CloseWrite() // ErrClosed: it has been reset
	m.client.Closed(err)
	m.c.partClient()
}

func (m *streamClient) flush() {
	if m.over {
		return
	}
	if closing := m.closing.Load(); closing != 0 {
		m.end(CloseCode(packet.ReasonCode(closing-1)), nil)
		return
	}
	m.owed = giveCredit(m.s, m.owed, m.client)
	m.client.Flush(sink{m.s, sendBound})
}

// closed tells the broker that the connection is gone.
func (m *streamClient) closed(err error) {
	if !m.over {
		m.over = true
		m.client.Closed(err)
	}
}

// partControl ends the control stream and its client, while other streams of the connection
// are clients of their own.
func (c *conn) partControl(code uint64, err error) {
	for _, d := range c.data {
		d.close(CodeNormal)
	}
	c.over = true
	c.flush()
	if c.control != nil {
		c.control.StopReading(code)
		_ = c.control.CloseWrite() // ErrClosed: it has been reset
	}
	c.client.Closed(err)
}

// partClient notes that a streamClient has ended. When it was the last one, and
// the control stream has ended before, so does the connection.
func (c *conn) partClient() {
	c.live--
	if c.live == 0 && c.over {
		c.qc.CloseAfterFlush(CodeNormal, "")
	}
}
