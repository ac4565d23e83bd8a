package client

import (
	"context"
	"errors"
	"net"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// lane is one stream of packets in both directions: that of the network connection, or
// one of several streams of a QUIC connection.
type lane struct {
	link    *link
	nc      net.Conn
	out     *outbox
	dec     *packet.Decoder
	chunk   []byte            // what the reader reads into
	aliases map[uint16]string // of the server

	ended chan struct{} // closed at the end of a data lane; the control lane has that of the link
}

func newLane(l *link, nc net.Conn) *lane {
	a := &lane{
		link: l, nc: nc, out: newOutbox(l.version, &l.c.opts),
		dec: packet.NewDecoder(l.c.opts.MaxPacketSize), chunk: make([]byte, firstReadSize),
		aliases: map[uint16]string{}, ended: make(chan struct{}),
	}
	a.dec.SetVersion(l.version)
	return a
}

// errLaneEnded: the data lane is gone, the connection is not.
var errLaneEnded = errors.New("client: the stream has ended")

// wait waits for ch, ctx or the end of the lane or its connection.
func (a *lane) wait(ctx context.Context, ch <-chan struct{}) error {
	select {
	case <-ch:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-a.link.done:
		return a.link.reason()
	case <-a.ended:
		return errLaneEnded
	}
}

// write is the writer.
func (a *lane) write() {
	if err := a.out.writeTo(a); err != nil {
		a.fail(err)
	}
}

// read takes packets off the lane until it ends, and tells why it did.
func (a *lane) read() error {
	err := a.handleAll() // what came with the CONNACK
	for err == nil {
		var n int
		if n, err = a.nc.Read(a.chunk); n > 0 {
			a.link.touch(&a.link.received)
			a.dec.Feed(a.chunk[:n])
			err = errors.Join(a.handleAll(), err)
			if n == len(a.chunk) && n < readSize {
				a.chunk = make([]byte, readSize)
			}
		}
	}
	return err
}

func (a *lane) handleAll() error {
	for {
		p, err := a.dec.Next()
		if p == nil || err != nil {
			return err
		}
		a.link.c.opts.Metrics.Received(p.Type(), p.Size(a.link.version))
		a.link.c.opts.OnPacket(false, p)
		if err := a.handle(p); err != nil {
			return err
		}
	}
}

func (a *lane) handle(p packet.Packet) error {
	l := a.link
	switch p := p.(type) {
	case *packet.Publish:
		return a.handlePublish(p)
	case *packet.Puback:
		l.finishPublish(p.PacketID, 1, packet.PUBACK, answer{code: p.ReasonCode, props: p.Properties})
	case *packet.Pubrec:
		a.handlePubrec(p)
	case *packet.Pubrel:
		a.handlePubrel(p)
	case *packet.Pubcomp:
		l.finishPublish(p.PacketID, 2, packet.PUBCOMP, answer{code: p.ReasonCode, props: p.Properties})
	case *packet.Suback:
		l.finish(p.PacketID, packet.SUBSCRIBE, answer{codes: p.ReasonCodes, props: p.Properties})
	case *packet.Unsuback:
		l.finish(p.PacketID, packet.UNSUBSCRIBE, answer{codes: p.ReasonCodes, props: p.Properties})
	case *packet.Pingresp:
		l.pinged.Store(0)
	default:
		if a == l.lane {
			return l.handle(p)
		}
		return unexpected(p)
	}
	return nil
}

// isEnded tells that a data lane has ended.
func (a *lane) isEnded() bool {
	select {
	case <-a.ended:
		return true
	default:
		return false
	}
}

// fail ends the lane: of the control lane the connection.
func (a *lane) fail(err error) {
	if a == a.link.lane {
		a.link.end(err)
	} else {
		a.link.lanes.drop(a, err)
	}
}
