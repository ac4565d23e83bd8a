package broker

import (
	"errors"
	"time"
	"unicode/utf8"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/mqtt/topic"
)

// onPublish takes a message from the client: topic alias, limits, QoS 2 dedupe,
// handlers, delivery, acknowledgement.
func (c *Client) onPublish(p *packet.Publish) error {
	c.n.messages[p.QoS]++
	if err := c.admitMessage(); err != nil {
		return err
	}
	name, err := c.topicName(p)
	if err != nil {
		return err
	}
	if p.QoS == 2 {
		known, err := c.session.knows(c, p)
		if err != nil {
			return err
		}
		if known { // [MQTT-4.3.3-10]
			return c.ack(packet.PUBREC, p.PacketID, packet.Success)
		}
	}
	if len(name) > c.b.cfg.MaxTopicLength || topic.Levels(name) > c.b.cfg.MaxTopicLevels {
		return c.refusePublish(p, &Error{Code: packet.TopicNameInvalid, Reason: "topic name is too long or has too many levels"})
	}
	if c.b.reserved(name) {
		return c.refusePublish(p, &Error{Code: packet.NotAuthorized, Reason: "topic name is the server's own"})
	}
	if !c.b.wellFormed(p.Properties, p.Payload) { // MQTT 5.0 section 3.3.2.3.2
		return c.refusePublish(p, &Error{Code: packet.PayloadFormatInvalid, Reason: "payload is not UTF-8, as its Payload Format Indicator says"})
	}
	if err := c.mayPublish(name); err != nil {
		c.b.count.dropped[DropHandler].Add(1)
		return c.refusePublish(p, err)
	}
	m, err := c.b.inspect(c.info, c.current.id, c.newMessage(name, p))
	if err != nil {
		c.b.count.dropped[DropHandler].Add(1)
		return c.refusePublish(p, err)
	}
	defer m.Release()
	receivers, err := c.forward(m, p.PacketID)
	if err != nil {
		return err
	}
	return c.ackPublish(p, receivers)
}

// forward routes m, one of QoS 1 or 2 only if c has its session still, and notes one of QoS 2:
// all that in one step for a takeover, which waits for it. So what the client sends again on
// its next connection is not ahead of what came before it [MQTT-4.6.0-5], nor does any of it
// come late.
func (c *Client) forward(m *Message, id uint16) (receivers int, err error) {
	c.routing.Lock()
	defer c.routing.Unlock()
	if m.qos > 0 {
		if err := c.session.remember(c, id, m.qos); err != nil {
			return 0, err
		}
	}
	if c.deferrer != nil && c.b.handlerOrder.Load() == 0 {
		m.feeder = c
	}
	receivers = c.b.route(m)
	m.feeder = nil
	return receivers, nil
}

// wellFormed reports whether a payload is UTF-8 when its Payload Format Indicator says
// so; with CheckPayloadFormat off everything is.
func (b *Broker) wellFormed(props packet.Properties, payload []byte) bool {
	if !b.cfg.CheckPayloadFormat || len(props) == 0 {
		return true
	}
	text, _ := props.Uint(packet.PayloadFormatIndicator)
	return text != 1 || utf8.Valid(payload)
}

// newMessage copies a PUBLISH.
func (c *Client) newMessage(name []byte, p *packet.Publish) *Message {
	m := newMessage(name, p.Properties, p.Payload)
	m.qos, m.retain, m.from = p.QoS, p.Retain, c.info.ID
	m.arrived = c.seen.Load()
	if len(p.Properties) > 0 {
		if seconds, ok := p.Properties.Uint(packet.MessageExpiryInterval); ok {
			m.expires = c.b.now() + int64(seconds)*int64(time.Second)
		}
	}
	return m
}

// topicName resolves a topic alias, and sets it when the packet has both.
func (c *Client) topicName(p *packet.Publish) ([]byte, error) {
	if len(p.Properties) == 0 {
		return p.Topic, nil
	}
	if p.Properties.Has(packet.SubscriptionIdentifier) {
		return nil, &Error{Code: packet.ProtocolError, Reason: "PUBLISH from a client with Subscription Identifier [MQTT-3.3.4-6]"}
	}
	alias, ok := p.Properties.Uint(packet.TopicAlias)
	switch {
	case !ok:
		return p.Topic, nil
	case alias == 0 || int(alias) > c.b.cfg.TopicAliasMaximum:
		return nil, &Error{Code: packet.TopicAliasInvalid, Reason: "Topic Alias is above Topic Alias Maximum [MQTT-3.3.2-9]"}
	case len(p.Topic) > 0:
		return p.Topic, c.current.setAlias(alias, p.Topic)
	}
	if name := c.current.alias(alias); name != nil {
		return name, nil
	}
	return nil, &Error{Code: packet.ProtocolError, Reason: "Topic Alias that has not been set"}
}

