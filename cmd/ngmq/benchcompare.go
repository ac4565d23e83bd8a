package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/ngmq/ngmq/cmd/ngmq/internal/bench"
	"github.com/ngmq/ngmq/cmd/ngmq/internal/hist"
)

// benchCompare measures round trips over several servers or transports in turns.
type benchCompare struct {
	Servers []string `arg:"" name:"url" help:"Two or more URLs, e.g. quic://localhost mqtts://localhost. With --streams a QUIC server is measured with one stream and with several."`
	Rounds  int      `default:"1" placeholder:"N" group:"Load" help:"Measure each N times, in turns. (${default})"`

	messageFlags
	publishFlags
	benchFlags
}

// column is a server with a number of streams, and what came out.
type column struct {
	title   string
	cfg     bench.Config
	reports []*bench.Report
}

// Run measures and prints a table.
func (b *benchCompare) Run(c *console) error {
	columns, err := b.columns(c)
	if err != nil {
		return err
	}
	for range b.Rounds {
		if columns, err = b.round(c, columns); err != nil {
			return err
		}
	}
	return b.output(c, func(w io.Writer) error { return b.write(w, columns) })
}

// round measures each column once. A server that takes no data streams loses that column.
func (b *benchCompare) round(c *console, columns []*column) (kept []*column, err error) {
	for _, col := range columns {
		report, err := b.measure(c, col.cfg, col.title)
		var refused *bench.StreamError
		switch {
		case errors.As(err, &refused):
			c.warnf("%s: left out: %v", col.title, err)
			continue
		case err != nil:
			return nil, fmt.Errorf("%s: %w", col.title, err)
		case c.Err() != nil:
			return nil, errInterrupted
		}
		col.reports = append(col.reports, report)
		kept = append(kept, col)
	}
	if len(kept) == 0 {
		return nil, errors.New("nothing is left to compare")
	}
	return kept, nil
}

func (b *benchCompare) columns(c *console) ([]*column, error) {
	var wrong problems
	wrong.check(len(b.Servers) < 2 && b.Streams < 2 && !b.Datagrams, "give two URLs or more, or --streams or --datagrams")
	wrong.check(b.URL != "" || b.Unix != "" || b.Port != 0, "the servers stand without --url, --unix and -p")
	wrong.check(b.namesCertificates() && !slices.ContainsFunc(b.Servers, func(s string) bool { return !plaintext(s) }), forTLS)
	wrong.check(b.Proxy != "" && slices.ContainsFunc(b.Servers, quicURL), overProxy)
	wrong.check(b.Rounds < 1, "--rounds must be 1 or more")
	if err := errors.Join(append(wrong, b.validate(c))...); err != nil {
		return nil, err
	}
	var columns []*column
	for _, address := range b.Servers {
		cfg, err := b.config(c, address)
		if err != nil {
			return nil, err
		}
		cfg.Kind = bench.RoundTrip
		b.messageFlags.apply(&cfg)
		b.publishFlags.apply(&cfg)
		roundTripDefaults(&cfg)
		streams, datagrams := cfg.Streams, cfg
		cfg.Datagrams = false
		one := cfg
		one.Streams, datagrams.Streams = 1, 1
		columns = append(columns, &column{title: redactedURL(address), cfg: one})
		if cfg.Server.QUIC() && streams > 1 {
			columns = append(columns, &column{title: fmt.Sprintf("%s, %d streams", redactedURL(address), streams), cfg: cfg})
		}
		if cfg.Server.QUIC() && datagrams.Datagrams {
			columns = append(columns, &column{title: redactedURL(address) + ", datagrams", cfg: datagrams})
		}
	}
	// With the same topics for everybody, the same number of messages is under way.
	for _, col := range columns {
		if b.Streams > 1 {
			col.cfg.Topics = b.Streams
		}
	}
	return columns, nil
}

// row of the table.
type row struct {
	name string
	of   func(*column) string
}

func (b *benchCompare) write(w io.Writer, columns []*column) error {
	var all []*bench.Report
	for _, col := range columns {
		all = append(all, col.reports...)
	}
	switch b.Format {
	case "json":
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(all)
	case "csv":
		return writeCSV(w, all)
	}
	first := *all[0]
	first.Transport, first.Streams = "each", 1
	fmt.Fprintf(w, "round trips %s", loadText(&first))
	if b.Streams > 1 {
		fmt.Fprintf(w, ", %d topics each", b.Streams)
	}
	fmt.Fprint(w, "\n\n")
	if err := writeTable(w, columns); err != nil {
		return err
	}
	for _, r := range all {
		if note := lossNote(r); note != "" {
			_, err := fmt.Fprint(w, "\n", note)
			return err
		}
	}
	return nil
}

func writeTable(w io.Writer, columns []*column) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	rows := []row{{"", func(c *column) string { return c.title }}}
	rows = append(rows, timeRows("connect", func(r *bench.Report) bench.Times { return r.Connect }, 0.5, 0.99)...)
	rows = append(rows, timeRows("latency", func(r *bench.Report) bench.Times { return r.Latency }, 0, 0.5, 0.9, 0.99, 0.999, 1)...)
	rows = append(rows,
		row{"received/s", func(c *column) string { return sum(c, func(r *bench.Report) float64 { return r.ReceivedRate }, true) }},
		row{"messages", func(c *column) string {
			return sum(c, func(r *bench.Report) float64 { return float64(r.Received) }, false)
		}},
		row{"lost, failed", func(c *column) string {
			return sum(c, func(r *bench.Report) float64 { return float64(r.Lost + r.Failed) }, false)
		}})
	for _, r := range rows {
		cells := []string{r.name}
		for _, col := range columns {
			cells = append(cells, r.of(col))
		}
		fmt.Fprintln(t, strings.Join(cells, "\t"))
	}
	return t.Flush()
}

// timeRows have a percentile each, over all rounds.
func timeRows(name string, of func(*bench.Report) bench.Times, quantiles ...float64) []row {
	var rows []row
	for _, q := range quantiles {
		label := fmt.Sprintf("p%g", q*100)
		switch q {
		case 0:
			label = "min"
		case 1:
			label = "max"
		}
		rows = append(rows, row{name + " " + label, func(c *column) string {
			all := new(hist.Snapshot)
			for _, r := range c.reports {
				all.Add(of(r).Histogram)
			}
			if all.Count() == 0 {
				return "-"
			}
			return milliseconds(all.Quantile(q))
		}})
	}
	return rows
}

// sum, or mean, over the rounds.
func sum(c *column, of func(*bench.Report) float64, mean bool) string {
	total := 0.0
	for _, r := range c.reports {
		total += of(r)
	}
	if mean {
		total /= float64(len(c.reports))
	}
	return fmt.Sprintf("%.0f", total)
}
