// Command peers compares ngmqd with other MQTT servers, all measured by one generator:
//
//	QUIC         TLS 1.3     TCP
//	ngmqd        ngmqd-tls   ngmqd-tcp   bin/ngmqd
//	null-quic                            the cheapest broker that quic-go allows (null.go)
//	             mosq-tls    mosq-tcp    Debian's mosquitto
//	mochi-quic   mochi-tls   mochi-tcp   mochi-mqtt v2, behind quic-go and its own listeners
//
// Ratios are to null-quic over QUIC and to mosquitto over TLS and TCP, whose rows are all to
// be reached.
//
// The generator is built on quic-go and on crypto/tls and speaks MQTT 3.1.1 with code of
// its own. Each server is a fresh process in each round; the peers take turns, so that
// what else the machine does hits all of them. What counts is the CPU time, user and
// system, of the server process per unit of work. Every message is counted and wanted in
// order; a lost one ends the row with an error.
//
// Rows and goals have the numbers of the list of benchmarks. Linux only.
package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/ngmq/ngmq/crypto/devcert"
	"github.com/ngmq/ngmq/scripts/internal/process"
)

// A round that takes longer fails: a message that does not come would be waited for.
const (
	roundLimit = time.Minute
	longLimit  = 15 * time.Minute // of rows that are measured only when asked for
)

// asServer in the environment makes this program, or its test, one of the servers.
const asServer = "NGMQ_PEERS_SERVER"

// options say what is measured.
type options struct {
	sizes
	rows      []string // ids, or the numbers alone; empty: all that need not be asked for
	peers     []string
	repeats   int
	ngmqd     string
	mosquitto string
	out       string // file for the table; empty: none
	limit     time.Duration
}

func main() {
	if os.Getenv(asServer) != "" {
		exit(serve(os.Args[2:])) // PROGRAM serve ...
	}
	o, err := parse(os.Args[1:])
	if err == nil {
		err = run(o, os.Stdout)
	}
	exit(err)
}

func exit(err error) {
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func parse(args []string) (options, error) {
	o := options{sizes: fullSize}
	flags := flag.NewFlagSet("peers", flag.ContinueOnError)
	list := flags.String("rows", "", "rows to measure, by number, separated by commas (default all but 5)")
	servers := flags.String("peers", "", "servers, separated by commas (default all)")
	flags.IntVar(&o.repeats, "repeats", 5, "rounds, of which the median counts")
	flags.IntVar(&o.connects, "connects", o.connects, "connections of rows 1 to 3, per round")
	flags.IntVar(&o.idle, "idle", o.idle, "connections of rows 4 and 6")
	flags.IntVar(&o.many, "many", o.many, "connections of row 5")
	flags.StringVar(&o.ngmqd, "ngmqd", "../../bin/ngmqd", "our server")
	flags.StringVar(&o.mosquitto, "mosquitto", "/usr/sbin/mosquitto", "mosquitto")
	flags.StringVar(&o.out, "out", "", "file that gets the table")
	flags.DurationVar(&o.limit, "limit", 30*time.Minute, "longest duration of the whole run")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if o.rows, o.peers = words(*list), words(*servers); len(o.peers) == 0 {
		o.peers = slices.Concat(names(overQUIC), names(overTLS), names(overTCP))
	}
	return o, o.validate()
}

func words(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}

func (o *options) validate() error {
	var errs []error
	for _, id := range o.rows {
		if !slices.ContainsFunc(rows, func(r row) bool { return r.is(id) }) {
			errs = append(errs, fmt.Errorf("-rows %s: there is no such row", id))
		}
	}
	for _, name := range o.peers {
		if !slices.ContainsFunc(peers, func(p peer) bool { return p.name == name }) {
			errs = append(errs, fmt.Errorf("-peers %s: there is no such server", name))
		}
	}
	for name, n := range map[string]int{"repeats": o.repeats, "connects": o.connects, "idle": o.idle, "many": o.many} {
		if n < 1 {
			errs = append(errs, fmt.Errorf("-%s %d: use 1 or more", name, n))
		}
	}
	return errors.Join(errs...)
}

// is tells whether a row has this id or, 9 for 9a and 9b, this number.
func (r *row) is(id string) bool {
	return r.id == id || strings.TrimRight(r.id, "ab") == id ||
		slices.ContainsFunc(r.figures, func(f figure) bool { return f.id != "" && f.id == id })
}

// idOf is the number of a figure.
func (r *row) idOf(f figure) string { return cmp.Or(f.id, r.id) }

func (r *row) excludes(peer string) bool { return slices.Contains(r.not, peer) }

func (r *row) wanted(o *options) bool {
	if len(o.rows) == 0 {
		return !r.asked
	}
	return slices.ContainsFunc(o.rows, r.is)
}

// bench is one run.
type bench struct {
	options
	cert devcert.Cert
	log  io.Writer
}

func run(o options, out io.Writer) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM) // the table has what there is then
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, o.limit)
	defer cancel()
	dir, err := os.MkdirTemp("", "ngmq-peers-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var rounds bytes.Buffer
	b := &bench{options: o, log: io.MultiWriter(out, &rounds)}
	if b.ngmqd, err = filepath.Abs(o.ngmqd); err != nil {
		return err
	}
	if b.cert, err = devcert.Generate(dir); err != nil {
		return err
	}
	t := newTable(&b.options)
	var errs []error
	for i := range rows {
		if r := &rows[i]; r.wanted(&o) && ctx.Err() == nil {
			results, err := b.measure(ctx, r)
			errs = append(errs, err)
			t.add(r, results)
		}
	}
	text := t.text()
	fmt.Fprint(out, "\n", text)
	if o.out != "" {
		text += "\nEvery round:\n\n```\n" + rounds.String() + "```\n"
		errs = append(errs, os.WriteFile(o.out, []byte(text), 0o644))
	}
	return errors.Join(append(errs, ctx.Err())...)
}

