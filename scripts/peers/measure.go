package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// processCPU is the CPU time, user and system, of all threads of a process, ended ones
// included, in nanoseconds where /proc/PID/stat has ticks (clock_getcpuclockid(3)).
func processCPU(pid int) (time.Duration, error) {
	const schedulerClock = 2 // CPUCLOCK_SCHED
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|schedulerClock), &ts); err != nil {
		return 0, fmt.Errorf("CPU clock of process %d: %w", pid, err)
	}
	return time.Duration(ts.Nano()), nil
}

// residentBytes is the RSS of a process.
func residentBytes(pid int) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0, fmt.Errorf("process %d has no RSS", pid)
	}
	pages, err := strconv.ParseFloat(fields[1], 64)
	return pages * float64(os.Getpagesize()), err
}

const mb = 1 << 20

// usage is what a process has had.
type usage struct {
	rss float64
	cpu time.Duration
}

// usageOf gives zeros for what cannot be read: it informs, no figure comes from it.
func usageOf(pid int) (u usage) {
	u.rss, _ = residentBytes(pid)
	u.cpu, _ = processCPU(pid)
	return u
}

// cpuOf is the CPU time that the server spends while f runs, with what it does in the
// moment after: acknowledgements and timers belong to the work.
func cpuOf(s *server, f func() error) (time.Duration, error) {
	before, err := processCPU(s.pid())
	if err != nil {
		return 0, err
	}
	if err := f(); err != nil {
		return 0, err
	}
	time.Sleep(settle)
	after, err := processCPU(s.pid())
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

// median of values, which are put in order.
func median(values []float64) float64 {
	slices.Sort(values)
	n := len(values)
	if n == 0 {
		return 0
	}
	return (values[(n-1)/2] + values[n/2]) / 2
}

// quantile of durations, which are put in order, in microseconds.
func quantile(values []time.Duration, q float64) float64 {
	slices.Sort(values)
	if len(values) == 0 {
		return 0
	}
	return micros(values[min(int(q*float64(len(values))), len(values)-1)])
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
