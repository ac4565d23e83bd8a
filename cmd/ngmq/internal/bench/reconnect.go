package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// firstPause and longestPause are between the attempts of a client to connect again: the
	// pause doubles each time, and is cut by up to half at random.
	firstPause   = 100 * time.Millisecond
	longestPause = 5 * time.Second
)

// reconnector connects clients again that have lost their connection, maxDialing at a time and at
// the rate of the beginning. Methods may be called by any goroutine.
type reconnector struct {
	run     *Run
	waiting chan *benchClient // each client is in there once at most
	done    atomic.Int64      // connections that have come about
	workers sync.WaitGroup

	mu   sync.Mutex
	next time.Time // with Config.ConnectRate: when the next attempt may begin
}

func newReconnector(r *Run) *reconnector {
	return &reconnector{run: r, waiting: make(chan *benchClient, r.cfg.Clients)}
}

// start begins; ctx ends it, and then wait returns.
func (q *reconnector) start(ctx context.Context) {
	for range min(maxDialing, q.run.cfg.Clients) {
		q.workers.Go(func() {
			for {
				select {
				case c := <-q.waiting:
					q.connect(ctx, c)
				case <-ctx.Done():
					return
				}
			}
		})
	}
}

func (q *reconnector) wait() { q.workers.Wait() }

// add has a client connected again. There is room for all.
func (q *reconnector) add(c *benchClient) { q.waiting <- c }

// connect tries once. A client that fails goes behind the others.
func (q *reconnector) connect(ctx context.Context, c *benchClient) {
	if !sleep(ctx, c.pause()) || !sleep(ctx, q.turn()) {
		return
	}
	switch err := c.connect(ctx); {
	case err == nil:
		q.done.Add(1)
	case ctx.Err() == nil:
		q.run.errors.add(fmt.Errorf("reconnect: %w", err))
		q.add(c)
	}
}

// pause is how long to wait before the next attempt. A connection that has lasted ends the
// growing of the pauses.
func (c *benchClient) pause() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.since.IsZero() && time.Since(c.since) > longestPause {
		c.tries = 0
	}
	c.since = time.Time{}
	pause := min(firstPause<<min(c.tries, 10), longestPause)
	c.tries++
	return pause/2 + rand.N(pause/2)
}

// turn is how long to wait for the rate's sake.
func (q *reconnector) turn() time.Duration {
	if q.run.cfg.ConnectRate == 0 {
		return 0
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	if q.next.Before(now) {
		q.next = now
	}
	wait := q.next.Sub(now)
	q.next = q.next.Add(time.Duration(float64(time.Second) / q.run.cfg.ConnectRate))
	return wait
}

// sleep reports whether ctx still goes on after d.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
