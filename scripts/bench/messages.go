package main

import (
	"context"
	"fmt"
	"time"

	"github.com/ngmq/ngmq/scripts/internal/generator"
	"github.com/ngmq/ngmq/scripts/internal/process"
)

const (
	relayWindow  = 1000    // messages in flight 1->1, within the Receive Maximum of both ends
	fanoutBurst  = 16      // messages of the fan-out that are sent together
	warmWindows  = 2       // windows that are not counted
	manyMessages = 1 << 40 // more than a round can send
)

// cost is the outcome of one flow.
type cost struct {
	cpu     float64 // of the server per delivery, in microseconds
	rate    float64 // deliveries per second
	out, in float64 // QUIC packets of the server per delivery
}

// load describes a flow to measure.
type load struct {
	subscribers, sockets int
	qos                  byte
	bursts               bool
	windows              []uint64      // each is measured in turn
	messages             uint64        // at most, per round
	duration             time.Duration // at most, per round; 0 = no limit
	rounds               int
}

// measure runs the rounds against p, on the same connections, and gives the medians
// for each window. An error tells what was lost or out of order.
func (l load) measure(ctx context.Context, p *process.Server) ([]cost, error) {
	fleet, err := newFleet(p, classic, l.sockets)
	if err != nil {
		return nil, err
	}
	defer fleet.close()
	clients, err := fleet.connect(ctx, 1+l.subscribers)
	if err != nil {
		return nil, err
	}
	f, err := newFlow(ctx, clients, l.qos, l.bursts)
	if err != nil {
		return nil, err
	}
	rounds := make([][]cost, len(l.windows))
	for range l.rounds {
		for i, window := range l.windows {
			c, err := l.round(ctx, p, f, window)
			if err != nil {
				return nil, fmt.Errorf("window %d: %w\n%s", window, err, p.Tail())
			}
			rounds[i] = append(rounds[i], c)
		}
	}
	costs := make([]cost, len(rounds))
	for i := range rounds {
		costs[i] = medianCost(rounds[i])
	}
	return costs, nil
}

func medianCost(rounds []cost) cost {
	of := func(figure func(c cost) float64) float64 {
		values := make([]float64, len(rounds))
		for i := range rounds {
			values[i] = figure(rounds[i])
		}
		return generator.Median(values)
	}
	return cost{
		cpu: of(func(c cost) float64 { return c.cpu }), rate: of(func(c cost) float64 { return c.rate }),
		out: of(func(c cost) float64 { return c.out }), in: of(func(c cost) float64 { return c.in }),
	}
}

// round sends for a while, after some messages that are not counted.
func (l load) round(ctx context.Context, p *process.Server, f *flow, window uint64) (c cost, err error) {
	if _, err = f.send(ctx, window, warmWindows*window, 0); err != nil {
		return c, err
	}
	received, sent, err := f.packets(ctx)
	if err != nil {
		return c, err
	}
	before, err := generator.ProcessCPU(p.PID())
	if err != nil {
		return c, err
	}
	began := time.Now()
	n, err := f.send(ctx, window, l.messages, l.duration)
	took := time.Since(began)
	if err != nil {
		return c, err
	}
	after, err := generator.ProcessCPU(p.PID())
	if err != nil {
		return c, err
	}
	receivedNow, sentNow, err := f.packets(ctx)
	deliveries := float64(n) * float64(l.subscribers)
	return cost{cpu: generator.Micros(after-before) / deliveries, rate: deliveries / took.Seconds(),
		out: float64(receivedNow-received) / deliveries, in: float64(sentNow-sent) / deliveries}, err
}

// relays measures one publisher and one subscriber. The connections are new in each
// round: which event loop of the server they get is chance.
func (b *bench) relays(ctx context.Context) error {
	p, err := startServer(ctx, b.ngmqd)
	if err != nil {
		return err
	}
	defer p.Stop()
	for qos := range byte(2) {
		l := load{subscribers: 1, sockets: 2, qos: qos, windows: []uint64{relayWindow}, messages: manyMessages, duration: b.duration / 2, rounds: 1}
		var rounds []cost
		for range b.rounds {
			c, err := l.measure(ctx, p)
			if err != nil {
				return fmt.Errorf("QoS %d: %w", qos, err)
			}
			rounds = append(rounds, c...)
		}
		b.reportCost(fmt.Sprintf("relay_qos%d", qos), fmt.Sprintf("1->1 QoS %d, per message", qos), medianCost(rounds))
	}
	return nil
}

// fanouts measures one publisher and many subscribers.
func (b *bench) fanouts(ctx context.Context) error {
	p, err := startServer(ctx, b.ngmqd)
	if err != nil {
		return err
	}
	defer p.Stop()
	l := load{subscribers: b.subscribers, sockets: b.sockets, bursts: true, windows: []uint64{fanoutBurst, 1},
		messages: manyMessages, duration: b.duration / 2, rounds: b.rounds}
	costs, err := l.measure(ctx, p)
	if err != nil {
		return err
	}
	for i, c := range costs {
		b.reportCost(fmt.Sprintf("fanout_%d_burst_%d", l.subscribers, l.windows[i]),
			fmt.Sprintf("1->%d, %d at a time, per delivery", l.subscribers, l.windows[i]), c)
	}
	return nil
}

func (b *bench) reportCost(name, what string, c cost) {
	b.report.figure(name+"_server_cpu", c.cpu, "us")
	b.report.figure(name+"_rate", c.rate, "1/s")
	b.report.figure(name+"_packets_out", c.out, "packets")
	b.report.figure(name+"_packets_in", c.in, "packets")
	b.report.row(line{what: what, value: fmt.Sprintf("%s us, %s/s", number(c.cpu), number(c.rate))})
}
