package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
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
	Verbose     bool          `short:"v" help:"Print the topic before each message."`
	NoEOL       bool          `short:"N" name:"no-eol" help:"Print no line end after a message."`
	NoRetained  bool          `short:"R" name:"no-retained" xor:"retained" help:"Do not print retained messages."`
	Retained    bool          `name:"retained-only" xor:"retained" help:"Print retained messages only and end at the first one that is not."`
	ExitAfter   bool          `short:"E" name:"exit-after-suback" help:"End when the subscriptions are acknowledged."`

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
	if filter != "" {
		s.Topics = append([]string{filter}, s.Topics...)
	}
	if len(s.Topics) == 0 && len(s.Unsubscribe) == 0 {
		return errors.New("no topic: give at least one with -t")
	}
	for _, filter := range append(s.Topics, s.Unsubscribe...) {
		if err := topic.ValidateFilter(filter); err != nil {
			return fmt.Errorf("filter %q: %w", filter, err)
		}
	}
	ctx, cancel := s.deadline(c)
	defer cancel()
	out := newPrinter(s, c.stdout)
	lost := make(chan error, 1)
	o := s.options(c)
	o.OnMessage = out.print
	o.OnConnectionLost = func(err error) { lost <- err }
	within := *c
	within.Context = ctx
	conn, err := s.connect(&within, address, o)
	if err == nil {
		defer disconnect(conn)
		err = s.follow(ctx, &within, conn, out, lost)
	}
	return s.outcome(c, ctx, err)
}

// deadline is the context that -W ends.
func (s *subCommand) deadline(c *console) (context.Context, context.CancelFunc) {
	if s.Timeout == 0 {
		return context.WithCancel(c)
	}
	return context.WithTimeout(c, time.Duration(s.Timeout))
}

// follow subscribes and waits for the end.
func (s *subCommand) follow(ctx context.Context, c *console, conn *client.Client, out *printer, lost <-chan error) error {
	if len(s.Unsubscribe) > 0 {
		if _, err := conn.Unsubscribe(ctx, s.Unsubscribe...); err != nil {
			return explain(err)
		}
	}
	if len(s.Topics) > 0 {
		if err := s.subscribe(ctx, c, conn); err != nil {
			return err
		}
	}
	if s.ExitAfter {
		return nil
	}
	select {
	case <-out.done:
		return out.err
	case err := <-lost:
		return &failed{exitLost, fmt.Errorf("connection lost: %w", err)}
	case <-ctx.Done():
		return ctx.Err()
	}
}

// subscribe fails when the broker accepts none of the filters, and warns about
// each that it refuses.
func (s *subCommand) subscribe(ctx context.Context, c *console, conn *client.Client) error {
	subs := make([]packet.Subscription, len(s.Topics))
	for i, filter := range s.Topics {
		subs[i] = packet.Subscription{Filter: filter, QoS: s.QoS}
	}
	codes, err := conn.Subscribe(ctx, subs...)
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

// outcome is the exit status: a signal is a normal end, -W has its own.
func (s *subCommand) outcome(c *console, ctx context.Context, err error) error {
	switch {
	case c.Err() != nil:
		return nil
	case ctx.Err() != nil:
		return &failed{exitTimeout, nil}
	}
	return err
}

// printer writes messages to the output, each flushed.
type printer struct {
	cmd  *subCommand
	out  *bufio.Writer
	left uint64        // messages until done; 0 = no limit
	done chan struct{} // closed when no more shall be printed
	err  error         // the output failed; set before done is closed
	over bool
}

func newPrinter(cmd *subCommand, w io.Writer) *printer {
	return &printer{cmd: cmd, out: bufio.NewWriter(w), left: cmd.Count, done: make(chan struct{})}
}

// print is the message handler: one goroutine calls it.
func (p *printer) print(m client.Message) {
	if p.over || p.filteredOut(m) {
		return
	}
	if p.cmd.Retained && !m.Retain {
		p.end(nil)
		return
	}
	p.write(m)
	if err := p.out.Flush(); err != nil {
		p.end(fmt.Errorf("writing the message: %w", err))
		return
	}
	if p.left > 0 {
		if p.left--; p.left == 0 {
			p.end(nil)
		}
	}
}

func (p *printer) end(err error) {
	p.over, p.err = true, err
	close(p.done)
}

func (p *printer) filteredOut(m client.Message) bool {
	if m.Retain && p.cmd.NoRetained {
		return true
	}
	for _, filter := range p.cmd.FilterOut {
		if topic.Match(filter, m.Topic) {
			return true
		}
	}
	return false
}

// write prints what mosquitto_sub prints: with -v the topic and "(null)" for an
// empty message, without -v nothing at all for an empty message.
func (p *printer) write(m client.Message) {
	if !p.cmd.Verbose && len(m.Payload) == 0 {
		return
	}
	if p.cmd.Verbose {
		p.out.WriteString(m.Topic + " ")
	}
	if len(m.Payload) == 0 {
		p.out.WriteString("(null)")
	}
	p.out.Write(m.Payload)
	if !p.cmd.NoEOL {
		p.out.WriteByte('\n')
	}
}
