package main

import (
	"context"
	"fmt"
	"math"
	"time"
)

const (
	relayWindow  = 1000 // messages in flight 1->1, within the Receive Maximum of both ends
	fanoutBatch  = 16   // messages in flight of the fan-out
	warmMessages = 2    // windows that are not counted
)

// cost is the outcome of one flow.
type cost struct {
	cpu  float64 // of the server per delivery, in microseconds
	rate float64 // deliveries per second
}

// load describes a flow to measure.
type load struct {
	subscribers, sockets int
	qos                  byte
	window               uint64
	messages             uint64        // at most
	duration             time.Duration // at most; 0 = no limit
}

// measure runs one flow against p. An error tells what was lost or out of order.
func (l load) measure(ctx context.Context, p *process) (cost, error) {
	fleet, err := newFleet(p, classic, l.sockets)
	if err != nil {
		return cost{}, err
	}
	defer fleet.close()
	clients, err := fleet.connect(ctx, 1+l.subscribers)
	if err != nil {
		return cost{}, err
	}
	f, err := newFlow(ctx, clients, l.qos, l.window)
	if err != nil {
		return cost{}, err
	}
	if _, err := f.send(ctx, warmMessages*l.window, 0); err != nil {
		return cost{}, err
	}
	return l.timed(ctx, p, f)
}

func (l load) timed(ctx context.Context, p *process, f *flow) (cost, error) {
	before, err := processCPU(p.pid())
	if err != nil {
		return cost{}, err
	}
	began := time.Now()
	n, err := f.send(ctx, l.messages, l.duration)
	took := time.Since(began)
	if err != nil {
		return cost{}, err
	}
	after, err := processCPU(p.pid())
	deliveries := float64(n) * float64(l.subscribers)
	return cost{cpu: micros(after-before) / deliveries, rate: deliveries / took.Seconds()}, err
}

// repeat measures l several times, on new connections each time.
func (b *bench) repeat(ctx context.Context, p *process, l load) (cost, error) {
	var cpu, rate []float64
	for range (b.rounds + 1) / 2 {
		c, err := l.measure(ctx, p)
		if err != nil {
			return cost{}, fmt.Errorf("%w\n%s", err, p.log.tail())
		}
		cpu, rate = append(cpu, c.cpu), append(rate, c.rate)
	}
	return cost{median(cpu), median(rate)}, nil
}

// relays measures one publisher and one subscriber.
func (b *bench) relays(ctx context.Context) error {
	p, err := startServer(ctx, b.ngmqd)
	if err != nil {
		return err
	}
	defer p.stop()
	for qos := range byte(2) {
		c, err := b.repeat(ctx, p, load{subscribers: 1, sockets: 2, qos: qos, window: relayWindow, messages: math.MaxUint32, duration: b.duration})
		if err != nil {
			return fmt.Errorf("QoS %d: %w", qos, err)
		}
		name := fmt.Sprintf("relay_qos%d", qos)
		b.report.figure(name+"_server_cpu", c.cpu, "us")
		b.report.figure(name+"_rate", c.rate, "1/s")
		b.report.row(line{what: fmt.Sprintf("1->1 QoS %d, per message", qos), value: fmt.Sprintf("%s us, %s/s", number(c.cpu), number(c.rate))})
	}
	return nil
}

// fanouts measures one publisher and many subscribers.
func (b *bench) fanouts(ctx context.Context) error {
	p, err := startServer(ctx, b.ngmqd)
	if err != nil {
		return err
	}
	defer p.stop()
	for _, window := range []uint64{fanoutBatch, 1} {
		c, err := b.repeat(ctx, p, load{subscribers: b.subscribers, sockets: b.sockets, window: window, messages: math.MaxUint32, duration: b.duration})
		if err != nil {
			return fmt.Errorf("%d in flight: %w", window, err)
		}
		name := fmt.Sprintf("fanout_%d_inflight_%d", b.subscribers, window)
		b.report.figure(name+"_server_cpu", c.cpu, "us")
		b.report.figure(name+"_rate", c.rate, "1/s")
		b.report.row(line{what: fmt.Sprintf("1->%d, %d in flight, per delivery", b.subscribers, window), value: fmt.Sprintf("%s us, %s/s", number(c.cpu), number(c.rate))})
	}
	return nil
}
