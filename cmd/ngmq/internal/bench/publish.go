package bench

import (
	"context"
	"time"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// publisher publishes for one client, or for one stream of it.
type publisher struct {
	c       *benchClient
	topics  [][]byte
	numbers []int // of the topics
	payload []byte
	buf     []byte
}

// publishers are the goroutines that a client needs: one, but one for each stream when
// every stream has one message under way.
func (c *benchClient) publishers() []func(context.Context) {
	cfg := &c.run.cfg
	if cfg.QoS > 0 {
		c.mu.Lock()
		c.flight = newFlight(cfg.MaxInflight)
		c.mu.Unlock()
	}
	if cfg.Kind != RoundTrip || cfg.Rate > 0 {
		all := c.publisher()
		for i := range cfg.Topics {
			all.add(i)
		}
		return []func(context.Context){all.paced}
	}
	var list []func(context.Context)
	for i := range cfg.Topics {
		p := c.publisher()
		p.add(i)
		list = append(list, func(ctx context.Context) { p.pingPong(ctx, c.pong[i]) })
	}
	return list
}

func (c *benchClient) publisher() *publisher {
	return &publisher{c: c, payload: make([]byte, c.run.cfg.Size)}
}

func (p *publisher) add(i int) {
	p.topics = append(p.topics, []byte(p.c.topic(i)))
	p.numbers = append(p.numbers, i)
}

// paced publishes at the rate, or as fast as the connection takes it. Clients begin at
// different times within an interval. A message that could not be sent when it was due
// carries that time, so that waiting counts.
func (p *publisher) paced(ctx context.Context) {
	cfg := &p.c.run.cfg
	var interval time.Duration
	if cfg.Rate > 0 {
		interval = time.Duration(float64(time.Second) / cfg.Rate)
	}
	due := time.Now().Add(interval * time.Duration(p.c.number%cfg.Clients) / time.Duration(cfg.Clients))
	timer := time.NewTimer(time.Until(due))
	defer timer.Stop()
	for n := uint64(0); cfg.Messages == 0 || n < cfg.Messages; n++ {
		if interval > 0 {
			select {
			case <-timer.C:
			case <-ctx.Done():
				return
			}
		} else {
			due = time.Now()
		}
		if p.publish(ctx, int(n%uint64(len(p.topics))), due) != nil {
			return
		}
		due = due.Add(interval)
		timer.Reset(time.Until(due))
	}
}

// lostAfter is when a message in a datagram that has not come back counts as lost.
const lostAfter = time.Second

// pingPong publishes a message when the one before has come back.
func (p *publisher) pingPong(ctx context.Context, back <-chan struct{}) {
	cfg := &p.c.run.cfg
	for n := uint64(0); cfg.Messages == 0 || n < cfg.Messages; n++ {
		if p.publish(ctx, 0, time.Now()) != nil {
			return
		}
		var lost <-chan time.Time
		if cfg.Datagrams {
			lost = time.After(lostAfter)
		}
		select {
		case <-back:
		case <-lost:
		case <-ctx.Done():
			return
		}
	}
}

// publish sends one message when there is room for it.
func (p *publisher) publish(ctx context.Context, i int, due time.Time) error {
	c, cfg := p.c, &p.c.run.cfg
	m := packet.Publish{Topic: p.topics[i], Payload: p.payload, QoS: cfg.QoS, Retain: cfg.Retain}
	if cfg.QoS > 0 {
		select {
		case m.PacketID = <-c.flight.free:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err := c.link.room(ctx); err != nil {
		return err
	}
	putStamp(p.payload, due, p.numbers[i])
	p.buf = m.AppendTo(p.buf[:0], cfg.Version)
	if cfg.QoS > 0 {
		c.mu.Lock()
		c.flight.sent[m.PacketID] = due
		c.mu.Unlock()
	}
	c.run.total.sent.Add(1)
	if c.run.measuring.Load() {
		c.run.counted.sent.Add(1)
	}
	if cfg.Datagrams {
		c.link.datagram(cfg.stream(p.numbers[i]), p.buf)
	} else {
		c.link.send(cfg.stream(p.numbers[i]), p.buf)
	}
	return nil
}
