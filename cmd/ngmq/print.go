package main

import (
	"fmt"
	"sync"
	"time"

	"github.com/ngmq/ngmq/cmd/ngmq/internal/output"
	"github.com/ngmq/ngmq/mqtt/client"
)

// printFlags say how messages are printed, as mosquitto_sub does.
type printFlags struct {
	Verbose bool   `short:"v" help:"Print the topic before each message, unless there is -F."`
	Format  string `short:"F" placeholder:"FORMAT" help:"Print by this format: %t topic, %p payload, %x hexadecimal, %q QoS, %r retained, %l length, %I time, %j JSON, %J JSON with the payload as JSON; see ngmq help sub."`
	Pretty  bool   `help:"Indent the JSON of %j and %J."`
	NoEOL   bool   `short:"N" name:"no-eol" help:"Print no line end after a message."`
}

// printer writes messages to the output, each with one write. Any goroutine may use it.
type printer struct {
	mu     sync.Mutex
	flags  *printFlags
	c      *console
	format *output.Format // nil: mosquitto's plain output
	line   []byte
}

func newPrinter(flags *printFlags, c *console) (*printer, error) {
	p := &printer{flags: flags, c: c}
	if flags.Format == "" {
		return p, nil
	}
	var err error
	p.format, err = output.Parse(flags.Format, flags.Pretty)
	if err != nil {
		return nil, fmt.Errorf("-F: %w", err)
	}
	return p, nil
}

// print prints one message; the error says that the output failed.
func (p *printer) print(m client.Message) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.line = p.line[:0]
	if p.format != nil {
		var err error
		if p.line, err = p.format.Append(p.line, m, time.Now()); err != nil {
			p.c.warnf("%v", err)
		}
	} else if p.line = p.plain(m); len(p.line) == 0 {
		return nil
	}
	if !p.flags.NoEOL {
		p.line = append(p.line, '\n')
	}
	if _, err := p.c.stdout.Write(p.line); err != nil {
		return fmt.Errorf("writing the message: %w", err)
	}
	return nil
}

// use prints like other from now on.
func (p *printer) use(other *printer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.flags, p.format = other.flags, other.format
}

// plain prints what mosquitto_sub prints: with -v the topic and "(null)" for an
// empty message, without -v nothing at all for an empty message.
func (p *printer) plain(m client.Message) []byte {
	switch {
	case !p.flags.Verbose:
		return append(p.line, m.Payload...)
	case len(m.Payload) == 0:
		return append(p.line, m.Topic+" (null)"...)
	}
	return append(append(append(p.line, m.Topic...), ' '), m.Payload...)
}
