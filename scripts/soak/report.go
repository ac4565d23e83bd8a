package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// total of some counters.
func total(counters []atomic.Int64) (n int64) {
	for i := range counters {
		n += counters[i].Load()
	}
	return n
}

// line is a line of progress.
func (f *fleet) line(w io.Writer, server map[string]float64) {
	o, c := &f.oracle, &f.count
	fmt.Fprintf(w, "%6.0fs  published %d, delivered %d; connections %d, taken over %d, resumed TLS %d, 0-RTT %d, migrated %d, rebound %d, lost datagrams %d; server: RSS %.0f MB, Go heap %.1f MB, C heap %.1f MB, goroutines %.0f, files %.0f; violations %d\n",
		time.Since(f.began).Seconds(), total(o.published[:]), total(o.delivered[:]), total(c.connects[:]), c.takenOver.Load(), c.tlsResumed.Load(),
		c.early.Load(), c.migrations.Load(), f.ofNATs(func(n *nat) *atomic.Int64 { return &n.rebound }), f.ofNATs(func(n *nat) *atomic.Int64 { return &n.lost }),
		server["rss"]/1e6, server["go_heap"]/1e6, server["native_heap"]/1e6, server["goroutines"], server["files"], o.violations.Load())
}

func (f *fleet) ofNATs(counter func(*nat) *atomic.Int64) (n int64) {
	for _, nat := range f.nats {
		n += counter(nat).Load()
	}
	return n
}

// table is what happened in all.
func (f *fleet) table(w io.Writer, start, end map[string]float64) {
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-34s %s\n", name, fmt.Sprintf(format, args...))
	}
	o, c := &f.oracle, &f.count
	fmt.Fprintln(w)
	row("clients", "%d in groups of %d, seed %d", len(f.clients), groupSize, f.cfg.seed)
	for qos := range levels {
		row(fmt.Sprintf("QoS %d", qos), "published %d, acknowledged %d, delivered %d", o.published[qos].Load(), o.acknowledged[qos].Load(), o.delivered[qos].Load())
	}
	row("repeated deliveries at QoS 1", "%d", o.repeated.Load())
	row("late, by another stream", "%d", o.late.Load())
	for k := range kinds {
		row("connections over "+k.String(), "%d", c.connects[k].Load())
	}
	row("resumed sessions, takeovers", "%d, %d (DISCONNECT 0x8E seen %d times)", c.resumes.Load(), c.takeovers.Load(), c.takenOver.Load())
	row("TLS resumed, 0-RTT taken, refused", "%d, %d, %d", c.tlsResumed.Load(), c.early.Load(), c.earlyRejected.Load())
	row("migrations, failed", "%d, %d", c.migrations.Load(), c.failedMigrations.Load())
	row("NAT rebindings", "%d", f.ofNATs(func(n *nat) *atomic.Int64 { return &n.rebound }))
	row("datagrams lost, swapped, relayed", "%d, %d, %d", f.ofNATs(func(n *nat) *atomic.Int64 { return &n.lost }),
		f.ofNATs(func(n *nat) *atomic.Int64 { return &n.swapped }), f.ofNATs(func(n *nat) *atomic.Int64 { return &n.relayed }))
	row("publishing streams reset", "%d", c.abandoned.Load())
	row("subscribing streams ended", "%d", c.rehomed.Load())
	row("datagrams with messages received", "%d", c.datagramsIn.Load())
	row("messages in early data", "%d", c.publishedEarly.Load())
	row("restarts of the server", "%d (%d messages in flight with it)", f.kills.Load(), c.discarded.Load())
	row("attempts to connect that failed", "%d", c.failedDials.Load())
	c.mu.Lock()
	for why, n := range c.losses {
		row("lost connections", "%d: %s", n, why)
	}
	for why, n := range c.failures {
		row("failed attempts", "%d: %s", n, why)
	}
	c.mu.Unlock()
	fmt.Fprintf(w, "%-34s %14s %14s\n", "server", "at the start", "at the end")
	for _, b := range bounds(start, len(f.clients)) {
		fmt.Fprintf(w, "%-34s %14.0f %14.0f  (at most %.0f)\n", b.name, start[b.name], end[b.name], b.most)
	}
}

// verdict prints all violations, and reports whether there are none.
func (f *fleet) verdict(w io.Writer) bool {
	n := f.oracle.violations.Load()
	for _, what := range f.oracle.shown {
		fmt.Fprintf(w, "VIOLATION: %s", ended(what))
	}
	var suspects []int
	for id := range f.suspects {
		suspects = append(suspects, id)
	}
	slices.Sort(suspects)
	for _, id := range suspects[:min(len(suspects), maxShown)] {
		c := f.clients[id]
		fmt.Fprintf(w, "publisher:\n%s", c.history.text(c.name))
	}
	if n > 0 {
		fmt.Fprintf(w, "FAIL: %d violations\n", n)
		return false
	}
	fmt.Fprintln(w, "PASS: nothing lost, nothing duplicated, all in order, memory flat")
	return true
}

func ended(s string) string { return strings.TrimSuffix(s, "\n") + "\n" }
