package main

import (
	"context"
	"fmt"
	"io"
	"time"
)

// trafficTime is how long messages flow, after all had arrived, until the server ends.
const trafficTime = time.Second

// restart ends the server under load and starts it again: its sessions are gone. Before that
// all that has been published arrives, so that no more may be missing than what follows then.
func (f *fleet) restart(ctx context.Context, w io.Writer) error {
	f.held.Store(true)
	unacknowledged, missing := f.settle(ctx)
	if unacknowledged+missing > 0 {
		f.oracle.violation(fmt.Sprintf("before the server was restarted %d messages were not acknowledged and %d deliveries missing", unacknowledged, missing))
		f.judge()
	}
	for _, c := range f.clients {
		c.mu.Lock()
		for qos := range c.lanes {
			c.lanes[qos].safe = c.lanes[qos].last
		}
		c.mu.Unlock()
	}
	f.held.Store(false)
	select {
	case <-time.After(min(trafficTime, f.cfg.every)):
	case <-ctx.Done():
	}
	crash := f.kills.Load()%2 == 0
	f.kills.Add(1)
	begun := time.Now()
	err := f.server.restart(context.WithoutCancel(ctx), crash)
	f.starts.Add(1)
	fmt.Fprintf(w, "%6.0fs  the server was restarted, crash %t, in %.1fs\n", time.Since(f.began).Seconds(), crash, time.Since(begun).Seconds())
	return err
}

// unsettled is how many clients have no session with the server that there is.
func (f *fleet) unsettled() (n int) {
	kills := f.kills.Load()
	for _, c := range f.clients {
		if c.settledIn.Load() != kills {
			n++
		}
	}
	return n
}

// down reports whether the server is being restarted, or has been since its starts were counted.
func (f *fleet) down(starts uint32) bool { return f.kills.Load() != starts }
