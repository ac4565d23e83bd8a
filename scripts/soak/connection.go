package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
)

// kind is a way to connect.
type kind uint8

const (
	single  kind = iota // QUIC with one stream (model D)
	multi               // data streams (model A)
	uni                 // publishes on unidirectional streams (model B)
	sharing             // a stream of a connection that others use (model C)
	overTCP
	overTLS
	overWS
	kinds
)

func (k kind) String() string {
	return [...]string{"quic", "quic-multi", "quic-uni", "quic-shared", "tcp", "tls", "ws"}[k]
}

func (k kind) quic() bool { return k <= sharing }

const (
	answerTime = 30 * time.Second // until a CONNACK or SUBACK is there
	maxPacket  = 1 << 20          // bytes
)

// connection is one network connection of a client. It implements owner.
type connection struct {
	c       *client
	kind    kind
	link    link
	connack chan *packet.Connack
	closed  chan struct{}

	// Guarded by client.mu.
	decoders [slots]*packet.Decoder
	orders   [slots]order
	ready    bool  // the session is here
	leaving  bool  // this side ends it
	err      error // why it is closed
	pending  int   // SUBACKs that are to come
	settled  chan struct{}
}

func newConnection(c *client, k kind) *connection {
	x := &connection{c: c, kind: k, connack: make(chan *packet.Connack, 1), closed: make(chan struct{}), settled: make(chan struct{})}
	for i := range x.decoders {
		x.decoders[i] = packet.NewDecoder(maxPacket)
		x.decoders[i].SetVersion(packet.V50)
		x.orders[i] = make(order)
	}
	return x
}

// laneSlot is where messages of a QoS are published.
func (x *connection) laneSlot(qos int) int {
	if x.kind == multi || x.kind == uni {
		return publishing + qos
	}
	return 0
}

// subscribeSlot is where messages of a QoS are subscribed to.
func (x *connection) subscribeSlot(qos int) int {
	if x.kind == multi {
		return subscribing + qos
	}
	return 0
}

// onData implements owner.
func (x *connection) onData(slot int, data []byte) {
	c := x.c
	c.mu.Lock()
	defer c.mu.Unlock()
	d := x.decoders[slot]
	d.Feed(data)
	for {
		p, err := d.Next()
		if err != nil && c.conn == x {
			c.wrong("from the server over %s, slot %d: %s", x.kind, slot, err)
		}
		if p == nil {
			return
		}
		x.onPacket(slot, p)
	}
}

func (x *connection) onPacket(slot int, p packet.Packet) {
	c := x.c
	current := c.conn == x
	switch p := p.(type) {
	case *packet.Connack:
		x.connack <- p
	case *packet.Disconnect:
		x.onDisconnect(p, current)
	case *packet.Suback:
		x.onSuback(slot, p)
	case *packet.Pingresp:
	default:
		if current {
			c.handle(x, slot, p)
		}
	}
}

func (x *connection) onDisconnect(p *packet.Disconnect, current bool) {
	x.c.f.count.disconnects.Add(1)
	switch {
	case p.ReasonCode == packet.SessionTakenOver && !current:
		x.c.f.count.takenOver.Add(1)
	case current && !x.leaving:
		x.c.wrong("DISCONNECT %s from the server over %s", p.ReasonCode, x.kind)
	}
}

func (x *connection) onSuback(slot int, p *packet.Suback) {
	for _, code := range p.ReasonCodes {
		if code.IsError() {
			x.c.wrong("SUBACK says %s on slot %d", code, slot)
		}
	}
	if x.pending--; x.pending == 0 {
		close(x.settled)
	}
}

// onSlotClosed implements owner: the server knows that the stream is gone. What was in flight
// there is sent again on the control stream.
func (x *connection) onSlotClosed(slot int) {
	c := x.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn != x || !x.ready {
		return
	}
	c.note("stream slot %d is closed", slot)
	x.decoders[slot] = packet.NewDecoder(maxPacket)
	x.decoders[slot].SetVersion(packet.V50)
	qos := slot - publishing
	c.lanes[qos].closing = false
	c.resend(false, func(o *outgoing) bool { return int(o.m.qos) == qos && o.slot == slot })
}

// onClosed implements owner.
func (x *connection) onClosed(err error) {
	c := x.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if x.err != nil {
		return
	}
	x.err = err
	close(x.closed)
	if c.conn == x {
		c.note("%s closed: %s", x.kind, err)
		if x.ready && !x.leaving {
			c.f.count.lose(fmt.Sprintf("%s: %s", x.kind, err))
		}
	}
}

// errRefused says that CONNACK has an error.
var errRefused = errors.New("refused")

