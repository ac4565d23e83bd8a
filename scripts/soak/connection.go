package main

import (
	"context"
	"errors"
	"fmt"
	"net"
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
	// starts is how often the server had been started again when this was begun.
	starts    uint32
	datagrams bool // QoS 0 goes in datagrams, if it fits

	// Guarded by client.mu.
	decoders [allSlots]*packet.Decoder
	orders   [allSlots]order
	greeted  bool  // CONNACK is here
	ready    bool  // the session is here
	leaving  bool  // this side ends it
	err      error // why it is closed
	pending  int   // SUBACKs that are to come
	settled  chan struct{}
	rehomed  chan struct{} // closed when the server knows that a subscribing stream is gone
}

func newConnection(c *client, k kind) *connection {
	x := &connection{c: c, kind: k, connack: make(chan *packet.Connack, 1), closed: make(chan struct{}), settled: make(chan struct{}),
		starts: c.f.starts.Load(), datagrams: c.datagrams(k)}
	for i := range x.decoders {
		x.decode(i)
		x.orders[i] = make(order)
	}
	return x
}

// decode begins with what comes on a slot.
func (x *connection) decode(slot int) {
	x.decoders[slot] = packet.NewDecoder(maxPacket)
	x.decoders[slot].SetVersion(x.c.version)
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
		if x.greeted {
			c.wrong("a second CONNACK over %s", x.kind)
			return
		}
		x.greeted = true
		x.connack <- p // there is room for one
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
	case p.ReasonCode == packet.SessionTakenOver && x.c.unanswered: // an attempt that was given up has come late
	case p.ReasonCode == packet.ServerShuttingDown && x.c.f.kills.Load() > x.starts:
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
		x.c.settle(x)
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
	x.decode(slot)
	if slot >= subscribing {
		c.deaf[slot] = false
		close(x.rehomed)
		return
	}
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
			if op := (*net.OpError)(nil); errors.As(err, &op) {
				err = op.Err // without addresses
			}
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
	c.conn, c.deaf = x, [allSlots]bool{}
	c.note("connect over %s, early data %t", k, early)
	c.mu.Unlock()
	if err := c.dial(ctx, x, early); err != nil {
		c.mu.Lock()
		x.link = nil
		c.mu.Unlock()
		return fmt.Errorf("%s: %w", k, err)
	}
	answer := time.NewTimer(answerTime)
	defer answer.Stop()
	if err := x.answered(answer.C); err != nil {
		c.mu.Lock()
		c.unanswered = true
		c.mu.Unlock()
		return err
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

// answered waits for the CONNACK and goes on with the session.
func (x *connection) answered(late <-chan time.Time) error {
	select {
	case p := <-x.connack:
		return x.c.begin(x, p)
	case <-x.closed:
		return fmt.Errorf("%s: closed before CONNACK: %w", x.kind, x.err)
	case <-late:
		x.link.end(false)
		x.link.giveUp()
		return fmt.Errorf("%s: no CONNACK within %s", x.kind, answerTime)
	}
}

// connectPacket is the CONNECT of c.
func (c *client) connectPacket(x *connection) []byte {
	p := packet.Connect{ClientID: c.name, KeepAlive: keepAlive, CleanStart: c.ending}
	if c.version == packet.V50 {
		p.Properties = packet.AppendUint32(nil, packet.SessionExpiryInterval, sessionExpiry)
	}
	if c.version == packet.V50 && x.datagrams {
		p.Properties = packet.AppendUserProperty(p.Properties, "ngmq-datagrams", "qos0")
	}
	return p.AppendTo(nil, c.version)
}

// dial opens the network connection of x.
func (c *client) dial(ctx context.Context, x *connection, early bool) error {
	first, addrs := c.connectPacket(x), c.f.addrs
	if x.kind.quic() {
		l := &quicLink{owner: x, uni: x.kind == uni, header: x.kind == uni && c.id%2 == 0, shared: x.kind == sharing}
		x.link = l
		if x.kind == sharing {
			return c.f.join(ctx, c, l, first)
		}
		cfg := c.dialConfig(early)
		if cfg.EarlyData {
			first = c.appendEarly(first, x)
		}
		return dialQUIC(ctx, c.f.endpointOf(c.id), c.f.addrOf(c.id), cfg, l, first)
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
