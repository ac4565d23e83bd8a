package main

import (
	"context"
	"fmt"

	"github.com/ngmq/ngmq/scripts/internal/generator"
	"github.com/ngmq/ngmq/scripts/internal/process"
)

// handshakeGoal is the most that the binding and the event loop may add to the bare C
// stack's CPU time per handshake.
const handshakeGoal = 1.3

// Key exchange groups, in OpenSSL's names.
const (
	classic     = "X25519"
	postQuantum = "X25519MLKEM768"
)

// contender measures one round, in microseconds of server CPU.
type contender func() (float64, error)

// standing is a contender's outcome: the medians of its figure, and of its ratio to the
// first contender in the same round, which is steadier on a busy machine.
type standing struct{ cpu, ratio float64 }

// compare lets the contenders take turns.
func compare(rounds int, contenders ...contender) ([]standing, error) {
	cpu, ratio := make([][]float64, len(contenders)), make([][]float64, len(contenders))
	for range rounds {
		for i, measure := range contenders {
			v, err := measure()
			if err != nil {
				return nil, err
			}
			cpu[i] = append(cpu[i], v)
			ratio[i] = append(ratio[i], v/cpu[0][len(cpu[0])-1])
		}
	}
	out := make([]standing, len(contenders))
	for i := range out {
		out[i] = standing{generator.Median(cpu[i]), generator.Median(ratio[i])}
	}
	return out, nil
}

// bare is cbench.
func (b *bench) bare(ctx context.Context, groups string) contender {
	return func() (float64, error) { return barePeer{b.cbench}.handshake(ctx, groups, b.perRound) }
}

// inMemory is the binding and the event loop without sockets.
func (b *bench) inMemory(groups string, served bool) contender {
	return func() (float64, error) { return measureMemory(conditions{groups, served}, b.perRound) }
}

// handshakes measures the handshake without sockets, for both key exchanges.
func (b *bench) handshakes(ctx context.Context) error {
	for _, groups := range []string{classic, postQuantum} {
		res, err := compare(b.rounds, b.bare(ctx, groups), b.inMemory(groups, false), b.inMemory(groups, true))
		if err != nil {
			return err
		}
		name := "handshake_" + groups
		b.report.figure(name+"_bare_cpu", res[0].cpu, "us")
		b.compared(name, "handshake, "+groups+", in memory", fmt.Sprintf("<= %.1fx", handshakeGoal), res[0], res[1])
		b.compared(name+"_pmtud", "  with path MTU discovery", "", res[0], res[2])
	}
	return nil
}

func (b *bench) compared(name, what, goal string, bare, ours standing) {
	b.report.figure(name+"_server_cpu", ours.cpu, "us")
	b.report.figure(name+"_ratio", ours.ratio, "x")
	b.report.row(line{what: what, value: number(ours.cpu) + " us", peer: number(bare.cpu) + " us",
		ratio: fmt.Sprintf("%.2f", ours.ratio), goal: goal})
}

// connects measures handshake and CONNECT against the whole server process.
func (b *bench) connects(ctx context.Context) error {
	p, err := startServer(ctx, b.ngmqd)
	if err != nil {
		return err
	}
	defer p.Stop()
	for _, groups := range []string{classic, postQuantum} {
		served := func() (float64, error) { return measureConnects(ctx, p, groups, b.options) }
		res, err := compare(b.rounds, b.bare(ctx, groups), served)
		if err != nil {
			return err
		}
		b.compared("connect_"+groups, "handshake + CONNECT, "+groups+", process", "", res[0], res[1])
	}
	return nil
}

// measureConnects is the CPU time of the server process per connection that has its
// CONNACK, in microseconds. Closing them is not in it.
func measureConnects(ctx context.Context, p *process.Server, groups string, o options) (float64, error) {
	f, err := newFleet(p, groups, o.sockets)
	if err != nil {
		return 0, err
	}
	defer f.close()
	before, err := generator.ProcessCPU(p.PID())
	if err != nil {
		return 0, err
	}
	if _, err := f.connect(ctx, o.perRound); err != nil {
		return 0, err
	}
	after, err := generator.ProcessCPU(p.PID())
	return generator.Micros(after-before) / float64(o.perRound), err
}
