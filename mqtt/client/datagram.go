package client

import (
	"context"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// maxDatagrams bounds those that wait for the QUIC connection; beyond that Publish waits.
const maxDatagrams = 256

// useDatagrams finds out whether QoS 0 may go in datagrams.
func (l *link) useDatagrams(ctx context.Context) {
	q, ok := l.nc.(quicTransport)
	if ok && l.c.opts.Datagrams && q.takesDatagrams(ctx) {
		l.datagrams = make(chan struct{}, maxDatagrams)
	}
}

// sendQoS0 sends a message in a datagram, or on its lane.
func (l *link) sendQoS0(ctx context.Context, p *packet.Publish, stream string) error {
	a := l.laneFor(string(p.Topic), stream, 0)
	if l.datagrams == nil {
		return l.put(ctx, a, p)
	}
	select {
	case l.datagrams <- struct{}{}:
	case <-l.done:
		return l.reason()
	case <-ctx.Done():
		return ctx.Err()
	}
	wire := encoded(p.AppendTo(nil, l.version))
	a.out.note(p, len(wire))
	l.touch(&l.sent)
	otherwise := func() { a.out.putNow(wire) } // too large, or too many
	l.nc.(quicTransport).datagram(wire, otherwise, func() { <-l.datagrams })
	return nil
}

// encoded is a packet that is encoded already.
type encoded []byte

func (e encoded) Type() packet.Type                            { return packet.Type(e[0] >> 4) }
func (e encoded) Size(packet.Version) int                      { return len(e) }
func (e encoded) AppendTo(dst []byte, _ packet.Version) []byte { return append(dst, e...) }
