package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/ngmq/ngmq/cmd/ngmq/internal/bench"
	"github.com/ngmq/ngmq/cmd/ngmq/internal/hist"
)

// showProgress prints the state of a run until stop is called: on a terminal over and
// over in one line, else a line each time.
func showProgress(c *console, r *bench.Run, every time.Duration, title string, cfg bench.Config) (stop func()) {
	if every <= 0 {
		return func() {}
	}
	done, ended := make(chan struct{}), make(chan struct{})
	terminal := isTerminal(c.stderr)
	go func() {
		defer close(ended)
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		last := r.Progress()
		for {
			select {
			case <-ticker.C:
			case <-done:
				if terminal {
					fmt.Fprint(c.stderr, "\r\x1b[K")
				}
				return
			}
			now := r.Progress()
			line := progressLine(title, cfg, last, now, every)
			if last = now; terminal {
				fmt.Fprint(c.stderr, "\r"+line+"\x1b[K")
			} else {
				fmt.Fprintln(c.stderr, line)
			}
		}
	}()
	return func() { close(done); <-ended }
}

// progressLine is e.g. "rtt: 10/10 connected, 3s of 10s, 1000/s out, 1000/s in, p50 0.21 ms, p99 0.80 ms".
func progressLine(title string, cfg bench.Config, last, now bench.Progress, every time.Duration) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d/%d connected", title, now.Live, cfg.Clients)
	if now.Failed > 0 {
		fmt.Fprintf(&b, ", %d failed", now.Failed)
	}
	if now.Lost > 0 {
		b.WriteString(", " + lossText(now.Lost, now.Reconnected))
	}
	if now.Measured > 0 {
		fmt.Fprintf(&b, ", %s", now.Measured.Round(time.Second))
		if cfg.Duration > 0 {
			fmt.Fprintf(&b, " of %s", cfg.Duration)
		}
	}
	rate := func(from, to uint64) float64 { return float64(to-from) / every.Seconds() }
	if now.Sent > 0 {
		fmt.Fprintf(&b, ", %.0f/s out", rate(last.Sent, now.Sent))
	}
	if now.Received > 0 {
		fmt.Fprintf(&b, ", %.0f/s in", rate(last.Received, now.Received))
	}
	if now.P50 > 0 {
		fmt.Fprintf(&b, ", p50 %s, p99 %s", milliseconds(now.P50), milliseconds(now.P99))
	}
	return b.String()
}

// isTerminal says whether w is one.
func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func writeReport(w io.Writer, r *bench.Report, format string, histogram bool) error {
	switch format {
	case "json":
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(r)
	case "csv":
		return writeCSV(w, []*bench.Report{r})
	}
	_, err := io.WriteString(w, reportText(r, histogram))
	return err
}

// reportText is the result for people.
func reportText(r *bench.Report, histogram bool) string {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-13s %s\n", name, fmt.Sprintf(format, args...))
	}
	line(string(r.Kind), "%s", loadText(r))
	line("connected", "%d of %d in %.2f s, %.0f/s", r.Connected, r.Clients, r.SetupTime, r.ConnectRate)
	times := func(name string, t bench.Times) {
		if t.Count == 0 {
			return
		}
		line(name, "min %.2f  mean %.2f  p50 %.2f  p90 %.2f  p99 %.2f  p99.9 %.2f  max %.2f ms", t.Min, t.Mean, t.P50, t.P90, t.P99, t.P999, t.Max)
		if histogram {
			writeHistogram(&b, t.Histogram)
		}
	}
	times("handshake", r.Handshake)
	times("connect", r.Connect)
	if r.Sent > 0 {
		line("published", "%d in %.2f s, %.1f/s", r.Sent, r.Seconds, r.SentRate)
	}
	if r.Received > 0 {
		line("received", "%d in %.2f s, %.1f/s", r.Received, r.Seconds, r.ReceivedRate)
	}
	if r.DatagramsReceived+r.DatagramsLost > 0 {
		line("datagrams", "%d received, %d sent and lost", r.DatagramsReceived, r.DatagramsLost)
	}
	times("acknowledged", r.Ack)
	times("latency", r.Latency)
	if r.RSS > 0 {
		line("memory", "%.1f MB in this process, %.1f MB more than before: %.1f kB per client", float64(r.RSS)/1e6, float64(r.Grown)/1e6, float64(r.Grown)/1e3/float64(max(r.Clients, 1)))
	}
	if r.Failed+r.Lost > 0 {
		line("trouble", "%s could not connect, %s", clientCount(r.Failed), lossText(r.Lost, r.Reconnected))
	}
	for _, text := range slices.Sorted(maps.Keys(r.Errors)) {
		line("error", "%d x %s", r.Errors[text], text)
	}
	b.WriteString(lossNote(r))
	return b.String()
}

