package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/ngmq/ngmq/mqtt/packet"
)

const (
	// window is how many messages of one QoS a client has in flight.
	window = 16
	// sessionExpiry is longer than any client is away, in seconds.
	sessionExpiry = 24 * 3600
	// versions is how many clients there are for one of MQTT 3.1.1.
	versions = 3
	// keepAlive is in seconds.
	keepAlive = 120
	// subscribeID is the first packet identifier of SUBSCRIBE packets; messages have lower ones.
	subscribeID = 0xFF00
)

// client is an MQTT client that has one session as long as the server lives, on one connection
// after the other.
type client struct {
	f       *fleet
	id      int
	name    string
	home    kind
	version packet.Version
	rnd     *rand.Rand // of the goroutine that runs the schedule
	// settledIn is how often the server had been started again when the session began, once
	// its subscriptions are made.
	settledIn atomic.Uint32

	mu         sync.Mutex
	history    history
	conn       *connection // the current one; what others receive does not count
	session    session
	next       uint16 // packet identifier
	out        map[uint16]*outgoing
	order      []*outgoing     // of out, in the order in which they were sent
	received   map[uint16]bool // identifiers of QoS 2 messages until PUBREL
	lanes      [levels]lane
	inbox      inbox
	ending     bool           // it asks for Clean Session
	unanswered bool           // the server may have a CONNECT that was not answered
	ticket     []byte         // to resume a TLS session with
	deaf       [allSlots]bool // what comes on this slot is not acknowledged
}

// outgoing is a message on its way to the server.
type outgoing struct {
	id       uint16
	m        message
	size     int
	slot     int
	released bool        // PUBREC has come
	early    *connection // that has sent it before its CONNACK; nil: none
}

// lane is what a client publishes at one QoS.
type lane struct {
	last      uint32 // number of the last message
	safe      uint32 // up to this one all have arrived
	excused   []span // may be missing: the server crashed with them
	elsewhere int    // messages in flight on another slot than the lane's: no more until they are done
	closing   bool   // its stream has been abandoned, and the server may not know yet
}

func newClient(f *fleet, id int, home kind) *client {
	c := &client{f: f, id: id, name: fmt.Sprintf("soak-%d", id), home: home, version: packet.V50, rnd: rand.New(rand.NewPCG(f.cfg.seed, uint64(id))),
		out: make(map[uint16]*outgoing), received: make(map[uint16]bool), history: history{began: f.began}}
	if id%versions == 1 {
		c.version = packet.V311
	}
	c.inbox.of = make(map[int]*[levels]sequence)
	for _, member := range f.group(id) {
		c.inbox.of[member] = new([levels]sequence)
	}
	return c
}

// topic is where a client publishes at a QoS, which its group subscribes to.
func topic(group, publisher, qos int) string {
	return fmt.Sprintf("soak/%d/%d/%d", group, qos, publisher)
}

func filter(group, qos int) string { return fmt.Sprintf("soak/%d/%d/+", group, qos) }

// note adds to the history. c.mu is held.
func (c *client) note(format string, args ...any) {
	c.history.add(event{what: fmt.Sprintf(format, args...)})
}

// wrong reports a violation. c.mu is held.
func (c *client) wrong(format string, args ...any) {
	what := fmt.Sprintf("%s: ", c.name) + fmt.Sprintf(format, args...)
	c.note("VIOLATION %s", what)
	c.f.oracle.violation(what, c.history.text(c.name))
}

// publish sends the next message of a QoS, if the window of the lane has room.
func (c *client) publish(qos, size int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := &c.lanes[qos]
	if c.conn == nil || !c.conn.ready || l.closing || l.elsewhere > 0 || len(c.out) >= levels*window || c.inFlight(qos) >= window || !c.f.may(c, qos) {
		return
	}
	slot := c.conn.laneSlot(qos)
	if qos == 0 && c.conn.datagrams && size < maxInDatagram {
		slot = datagramSlot
	}
	c.transmit(c.compose(qos, size, slot), false)
}

// compose makes the next message of a QoS.
func (c *client) compose(qos, size, slot int) *outgoing {
	l := &c.lanes[qos]
	l.last++
	o := &outgoing{m: message{c.id, byte(qos), l.last}, size: size, slot: slot}
	c.f.oracle.published[qos].Add(1)
	if qos > 0 {
		o.id = c.freeID()
		c.out[o.id] = o
		c.order = append(c.order, o)
	}
	return o
}

func (c *client) inFlight(qos int) (n int) {
	for _, o := range c.order {
		if int(o.m.qos) == qos {
			n++
		}
	}
	return n
}

func (c *client) freeID() uint16 {
	for {
		c.next++
		if c.next != 0 && c.next < subscribeID && c.out[c.next] == nil {
			return c.next
		}
	}
}

// transmit sends o where it is, PUBLISH or PUBREL. c.mu is held.
func (c *client) transmit(o *outgoing, dup bool) {
	if o.released {
		c.send(o.slot, &packet.Pubrel{PacketID: o.id})
		return
	}
	c.conn.link.send(o.slot, c.publication(o, dup))
}

