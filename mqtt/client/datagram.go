package client

import (
	"context"

	"github.com/ngmq/ngmq/mqtt/packet"
)

const (
	// maxDatagrams bounds those that wait for room in the QUIC connection, which itself keeps
	// ngtcp2.MaxQueuedDatagrams for its congestion window: beyond, Publish waits. And those
	// that have come and wait for being read, beyond which they are dropped.
	maxDatagrams = 256
	// datagramProperty and datagramQoS0 are the User Property of CONNECT that asks a server of
	// this project for messages of QoS 0 in datagrams (server.DatagramProperty).
	datagramProperty = "ngmq-datagrams"
	datagramQoS0     = "qos0"
)

// askForDatagrams adds the wish to the properties of a CONNECT.
func (o *Options) askForDatagrams(p packet.Properties, srv server) packet.Properties {
	if !o.Datagrams || srv.scheme != "quic" {
		return p
	}
	for key := range p.UserProperties() {
		if string(key) == datagramProperty {
			return p // the program has its own
		}
	}
	return packet.AppendUserProperty(p, datagramProperty, datagramQoS0)
}

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
	l.nc.(quicTransport).datagram(wire, func(sent bool) {
		if !sent { // too large
			a.out.putNow(wire)
		}
		<-l.datagrams
	})
	return nil
}

// flushDatagrams waits until none waits any more.
func (l *link) flushDatagrams(ctx context.Context) {
	for range cap(l.datagrams) {
		select {
		case l.datagrams <- struct{}{}:
			defer func() { <-l.datagrams }()
		case <-l.done:
			return
		case <-ctx.Done():
			return
		}
	}
}

// encoded is a packet that is encoded already.
type encoded []byte

func (e encoded) Type() packet.Type                            { return packet.Type(e[0] >> 4) }
func (e encoded) Size(packet.Version) int                      { return len(e) }
func (e encoded) AppendTo(dst []byte, _ packet.Version) []byte { return append(dst, e...) }

// startDatagrams has those of the server read.
func (l *link) startDatagrams() {
	if q, ok := l.nc.(quicTransport); ok && q.received() != nil {
		l.lanes.readers.Go(func() { l.readDatagrams(q) })
	}
}

// readDatagrams delivers what comes in datagrams until the connection ends.
func (l *link) readDatagrams(q quicTransport) {
	var dec packet.Decoder
	for {
		select {
		case b := <-q.received():
			l.touch(&l.received)
			if p := l.decodeDatagram(&dec, b); p != nil {
				l.c.opts.Metrics.Received(packet.PUBLISH, len(b))
				l.c.opts.OnPacket(false, p)
				l.receive(delivery{lane: l.lane, message: received(p, string(p.Topic))})
			} else {
				q.drop()
			}
		case <-l.done:
			return
		}
	}
}

// decodeDatagram is the message in a datagram; nil when that is not one PUBLISH of QoS 0. A
// Topic Alias means nothing here: the PUBLISH that set it may not have come yet.
func (l *link) decodeDatagram(dec *packet.Decoder, b []byte) *packet.Publish {
	dec.Init(l.c.opts.MaxPacketSize)
	dec.SetVersion(l.version)
	dec.Feed(b)
	p, err := dec.Next()
	pub, ok := p.(*packet.Publish)
	if err != nil || !ok || pub.QoS > 0 || len(pub.Topic) == 0 || dec.Buffered() > 0 {
		return nil
	}
	return pub
}
