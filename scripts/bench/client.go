package main

import (
	"context"
	"fmt"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
)

const (
	alpn    = "mqtt"
	version = packet.V50
)

// client is one MQTT client on a connection of the generator. Everything but call and
// the channels belongs to the connection's worker. It has no goroutine.
type client struct {
	id      string
	conn    *endpoint.Conn
	control *endpoint.Stream
	decoder packet.Decoder
	scratch []byte
	replies chan packet.Packet // everything but PUBLISH and PUBACK
	gone    chan struct{}      // closed when the connection is
	err     error              // why, after gone

	traffic traffic // nil: none is expected
}

// traffic is what a client does with messages.
type traffic interface {
	received(p *packet.Publish)   // a message came
	acknowledged(p packet.Packet) // a PUBACK came
	drained()                     // what came in one piece has been decoded
	flush()                       // the connection is about to be written
}

func newClient(id string) *client {
	return &client{id: id, replies: make(chan packet.Packet, 4), gone: make(chan struct{})}
}

// ready sends CONNECT when the handshake is done.
func (c *client) ready(conn *endpoint.Conn) {
	c.conn = conn
	c.decoder.Init(0)
	c.decoder.SetVersion(version)
	s, err := conn.OpenStream()
	if err != nil {
		conn.Close(0, err.Error())
		return
	}
	c.control = s
	c.write(&packet.Connect{ClientID: c.id, CleanStart: true})
}

func (c *client) write(p packet.Packet) {
	c.scratch = p.AppendTo(c.scratch[:0], version)
	c.control.Write(c.scratch)
}

// call sends a request, nil for none, and waits for the answer. Any goroutine.
func (c *client) call(ctx context.Context, request packet.Packet) (packet.Packet, error) {
	if request != nil {
		c.conn.Post(func() { c.write(request) })
	}
	select {
	case p := <-c.replies:
		return p, nil
	case <-c.gone:
		return nil, fmt.Errorf("%s: the connection was lost: %w", c.id, c.err)
	case <-ctx.Done():
		return nil, fmt.Errorf("%s: no answer: %w", c.id, ctx.Err())
	}
}

// subscribe asks for a topic and checks what was granted. Any goroutine.
func (c *client) subscribe(ctx context.Context, filter string, qos byte) error {
	p, err := c.call(ctx, &packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: filter, QoS: qos}}})
	if err != nil {
		return err
	}
	if a, ok := p.(*packet.Suback); !ok || a.ReasonCodes[0] != packet.ReasonCode(qos) {
		return fmt.Errorf("%s: subscribing was answered by %+v", c.id, p)
	}
	return nil
}

// OnStreamData implements endpoint.ConnHandler.
func (c *client) OnStreamData(s *endpoint.Stream, data []byte, fin bool) {
	s.Consume(len(data))
	c.decoder.Feed(data)
	for {
		p, err := c.decoder.Next()
		if err != nil {
			c.conn.Close(0, err.Error())
			return
		}
		if p == nil {
			break
		}
		c.handle(p)
	}
	if c.traffic != nil {
		c.traffic.drained()
	}
}

func (c *client) handle(p packet.Packet) {
	switch p := p.(type) {
	case *packet.Publish:
		if c.traffic != nil {
			c.traffic.received(p)
		}
	case *packet.Puback:
		if c.traffic != nil {
			c.traffic.acknowledged(p)
		}
	default:
		select {
		case c.replies <- p:
		default:
			c.conn.Close(0, "nobody asked for "+p.Type().String())
		}
	}
}

// OnFlush implements endpoint.ConnHandler.
func (c *client) OnFlush() {
	if c.traffic != nil {
		c.traffic.flush()
	}
}

// OnClosed implements endpoint.ConnHandler.
func (c *client) OnClosed(err error) {
	c.err = err
	close(c.gone)
}

// OnStreamOpen implements endpoint.ConnHandler: the server opens none.
func (c *client) OnStreamOpen(s *endpoint.Stream) { s.Refuse(0) }

// OnStreamReset implements endpoint.ConnHandler: OnClosed follows.
func (c *client) OnStreamReset(*endpoint.Stream, uint64) {}

// OnStopSending implements endpoint.ConnHandler: OnClosed follows.
func (c *client) OnStopSending(*endpoint.Stream, uint64) {}

// OnStreamClosed implements endpoint.ConnHandler: OnClosed follows.
func (c *client) OnStreamClosed(*endpoint.Stream) {}
