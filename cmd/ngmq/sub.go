package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ngmq/ngmq/mqtt/client"
	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/mqtt/topic"
)

// subCommand subscribes and prints what comes.
type subCommand struct {
	Topics      []string      `short:"t" name:"topic" sep:"none" placeholder:"FILTER" help:"Topic filter to subscribe to. May be repeated."`
	FilterOut   []string      `short:"T" name:"filter-out" sep:"none" placeholder:"FILTER" help:"Do not print messages whose topic matches. May be repeated."`
	Unsubscribe []string      `short:"U" name:"unsubscribe" sep:"none" placeholder:"FILTER" help:"Unsubscribe first; for -c. May be repeated."`
	Count       uint64        `short:"C" name:"count" placeholder:"N" help:"End after N messages."`
	Timeout     secondsOption `short:"W" name:"timeout" placeholder:"SECONDS" help:"End after this time, with exit status 27."`
	NoRetained  bool          `short:"R" name:"no-retained" xor:"retained" help:"Do not print retained messages."`
	Retained    bool          `name:"retained-only" xor:"retained" help:"Print retained messages only and end at the first one that is not."`
	Remove      bool          `name:"remove-retained" help:"Delete the retained messages that come, but those of -T. With --retained-only: all there are."`
	Random      float64       `name:"random-filter" default:"100" placeholder:"PERCENT" help:"Print this share of the messages, chosen at random. (${default})"`
	AsPublished bool          `name:"retain-as-published" help:"Have the retained flag as the publisher set it (MQTT 5)."`
	NoLocal     bool          `name:"no-local" help:"Do not receive what this client publishes (MQTT 5)."`
	ExitAfter   bool          `short:"E" name:"exit-after-suback" help:"End when the subscriptions are acknowledged."`

	printFlags
	connection
}

// Run subscribes, and prints until the count, the timeout, a signal or the end of
// the connection.
func (s *subCommand) Run(c *console) error {
	if err := s.validate(c); err != nil {
		return err
	}
	address, filter, err := s.server()
	if err != nil {
		return err
	}
	if err := s.filters(filter); err != nil {
		return err
	}
	out, err := newPrinter(&s.printFlags, c)
	if err != nil {
		return err
	}
	ctx, cancel := deadline(c, s.Timeout)
	defer cancel()
	within := *c
	within.Context = ctx
	return outcome(c, ctx, s.run(&within, address, out))
}

func (s *subCommand) validate(c *console) error {
	five := packet.Version(s.Protocol) == packet.V50
	var wrong problems
	wrong.check((s.AsPublished || s.NoLocal) && !five, "--retain-as-published and --no-local need MQTT 5: -V mqttv5")
	wrong.check(s.Random < 0 || s.Random > 100, "--random-filter is a percentage, 0 to 100")
	return errors.Join(append(wrong, s.connection.validate(c))...)
}

// filters adds the topic of the URL to those of -t, and checks them.
func (s *subCommand) filters(fromURL string) error {
	if fromURL != "" {
		s.Topics = append([]string{fromURL}, s.Topics...)
	}
	if len(s.Topics) == 0 && len(s.Unsubscribe) == 0 {
		return errors.New("no topic: give at least one with -t")
	}
	for _, filter := range append(s.Topics, s.Unsubscribe...) {
		if err := topic.ValidateFilter(filter); err != nil {
			return fmt.Errorf("filter %q: %w", filter, err)
		}
	}
	return nil
}

// deadline is the context that -W ends.
func deadline(c *console, timeout secondsOption) (context.Context, context.CancelFunc) {
	if timeout == 0 {
		return context.WithCancel(c)
	}
	return context.WithTimeout(c, time.Duration(timeout))
}

// outcome is the exit status: a signal is a normal end, -W has its own.
func outcome(c *console, ctx context.Context, err error) error {
	switch {
	case c.Err() != nil:
		return nil
	case ctx.Err() == nil:
		return err
	}
	if late := (*failed)(nil); errors.As(err, &late) && late.status == exitTimeout {
		return late
	}
	return &failed{exitTimeout, nil}
}

// run connects, subscribes and waits for the end. The context of c ends with -W.
func (s *subCommand) run(c *console, address string, out *printer) error {
	r := &receiver{cmd: s, out: out, done: make(chan struct{}), deleted: newDeletions()}
	defer r.deleted.end()
	lost := make(chan error, 1)
	o := s.options(c)
	o.OnMessage = r.receive
	o.OnConnectionLost = func(err error) { lost <- err }
	if s.Reconnect {
		tellReconnects(c, &o)
	}
	conn, err := s.connect(c, address, o)
	if err != nil {
		return err
	}
	defer s.disconnect(c, conn)
	deleting := make(chan error, 1)
	go func() { deleting <- r.deleted.run(c, conn) }()
	if err := s.subscribe(c, conn); err != nil || s.ExitAfter {
		return err
	}
	select {
	case <-r.done:
		r.deleted.end()
		return cmp.Or(<-deleting, r.err)
	case err := <-deleting:
		return err
	case err := <-lost:
		return &failed{exitLost, fmt.Errorf("connection lost: %w", err)}
	case <-c.Done():
		return c.Err()
	}
}

// tellReconnects tells the user when the connection is lost and when it is back.
func tellReconnects(c *console, o *client.Options) {
	away := false // the client calls both functions by one goroutine
	o.OnConnectionLost = func(err error) {
		away = true
		c.warnf("connection lost: %v", err)
	}
	o.OnConnected = func(packet.Connack) {
		if away {
			c.warnf("connected again")
		}
		away = false
	}
}

// subscribe unsubscribes first. It fails when the broker accepts none of the filters,
// and warns about each that it refuses.
func (s *subCommand) subscribe(c *console, conn *client.Client) error {
	if len(s.Unsubscribe) > 0 {
		if _, err := conn.UnsubscribeWith(c, s.Properties.of("unsubscribe"), s.Unsubscribe...); err != nil {
			return explain(err)
		}
	}
	if len(s.Topics) == 0 {
		return nil
	}
	subs := make([]packet.Subscription, len(s.Topics))
	for i, filter := range s.Topics {
		subs[i] = packet.Subscription{Filter: filter, QoS: s.QoS, NoLocal: s.NoLocal, RetainAsPublished: s.AsPublished}
	}
	return s.connection.subscribe(c, conn, subs)
}

// subscribe fails when the broker accepts nothing, and warns about the rest.
func (f *connection) subscribe(c *console, conn *client.Client, subs []packet.Subscription) error {
	codes, err := f.subscribeAll(c, conn, subs)
	for _, code := range codes {
		if !code.IsError() {
			if err != nil {
				c.warnf("%v", err)
			}
			return nil
		}
	}
	return explain(err)
}

// subscribeAll asks for all filters at once, but one after the other where each may have a
// stream of its own.
func (f *connection) subscribeAll(ctx context.Context, conn *client.Client, subs []packet.Subscription) ([]packet.ReasonCode, error) {
	props := f.Properties.of("subscribe")
	if f.Streams == 1 {
		return conn.SubscribeOn(ctx, f.Stream, props, subs...)
	}
	var all []packet.ReasonCode
	var errs []error
	for _, s := range subs {
		codes, err := conn.SubscribeWith(ctx, props, s)
		all, errs = append(all, codes...), append(errs, err)
	}
	return all, errors.Join(errs...)
}
