//go:build !noquic

package quic

import (
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
	"github.com/ngmq/ngmq/server/internal/broker"
)

// maxServerFlows is how many streams of server flows a connection has at a time, whatever
// more the client allows: each takes about 2 KB here, and the client's memory is not known.
const maxServerFlows = 100

// serverFlows is what opens server flows, nil where that is not wanted.
func (c *conn) serverFlows() func() *broker.Stream {
	if !c.l.cfg.ServerFlows {
		return nil
	}
	return c.openFlow
}

// openFlow opens the stream of a server flow, nil when there are too many.
func (c *conn) openFlow() *broker.Stream {
	n := 0
	for _, d := range c.data {
		if d.isServerFlow() {
			n++
		}
	}
	if n >= maxServerFlows {
		return nil
	}
	s, err := c.qc.OpenStream()
	if err != nil { // the client allows no more
		return nil
	}
	c.next.serverFlows++
	h := flowHeader{kind: serverDataFlow, id: c.next.serverFlows<<1 | 1, flags: flowFlags(tolerateStream << 2)}
	d := c.newServerFlow(s, h)
	_, _ = s.Write(h.append(nil)) // ErrClosed: OnStreamClosed tells
	return d.stream
}

func (c *conn) newServerFlow(s *endpoint.Stream, h flowHeader) *dataStream {
	d := &dataStream{c: c, s: s, out: datagramSink{sink{s: s}}, qos: -1, begun: true, flow: &dataFlow{begun: true, header: h}}
	s.UserData = d
	_ = s.SetUrgency(dataUrgency) // ErrClosed: then it does not matter
	d.stream = c.client.OpenServerStream(s.ID())
	c.data = append(c.data, d)
	return d
}

func (d *dataStream) isServerFlow() bool {
	return d.flow != nil && d.flow.header.kind == serverDataFlow
}

// retire ends a server flow that has nothing more to carry.
func (d *dataStream) retire() {
	if d.isServerFlow() && !d.gone && !d.c.over && d.stream.Done() {
		d.end()
		_ = d.s.CloseWrite() // ErrClosed: it has been reset
	}
}
