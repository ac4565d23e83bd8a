package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// Defaults of Backoff and Queue.
const (
	DefaultBackoffMin    = 500 * time.Millisecond
	DefaultBackoffMax    = 30 * time.Second
	DefaultQueueMessages = 10_000
	DefaultQueueBytes    = 64 << 20
)

// Backoff says when to try again after a connection was lost or could not be made. The
// first pause is a random part of Min; each further one is about twice the one before, up
// to Max, and at random between half of that and all of it, so that clients that lost the
// same server do not come back at once.
type Backoff struct {
	// Min and Max default to DefaultBackoffMin and DefaultBackoffMax.
	Min, Max time.Duration
}

func (b Backoff) withDefaults() Backoff {
	b.Min = cmp.Or(b.Min, DefaultBackoffMin)
	b.Max = max(cmp.Or(b.Max, DefaultBackoffMax), b.Min)
	return b
}

// pause before attempt n, counted from 0.
func (b Backoff) pause(n int) time.Duration {
	if n == 0 {
		return rand.N(b.Min) + 1
	}
	d := b.Min
	for i := 1; i < n && d < b.Max; i++ {
		d *= 2
	}
	d = min(d, b.Max)
	return d/2 + rand.N(d/2+1)
}

// Queue bounds the messages of a client with Options.Reconnect that are not acknowledged
// yet, waiting and sent ones together. When it is full, Publish waits while there is a
// connection and fails with ErrQueueFull while there is none.
type Queue struct {
	// Messages and Bytes (256 per message, and its topic, properties and payload) are
	// the limits. Defaults: DefaultQueueMessages, DefaultQueueBytes.
	Messages, Bytes int
	// QoS0 keeps messages of QoS 0 too while there is no connection. Default: Publish
	// fails with ErrNotConnected.
	QoS0 bool
	// File, when not empty, keeps the messages beyond the end of the program, however it
	// ends: the next client with the same ClientID, which is needed, sends them. Publish
	// and PublishAsync wait until a message is in the file. With ResumeSession (and in 5.0
	// SessionExpiry), QoS 2 messages are then delivered exactly once; received ones are
	// given to OnMessage twice only if the program ended before their PUBREC. The file is
	// made with mode 0600 and belongs to one Client until Close.
	File string
	// SyncInterval is how long a message may be in the file before the file is synced
	// to the disk: what a power failure may cost. The end of the program alone costs
	// nothing. Default 0: Publish waits for the disk; what many goroutines publish at
	// a time is synced at once. Negative: left to the system.
	SyncInterval time.Duration
}

func (q Queue) withDefaults() Queue {
	q.Messages = cmp.Or(q.Messages, DefaultQueueMessages)
	q.Bytes = cmp.Or(q.Bytes, DefaultQueueBytes)
	return q
}

func (o *Options) validateReconnect() error {
	var errs []error
	if o.Backoff.Min < 0 || o.Backoff.Max < 0 {
		errs = append(errs, errors.New("client: Options.Backoff is negative: use 0 for the defaults"))
	}
	if o.Backoff.Max > 0 && o.Backoff.Max < o.Backoff.Min {
		errs = append(errs, fmt.Errorf("client: Options.Backoff.Max %s is less than Min %s", o.Backoff.Max, o.Backoff.Min))
	}
	if o.HeadStart < 0 || o.ReturnAfter < 0 {
		errs = append(errs, errors.New("client: Options.HeadStart or ReturnAfter is negative: use 0 for the defaults"))
	}
	if o.Queue.Messages < 0 || o.Queue.Bytes < 0 {
		errs = append(errs, errors.New("client: Options.Queue is negative: use 0 for the defaults"))
	}
	if o.Queue.File != "" && o.ClientID == "" {
		errs = append(errs, errors.New("client: Options.Queue.File needs a ClientID: without one the server takes the next client for another"))
	}
	if !o.Reconnect && (o.Queue != Queue{} || o.Backoff != Backoff{}) {
		errs = append(errs, errors.New("client: Options.Queue and Backoff need Reconnect"))
	}
	return errors.Join(errs...)
}

// keeper keeps a client connected.
type keeper struct {
	cancel context.CancelFunc
	ended  chan struct{}
}

// Start connects in the background, and keeps the client connected until Disconnect or
// Close. It needs Options.Reconnect. [ErrConnected] when the client is kept connected
// already. See AwaitConnection.
func (c *Client) Start() error {
	if !c.opts.Reconnect {
		return errors.New("client: Start needs Options.Reconnect; Connect does without")
	}
	stops, err := c.startConnecting()
	if err != nil {
		return err
	}
	defer c.stopConnecting()
	c.keep(nil, stops)
	return nil
}

// AwaitConnection waits until the client is connected. [ErrNotConnected] when nothing
// connects it.
func (c *Client) AwaitConnection(ctx context.Context) error {
	_, err := c.available(ctx)
	return err
}

// keep starts the keeper, with Reconnect, with a connection or without. It is false after
// a Disconnect or Close that came since stops were counted.
func (c *Client) keep(l *link, stops int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stops != stops || !c.opts.Reconnect {
		return c.stops == stops
	}
	ctx, cancel := context.WithCancel(context.Background())
	k := &keeper{cancel: cancel, ended: make(chan struct{})}
	c.keeper = k
	go func() {
		defer close(k.ended)
		c.stayConnected(ctx, l)
	}()
	return true
}

// stopKeeping ends the keeper, and reports whether there was one.
func (c *Client) stopKeeping() bool {
	c.mu.Lock()
	k := c.keeper
	c.keeper = nil
	c.stops++
	c.mu.Unlock()
	if k == nil {
		return false
	}
	k.cancel()
	<-k.ended
	if d := c.takeReady(); d != nil {
		d.nc.Close()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.announce()
	return true
}

// stayConnected connects whenever there is no connection. Only one that lasted longer than the
// longest pause begins the pauses anew, so that two clients with one identifier, say, do
// not chase each other at full speed.
func (c *Client) stayConnected(ctx context.Context, l *link) {
	failures := 0
	for ctx.Err() == nil {
		if l == nil {
			if l = c.tryAgain(ctx, failures); l == nil {
				failures++
				continue
			}
		}
		if !c.watch(ctx, l) {
			return
		}
		failures++
		if l.leaving.Load() || time.Since(l.began) > c.opts.Backoff.Max {
			failures = 0
		}
		l = nil
	}
}

// watch waits for the end of a connection, and leaves it for a better one from time to
// time; false when ctx ended.
func (c *Client) watch(ctx context.Context, l *link) bool {
	for {
		var due <-chan time.Time
		if len(c.better()) > 0 {
			due = time.After(c.opts.ReturnAfter)
		}
		select {
		case <-l.done:
			return true
		case <-ctx.Done():
			return false
		case <-due:
			c.goBack(ctx, l)
		}
	}
}

// tryAgain makes one attempt after a pause; nil when it failed.
func (c *Client) tryAgain(ctx context.Context, failures int) *link {
	if failures > 0 {
		select {
		case <-time.After(c.opts.Backoff.pause(failures - 1)):
		case <-ctx.Done():
			return nil
		}
	}
	l, err := c.connectAny(ctx)
	if err != nil && ctx.Err() == nil {
		c.report(fmt.Errorf("client: cannot connect: %w", err))
	}
	return l
}
