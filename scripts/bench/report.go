package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"text/tabwriter"

	"github.com/ngmq/ngmq/crypto"
	"github.com/ngmq/ngmq/ngtcp2"
)

// report prints figures as they come and keeps the lines of the table.
type report struct {
	out   io.Writer
	lines []line
}

// line is a row of the table.
type line struct {
	what, value, peer, ratio, goal string
}

func (r *report) figure(name string, value float64, unit string) {
	fmt.Fprintf(r.out, "%s %s %s\n", name, number(value), unit)
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

func (r *report) row(l line) { r.lines = append(r.lines, l) }

// environment says what is measured and how busy the machine is.
func (r *report) environment() {
	load, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		load = []byte("unknown")
	}
	fmt.Fprintf(r.out, "# ngtcp2 %s, OpenSSL %s, %s, %d cores, load %s\n", ngtcp2.Version(), crypto.OpenSSLVersion(),
		runtime.Version(), runtime.NumCPU(), strings.TrimSpace(string(load)))
}

func (r *report) table() {
	fmt.Fprintln(r.out)
	w := tabwriter.NewWriter(r.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "server cost\tngmq\tbare C stack\tratio\tgoal")
	for _, l := range r.lines {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", l.what, l.value, or(l.peer), or(l.ratio), or(l.goal))
	}
	w.Flush()
}

func or(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
