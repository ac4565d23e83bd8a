package main

import (
	"context"
	"fmt"
)

// handshakeGoal is the most that the binding and the event loop may add to the bare C
// stack's CPU time per handshake.
const handshakeGoal = 1.3

// Key exchange groups, in OpenSSL's names.
const (
	classic     = "X25519"
	postQuantum = "X25519MLKEM768"
)

// comparison is the outcome of interleaved rounds: medians of each side and of the
// ratio within a round, which is the steadiest figure on a noisy machine.
type comparison struct{ bare, ours, ratio float64 }

// compare alternates bare and ours.
func compare(rounds int, bare, ours func() (float64, error)) (comparison, error) {
	var c, g, ratios []float64
	for range rounds {
		b, err := bare()
		if err != nil {
			return comparison{}, err
		}
		o, err := ours()
		if err != nil {
			return comparison{}, err
		}
		c, g, ratios = append(c, b), append(g, o), append(ratios, o/b)
	}
	return comparison{median(c), median(g), median(ratios)}, nil
}

// handshakes measures the handshake without sockets, for both key exchanges.
func (b *bench) handshakes(ctx context.Context) error {
	for _, groups := range []string{classic, postQuantum} {
		res, err := compareHandshakes(ctx, barePeer{b.cbench}, groups, b.options)
		if err != nil {
			return err
		}
		prefix := "handshake_" + groups
		b.report.figure(prefix+"_bare_cpu", res.bare, "us")
		b.report.figure(prefix+"_server_cpu", res.ours, "us")
		b.report.figure(prefix+"_ratio", res.ratio, "x")
		l := compared("handshake, "+groups+", in memory", res)
		l.goal = fmt.Sprintf("<= %.1fx", handshakeGoal)
		b.report.row(l)
	}
	return nil
}

func compareHandshakes(ctx context.Context, peer barePeer, groups string, o options) (comparison, error) {
	return compare(o.rounds,
		func() (float64, error) { return peer.handshake(ctx, groups, o.handshakes) },
		func() (float64, error) { return measureMemory(groups, o.handshakes) })
}

func compared(what string, c comparison) line {
	return line{what: what, value: number(c.ours) + " us", peer: number(c.bare) + " us", ratio: fmt.Sprintf("%.2f", c.ratio)}
}

// connects measures handshake and CONNECT against the whole server process.
func (b *bench) connects(ctx context.Context) error {
	p, err := startServer(ctx, b.ngmqd)
	if err != nil {
		return err
	}
	defer p.stop()
	for _, groups := range []string{classic, postQuantum} {
		res, err := compare(b.rounds,
			func() (float64, error) { return barePeer{b.cbench}.handshake(ctx, groups, b.options.handshakes) },
			func() (float64, error) { return measureConnects(ctx, p, groups, b.options) })
		if err != nil {
			return err
		}
		b.report.figure("connect_"+groups+"_server_cpu", res.ours, "us")
		b.report.figure("connect_"+groups+"_ratio", res.ratio, "x")
		b.report.row(compared("handshake + CONNECT, "+groups+", process", res))
	}
	return nil
}

// measureConnects is the CPU time of the server process per connection that has its
// CONNACK, in microseconds. Closing them is not in it.
func measureConnects(ctx context.Context, p *process, groups string, o options) (float64, error) {
	f, err := newFleet(p, groups, o.sockets)
	if err != nil {
		return 0, err
	}
	defer f.close()
	before, err := processCPU(p.pid())
	if err != nil {
		return 0, err
	}
	if _, err := f.connect(ctx, o.handshakes); err != nil {
		return 0, err
	}
	after, err := processCPU(p.pid())
	return micros(after-before) / float64(o.handshakes), err
}
