package main

import (
	"context"
	"fmt"
	"time"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/scripts/internal/generator"
	"github.com/ngmq/ngmq/scripts/internal/process"
)

const (
	// firstShare of the connections is made before the first look, so that buffers
	// and pools that do not grow with connections are not counted as theirs.
	firstShare  = 10
	quietPeriod = 200 * time.Millisecond
	quietCPU    = 5 * time.Millisecond // of a server that has nothing to do in such a period
)

// weight is what one more idle connection costs, in bytes, and one PINGREQ over all of
// them, in microseconds.
type weight struct{ rss, goHeap, cHeap, ping float64 }

// idles weighs idle connections: RSS in ngmqd, the heaps in an embedded server.
func (b *bench) idles(ctx context.Context) error {
	daemon, err := startServer(ctx, b.ngmqd)
	if err != nil {
		return err
	}
	w, err := weigh(ctx, daemon, b.options, residentOnly)
	daemon.Stop()
	if err != nil {
		return err
	}
	e, err := startEmbedded(ctx)
	if err != nil {
		return err
	}
	defer e.Stop()
	heaps, err := weigh(ctx, e.Server, b.options, e.heap)
	if err != nil {
		return err
	}
	w.goHeap, w.cHeap = heaps.goHeap, heaps.cHeap
	b.reportIdle(ctx, w)
	return nil
}

func (b *bench) reportIdle(ctx context.Context, w weight) {
	const kb = 1024
	b.report.figure("idle_conn_rss", w.rss/kb, "KB")
	b.report.figure("idle_conn_go_heap", w.goHeap/kb, "KB")
	b.report.figure("idle_conn_ngtcp2_heap", w.cHeap/kb, "KB")
	b.report.figure("idle_pingreq_server_cpu", w.ping, "us")
	l := line{what: fmt.Sprintf("idle connection, %d of them, RSS", b.connections), value: number(w.rss/kb) + " KB", goal: "<= 36 KB"}
	bare, err := barePeer{b.cbench}.measure(ctx, "idle_conn_heap_no_ssl", "--handshakes", "0", "--bulk", "0")
	if err == nil {
		l.peer, l.ratio = number(bare/kb)+" KB", fmt.Sprintf("%.2f", w.rss/bare)
	}
	b.report.row(l)
	b.report.row(line{what: "  of it Go heap", value: number(w.goHeap/kb) + " KB"})
	b.report.row(line{what: "  of it ngtcp2's heap", value: number(w.cHeap/kb) + " KB"})
	b.report.row(line{what: "PINGREQ over all of them", value: number(w.ping) + " us"})
}

func residentOnly() (memoryUse, error) { return memoryUse{}, nil }

// weigh makes connections in two steps and compares.
func weigh(ctx context.Context, p *process.Server, o options, heap func() (memoryUse, error)) (w weight, err error) {
	f, err := newFleet(p, classic, o.sockets)
	if err != nil {
		return w, err
	}
	defer f.close()
	first := max(1, o.connections/firstShare)
	clients, err := f.connect(ctx, first)
	if err != nil {
		return w, err
	}
	before, err := look(ctx, p, heap)
	if err != nil {
		return w, err
	}
	more, err := f.connect(ctx, max(1, o.connections-first))
	if err != nil {
		return w, err
	}
	after, err := look(ctx, p, heap)
	if err != nil {
		return w, err
	}
	n := float64(len(more))
	w = weight{rss: (after.rss - before.rss) / n, goHeap: (after.GoHeap - before.GoHeap) / n, cHeap: (after.CHeap - before.CHeap) / n}
	w.ping, err = pingAll(ctx, p, append(clients, more...))
	return w, err
}

type sight struct {
	memoryUse
	rss float64
}

// look waits until the server is quiet and asks for its memory. The RSS is read first:
// asking for the heap collects garbage.
func look(ctx context.Context, p *process.Server, heap func() (memoryUse, error)) (s sight, err error) {
	if err = settle(ctx, p); err != nil {
		return s, err
	}
	if s.rss, err = generator.ResidentBytes(p.PID()); err != nil {
		return s, err
	}
	s.memoryUse, err = heap()
	return s, err
}

// settle waits until the server does nothing.
func settle(ctx context.Context, p *process.Server) error {
	last, err := generator.ProcessCPU(p.PID())
	for err == nil {
		select {
		case <-ctx.Done():
			return fmt.Errorf("the server is busy without work: %w", ctx.Err())
		case <-time.After(quietPeriod):
		}
		var now time.Duration
		if now, err = generator.ProcessCPU(p.PID()); now-last < quietCPU {
			break
		}
		last = now
	}
	return err
}

// pingAll has every connection prove that it is alive, some at a time.
func pingAll(ctx context.Context, p *process.Server, clients []*client) (float64, error) {
	before, err := generator.ProcessCPU(p.PID())
	if err != nil {
		return 0, err
	}
	err = generator.Each(len(clients), atOnce, func(i int) error {
		answer, err := clients[i].call(ctx, &packet.Pingreq{})
		if err == nil && answer.Type() != packet.PINGRESP {
			err = fmt.Errorf("%s: PINGREQ was answered by %+v", clients[i].id, answer)
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	after, err := generator.ProcessCPU(p.PID())
	return generator.Micros(after-before) / float64(len(clients)), err
}
