package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// Mistakes that can be injected, so that it is seen that the oracle finds them.
const (
	injectDrop      = "drop"
	injectDuplicate = "duplicate"
)

const (
	progressEvery = 10 * time.Second
	sampleEvery   = time.Second // of the server's RSS
	// settleTime is how long nothing may come before the rest is taken for lost.
	settleTime = 30 * time.Second
	settlePoll = 100 * time.Millisecond
)

// config is what the flags say.
type config struct {
	ngmqd    string
	clients  int
	duration time.Duration // under load
	rate     float64       // messages a second that all clients publish
	every    time.Duration // between the changes of one client's connection
	loss     float64       // of datagrams, in each direction, of half of the clients over QUIC
	seed     uint64        // of the schedules
	restarts int           // of the server
	inject   string
	settle   time.Duration
}

// away is the longest time that a client is without a connection.
func (c *config) away() time.Duration { return min(awayTime, c.every) }

func main() {
	cfg := config{settle: settleTime}
	flag.StringVar(&cfg.ngmqd, "ngmqd", "../../bin/ngmqd", "the server")
	flag.IntVar(&cfg.clients, "clients", 2000, "number of clients")
	flag.DurationVar(&cfg.duration, "duration", 10*time.Minute, "time under load")
	flag.Float64Var(&cfg.rate, "rate", 1500, "messages that are published a second")
	flag.DurationVar(&cfg.every, "every", 30*time.Second, "mean time between changes of a client's connection")
	flag.Float64Var(&cfg.loss, "loss", 0.02, "probability that a datagram of the bad networks is lost, in each direction")
	flag.IntVar(&cfg.restarts, "restarts", 2, "how often the server is restarted, in the first half of the time: the first time it crashes")
	flag.Uint64Var(&cfg.seed, "seed", 1, "the schedules of what clients choose to do follow from it")
	flag.StringVar(&cfg.inject, "inject", "", "a mistake, to see that it is found: drop or duplicate")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ok, err := soak(ctx, cfg, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
	}
	if err != nil || !ok {
		os.Exit(1)
	}
}

// soak runs it all, and reports whether nothing was wrong.
func soak(ctx context.Context, cfg config, w io.Writer) (ok bool, err error) {
	if cfg.inject != "" && cfg.inject != injectDrop && cfg.inject != injectDuplicate {
		return false, fmt.Errorf("inject %q: %s or %s", cfg.inject, injectDrop, injectDuplicate)
	}
	s, err := startServer(ctx, cfg.ngmqd)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, s.end()) }()
	start, err := s.counters()
	if err != nil {
		return false, err
	}
	f, err := newFleet(cfg, s)
	if err != nil {
		return false, err
	}
	closed := false
	defer func() {
		if !closed {
			f.close()
		}
	}()
	if err := f.connect(ctx); err != nil {
		return false, err
	}
	if err := f.load(ctx, w); err != nil {
		return false, err
	}
	f.drain(ctx, w)
	f.judge()
	if err := f.goodbye(ctx); err != nil {
		return false, err
	}
	f.close()
	closed = true
	end, exceeded, err := emptied(s, bounds(start, cfg.clients))
	if err != nil {
		return false, err
	}
	if exceeded != "" {
		f.oracle.violation("the server has not let go: " + exceeded)
	}
	for _, fault := range s.log.faultLines() {
		f.oracle.violation("the server's log: " + fault)
	}
	f.table(w, start, end)
	return f.verdict(w), nil
}

// load runs the schedules for their time, and prints how it goes.
func (f *fleet) load(ctx context.Context, w io.Writer) error {
	loading, cancel := context.WithTimeout(ctx, f.cfg.duration)
	defer cancel()
	f.start(loading)
	progress, sample := time.NewTicker(progressEvery), time.NewTicker(sampleEvery)
	defer progress.Stop()
	defer sample.Stop()
	restart := time.NewTimer(f.lifetime())
	defer restart.Stop()
	var rss []float64 // of one process of the server
	for {
		select {
		case <-restart.C:
			if int(f.kills.Load()) == f.cfg.restarts {
				continue
			}
			if err := f.restart(ctx, w); err != nil {
				return err
			}
			restart.Reset(f.lifetime())
			rss = nil
		case <-progress.C:
			now, err := f.server.counters()
			if err != nil {
				return err
			}
			f.line(w, now)
		case <-sample.C:
			now := make(map[string]float64)
			if err := f.server.addProcess(now); err != nil {
				return err
			}
			rss = append(rss, now["rss"])
		case <-f.server.Exited:
			return f.server.gone()
		case <-loading.Done():
			if what := grown(rss); what != "" && f.cfg.duration >= time.Minute {
				f.oracle.violation(what)
			}
			return nil
		}
	}
}

// lifetime is that of a process of the server: all but the last one together have half of the
// time.
func (f *fleet) lifetime() time.Duration {
	return f.cfg.duration / time.Duration(2*max(1, f.cfg.restarts))
}

// drain waits until everything has arrived, or nothing more comes, and ends the schedules.
func (f *fleet) drain(ctx context.Context, w io.Writer) {
	begun := time.Now()
	f.held.Store(true)
	unacknowledged, missing := f.settle(ctx)
	fmt.Fprintf(w, "drained in %.1fs: %d messages are not acknowledged, %d deliveries are missing\n", time.Since(begun).Seconds(), unacknowledged, missing)
	close(f.finish)
	f.running.Wait()
}

// settle waits until all clients have their sessions and everything has arrived, or nothing more
// comes.
func (f *fleet) settle(ctx context.Context) (unacknowledged, missing int) {
	for last, moved := -1, time.Now(); ; time.Sleep(settlePoll) {
		unacknowledged, missing = f.unfinished()
		switch now := unacknowledged + missing + f.unsettled(); {
		case now == 0, ctx.Err() != nil, now == last && time.Since(moved) > f.cfg.settle:
			return unacknowledged, missing
		case now != last:
			last, moved = now, time.Now()
		}
	}
}
