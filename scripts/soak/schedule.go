package main

import (
	"context"
	"errors"
	"time"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
	"github.com/ngmq/ngmq/scripts/internal/generator"
)

const (
	maxBurst   = 3        // messages at a time
	smallSize  = 200      // bytes, of most payloads
	largeSize  = 40 << 10 // bytes, of few
	largeShare = 0.003
	retryTime  = 200 * time.Millisecond // after a failed attempt to connect
	awayTime   = 2 * time.Second        // longest time without a connection
	moveTime   = 20 * time.Second       // for a migration
	patience   = 5                      // attempts to connect that may fail one after the other
)

// act is what a client does besides publishing; the numbers are how often, relatively.
var acts = []struct {
	weight int
	do     func(c *client, ctx context.Context)
}{
	{3, (*client).resume}, {3, (*client).takeOver}, {3, (*client).migrate}, {2, (*client).dropStream}, {2, (*client).rehome}, {1, (*client).ping},
}

// run follows the schedule until ctx ends, then stays connected until the fleet finishes.
func (c *client) run(ctx context.Context) {
	mean := time.Duration(float64(time.Second) * float64(len(c.f.clients)) * (maxBurst + 1) / 2 / c.f.cfg.rate)
	pause := time.NewTimer(0)
	defer pause.Stop()
	for loading := ctx.Done(); ; {
		pause.Reset(time.Duration(c.rnd.ExpFloat64() * float64(mean)))
		due := pause.C
		if loading == nil {
			due = nil
		}
		select {
		case <-due:
			c.step(ctx, mean)
		case <-c.lost():
			c.again(context.WithoutCancel(ctx), c.home)
		case <-loading:
			loading = nil
		case <-c.f.finish:
			return
		}
	}
}

// lost is closed when the connection is.
func (c *client) lost() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.conn.closed
}

// step publishes, or now and then does something else.
func (c *client) step(ctx context.Context, mean time.Duration) {
	if c.rnd.Float64() < min(0.5, mean.Seconds()/c.f.cfg.every.Seconds()) {
		total := 0
		for _, a := range acts {
			total += a.weight
		}
		at := c.rnd.IntN(total)
		for range c.rnd.IntN(window) { // so that much is in flight
			c.publish(c.rnd.IntN(levels), c.rnd.IntN(smallSize))
		}
		for _, a := range acts {
			if at -= a.weight; at < 0 {
				a.do(c, context.WithoutCancel(ctx))
				return
			}
		}
	}
	for range 1 + c.rnd.IntN(maxBurst) {
		size, qos := c.rnd.IntN(smallSize), c.rnd.IntN(levels)
		if c.rnd.Float64() < largeShare {
			size = largeSize
		}
		c.publish(qos, size)
	}
}

// choose is the next kind of connection: mostly that at home.
func (c *client) choose() kind {
	k := kind(c.rnd.IntN(int(kinds)))
	if c.rnd.IntN(2) == 0 {
		k = c.home
	}
	return k
}

// resume ends the connection, with a DISCONNECT or without, and comes back after a while.
func (c *client) resume(ctx context.Context) {
	if c.id%2 == 1 && c.rnd.IntN(2) == 0 {
		c.quiet() // so that the next connection may begin with messages
	}
	graceful, away, k := c.rnd.IntN(2) == 0, time.Duration(c.rnd.Float64()*float64(c.f.cfg.away())), c.choose()
	c.leave(graceful, nil)
	select {
	case <-time.After(away):
	case <-c.f.finish:
	}
	c.again(ctx, k)
	c.f.count.resumes.Add(1)
}

// leave ends the connection.
func (c *client) leave(graceful bool, properties packet.Properties) {
	c.mu.Lock()
	defer c.mu.Unlock()
	x := c.conn
	c.note("leave %s, with DISCONNECT %t", x.kind, graceful)
	x.leaving = true
	if x.link == nil {
		return
	}
	if graceful {
		x.ready = false
		c.send(0, &packet.Disconnect{Properties: properties})
	}
	x.link.end(graceful)
}

