package client

import (
	"context"
	"errors"
	"fmt"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/mqtt/topic"
)

// Publish sends a message. QoS 0 returns when the message has been handed to the
// connection; QoS 1 and QoS 2 when the server's last acknowledgement is here, with
// its reason code (e.g. packet.NoMatchingSubscribers; in 3.x always Success).
//
// When ctx ends while an acknowledgement is awaited, the message stays in flight.
// Errors: [*ReasonError] for a refusal, [*ConnectionLostError], [ErrNotConnected],
// [ErrClosed], [ErrNotSupported], that of ctx, or what is wrong with m.
func (c *Client) Publish(ctx context.Context, m Message) (packet.ReasonCode, error) {
	pending, err := c.PublishAsync(ctx, m)
	if err != nil {
		return 0, err
	}
	return pending.Wait(ctx)
}

// PublishAsync sends a message without waiting for its acknowledgement, which
// [Pending.Wait] does. It waits, until ctx ends, while the connection takes no more
// bytes or MaxInflight messages are unacknowledged. Messages of one goroutine go
// out in their order.
func (c *Client) PublishAsync(ctx context.Context, m Message) (*Pending, error) {
	p, err := m.packet(c.opts.Version)
	if err != nil {
		return nil, err
	}
	l, err := c.current()
	if err == nil {
		if err := l.limits.check(p, l.version); err != nil {
			return nil, err
		}
	}
	switch {
	case p.QoS == 0 && l != nil && c.session.sendsDirectly():
		if err := l.sendQoS0(ctx, p, m.Stream); err != nil {
			return nil, err
		}
		return completed(m.Topic), nil
	case c.opts.Reconnect && (p.QoS > 0 || l != nil || c.opts.Queue.QoS0):
		return c.enqueue(ctx, p, m.Stream)
	case err != nil:
		return nil, err
	}
	return l.publish(ctx, p, m.Stream)
}

// packet checks m and makes a PUBLISH of it.
func (m *Message) packet(v packet.Version) (*packet.Publish, error) {
	if m.QoS > 2 {
		return nil, fmt.Errorf("client: Message.QoS is %d: use 0, 1 or 2", m.QoS)
	}
	if len(m.Stream) > maxStreamName {
		return nil, fmt.Errorf("client: Message.Stream has %d bytes: use at most %d", len(m.Stream), maxStreamName)
	}
	if err := topic.ValidateName(m.Topic); err != nil {
		return nil, fmt.Errorf("client: Message.Topic: %w", err)
	}
	p := &packet.Publish{QoS: m.QoS, Retain: m.Retain, Topic: []byte(m.Topic), Payload: m.Payload}
	if v != packet.V50 || len(m.Properties) == 0 {
		return p, nil
	}
	if err := m.Properties.Validate(packet.PUBLISH); err != nil {
		return nil, fmt.Errorf("client: Message.Properties: %w", err)
	}
	for _, id := range []packet.PropertyID{packet.TopicAlias, packet.SubscriptionIdentifier} {
		if m.Properties.Has(id) {
			return nil, fmt.Errorf("client: Message.Properties: %s is not for applications", id)
		}
	}
	p.Properties = m.Properties
	return p, nil
}

// publish sends a QoS 1 or QoS 2 message.
func (l *link) publish(ctx context.Context, p *packet.Publish, stream string) (*Pending, error) {
	if err := l.takeSlot(ctx); err != nil {
		return nil, err
	}
	x := newPublish(p)
	pending, pub := x.pending, x.pub
	a, err := l.c.session.begin(l.laneFor(pending.topic, stream, p.QoS), x)
	if err == nil {
		err = a.out.put(ctx, a, pub)
		if errors.Is(err, errLaneEnded) && l.c.session.movedFrom(x, a) {
			err = l.out.put(ctx, l.lane, pub)
		} else if errors.Is(err, errLaneEnded) {
			err = nil // takeOver sends it
		}
		if err != nil {
			l.c.session.forget(x)
		}
	}
	if err != nil {
		l.freeSlot()
		return nil, err
	}
	return pending, nil
}

// put sends a packet on a lane, or if that has ended on the control lane.
func (l *link) put(ctx context.Context, a *lane, p packet.Packet) error {
	err := a.out.put(ctx, a, p)
	if errors.Is(err, errLaneEnded) {
		err = l.out.put(ctx, l.lane, p)
	}
	return err
}

// takeSlot waits until the server takes one more message [MQTT-3.3.4-7].
func (l *link) takeSlot(ctx context.Context) error {
	select {
	case l.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-l.done:
		return l.reason()
	}
}

func (l *link) freeSlot() {
	select {
	case <-l.slots:
	default:
	}
}

// finishPublish ends a message with the PUBACK or PUBCOMP that it waits for.
func (l *link) finishPublish(id uint16, qos byte, t packet.Type, a answer) {
	a.err = failure(t, a.code, cloneProperties(a.props))
	match := func(x *exchange) bool { return x.kind == packet.PUBLISH && x.qos == qos && (qos == 1 || x.released) }
	if l.c.session.finish(id, match, a) != nil {
		l.freeSlot()
	}
}

// handlePubrec answers with PUBREL, or ends the message when it is a refusal
// [MQTT-4.3.3-4].
func (a *lane) handlePubrec(p *packet.Pubrec) {
	l := a.link
	if err := failure(packet.PUBREC, p.ReasonCode, cloneProperties(p.Properties)); err != nil {
		match := func(x *exchange) bool { return x.kind == packet.PUBLISH && x.qos == 2 }
		if l.c.session.finish(p.PacketID, match, answer{code: p.ReasonCode, err: err}) != nil {
			l.freeSlot()
		}
		return
	}
	rel := &packet.Pubrel{PacketID: p.PacketID}
	send := func() { a.out.putNow(rel) }
	if !l.c.session.release(p.PacketID, send) {
		rel.ReasonCode = packet.PacketIdentifierNotFound
		send()
	}
}

// resend sends the unfinished messages of the session again [MQTT-4.4.0-1].
func (l *link) resend(ctx context.Context) error {
	for _, x := range l.c.session.unfinished() {
		if err := l.takeSlot(ctx); err != nil {
			return err
		}
		p := l.c.session.again(x)
		if p == nil { // refused by a PUBREC meanwhile
			l.freeSlot()
			continue
		}
		if err := l.out.put(ctx, l.lane, p); err != nil {
			return err
		}
	}
	return nil
}

func cloneProperties(p packet.Properties) packet.Properties {
	return append(packet.Properties(nil), p...)
}
