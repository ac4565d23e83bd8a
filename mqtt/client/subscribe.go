package client

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/mqtt/topic"
)

// finish ends a SUBSCRIBE or UNSUBSCRIBE.
func (l *link) finish(id uint16, kind packet.Type, a answer) {
	a.props = cloneProperties(a.props)
	if len(a.codes) > 0 {
		a.codes = slices.Clone(a.codes)
		a.code = a.codes[0]
	}
	l.c.session.finish(id, func(x *exchange) bool { return x.kind == kind }, a)
}

// Subscribe asks for messages and waits for the SUBACK. The codes tell the granted
// QoS of each subscription in order; when the server refuses some, the error joins
// a [*ReasonError] for each of them and the others are in effect.
//
// With [Options.Reconnect] it waits for a connection first, asks again when that is lost
// before the answer, and what was granted is restored when a session has been lost.
func (c *Client) Subscribe(ctx context.Context, subs ...packet.Subscription) ([]packet.ReasonCode, error) {
	return c.SubscribeWith(ctx, nil, subs...)
}

// SubscribeWith is Subscribe with properties, 5.0 only: Subscription Identifier,
// User Property.
func (c *Client) SubscribeWith(ctx context.Context, props packet.Properties, subs ...packet.Subscription) ([]packet.ReasonCode, error) {
	return c.SubscribeOn(ctx, "", props, subs...)
}

// SubscribeOn is SubscribeWith on a named stream; see [StreamNamed]. Messages come on the
// stream that their subscription was made on, that of the first one of subs: what is lost on
// the way, or large, holds up none on other streams. A handler holds up all of them.
func (c *Client) SubscribeOn(ctx context.Context, stream string, props packet.Properties, subs ...packet.Subscription) ([]packet.ReasonCode, error) {
	filters := make([]string, len(subs))
	for i, s := range subs {
		filters[i] = s.Filter
	}
	like := subscribed{props: props, stream: stream}
	pick := func(l *link) *lane {
		like.lane = l.laneFor(subs[0].Filter, stream, subs[0].QoS)
		return like.lane
	}
	a, err := c.request(ctx, filters, pick, func(id uint16) packet.Packet {
		return &packet.Subscribe{PacketID: id, Properties: props, Subscriptions: subs}
	})
	if c.opts.Reconnect || c.opts.Streams != SingleStream {
		c.session.noteSubscribed(subs, like, a.codes)
		if like.lane != nil && like.lane.isEnded() { // before it was noted
			like.lane.link.takeOver(like.lane)
		}
	}
	return a.codes, err
}

// SubscribeAsync is SubscribeWith without waiting: what it would have returned comes by
// the Pending. Several of them may overtake each other.
func (c *Client) SubscribeAsync(ctx context.Context, props packet.Properties, subs ...packet.Subscription) *Pending {
	return inBackground(func() ([]packet.ReasonCode, error) { return c.SubscribeWith(ctx, props, subs...) })
}

// Unsubscribe ends subscriptions and waits for the UNSUBACK. In 3.x there are no
// codes.
func (c *Client) Unsubscribe(ctx context.Context, filters ...string) ([]packet.ReasonCode, error) {
	return c.UnsubscribeWith(ctx, nil, filters...)
}

// UnsubscribeWith is Unsubscribe with properties, 5.0 only: User Property.
func (c *Client) UnsubscribeWith(ctx context.Context, props packet.Properties, filters ...string) ([]packet.ReasonCode, error) {
	c.session.unsubscribed(filters)
	control := func(l *link) *lane { return l.lane } // there it is for all streams
	a, err := c.request(ctx, filters, control, func(id uint16) packet.Packet {
		return &packet.Unsubscribe{PacketID: id, Properties: props, Filters: filters}
	})
	return a.codes, err
}

// UnsubscribeAsync is Unsubscribe without waiting.
func (c *Client) UnsubscribeAsync(ctx context.Context, filters ...string) *Pending {
	return inBackground(func() ([]packet.ReasonCode, error) { return c.Unsubscribe(ctx, filters...) })
}

// inBackground makes a Pending of a blocking call.
func inBackground(call func() ([]packet.ReasonCode, error)) *Pending {
	p := newPending("")
	go func() {
		codes, err := call()
		a := answer{codes: codes, err: err}
		if len(codes) > 0 {
			a.code = codes[0]
		}
		p.complete(a)
	}()
	return p
}

// request sends a SUBSCRIBE or UNSUBSCRIBE and waits for its answer, with Reconnect on
// as many connections as it takes.
func (c *Client) request(ctx context.Context, filters []string, pick func(*link) *lane, build func(id uint16) packet.Packet) (answer, error) {
	p := build(1)
	if err := errors.Join(packet.Validate(p, c.opts.Version), checkFilters(filters)); err != nil {
		return answer{}, err
	}
	for {
		l, err := c.available(ctx)
		if err != nil {
			return answer{}, err
		}
		a, err := pick(l).request(ctx, p.Type(), build)
		var lost *ConnectionLostError
		if errors.As(err, &lost) && c.opts.Reconnect || errors.Is(err, errLaneEnded) {
			continue
		}
		if err != nil {
			return answer{}, err
		}
		return a, refusals(p.Type()+1, filters, a)
	}
}

// request sends one on this lane.
func (a *lane) request(ctx context.Context, kind packet.Type, build func(id uint16) packet.Packet) (answer, error) {
	l := a.link
	pending := newPending("")
	x := &exchange{kind: kind, pending: pending}
	a, err := l.c.session.begin(a, x)
	if err != nil {
		return answer{}, err
	}
	p := build(x.id)
	if size := p.Size(l.version); size > int(l.limits.packetSize) {
		l.c.session.forget(x)
		return answer{}, fmt.Errorf("%w: a packet of %d bytes, its Maximum Packet Size is %d", ErrNotSupported, size, l.limits.packetSize)
	}
	if err := a.out.put(ctx, a, p); err != nil {
		l.c.session.forget(x)
		return answer{}, err
	}
	if _, err := pending.Wait(ctx); err != nil {
		return answer{}, err
	}
	return pending.answer, nil
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