// ackPublish answers an accepted PUBLISH by its QoS [MQTT-3.3.4-1].
func (c *Client) ackPublish(p *packet.Publish, receivers int) error {
	code := packet.Success
	if receivers == 0 {
		code = packet.NoMatchingSubscribers
	}
	switch p.QoS {
	case 1:
		return c.ack(packet.PUBACK, p.PacketID, code)
	case 2:
		return c.ack(packet.PUBREC, p.PacketID, code)
	}
	return nil
}

// refusePublish answers a PUBLISH that is not accepted: with the code of err when the
// version and QoS have a place for it, else as if nothing had happened
// [MQTT-3.3.5-2, 3.1.1], or with the end of the connection when something has failed and
// the message is not to be lost for that [MQTT-4.8.0-2, 3.1.1].
func (c *Client) refusePublish(p *packet.Publish, err error) error {
	switch {
	case errors.Is(err, ErrDrop):
		return c.swallow(p)
	case c.version != packet.V50 && transient(err):
		return err
	case c.version != packet.V50:
		return c.swallow(p)
	}
	switch p.QoS {
	case 1:
		return c.reply(&packet.Puback{PacketID: p.PacketID, ReasonCode: answerCode(err, packet.PUBACK), Properties: c.problem(err, packet.PUBACK)})
	case 2:
		return c.reply(&packet.Pubrec{PacketID: p.PacketID, ReasonCode: answerCode(err, packet.PUBREC), Properties: c.problem(err, packet.PUBREC)})
	}
	return nil
}

// transient reports whether err tells that something has failed, a handler that has
// panicked for example, and not that the message is unwelcome.
func transient(err error) bool {
	code := answerCode(err, packet.PUBACK)
	return code == packet.UnspecifiedError || code == packet.ImplementationSpecificError
}

// swallow answers a PUBLISH that goes nowhere like one that has been accepted: until
// its PUBREL, a QoS 2 message sent again is not looked at again [MQTT-4.3.3-10].
func (c *Client) swallow(p *packet.Publish) error {
	if p.QoS == 2 {
		if err := c.session.remember(c, p.PacketID, p.QoS); err != nil {
			return err
		}
	}
	return c.ackPublish(p, 1)
}

// knows reports whether a QoS 2 message has been accepted and its PUBREL has not come yet.
func (s *Session) knows(c *Client, p *packet.Publish) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client != c {
		return false, errTakenOver
	}
	known := s.in.known(c.current.id, p.PacketID, p.Dup)
	limited := c.version == packet.V50 || s.in.n > 0
	if !known && limited && s.in.len() >= int(s.b.cfg.ReceiveMaximum) && !s.in.evict() {
		return false, &Error{Code: packet.ReceiveMaximumExceeded, Reason: "more QoS 2 messages open than Receive Maximum [MQTT-3.3.4-7]"}
	}
	return known, nil
}

// remember notes the packet identifier of an accepted message, if it has QoS 2. When the session
// has been taken over meanwhile the message must not be delivered: the client sends
// it again on its new connection.
func (s *Session) remember(c *Client, id uint16, qos byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client != c {
		return errTakenOver
	}
	if qos == 2 {
		s.in.add(c.current.id, id)
	}
	return nil
}

// onPubrel ends a QoS 2 message from the client: the packet identifier is free again
// [MQTT-4.3.3-11] [MQTT-4.3.3-12].
func (c *Client) onPubrel(p *packet.Pubrel) error {
	s := c.session
	s.mu.Lock()
	mine := s.client == c
	known := mine && s.in.done(c.current.id, p.PacketID)
	s.mu.Unlock()
	switch {
	case !mine:
		return errTakenOver
	case !known:
		return c.ack(packet.PUBCOMP, p.PacketID, packet.PacketIdentifierNotFound)
	}
	return c.ack(packet.PUBCOMP, p.PacketID, packet.Success)
}
