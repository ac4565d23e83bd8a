package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"time"
)

// Defaults of the fallback.
const (
	// DefaultHeadStart is what RFC 8305 section 5 recommends: enough for a QUIC handshake
	// over most paths, and hardly noticed.
	DefaultHeadStart = 250 * time.Millisecond
	// DefaultReturnAfter is longer than most failures, and seldom enough to cost nothing.
	DefaultReturnAfter = 10 * time.Minute
)

// dialed is a network connection that has no CONNECT yet, or why there is none.
type dialed struct {
	url      string
	srv      server
	nc       net.Conn
	began    time.Time
	deadline time.Time // for the CONNACK
	early    bool      // the QUIC handshake may still be under way
	err      error
}

// dialOne dials one server.
func (c *Client) dialOne(ctx context.Context, url string) *dialed {
	now := time.Now()
	d := &dialed{url: url, began: now, deadline: now.Add(c.opts.ConnectTimeout)}
	ctx, cancel := context.WithDeadline(ctx, d.deadline)
	defer cancel()
	if d.srv, d.err = parseURL(url); d.err == nil {
		d.early = c.mayBeEarly(d.srv)
		d.nc, d.err = c.dialer.dial(ctx, d.srv, d.early)
	}
	if d.err != nil {
		d.err = fmt.Errorf("%s: %w", redacted(url), d.err)
	}
	return d
}

// mayBeEarly says whether the CONNECT to a server may be early data.
func (c *Client) mayBeEarly(srv server) bool {
	o := &c.opts
	switch {
	case srv.scheme != "quic" || o.TLS.EarlyData == EarlyDataOff:
		return false
	case o.TLS.EarlyData == EarlyDataOn:
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	secret := o.Password != nil || srv.password != nil || o.Auth != nil
	return !secret && o.Will == nil && (o.ResumeSession || c.resumable)
}

// proveEarly gives a connection with early data, which has won its race without a word
// of the server, up when the handshake is not complete after the head start.
func (d *dialed) proveEarly(headStart time.Duration, giveUp func()) (stop func()) {
	nc, ok := d.nc.(interface{ Handshake(context.Context) error })
	if !ok {
		return func() {}
	}
	timer := time.AfterFunc(headStart, func() {
		over, cancel := context.WithCancel(context.Background())
		cancel()
		if nc.Handshake(over) != nil {
			giveUp()
		}
	})
	return func() { timer.Stop() }
}

// race is one race between servers.
type race struct {
	c       *Client
	ctx     context.Context
	waiting []string // not dialled yet
	running int
	results chan *dialed
}

// race dials servers in their order: the next one when one has failed, or when the one
// before has had its head start. The first connection wins, the others are given up. It
// gives the servers that have not failed, for when the winner refuses.
func (c *Client) race(ctx context.Context, urls []string) (won *dialed, rest []string, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := &race{c: c, ctx: ctx, waiting: urls, results: make(chan *dialed, len(urls))}
	rest = slices.Clone(urls)
	var errs []error
	for r.next(); r.running > 0; {
		d := r.outcome()
		rest = slices.DeleteFunc(rest, func(url string) bool { return url == d.url })
		if d.err == nil {
			go r.giveUp()
			return d, rest, nil
		}
		errs = append(errs, d.err)
		r.next()
	}
	return nil, nil, cmp.Or(errors.Join(errs...), ctx.Err())
}

// next dials one more, if there is one and there is time.
func (r *race) next() {
	if len(r.waiting) == 0 || r.ctx.Err() != nil {
		return
	}
	url := r.waiting[0]
	r.waiting = r.waiting[1:]
	r.running++
	go func() { r.results <- r.c.dialOne(r.ctx, url) }()
}

// outcome waits for the next one, and lets others join in meanwhile.
func (r *race) outcome() *dialed {
	for {
		var over <-chan time.Time
		if r.c.opts.HeadStart > 0 && len(r.waiting) > 0 {
			over = time.After(r.c.opts.HeadStart)
		}
		select {
		case d := <-r.results:
			r.running--
			return d
		case <-over:
			r.next()
		}
	}
}

// giveUp closes what the losers have reached.
func (r *race) giveUp() {
	for ; r.running > 0; r.running-- {
		if d := <-r.results; d.err == nil {
			d.nc.Close()
		}
	}
}

// withFallback puts TLS and WebSocket, on their usual ports, behind every quic:// server.
func withFallback(servers []string) []string {
	var list []string
	for _, raw := range servers {
		list = append(list, raw)
		u, err := url.Parse(raw)
		if err != nil || u.Scheme != "quic" {
			continue
		}
		for _, scheme := range []string{"mqtts", "wss"} {
			host := u.Hostname()
			if ip := net.ParseIP(host); ip != nil && ip.To4() == nil {
				host = "[" + host + "]"
			}
			list = append(list, (&url.URL{Scheme: scheme, User: u.User, Host: host}).String())
		}
	}
	return slices.Compact(list)
}

// note remembers the server that let the client in.
func (c *Client) note(url string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.worked = url
	if c.opts.HeadStart > 0 && url != c.opts.Servers[0] && !c.opts.RandomServer {
		c.avoidUntil = time.Now().Add(c.opts.ReturnAfter)
	} else {
		c.avoidUntil = time.Time{}
	}
}

// remembered puts the server that worked last first, for a while.
func (c *Client) remembered(list []string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := slices.Index(list, c.worked); i > 0 && time.Now().Before(c.avoidUntil) {
		list = slices.Insert(slices.Delete(list, i, i+1), 0, c.worked)
	}
	return list
}

// better are the servers that are preferred to that of the present connection, if the
// client may go back to one: its session has to outlast that.
func (c *Client) better() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.opts.HeadStart == 0 || c.opts.RandomServer || !c.resumable && !c.opts.ResumeSession {
		return nil
	}
	return c.opts.Servers[:max(slices.Index(c.opts.Servers, c.worked), 0)]
}

// goBack leaves the connection l for one to a better server, if one can be reached.
func (c *Client) goBack(ctx context.Context, l *link) {
	won, _, err := c.race(ctx, c.better())
	if err != nil {
		c.opts.Logger.Debug("the preferred server is still out of reach", "error", err)
		return
	}
	if won == nil {
		return
	}
	c.mu.Lock()
	c.ready = won
	c.mu.Unlock()
	l.leave(ctx)
}

// takeReady is the connection that goBack has made; nil when there is none.
func (c *Client) takeReady() *dialed {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := c.ready
	c.ready = nil
	return d
}