// clientCount is a number of clients in words.
func clientCount(n int64) string {
	if n == 1 {
		return "1 client"
	}
	return fmt.Sprintf("%d clients", n)
}

// lossText is e.g. "3 connections lost, 3 reconnected".
func lossText(lost, reconnected int64) string {
	if lost == 1 {
		return fmt.Sprintf("1 connection lost, %d reconnected", reconnected)
	}
	return fmt.Sprintf("%d connections lost, %d reconnected", lost, reconnected)
}

func loadText(r *bench.Report) string {
	text := fmt.Sprintf("over %s, %s", r.Transport, clientCount(int64(r.Clients)))
	if r.Kind != bench.Conn {
		if r.Streams > 1 {
			text += fmt.Sprintf(", %d streams each", r.Streams)
		}
		text += fmt.Sprintf(", QoS %d", r.QoS)
	}
	if r.Kind == bench.Pub || r.Kind == bench.RoundTrip {
		text += fmt.Sprintf(", %d bytes", r.Size)
		if r.Rate > 0 {
			text += fmt.Sprintf(", %g/s each", r.Rate)
		}
	}
	if r.Netem != "" {
		text += ", " + r.Netem
	}
	return text
}

// lossNote keeps nobody from knowing that loss of TCP is a model.
func lossNote(r *bench.Report) string {
	if r.Transport == "quic" || !strings.Contains(r.Netem, "loss") {
		return ""
	}
	return "note          loss over " + r.Transport + " is a model of its retransmissions, see ngmq help bench\n"
}

const barWidth = 50 // characters of the longest bar of a histogram

func writeHistogram(w io.Writer, s *hist.Snapshot) {
	most := uint64(1)
	for _, n := range s.Powers() {
		most = max(most, n)
	}
	for limit, n := range s.Powers() {
		bar := strings.Repeat("#", int((n*barWidth+most-1)/most))
		fmt.Fprintf(w, "  <= %10s  %9d  %s\n", milliseconds(limit), n, bar)
	}
}

var csvHead = []string{"kind", "transport", "clients", "streams", "size", "qos", "rate", "netem", "connected", "failed", "lost", "reconnected",
	"setup_s", "measured_s", "sent", "acked", "received", "sent_per_s", "received_per_s",
	"handshake_p50_ms", "handshake_p99_ms", "connect_p50_ms", "connect_p99_ms", "ack_p50_ms", "ack_p99_ms",
	"latency_min_ms", "latency_mean_ms", "latency_p50_ms", "latency_p90_ms", "latency_p99_ms", "latency_p999_ms", "latency_max_ms", "rss_bytes"}

func writeCSV(w io.Writer, reports []*bench.Report) error {
	out := csv.NewWriter(w)
	rows := [][]string{csvHead}
	for _, r := range reports {
		var row []string
		for _, v := range []any{r.Kind, r.Transport, r.Clients, r.Streams, r.Size, r.QoS, r.Rate, r.Netem, r.Connected, r.Failed, r.Lost, r.Reconnected,
			r.SetupTime, r.Seconds, r.Sent, r.Acked, r.Received, r.SentRate, r.ReceivedRate,
			r.Handshake.P50, r.Handshake.P99, r.Connect.P50, r.Connect.P99, r.Ack.P50, r.Ack.P99,
			r.Latency.Min, r.Latency.Mean, r.Latency.P50, r.Latency.P90, r.Latency.P99, r.Latency.P999, r.Latency.Max, r.RSS} {
			row = append(row, fmt.Sprint(v))
		}
		rows = append(rows, row)
	}
	return out.WriteAll(rows)
}
