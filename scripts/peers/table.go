package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ngmq/ngmq/scripts/internal/generator"
)

// table is the result, in markdown: one for each transport.
type table struct {
	o     *options
	lines [len(ours)][]string
	began time.Time
	cpu   machine
}

func newTable(o *options) *table {
	return &table{o: o, began: time.Now(), cpu: machineNow()}
}

// number has three digits where a value is small.
func number(v float64) string {
	switch {
	case v < 1:
		return fmt.Sprintf("%.3f", v)
	case v < 100:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

// add makes a line of each figure of a row for each transport that was measured.
func (t *table) add(r *row, all results) {
	for over := range t.lines {
		for i, f := range r.figures {
			if line := t.line(transport(over), f.over(transport(over)), i, all); line != "" {
				line = fmt.Sprintf("| %s | %s%s, %s | %s |", r.idOf(f), r.name, f.of, f.unit, line)
				t.lines[over] = append(t.lines[over], line)
			}
		}
	}
}

// line has the cells of figure i, empty without any value.
func (t *table) line(over transport, f figure, i int, all results) string {
	base := 0.0
	if of := all[baseline[over]]; of != nil {
		base = generator.Median(of[i])
	}
	var cells []string
	measured := false
	for _, name := range t.columns(over) {
		measured = measured || all[name] != nil
		cells = append(cells, cell(all[name], i, base))
	}
	if !measured {
		return ""
	}
	return strings.Join(append(cells, verdict(f, all[ours[over]], i, base)), " | ")
}

// columns are the peers of a transport that were asked for.
func (t *table) columns(over transport) []string {
	all := names(over)
	return slices.DeleteFunc(slices.Clone(t.o.peers), func(p string) bool { return !slices.Contains(all, p) })
}

// cell is a median, its ratio to the baseline and the range of the rounds.
func cell(of [][]float64, i int, base float64) string {
	if of == nil {
		return "-"
	}
	m := generator.Median(of[i]) // puts them in order
	text := number(m)
	if base > 0 {
		text += fmt.Sprintf(" = %.2fx", m/base)
	}
	return fmt.Sprintf("%s (%s..%s)", text, number(of[i][0]), number(of[i][len(of[i])-1]))
}

// verdict says what the goal is and whether ngmqd reaches it.
func verdict(f figure, of [][]float64, i int, base float64) string {
	goal := f.goal()
	if goal == "" || of == nil || f.ratio > 0 && base == 0 {
		return goal
	}
	if f.reached(generator.Median(of[i]), base) {
		return goal + " yes"
	}
	return goal + " **no**"
}

// over is the figure with the goals of a transport: without QUIC not to be behind the baseline.
func (f figure) over(t transport) figure {
	if t != overQUIC {
		f.ratio, f.most = 1, 0
		if f.least > 0 { // more is better
			f.ratio, f.least = 0, 0
		}
	}
	return f
}

func (f *figure) goal() string {
	switch {
	case f.most > 0:
		return fmt.Sprintf("<= %s %s", number(f.most), f.unit)
	case f.least > 0:
		return fmt.Sprintf(">= %s %s", number(f.least), f.unit)
	case f.ratio > 0:
		return fmt.Sprintf("<= %.2fx", f.ratio)
	}
	return ""
}

func (f *figure) reached(value, base float64) bool {
	switch {
	case f.most > 0:
		return value <= f.most
	case f.least > 0:
		return value >= f.least
	}
	return value <= f.ratio*base
}

// text is the tables and what they were measured with.
func (t *table) text() string {
	text := t.environment()
	for over, lines := range t.lines {
		if len(lines) == 0 {
			continue
		}
		head := append([]string{"row", "server CPU, RSS or latency per unit: median = ratio to " + baseline[over] + " (min..max)"}, t.columns(transport(over))...)
		head = append(head, "goal for "+ours[over])
		text += fmt.Sprintf("\nOver %s:\n\n| %s |\n|%s\n%s\n", transport(over), strings.Join(head, " | "), strings.Repeat("---|", len(head)), strings.Join(lines, "\n"))
	}
	return text
}

// environment says what was measured, and how much others had of the machine.
func (t *table) environment() string {
	load, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		load = []byte("unknown")
	}
	now := machineNow()
	others := "unknown"
	if all := now.all - t.cpu.all; all > 0 {
		others = fmt.Sprintf("%.0f %%", 100*max(0, now.busy-t.cpu.busy-ownTicks())/all)
	}
	return fmt.Sprintf("%s; %s; quic-go %s, mochi-mqtt %s\n\n%d cores, load average %s; CPU time of other processes: %s; %d rounds, %s\n",
		t.versions(), runtime.Version(), dependency("quic-go/quic-go"), dependency("mochi-mqtt/server/v2"),
		runtime.NumCPU(), strings.Join(strings.Fields(string(load))[:3], " "), others, t.o.repeats,
		time.Since(t.began).Round(time.Second))
}

// ownTicks is the CPU time of the generator and the servers that have ended.
func ownTicks() float64 {
	const perSecond = 100 // USER_HZ
	var sum float64
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var u unix.Rusage
		if unix.Getrusage(who, &u) == nil {
			sum += float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9 * perSecond
		}
	}
	return sum
}

// versions of ngmqd and mosquitto as they tell them.
func (t *table) versions() string {
	ours, _ := exec.Command(t.o.ngmqd, "version").Output()
	theirs, _ := exec.Command(t.o.mosquitto, "-h").Output()
	line, _, _ := strings.Cut(string(theirs), "\n")
	if !slices.ContainsFunc(t.o.peers, func(p string) bool { return strings.HasPrefix(p, "mosq") }) {
		line = ""
	}
	parts := append(strings.FieldsFunc(string(ours), func(r rune) bool { return r == '\n' }), line)
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), ", ")
}

func dependency(suffix string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, d := range info.Deps {
		if strings.HasSuffix(d.Path, suffix) {
			return d.Version
		}
	}
	return filepath.Base(suffix) + " unknown"
}
