package client

import (
	"bytes"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// delivery is a received PUBLISH on its way to OnMessage.
type delivery struct {
	lane    *lane // it came on, which its acknowledgements go on
	message Message
	id      uint16 // packet identifier; 0 with QoS 0
	known   bool   // a repetition of a QoS 2 message: to be acknowledged only
}

// size is about how many bytes of memory the message takes.
func (d *delivery) size() int {
	return len(d.message.Topic) + len(d.message.Payload) + len(d.message.Properties) + messageOverhead
}

// handlePublish hands a message to the deliverer. The inbox being full stops the
// reader.
func (a *lane) handlePublish(p *packet.Publish) error {
	l := a.link
	name, err := a.resolve(p)
	if err != nil {
		return err
	}
	d := delivery{lane: a, id: p.PacketID}
	if p.QoS == 2 {
		d.known = !l.c.session.arrive(p.PacketID)
	}
	d.message = received(p, name)
	l.receive(d)
	return nil
}

// received is the message of a PUBLISH from the server.
func received(p *packet.Publish, name string) Message {
	return Message{
		Topic: name, Payload: bytes.Clone(p.Payload), QoS: p.QoS, Retain: p.Retain, Dup: p.Dup, PacketID: p.PacketID,
		Properties: p.Properties.AppendExcept(nil, packet.TopicAlias),
	}
}

// resolve gives the topic name, by alias if need be (MQTT 5.0 section 3.3.2.3.4).
func (a *lane) resolve(p *packet.Publish) (string, error) {
	alias, ok := p.Properties.Uint(packet.TopicAlias)
	if !ok {
		return string(p.Topic), nil
	}
	if alias > uint32(a.link.c.opts.TopicAliasMaximum) {
		return "", aliasError("Topic Alias above the maximum [MQTT-3.1.2-26]")
	}
	if len(p.Topic) > 0 {
		a.aliases[uint16(alias)] = string(p.Topic)
	}
	name, ok := a.aliases[uint16(alias)]
	if !ok {
		return "", aliasError("Topic Alias without a mapping")
	}
	return name, nil
}

func aliasError(reason string) error {
	return &packet.Error{Code: packet.TopicAliasInvalid, Type: packet.PUBLISH, Version: packet.V50, Reason: reason}
}

// deliver is the deliverer: it calls OnMessage and acknowledges. It starts when
// that of the connection before has ended, so that OnMessage is never called twice
// at a time, and goes on with what has been received when the connection is lost.
func (l *link) deliver(before *link) {
	defer close(l.delivered)
	if before != nil {
		<-before.delivered
	}
	for {
		d, ok := l.inbox.take()
		if !ok {
			return
		}
		l.handling <- struct{}{}
		l.handleDelivery(d)
		<-l.handling
	}
}

func (l *link) handleDelivery(d delivery) {
	if l.local.Load() {
		l.drop(d)
		return
	}
	if !d.known {
		l.c.dispatch(d.message)
	}
	switch d.message.QoS {
	case 1:
		d.lane.out.putNow(&packet.Puback{PacketID: d.id})
	case 2:
		send := func() { d.lane.out.putNow(&packet.Pubrec{PacketID: d.id}) }
		if d.known {
			send()
		} else {
			l.c.session.accepted(d.id, send)
		}
	}
}

// drop forgets a message that nobody has seen, so that its repetition counts.
func (l *link) drop(d delivery) {
	if d.message.QoS == 2 && !d.known {
		l.c.session.depart(d.id)
	}
}

// handlePubrel ends a received QoS 2 message [MQTT-4.3.3-11].
func (a *lane) handlePubrel(p *packet.Pubrel) {
	comp := &packet.Pubcomp{PacketID: p.PacketID}
	if !a.link.c.session.depart(p.PacketID) {
		comp.ReasonCode = packet.PacketIdentifierNotFound
	}
	a.out.putNow(comp)
}
