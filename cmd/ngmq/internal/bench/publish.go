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
// carries that time, so that waiting counts. What is due while there is no connection is left
// out.
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
		for p.publish(ctx, int(n%uint64(len(p.topics))), due) == errEnded {
			if p.c.wait(ctx) == nil {
				return
			}
			due = time.Now()
		}
		if ctx.Err() != nil {
			return
		}
		due = due.Add(interval)
		timer.Reset(time.Until(due))
	}
}

// lostAfter is when a message in a datagram that has not come back counts as lost.
const lostAfter = time.Second

// pingPong publishes a message when the one before has come back, or its connection has ended.
func (p *publisher) pingPong(ctx context.Context, back chan struct{}) {
	cfg := &p.c.run.cfg
	for n := uint64(0); cfg.Messages == 0 || n < cfg.Messages; n++ {
		conn := p.c.wait(ctx)
		if conn == nil {
			return
		}
		select { // what came back after its connection had been given up
		case <-back:
		default:
		}
		if p.publishOn(ctx, conn, 0, time.Now()) == errEnded {
			n-- // it has not gone out
			continue
		}
		var lost <-chan time.Time
		if cfg.Datagrams {
			lost = time.After(lostAfter)
		}
		select {
		case <-back:
		case <-lost:
		case <-conn.ended:
		case <-ctx.Done():
			return
		}
	}
}

// publish sends one message on the connection of the moment; errEnded when there is none.
func (p *publisher) publish(ctx context.Context, i int, due time.Time) error {
	conn := p.c.current()
	if conn == nil {
		return errEnded
	}
	return p.publishOn(ctx, conn, i, due)
}

// publishOn sends one message when there is room for it. errEnded says that the connection is
// over.
func (p *publisher) publishOn(ctx context.Context, conn *connection, i int, due time.Time) error {
	run, cfg := p.c.run, &p.c.run.cfg
	m := packet.Publish{Topic: p.topics[i], Payload: p.payload, QoS: cfg.QoS, Retain: cfg.Retain}
	if cfg.QoS > 0 {
		select {
		case m.PacketID = <-conn.flight.free:
		case <-conn.ended:
			return errEnded
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err := conn.link.room(ctx); err != nil {
		return err
	}
	putStamp(p.payload, due, p.numbers[i])
	p.buf = m.AppendTo(p.buf[:0], cfg.Version)
	if cfg.QoS > 0 {
		conn.mu.Lock()
		conn.flight.sent[m.PacketID] = due
		conn.mu.Unlock()
	}
	run.total.sent.Add(1)
	if run.measuring.Load() {
		run.counted.sent.Add(1)
	}
	if cfg.Datagrams {
		conn.link.datagram(cfg.stream(p.numbers[i]), p.buf)
	} else {
		conn.link.send(cfg.stream(p.numbers[i]), p.buf)
	}
	return nil
}