// connect makes a connection of kind k the client's. The one before it, if any, is left as it
// is: the server ends it.
func (c *client) connect(ctx context.Context, k kind, early bool) error {
	x := newConnection(c, k)
	c.mu.Lock()
	if c.conn != nil {
		c.conn.ready = false
	}
	c.conn = x
	c.note("connect over %s, early data %t", k, early)
	c.mu.Unlock()
	if err := c.dial(ctx, x, early); err != nil {
		return fmt.Errorf("%s: %w", k, err)
	}
	answer := time.NewTimer(answerTime)
	defer answer.Stop()
	select {
	case p := <-x.connack:
		if err := c.begin(x, p); err != nil {
			return err
		}
	case <-x.closed:
		return fmt.Errorf("%s: closed before CONNACK: %w", k, x.err)
	case <-answer.C:
		x.link.end(false)
		return fmt.Errorf("%s: no CONNACK within %s", k, answerTime)
	}
	select {
	case <-x.settled:
		return nil
	case <-x.closed:
		return fmt.Errorf("%s: closed before SUBACK: %w", k, x.err)
	case <-answer.C:
		x.link.end(false)
		return fmt.Errorf("%s: no SUBACK within %s", k, answerTime)
	}
}

// begin goes on with the session over x.
func (c *client) begin(x *connection, p *packet.Connack) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.note("CONNACK %s, session present %t", p.ReasonCode, p.SessionPresent)
	if p.ReasonCode != packet.Success {
		x.link.end(false)
		c.wrong("CONNACK says %s", p.ReasonCode)
		return errRefused
	}
	if c.known && !p.SessionPresent {
		c.wrong("the server has lost the session")
	}
	x.ready = true
	for i := range c.lanes {
		c.lanes[i].elsewhere, c.lanes[i].closing = 0, false
	}
	own := c.id%2 == 0 // half of the clients resend everything on control, as emqtt does
	c.resend(own, func(*outgoing) bool { return true })
	c.subscribe(x)
	c.known = true
	return nil
}

// subscribe is for a new session. Clients that have subscribed on data streams do it again
// where there are some, which moves the subscriptions there; for others it would add copies.
// c.mu is held.
func (c *client) subscribe(x *connection) {
	if c.known && (x.kind != multi || c.home != multi) {
		close(x.settled)
		return
	}
	x.pending = levels
	for qos := range levels {
		s := packet.Subscribe{PacketID: uint16(subscribeID + qos), Subscriptions: []packet.Subscription{
			{Filter: filter(c.f.groupOf(c.id), qos), QoS: byte(qos), RetainHandling: 2}}}
		c.send(x.subscribeSlot(qos), &s)
	}
}

// connectPacket is the CONNECT of c.
func (c *client) connectPacket() []byte {
	p := packet.Connect{ClientID: c.name, KeepAlive: keepAlive,
		Properties: packet.AppendUint32(nil, packet.SessionExpiryInterval, sessionExpiry)}
	return p.AppendTo(nil, packet.V50)
}

// dial opens the network connection of x.
func (c *client) dial(ctx context.Context, x *connection, early bool) error {
	first, addrs := c.connectPacket(), c.f.addrs
	if x.kind.quic() {
		l := &quicLink{owner: x, uni: x.kind == uni, shared: x.kind == sharing}
		x.link = l
		if x.kind == sharing {
			return c.f.join(ctx, c, l, first)
		}
		return dialQUIC(ctx, c.f.endpointOf(c.id), c.f.addrOf(c.id), c.dialConfig(early), l, first)
	}
	var l *byteLink
	var err error
	switch x.kind {
	case overTLS:
		l, err = dialBytes(ctx, addrs.TLS, c.f.tls, false, x)
	case overWS:
		l, err = dialBytes(ctx, addrs.WS, nil, true, x)
	default:
		l, err = dialBytes(ctx, addrs.TCP, nil, false, x)
	}
	if err != nil {
		return err
	}
	x.link = l
	l.send(0, first)
	l.start()
	return nil
}

// dialConfig resumes a TLS session when there is one.
func (c *client) dialConfig(early bool) endpoint.DialConfig {
	c.mu.Lock()
	defer c.mu.Unlock()
	cfg := endpoint.DialConfig{TLS: c.f.quic, ServerName: "localhost", Session: c.ticket, EarlyData: early && c.ticket != nil}
	cfg.OnSession = func(ticket []byte) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.ticket = ticket
	}
	return cfg
}

// idOf is the packet identifier of an acknowledgement or SUBSCRIBE, 0 of others.
func idOf(p packet.Packet) uint16 {
	switch p := p.(type) {
	case *packet.Puback:
		return p.PacketID
	case *packet.Pubrec:
		return p.PacketID
	case *packet.Pubrel:
		return p.PacketID
	case *packet.Pubcomp:
		return p.PacketID
	case *packet.Subscribe:
		return p.PacketID
	}
	return 0
}