// publication is the PUBLISH of o. c.mu is held.
func (c *client) publication(o *outgoing, dup bool) []byte {
	p := packet.Publish{Dup: dup, QoS: o.m.qos, Topic: []byte(topic(c.f.groupOf(c.id), c.id, int(o.m.qos))), PacketID: o.id,
		Payload: o.m.appendPayload(nil, o.size)}
	what := "-> PUBLISH"
	if dup {
		what = "-> PUBLISH DUP"
	}
	c.history.add(event{what: what, slot: o.slot, id: o.id, m: o.m})
	return p.AppendTo(nil, c.version)
}

// send sends a packet of the session. c.mu is held.
func (c *client) send(slot int, p packet.Packet) {
	if id := idOf(p); id != 0 {
		c.history.add(event{what: "-> " + p.Type().String(), slot: slot, id: id})
	}
	c.conn.link.send(slot, p.AppendTo(nil, c.version))
}

// resend sends again what is in flight of the lanes chosen: on their own slots, or else on
// the control stream. c.mu is held.
func (c *client) resend(own bool, of func(*outgoing) bool) {
	for _, o := range c.order {
		if !of(o) {
			continue
		}
		lane := c.conn.laneSlot(int(o.m.qos))
		if o.slot = 0; own {
			o.slot = lane
		}
		if o.slot != lane {
			c.lanes[o.m.qos].elsewhere++
		}
		c.transmit(o, true)
	}
}

// done ends the exchange of o. c.mu is held.
func (c *client) done(o *outgoing) {
	delete(c.out, o.id)
	c.order = slices.DeleteFunc(c.order, func(x *outgoing) bool { return x == o })
	if o.slot != c.conn.laneSlot(int(o.m.qos)) {
		c.lanes[o.m.qos].elsewhere--
	}
	c.f.oracle.acknowledged[o.m.qos].Add(1)
}

// handle takes a packet that belongs to the session. c.mu is held.
func (c *client) handle(x *connection, slot int, p packet.Packet) {
	switch p := p.(type) {
	case *packet.Publish:
		c.onPublish(x, slot, p)
	case *packet.Puback:
		c.onAck(slot, p.PacketID, p.ReasonCode, "PUBACK", 1)
	case *packet.Pubrec:
		c.onPubrec(slot, p)
	case *packet.Pubcomp:
		if p.ReasonCode == packet.PacketIdentifierNotFound { // legal after a reconnect
			p.ReasonCode = packet.Success
		}
		c.onAck(slot, p.PacketID, p.ReasonCode, "PUBCOMP", 2)
	case *packet.Pubrel:
		c.history.add(event{what: "<- PUBREL", slot: slot, id: p.PacketID})
		delete(c.received, p.PacketID)
		c.acknowledge(slot, &packet.Pubcomp{PacketID: p.PacketID})
	default:
		c.wrong("%s from the server", p.Type())
	}
}

func (c *client) onAck(slot int, id uint16, code packet.ReasonCode, what string, qos byte) {
	c.history.add(event{what: "<- " + what, slot: slot, id: id})
	o := c.out[id]
	switch {
	case code.IsError():
		c.wrong("%s %d says %s", what, id, code)
	case o != nil && o.m.qos == qos:
		c.done(o)
	}
}

func (c *client) onPubrec(slot int, p *packet.Pubrec) {
	c.history.add(event{what: "<- PUBREC", slot: slot, id: p.PacketID})
	o := c.out[p.PacketID]
	switch {
	case p.ReasonCode.IsError():
		c.wrong("PUBREC %d says %s", p.PacketID, p.ReasonCode)
	case o == nil:
		c.send(slot, &packet.Pubrel{PacketID: p.PacketID, ReasonCode: packet.PacketIdentifierNotFound})
	case o.m.qos == 2:
		o.released = true
		c.send(o.slot, &packet.Pubrel{PacketID: o.id})
	}
}

// acknowledge sends p, unless the slot is to be left with messages in flight. c.mu is held.
func (c *client) acknowledge(slot int, p packet.Packet) {
	if !c.deaf[slot] {
		c.send(slot, p)
	}
}

// onPublish acknowledges a message, and gives it to the oracle unless it is known to be a
// repetition.
func (c *client) onPublish(x *connection, slot int, p *packet.Publish) {
	m, err := parseMessage(p.Payload)
	c.history.add(event{what: "<- PUBLISH", slot: slot, id: p.PacketID, m: m})
	switch {
	case err != nil:
		c.wrong("%s", err)
	case p.QoS != m.qos || string(p.Topic) != topic(c.f.groupOf(c.id), m.publisher, int(m.qos)):
		c.wrong("%s came at QoS %d with the topic %q", m, p.QoS, p.Topic)
	}
	if slot == datagramSlot {
		c.f.count.datagramsIn.Add(1)
	}
	switch p.QoS {
	case 1:
		c.acknowledge(slot, &packet.Puback{PacketID: p.PacketID})
	case 2:
		c.acknowledge(slot, &packet.Pubrec{PacketID: p.PacketID})
		if c.received[p.PacketID] {
			return
		}
		c.received[p.PacketID] = true
	}
	for range c.f.copies(m) {
		if wrong := c.inbox.take(&c.f.oracle, m, x.orders[slot]); wrong != "" {
			publisher := ""
			if m.publisher >= 0 && m.publisher < len(c.f.clients) && m.publisher != c.id {
				publisher = fmt.Sprintf("  publisher: %s", c.f.clients[m.publisher].name)
				c.f.suspect(m.publisher)
			}
			c.wrong("%s (stream slot %d, DUP %t) %s", wrong, slot, p.Dup, publisher)
		}
	}
}
