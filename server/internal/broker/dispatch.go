package broker

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"time"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/mqtt/topic"
)

// handler is a PublishHandler with its place in the order of calls.
type handler struct {
	order uint64
	call  PublishHandler
}

// HandlePublish has fn called for every message from a client, wills included, whose
// topic matches the filter. "#" is every message but those of topics that begin with
// '$'. Several handlers of one message are called in the order in which they were
// added. It is meant to be called before the first client comes, but may be called
// at any time. The error tells that the filter is invalid or shared.
func (b *Broker) HandlePublish(filter string, fn PublishHandler) error {
	if err := topic.ValidateFilter(filter); err != nil {
		return err
	}
	if group, _, _ := topic.ParseShare(filter); group != "" {
		return errors.New("broker: a handler cannot share a subscription")
	}
	order := b.handlerOrder.Add(1)
	b.handlers.Insert(filter, order, handler{order, fn})
	return nil
}

// inspect shows m, which came on a stream with the id given, to the handlers and gives the
// message to deliver. It takes over the caller's reference; with an error there is nothing left
// to release.
func (b *Broker) inspect(info *ClientInfo, stream int64, m *Message) (*Message, error) {
	if b.handlerOrder.Load() == 0 {
		return m, nil
	}
	handlers := b.handlers.Match(m.Topic(), nil)
	if len(handlers) == 0 {
		return m, nil
	}
	defer m.Release()
	slices.SortFunc(handlers, func(a, b handler) int { return cmp.Compare(a.order, b.order) })
	ev := &PublishEvent{Client: info, Stream: stream, Publication: b.publication(m)}
	expiry := ev.Expiry
	for _, h := range handlers {
		if err := b.Protect("publish handler", func() error { return h.call(ev) }); err != nil {
			return nil, err
		}
	}
	changed, err := b.newPublication(&ev.Publication)
	if err != nil {
		b.log(logHandler, slog.LevelError, "publish handler made an invalid message", "topic", ev.Topic, "error", err)
		return nil, &Error{Code: packet.ImplementationSpecificError, Reason: "message was changed into an invalid one"}
	}
	changed.from = m.from
	if ev.Expiry == expiry {
		changed.expires = m.expires
	}
	return changed, nil
}

// publication is m as programs see it. Slices belong to m.
func (b *Broker) publication(m *Message) Publication {
	return Publication{
		Topic: string(m.Topic()), Payload: m.Payload(), QoS: m.qos, Retain: m.retain,
		Expiry: m.expiry(b.now()), Properties: m.Properties(),
	}
}

// expiry is how long m is worth delivering from now on, in whole seconds rounded up;
// 0 = for ever.
func (m *Message) expiry(now int64) time.Duration {
	if m.expires == 0 {
		return 0
	}
	left := max(time.Duration(m.expires-now), 1)
	return (left + time.Second - 1).Truncate(time.Second)
}

// maxExpiry is the longest Message Expiry Interval (MQTT 5.0 section 3.3.2.3.3).
const maxExpiry = math.MaxUint32 * time.Second

// newPublication makes a message of what a program wants to publish.
func (b *Broker) newPublication(p *Publication) (*Message, error) {
	switch {
	case topic.ValidateName(p.Topic) != nil, len(p.Topic) > b.cfg.MaxTopicLength, topic.Levels(p.Topic) > b.cfg.MaxTopicLevels:
		return nil, fmt.Errorf("%w: %.64q", ErrInvalidTopic, p.Topic)
	case p.QoS > 2:
		return nil, fmt.Errorf("broker: QoS is %d: use 0, 1 or 2", p.QoS)
	case len(p.Payload) > packet.MaxRemainingLength-len(p.Properties)-len(p.Topic)-16:
		return nil, errors.New("broker: payload does not fit into a PUBLISH")
	}
	if err := p.Properties.Validate(packet.PUBLISH); err != nil {
		return nil, fmt.Errorf("broker: %w", err)
	}
	m := newMessage(p.Topic, p.Properties, p.Payload)
	m.qos, m.retain, m.arrived = p.QoS, p.Retain, b.now()
	if p.Expiry > 0 {
		m.expires = b.now() + int64(min(p.Expiry, maxExpiry))
	}
	return m, nil
}

// Publish delivers a message to all subscribers and stores it when p.Retain is set.
// Handlers are not called. p.Payload and p.Properties may be reused afterwards. The
// error is ErrInvalidTopic or tells about the other fields.
func (b *Broker) Publish(p Publication) error {
	m, err := b.newPublication(&p)
	if err != nil {
		return err
	}
	b.route(m)
	m.Release()
	return nil
}

func (b *Broker) callSubscribe(ev *SubscribeEvent) error {
	if b.cfg.Handlers.Subscribe == nil {
		return nil
	}
	return b.Protect("subscribe handler", func() error { return b.cfg.Handlers.Subscribe(ev) })
}

func (b *Broker) callDisconnect(ev *DisconnectEvent) {
	if b.cfg.Handlers.Disconnect == nil {
		return
	}
	_ = b.Protect("disconnect handler", func() error { b.cfg.Handlers.Disconnect(ev); return nil })
}
