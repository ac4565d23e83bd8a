package main

import (
	"context"
	"time"

	"github.com/ngmq/ngmq/scripts/internal/generator"
)

// figure is one number of a row.
type figure struct {
	id    string // number of its own; empty: that of the row
	of    string // what it is, where a row has several
	unit  string
	ratio float64 // goal over QUIC: at most so many times the baseline's; 0: none
	most  float64 // goal over QUIC: at most this; 0: none
	least float64 // goal over QUIC: at least this; 0: none
}

// row is one measurement. It gives a value for each figure.
type row struct {
	id      string // number in the list of goals, and a letter where it has parts
	name    string
	figures []figure
	not     []string // peers that cannot do it
	asked   bool     // only measured when asked for
	run     func(*bench, context.Context, *server) ([]float64, error)
}

// rows are all of them, in order.
var rows = []row{
	{id: "1", name: "full handshake + CONNECT, X25519", figures: []figure{{unit: "ms", ratio: 0.42}}, run: (*bench).full},
	{id: "2", name: "full handshake + CONNECT, X25519MLKEM768", figures: []figure{{unit: "ms", ratio: 0.5}},
		not: append(names(overTCP), "mosq-tls"), run: (*bench).hybrid}, // Debian 12's OpenSSL has no ML-KEM
	{id: "3", name: "resumed connect", figures: []figure{{unit: "ms", ratio: 0.42}}, not: names(overTCP), run: (*bench).resumed},
	{id: "4", name: "idle connections", figures: []figure{{of: ": RSS each", unit: "KB", ratio: 0.6}, {id: "6", of: ": PINGREQ", unit: "us", ratio: 0.4}},
		run: (*bench).idle},
	{id: "5", name: "many connections", asked: true, figures: []figure{{of: ": RSS", unit: "GB"}, {of: ": RSS each", unit: "KB", most: 44}, {of: ": PINGREQ", unit: "us"},
		{of: ": connects", unit: "1/s", least: 1200}, {of: ": RSS when made again", unit: "GB"}, {of: ": RSS when all are gone", unit: "GB"}}, run: (*bench).many},
	{id: "7", name: "1->1 QoS 0 saturated", figures: []figure{{unit: "us", ratio: 0.7}},
		run: flows(plan{publishers: 1, subscribers: 1, window: 1000}, func(s sizes) int { return s.messages })},
	{id: "8", name: "1->1 QoS 1", figures: []figure{{unit: "us", ratio: 1.4}},
		run: flows(plan{publishers: 1, subscribers: 1, window: 100, qos: 1}, func(s sizes) int { return s.messages / 2 })},
	{id: "9a", name: "50->1 fan-in QoS 0", figures: []figure{{unit: "us", ratio: 0.7}},
		run: flows(plan{publishers: 50, subscribers: 1, window: 20}, func(s sizes) int { return s.messages / 50 })},
	{id: "9b", name: "50 pairs QoS 0", figures: []figure{{unit: "us", ratio: 0.7}},
		run: flows(plan{publishers: 50, subscribers: 50, pairs: true, window: 20}, func(s sizes) int { return s.messages / 50 })},
	{id: "10", name: "1->1,000 fan-out, per delivery", figures: []figure{{of: ": 16 in flight", unit: "us", ratio: 0.5},
		{id: "11", of: ": one at a time", unit: "us", ratio: 0.35}}, run: (*bench).fanout},
	{id: "12", name: "10 pairs x 500/s", figures: []figure{{of: ": CPU", unit: "us", ratio: 0.45}, {of: ": p99", unit: "ms", most: 0.6}}, run: (*bench).paced},
	{id: "13", name: "ping-pong QoS 0", figures: []figure{{of: ": p50", unit: "us", ratio: 0.5}, {of: ": p99", unit: "us", ratio: 0.5}}, run: (*bench).pingPong},
	{id: "14", name: "64 KiB relay", figures: []figure{{unit: "us", ratio: 0.35}},
		run: flows(plan{publishers: 1, subscribers: 1, window: 16, size: bulkSize}, func(s sizes) int { return s.bulk })},
}

