package client

import (
	"context"
	"errors"
	"fmt"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/mqtt/topic"
)

// finish ends a SUBSCRIBE or UNSUBSCRIBE.
func (l *link) finish(id uint16, kind packet.Type, a answer) {
	l.c.session.finish(id, func(x *exchange) bool { return x.kind == kind }, a)
}

// Subscribe asks for messages and waits for the SUBACK. The codes tell the granted
// QoS of each subscription in order; when the server refuses some, the error joins
// a [*ReasonError] for each of them and the others are in effect.
func (c *Client) Subscribe(ctx context.Context, subs ...packet.Subscription) ([]packet.ReasonCode, error) {
	return c.SubscribeWith(ctx, nil, subs...)
}

// SubscribeWith is Subscribe with properties, 5.0 only: Subscription Identifier,
// User Property.
func (c *Client) SubscribeWith(ctx context.Context, props packet.Properties, subs ...packet.Subscription) ([]packet.ReasonCode, error) {
	filters := make([]string, len(subs))
	for i, s := range subs {
		filters[i] = s.Filter
	}
	p := &packet.Subscribe{Properties: props, Subscriptions: subs}
	return c.request(ctx, p, filters, func(id uint16) { p.PacketID = id })
}

// Unsubscribe ends subscriptions and waits for the UNSUBACK. In 3.x there are no
// codes.
func (c *Client) Unsubscribe(ctx context.Context, filters ...string) ([]packet.ReasonCode, error) {
	p := &packet.Unsubscribe{Filters: filters}
	return c.request(ctx, p, filters, func(id uint16) { p.PacketID = id })
}

// request sends p, a SUBSCRIBE or UNSUBSCRIBE, and waits for its answer.
func (c *Client) request(ctx context.Context, p packet.Packet, filters []string, setID func(uint16)) ([]packet.ReasonCode, error) {
	l, err := c.current()
	if err != nil {
		return nil, err
	}
	setID(1)
	if err := errors.Join(packet.Validate(p, l.version), checkFilters(filters)); err != nil {
		return nil, err
	}
	x := &exchange{kind: p.Type()}
	answers, err := c.session.begin(x, nil, l.version)
	if err != nil {
		return nil, err
	}
	setID(x.id)
	if err := l.out.put(ctx, l, p); err != nil {
		c.session.forget(x)
		return nil, err
	}
	a, err := l.await(ctx, answers)
	if err != nil {
		return nil, err
	}
	return a.codes, refusals(p.Type()+1, filters, a)
}

func checkFilters(filters []string) error {
	var errs []error
	for _, filter := range filters {
		if err := topic.ValidateFilter(filter); err != nil {
			errs = append(errs, fmt.Errorf("client: filter %q: %w", filter, err))
		}
	}
	return errors.Join(errs...)
}

// refusals are the failures among the codes of a SUBACK or UNSUBACK.
func refusals(t packet.Type, filters []string, a answer) error {
	var errs []error
	for i, code := range a.codes {
		if code.IsError() && i < len(filters) {
			errs = append(errs, &ReasonError{Packet: t, Code: code, Filter: filters[i], Properties: a.props})
		}
	}
	if len(a.codes) > 0 && len(a.codes) != len(filters) {
		errs = append(errs, fmt.Errorf("client: %s with %d reason codes for %d filters", t, len(a.codes), len(filters)))
	}
	return errors.Join(errs...)
}
