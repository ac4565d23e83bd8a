package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// session is what a client knows about its session.
type session struct {
	made       bool // there is one
	subscribed bool // with all its subscriptions
	// since and until are how often the server had been started again when it began, at least
	// and at most.
	since, until uint32
}

// errAgain says that a session has to begin on another connection: over the way at home, and
// with a server of which is known which one it is.
var errAgain = errors.New("the session begins again")

// begin goes on with the session over x.
func (c *client) begin(x *connection, p *packet.Connack) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.note("CONNACK %s, session present %t", p.ReasonCode, p.SessionPresent)
	if p.ReasonCode != packet.Success {
		x.link.end(false)
		if p.ReasonCode != packet.ServerUnavailable || c.f.kills.Load() == x.starts { // it is not shutting down
			c.wrong("CONNACK says %s", p.ReasonCode)
		}
		return errRefused
	}
	if err := c.find(x, p.SessionPresent); err != nil {
		x.link.end(false)
		return err
	}
	x.ready = true
	for i := range c.lanes {
		c.lanes[i].elsewhere, c.lanes[i].closing = 0, false
	}
	own := c.id%2 == 0 // half of the clients resend everything on control, as emqtt does
	for _, o := range c.order {
		if o.early == x && o.slot != x.laneSlot(int(o.m.qos)) {
			c.lanes[o.m.qos].elsewhere++
		}
	}
	c.resend(own, func(o *outgoing) bool { return o.early != x })
	c.subscribe(x)
	return nil
}

// find judges whether the session may be there, or gone. c.mu is held.
func (c *client) find(x *connection, present bool) error {
	s, kills := &c.session, c.f.kills.Load()
	switch {
	case present && s.made && x.starts <= s.until:
		s.since = max(s.since, x.starts)
		return nil
	case present && !c.unanswered: // else that has made it
		c.wrong("the server has a session that it cannot have")
	case !present && s.made && s.since == kills && !c.ending:
		c.wrong("the server has lost the session")
	}
	c.discard(x)
	*s = session{made: true, since: x.starts, until: kills}
	if x.starts != kills || x.kind != c.home {
		return errAgain
	}
	return nil
}

// discard gives up what was in flight with a server that is gone, and allows it to be lost, as
// everything that was published since all had arrived. c.mu is held.
func (c *client) discard(x *connection) {
	c.received = make(map[uint16]bool)
	order := c.order
	c.order = nil
	for _, o := range order {
		if o.early == x {
			c.order = append(c.order, o)
			continue
		}
		delete(c.out, o.id)
		c.f.count.discarded.Add(1)
	}
	for qos := range c.lanes {
		if l := &c.lanes[qos]; l.safe < l.last {
			l.excused = append(l.excused, span{l.safe, l.last})
		}
	}
}

// subscribe is for a new session. Clients that have subscribed on data streams do it again
// where there are some, which moves the subscriptions there; for others it would add copies.
// c.mu is held.
func (c *client) subscribe(x *connection) {
	if c.session.subscribed && (x.kind != multi || c.home != multi) {
		c.settle(x)
		return
	}
	x.pending = levels
	for qos := range levels {
		c.subscribeTo(x, qos)
	}
}

func (c *client) subscribeTo(x *connection, qos int) {
	s := packet.Subscribe{PacketID: uint16(subscribeID + qos), Subscriptions: []packet.Subscription{
		{Filter: filter(c.f.groupOf(c.id), qos), QoS: byte(qos), RetainHandling: 2}}}
	c.send(x.subscribeSlot(qos), &s)
}

// settle notes that all subscriptions are there. c.mu is held.
func (c *client) settle(x *connection) {
	c.session.subscribed = true
	c.settledIn.Store(c.session.since)
	close(x.settled)
}

// appendEarly appends messages to a CONNECT that is sent in early data. Only levels with nothing
// in flight have some: what is sent again comes first. Before the CONNACK the client does not
// know whether its session is there; a message belongs to the one that is.
func (c *client) appendEarly(first []byte, x *connection) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	for qos := 1; qos < levels; qos++ {
		if !c.session.subscribed || c.inFlight(qos) > 0 || !c.f.may(c, qos) {
			continue
		}
		o := c.compose(qos, smallSize, 0)
		o.early = x
		first = append(first, c.publication(o, false)...)
		c.f.count.publishedEarly.Add(1)
	}
	return first
}

// datagrams reports whether a client sends and gets QoS 0 in datagrams over a connection.
func (c *client) datagrams(k kind) bool { return k.quic() && k != sharing && c.id/int(kinds)%2 == 0 }

// quiet waits until nothing is in flight, for a while.
func (c *client) quiet() {
	c.mu.Lock()
	x := c.conn
	c.mu.Unlock()
	x.wait(quietTime, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.order) == 0
	})
}

// forget ends the session of a 3.1.1 client, which only Clean Session does.
func (c *client) forget(ctx context.Context) error {
	if c.version == packet.V50 {
		return nil
	}
	c.mu.Lock()
	c.ending, c.home = true, overTCP
	c.mu.Unlock()
	if err := c.reconnect(ctx, overTCP, false); err != nil {
		return fmt.Errorf("%s: clean session: %w", c.name, err)
	}
	return nil
}
