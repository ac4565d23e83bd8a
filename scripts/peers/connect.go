package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ngmq/ngmq/scripts/internal/generator"
)

// warmConnects are made before the ones that count.
const warmConnects = 10

// full is row 1.
func (b *bench) full(ctx context.Context, s *server) ([]float64, error) {
	return b.handshakes(ctx, s, tls.X25519)
}

// hybrid is row 2.
func (b *bench) hybrid(ctx context.Context, s *server) ([]float64, error) {
	return b.handshakes(ctx, s, tls.X25519MLKEM768)
}

func (b *bench) handshakes(ctx context.Context, s *server, group tls.CurveID) ([]float64, error) {
	f, err := newFleet(s, func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{group} })
	if err != nil {
		return nil, err
	}
	defer f.close()
	return b.connects(ctx, f, func(state tls.ConnectionState) error {
		if s.transport != overTCP && (state.DidResume || state.CurveID != group) {
			return fmt.Errorf("the handshake used %s, resumed: %t", state.CurveID, state.DidResume)
		}
		return nil
	})
}

// connects is what a connection costs until CONNACK, in ms. Its end is not in it.
func (b *bench) connects(ctx context.Context, f *fleet, check func(tls.ConnectionState) error) ([]float64, error) {
	if _, err := f.connect(ctx, min(warmConnects, b.sizes.connects)); err != nil {
		return nil, err
	}
	n := b.sizes.connects
	cpu, err := cpuOf(f.server, func() error {
		clients, err := f.connect(ctx, n)
		for _, c := range clients {
			if err == nil && f.server.transport != overTCP {
				err = check(c.link.state())
			}
		}
		return err
	})
	return []float64{generator.Micros(cpu) / 1000 / float64(n)}, err
}

// resumed is row 3: every connection has a ticket of its own.
func (b *bench) resumed(ctx context.Context, s *server) ([]float64, error) {
	tickets := &tickets{came: make(chan struct{}, 1)}
	f, err := newFleet(s, func(c *tls.Config) { c.ClientSessionCache = tickets })
	if err != nil {
		return nil, err
	}
	defer f.close()
	n := b.sizes.connects + min(warmConnects, b.sizes.connects)
	if _, err := f.connect(ctx, n); err != nil {
		return nil, err
	}
	if err := tickets.wait(ctx, n); err != nil {
		return nil, err
	}
	f.hangUp()
	tickets.use()
	return b.connects(ctx, f, func(state tls.ConnectionState) error {
		if !state.DidResume {
			return fmt.Errorf("a session was not resumed")
		}
		return nil
	})
}

// tickets implements tls.ClientSessionCache: it collects tickets, then gives each away once.
type tickets struct {
	came chan struct{}

	mu    sync.Mutex
	kept  []*tls.ClientSessionState
	given bool
}

func (t *tickets) Put(_ string, s *tls.ClientSessionState) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s == nil || t.given {
		return
	}
	t.kept = append(t.kept, s)
	select {
	case t.came <- struct{}{}:
	default:
	}
}

func (t *tickets) Get(string) (*tls.ClientSessionState, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.given || len(t.kept) == 0 {
		return nil, false
	}
	last := t.kept[len(t.kept)-1]
	t.kept = t.kept[:len(t.kept)-1]
	return last, true
}

// use ends collecting.
func (t *tickets) use() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.given = true
}

func (t *tickets) wait(ctx context.Context, n int) error {
	for {
		t.mu.Lock()
		have := len(t.kept)
		t.mu.Unlock()
		if have >= n {
			return nil
		}
		select {
		case <-t.came:
		case <-ctx.Done():
			return fmt.Errorf("%d tickets came of %d: %w", have, n, ctx.Err())
		}
	}
}

// sweeps are how often row 6 asks everyone.
const sweeps = 3

// idle is rows 4 and 6.
func (b *bench) idle(ctx context.Context, s *server) ([]float64, error) {
	f, err := newFleet(s, nil)
	if err != nil {
		return nil, err
	}
	defer f.close()
	before, err := generator.ResidentBytes(s.PID())
	if err != nil {
		return nil, err
	}
	clients, after, err := b.connected(ctx, f, b.sizes.idle)
	if err != nil {
		return nil, err
	}
	ping, err := pingCPU(ctx, s, slices.Repeat(clients, sweeps))
	return []float64{(after - before) / 1024 / float64(len(clients)), ping}, err
}

// connected makes n connections and gives the server's RSS with them, in bytes.
func (b *bench) connected(ctx context.Context, f *fleet, n int) ([]*client, float64, error) {
	clients, err := f.connect(ctx, n)
	if err != nil {
		return nil, 0, err
	}
	time.Sleep(b.quiet)
	rss, err := generator.ResidentBytes(f.server.PID())
	return clients, rss, err
}

// pingCPU is what a PINGREQ costs the server, in us; every client is to answer.
func pingCPU(ctx context.Context, s *server, clients []*client) (float64, error) {
	cpu, err := cpuOf(s, func() error {
		return generator.Each(len(clients), atOnce, func(i int) error { return clients[i].ping(ctx) })
	})
	return generator.Micros(cpu) / float64(len(clients)), err
}
