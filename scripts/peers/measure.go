package main

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ngmq/ngmq/scripts/internal/generator"
)

const mb = 1 << 20

// usage is what a process has had.
type usage struct {
	rss float64
	cpu time.Duration
}

// usageOf gives zeros for what cannot be read: it informs, no figure comes from it.
func usageOf(pid int) (u usage) {
	u.rss, _ = generator.ResidentBytes(pid)
	u.cpu, _ = generator.ProcessCPU(pid)
	return u
}

// cpuOf is the CPU time that the server spends while f runs, with what it does in the
// moment after: acknowledgements and timers belong to the work.
func cpuOf(s *server, f func() error) (time.Duration, error) {
	before, err := generator.ProcessCPU(s.PID())
	if err != nil {
		return 0, err
	}
	if err := f(); err != nil {
		return 0, err
	}
	time.Sleep(settle)
	after, err := generator.ProcessCPU(s.PID())
	return after - before, err
}

// settle is longer than the 25 ms that a QUIC acknowledgement may be late.
const settle = 50 * time.Millisecond

// machine is the CPU time that all processes have had, and what there was.
type machine struct{ busy, all float64 }

func machineNow() (m machine) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return m
	}
	line, _, _ := strings.Cut(string(text), "\n")
	for i, field := range strings.Fields(line)[1:] {
		ticks, _ := strconv.ParseFloat(field, 64)
		if i < 8 { // guest time is in user time
			m.all += ticks
		}
		if i < 8 && i != 3 && i != 4 { // idle, iowait
			m.busy += ticks
		}
	}
	return m
}

// quantile of durations, which are put in order, in microseconds.
func quantile(values []time.Duration, q float64) float64 {
	slices.Sort(values)
	if len(values) == 0 {
		return 0
	}
	return generator.Micros(values[min(int(q*float64(len(values))), len(values)-1)])
}