// results of a row: by peer and figure, the values of all rounds.
type results map[string][][]float64

// measure runs all rounds of a row, forwards and backwards through the peers. What fails is
// left out of the table and told.
func (b *bench) measure(ctx context.Context, r *row) (results, error) {
	all := results{}
	var errs []error
	order := slices.Clone(b.options.peers)
	for range b.repeats {
		for _, name := range order {
			if r.excludes(name) || ctx.Err() != nil {
				continue
			}
			values, err := b.round(ctx, r, name)
			if err != nil {
				err = fmt.Errorf("row %s, %s: %w", r.id, name, err)
				fmt.Fprintln(b.log, err)
				errs = append(errs, err)
				continue
			}
			all.add(name, values)
		}
		slices.Reverse(order)
	}
	return all, errors.Join(errs...)
}

func (all results) add(name string, values []float64) {
	if all[name] == nil {
		all[name] = make([][]float64, len(values))
	}
	for i, v := range values {
		all[name][i] = append(all[name][i], v)
	}
}

// round is one measurement of one peer. It tells what the row does not: memory before and
// after, and the work of the generator.
func (b *bench) round(ctx context.Context, r *row, name string) ([]float64, error) {
	limit := roundLimit
	if r.asked {
		limit = longLimit
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	p := peers[slices.IndexFunc(peers, func(p peer) bool { return p.name == name })]
	runtime.GC() // what rounds before have left is not collected while one runs
	s, err := b.start(ctx, p)
	if err != nil {
		return nil, err
	}
	defer s.Stop()
	before, ours := usageOf(s.PID()), usageOf(os.Getpid())
	values, err := r.run(b, ctx, s)
	if err == nil && s.Ended() {
		err = process.ErrEnded
	}
	if err != nil {
		return nil, err
	}
	after, oursAfter := usageOf(s.PID()), usageOf(os.Getpid())
	var text strings.Builder
	for i, v := range values {
		fmt.Fprintf(&text, "row %s%s %s %s %s; ", r.idOf(r.figures[i]), r.figures[i].of, name, number(v), r.figures[i].unit)
	}
	fmt.Fprintf(b.log, "%sserver: RSS %.1f -> %.1f MB, CPU %.2f s; generator: CPU %.2f s\n", text.String(),
		before.rss/mb, after.rss/mb, (after.cpu - before.cpu).Seconds(), (oursAfter.cpu - ours.cpu).Seconds())
	return values, nil
}