// takeOver connects again while the connection is there.
func (c *client) takeOver(ctx context.Context) {
	c.again(ctx, c.choose())
	c.f.count.takeovers.Add(1)
}

// again connects until it works.
func (c *client) again(ctx context.Context, k kind) {
	for attempt := 1; ; attempt++ {
		c.mu.Lock()
		if !c.session.subscribed {
			k = c.home
		}
		c.mu.Unlock()
		starts := c.f.starts.Load()
		err := c.reconnect(ctx, k, c.id%2 == 1)
		if err == nil {
			return
		}
		if c.f.down(starts) || errors.Is(err, errAgain) {
			attempt = 0
		} else {
			c.f.count.failedDials.Add(1)
			c.f.count.fail(err.Error())
		}
		c.mu.Lock()
		c.note("failed: %s", err)
		if attempt == patience {
			c.wrong("cannot connect: %s", err)
		}
		c.mu.Unlock()
		select {
		case <-time.After(retryTime):
		case <-c.f.finish:
			return
		}
	}
}

// reconnect connects, and counts how.
func (c *client) reconnect(ctx context.Context, k kind, early bool) error {
	c.mu.Lock()
	before := c.conn
	c.mu.Unlock()
	err := c.connect(ctx, k, early)
	before.clear()
	if err != nil {
		return err
	}
	c.f.count.connects[k].Add(1)
	if l, ok := c.conn.link.(*quicLink); ok {
		l.carrier.conn.Post(func() { c.f.count.handshake(l.carrier.conn) })
	}
	return nil
}

// clear ends what a server has left of a connection that it has closed.
func (x *connection) clear() {
	if x == nil || x.link == nil {
		return
	}
	select {
	case <-x.closed:
		x.link.end(false)
	default: // it is taken over, and the server is about to end it
	}
}

// handshake counts what became of one. On the worker.
func (c *counts) handshake(conn *endpoint.Conn) {
	if conn.TLS().Resumed {
		c.tlsResumed.Add(1)
	}
	switch conn.EarlyData() {
	case endpoint.EarlyAccepted:
		c.early.Add(1)
	case endpoint.EarlyRejected:
		c.earlyRejected.Add(1)
	}
}

// migrate moves the connection to another local address, at once or after validation.
func (c *client) migrate(ctx context.Context) {
	immediate := c.rnd.IntN(4) == 0
	l, ok := c.conn.link.(*quicLink)
	if !ok {
		return
	}
	c.mu.Lock()
	c.note("migrate, immediately %t", immediate)
	c.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, moveTime)
	defer cancel()
	err := l.carrier.conn.Migrate(ctx, endpoint.Migration{Immediate: immediate})
	if err != nil {
		c.f.count.failedMigrations.Add(1)
	} else {
		c.f.count.migrations.Add(1)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.note("migrated: %v", err)
}

// dropStream resets a stream on which messages are published. Not before the server knows
// that it is gone they are sent again.
func (c *client) dropStream(context.Context) {
	qos := 1 + c.rnd.IntN(levels-1)
	c.mu.Lock()
	defer c.mu.Unlock()
	x := c.conn
	if l := &c.lanes[qos]; x.ready && !l.closing && l.elsewhere == 0 && x.laneSlot(qos) != 0 {
		l.closing = true
		c.note("reset stream slot %d", x.laneSlot(qos))
		c.f.count.abandoned.Add(1)
		x.link.abandon(x.laneSlot(qos), reset)
	}
}

// ping asks for an answer on some stream.
func (c *client) ping(context.Context) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if x := c.conn; x.ready {
		c.f.count.pings.Add(1)
		c.send(x.subscribeSlot(1), &packet.Pingreq{})
	}
}

// goodbye ends all sessions.
func (f *fleet) goodbye(ctx context.Context) error {
	err := generator.Each(len(f.clients), atOnce, func(i int) error {
		err := f.clients[i].forget(ctx)
		f.clients[i].leave(true, packet.AppendUint32(nil, packet.SessionExpiryInterval, 0))
		return err
	})
	deadline := time.After(answerTime)
	for _, c := range f.clients {
		select {
		case <-c.lost():
		case <-deadline:
			return err
		}
	}
	return err
}
