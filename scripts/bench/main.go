// Command bench measures what ngmq costs: server CPU per handshake, per message and
// per delivery, and memory per idle connection, over QUIC on the loopback interface.
//
//	cbench, in-memory Cores   handshake        one thread, no sockets: the binding and the event loop
//	cbench, two endpoints     bulk             one connection over loopback sockets
//	generator -> ngmqd        connect          the whole server process
//	                          reconnect        full, resumed, 0-RTT; and over TCP with TLS 1.3
//	                          1->1, 1->1,000   every message is counted and in order
//	                          idle             RSS, Go heap, C heap; all answer PINGREQ at the end
//
// The server is bin/ngmqd in a process of its own; the heap is that of package server
// in a child process of this program (see serve). The generator holds many connections
// on a few sockets, with one goroutine pair per socket and none per connection.
//
// Each figure is printed as "name value unit" when it is there, a table at the end.
// CPU is user plus system time. On a shared machine compare only what was measured in
// the same run: rounds alternate between the peers, and medians are given.
//
// Linux only.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"
)

// options say what is measured and how long.
type options struct {
	ngmqd, cbench string
	only          []string      // rows to measure; empty: all
	rounds        int           // of every interleaved measurement
	perRound      int           // handshakes
	duration      time.Duration // of every round of messages
	subscribers   int           // of the fan-out
	connections   int           // idle
	sockets       int           // of the generator
	megabytes     int           // MiB of a bulk transfer
	limit         time.Duration // of the whole run
}

// Sizes of a run, by default and with -quick.
var (
	full  = options{rounds: 7, perRound: 200, duration: 2 * time.Second, subscribers: 1000, connections: 2000, sockets: 16, megabytes: 1024, limit: 170 * time.Second}
	quick = options{rounds: 5, perRound: 60, duration: 500 * time.Millisecond, subscribers: 1000, connections: 500, sockets: 16, megabytes: 256, limit: 40 * time.Second}
)

// row is one measurement.
type row struct {
	name string
	run  func(*bench, context.Context) error
}

// rows are all of them, in order.
var rows = []row{
	{"handshake", (*bench).handshakes},
	{"connect", (*bench).connects},
	{"reconnect", (*bench).reconnects},
	{"bulk", (*bench).bulks},
	{"relay", (*bench).relays},
	{"fanout", (*bench).fanouts},
	{"idle", (*bench).idles},
}

func main() {
	if os.Getenv(asServer) != "" {
		os.Exit(serve(os.Stdin, os.Stdout, os.Stderr))
	}
	o, err := parse(os.Args[1:])
	if err == nil {
		err = run(o, os.Stdout)
	}
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func parse(args []string) (options, error) {
	o := full
	if slices.Contains(args, "-quick") || slices.Contains(args, "--quick") {
		o = quick
	}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	only := flags.String("only", "", "rows to measure, separated by commas: handshake, connect, reconnect, bulk, relay, fanout, idle (default all)")
	flags.Bool("quick", false, "smaller numbers: less than 40 s in all")
	flags.StringVar(&o.ngmqd, "ngmqd", "../../bin/ngmqd", "the server")
	flags.StringVar(&o.cbench, "cbench", "../../bin/cbench", "the bare C stack (cbench/run.sh builds it)")
	flags.IntVar(&o.rounds, "rounds", o.rounds, "repetitions, of which the median counts")
	flags.IntVar(&o.perRound, "handshakes", o.perRound, "handshakes per round")
	flags.DurationVar(&o.duration, "duration", o.duration, "length of a round of messages")
	flags.IntVar(&o.subscribers, "subscribers", o.subscribers, "receivers of the fan-out")
	flags.IntVar(&o.connections, "connections", o.connections, "idle connections")
	flags.IntVar(&o.sockets, "sockets", o.sockets, "sockets of the generator; its connections share them evenly")
	flags.IntVar(&o.megabytes, "megabytes", o.megabytes, "MiB of a bulk transfer")
	flags.DurationVar(&o.limit, "limit", o.limit, "longest duration of the whole run; a hanging measurement fails then")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if *only != "" {
		o.only = strings.Split(*only, ",")
	}
	return o, o.validate()
}

func (o *options) validate() error {
	var errs []error
	for _, name := range o.only {
		if !slices.ContainsFunc(rows, func(r row) bool { return r.name == name }) {
			errs = append(errs, fmt.Errorf("-only %s: there is no such row", name))
		}
	}
	for name, n := range map[string]int{"rounds": o.rounds, "handshakes": o.perRound,
		"subscribers": o.subscribers, "connections": o.connections, "sockets": o.sockets, "megabytes": o.megabytes} {
		if n < 1 {
			errs = append(errs, fmt.Errorf("-%s %d: use 1 or more", name, n))
		}
	}
	return errors.Join(errs...)
}

// bench is one run.
type bench struct {
	options
	report report
}

func run(o options, out io.Writer) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, o.limit)
	defer cancel()
	b := &bench{options: o, report: report{out: out}}
	b.report.environment()
	var errs []error
	for _, row := range rows {
		if len(o.only) > 0 && !slices.Contains(o.only, row.name) {
			continue
		}
		if err := row.run(b, ctx); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", row.name, err))
		}
	}
	b.report.table()
	return errors.Join(errs...)
}