// sizes say how much is done in a round.
type sizes struct {
	connects    int // handshakes
	idle        int // connections of rows 4 and 6
	many        int // connections of row 5
	messages    int // of the cheapest row; others have fractions
	deliveries  int // of the fan-out
	subscribers int // of the fan-out
	bulk        int // messages of 64 KiB
	pongs       int
	paced       time.Duration
	quiet       time.Duration // for which connections are left alone before memory counts
}

// fullSize makes a round of all rows and peers take two and a half minutes.
var fullSize = sizes{connects: 300, idle: 5000, many: 20_000, messages: 100_000, deliveries: 160_000, subscribers: 1000,
	bulk: 1500, pongs: 3000, paced: 2 * time.Second, quiet: 2 * time.Second}

// flows measures the CPU per message of a plan; count says how many a publisher sends.
func flows(p plan, count func(sizes) int) func(*bench, context.Context, *server) ([]float64, error) {
	return func(b *bench, ctx context.Context, s *server) ([]float64, error) {
		f, err := newFleet(s, nil)
		if err != nil {
			return nil, err
		}
		defer f.close()
		flows, err := newFlows(ctx, f, p)
		if err != nil {
			return nil, err
		}
		cpu, err := sendCPU(ctx, s, flows, max(1, count(b.sizes)))
		return []float64{cpu}, err
	}
}

// fanout is rows 10 and 11: the CPU per delivery to all subscribers.
func (b *bench) fanout(ctx context.Context, s *server) ([]float64, error) {
	f, err := newFleet(s, nil)
	if err != nil {
		return nil, err
	}
	defer f.close()
	flows, err := newFlows(ctx, f, plan{publishers: 1, subscribers: b.subscribers, window: 16})
	if err != nil {
		return nil, err
	}
	n := max(1, b.deliveries/b.subscribers)
	many, err := sendCPU(ctx, s, flows, n)
	if err != nil {
		return nil, err
	}
	flows[0].ahead = 1
	single, err := sendCPU(ctx, s, flows, max(1, n/4))
	return []float64{many / float64(b.subscribers), single / float64(b.subscribers)}, err
}

// sendCPU is what a message costs the server, in us, of n on each flow after some that do
// not count.
func sendCPU(ctx context.Context, s *server, flows []*flow, n int) (float64, error) {
	if err := sendAll(ctx, flows, 1+n/10); err != nil {
		return 0, err
	}
	cpu, err := cpuOf(s, func() error { return sendAll(ctx, flows, n) })
	return generator.Micros(cpu) / float64(n*len(flows)), err
}

// paced is row 12: the load of a quiet server.
func (b *bench) paced(ctx context.Context, s *server) ([]float64, error) {
	const pairs, interval = 10, 2 * time.Millisecond
	f, err := newFleet(s, nil)
	if err != nil {
		return nil, err
	}
	defer f.close()
	flows, err := newFlows(ctx, f, plan{publishers: pairs, subscribers: pairs, pairs: true, window: 1000})
	if err != nil {
		return nil, err
	}
	if err := sendAll(ctx, flows, 10); err != nil {
		return nil, err
	}
	keepLatency(flows)
	n := int(b.sizes.paced / interval)
	cpu, err := cpuOf(s, func() error {
		return together(flows, func(f *flow) error { return f.pace(ctx, n, interval) })
	})
	var all []time.Duration
	for _, f := range flows {
		all = append(all, f.latency...)
	}
	return []float64{generator.Micros(cpu) / float64(n*pairs), quantile(all, 0.99) / 1000}, err
}

// keepLatency begins to; nothing is on its way.
func keepLatency(flows []*flow) {
	for _, f := range flows {
		f.keep.Store(true)
	}
}

// pingPong is row 13: from one publishing client to the other, one message at a time.
func (b *bench) pingPong(ctx context.Context, s *server) ([]float64, error) {
	f, err := newFleet(s, nil)
	if err != nil {
		return nil, err
	}
	defer f.close()
	flows, err := newFlows(ctx, f, plan{publishers: 1, subscribers: 1, window: 1})
	if err != nil {
		return nil, err
	}
	if err := sendAll(ctx, flows, 1+b.pongs/10); err != nil {
		return nil, err
	}
	keepLatency(flows)
	err = sendAll(ctx, flows, b.pongs)
	latency := flows[0].latency
	return []float64{quantile(latency, 0.5), quantile(latency, 0.99)}, err
}
