package client

import (
	"context"
	"errors"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// enqueue hands a message to the queue, which sends it when its turn comes. While it is
// full, a client with a connection waits: the queue will shrink.
func (c *Client) enqueue(ctx context.Context, p *packet.Publish, stream string) (*Pending, error) {
	if p.Size(c.opts.Version) > packet.MaxPacketSize {
		return nil, errors.New("client: Message is larger than a packet may be, 256 MiB")
	}
	x := newPublish(p)
	x.stream = stream
	pending := x.pending
	for {
		room, err := c.session.enqueue(x)
		if err != nil {
			return nil, err
		}
		if room == nil {
			return pending, c.waitDurable(ctx, x)
		}
		l, err := c.current()
		if err != nil {
			return nil, ErrQueueFull
		}
		if err := l.wait(ctx, room); ctx.Err() != nil {
			return nil, err
		}
	}
}

// waitDurable waits until the store has the message. When ctx ends first, it is in the
// queue all the same.
func (c *Client) waitDurable(ctx context.Context, x *exchange) error {
	if x.durable == nil {
		return nil
	}
	select {
	case <-x.durable:
		return c.session.store.failure()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// feed is the feeder, with Reconnect: it sends what is left of the connection before,
// then what is in the queue.
func (l *link) feed() {
	ctx := context.Background() // l.done ends every wait
	err := l.resend(ctx)
	for err == nil {
		x, pub := l.c.session.first()
		if x == nil {
			err = l.wait(ctx, l.c.session.queue.filled)
			continue
		}
		err = l.feedOne(ctx, x, pub)
	}
	l.c.session.wakeFeeder()
	var lost *ConnectionLostError
	if !errors.As(err, &lost) && !errors.Is(err, ErrClosed) {
		l.end(err)
	}
}

// feedOne sends the first message of the queue. What may change of x, when another
// connection's feeder was faster, is left to the session.
func (l *link) feedOne(ctx context.Context, x *exchange, pub *packet.Publish) error {
	if err := l.limits.check(pub, l.version); err != nil {
		l.c.session.refuse(x, err)
		return nil
	}
	if x.durable != nil {
		if err := l.wait(ctx, x.durable); err != nil {
			return err
		}
	}
	if x.qos > 0 {
		if err := l.takeSlot(ctx); err != nil {
			return err
		}
	}
	a := l.laneFor(string(pub.Topic), x.stream, x.qos)
	if a == l.lane || x.qos == 0 { // a stream that stands still must not hold up the others
		if err := a.out.hasRoom(ctx, a); err != nil && !errors.Is(err, errLaneEnded) {
			return err
		}
	}
	return l.c.session.take(a, x, func(a *lane, p *packet.Publish) { a.out.putNow(p) })
}

// restoreSubscriptions subscribes again after the session was lost, before anything else
// is sent.
func (l *link) restoreSubscriptions() {
	for _, sub := range l.c.session.subscriptions() {
		a := l.laneFor(sub.Filter, sub.stream, sub.QoS)
		if l.subscribeAgain(a, sub) != nil {
			return // the connection has ended
		}
	}
}

// subscribeAgain restores one subscription, without waiting for the answer.
func (l *link) subscribeAgain(a *lane, sub subscribed) error {
	pending := newPending("")
	x := &exchange{kind: packet.SUBSCRIBE, pending: pending}
	a, err := l.c.session.begin(a, x)
	if err != nil {
		return err
	}
	l.c.session.moved(sub.Filter, a)
	a.out.putNow(&packet.Subscribe{PacketID: x.id, Properties: sub.props, Subscriptions: []packet.Subscription{sub.Subscription}})
	go l.awaitRestored(pending, sub.Filter)
	return nil
}

// awaitRestored reports a subscription that the server refuses this time.
func (l *link) awaitRestored(p *Pending, filter string) {
	<-p.done
	err := errors.Join(p.answer.err, refusals(packet.SUBACK, []string{filter}, p.answer))
	var refused *ReasonError
	if errors.As(err, &refused) {
		l.c.session.unsubscribed([]string{filter})
		l.c.report(err)
	}
}
