package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/ngmq/ngmq/mqtt/client"
	"github.com/ngmq/ngmq/mqtt/topic"
)

// maxLine is the longest line that pub -l takes, in bytes; MQTT's largest packet.
const maxLine = 256 << 20

// pubCommand publishes one message, one per line, or a file.
type pubCommand struct {
	Topic   string  `short:"t" placeholder:"TOPIC" help:"Topic to publish to."`
	Message *string `short:"m" xor:"payload" required:"" placeholder:"TEXT" help:"The message."`
	File    string  `short:"f" xor:"payload" required:"" type:"path" placeholder:"FILE" help:"The message is the content of this file."`
	Lines   bool    `short:"l" name:"stdin-line" xor:"payload" required:"" help:"Each line of the input is a message."`
	Null    bool    `short:"n" name:"null-message" xor:"payload" required:"" help:"The message is empty."`
	Stdin   bool    `short:"s" name:"stdin-file" xor:"payload" required:"" help:"The message is the whole input."`
	Retain  bool    `short:"r" help:"The broker keeps the message."`

	Repeat      int           `default:"1" placeholder:"N" help:"Publish N times (not with -l)."`
	RepeatDelay secondsOption `placeholder:"SECONDS" help:"Wait between repetitions, e.g. 0.5."`

	connection
}

// secondsOption is a number of seconds, with a fraction or not.
type secondsOption time.Duration

// UnmarshalText reads e.g. 2 or 0.25.
func (s *secondsOption) UnmarshalText(text []byte) error {
	d, err := time.ParseDuration(string(text) + "s")
	if err != nil || d < 0 {
		return fmt.Errorf("%q is not a number of seconds", text)
	}
	*s = secondsOption(d)
	return nil
}

// Run connects, publishes, waits for the acknowledgements and disconnects.
func (p *pubCommand) Run(c *console) error {
	if err := p.validate(c); err != nil {
		return err
	}
	address, name, err := p.server()
	if err != nil {
		return err
	}
	if name != "" {
		p.Topic = name
	}
	if p.Topic == "" {
		return errors.New("no topic: give one with -t")
	}
	if err := topic.ValidateName(p.Topic); err != nil {
		return fmt.Errorf("-t: %w", err)
	}
	payload, err := p.payload(c) // before connecting: a missing file is found at once
	if err != nil {
		return err
	}
	conn, err := p.connect(c, address, p.options(c))
	if err != nil {
		return err
	}
	defer disconnect(conn)
	if p.Lines {
		return explain(p.publishLines(c, conn))
	}
	return explain(p.publishAll(c, conn, payload))
}

func (p *pubCommand) payload(c *console) ([]byte, error) {
	switch {
	case p.Message != nil:
		return []byte(*p.Message), nil
	case p.File != "":
		return os.ReadFile(p.File)
	case p.Stdin:
		return io.ReadAll(c.stdin)
	}
	return nil, nil
}

func (p *pubCommand) message(payload []byte) client.Message {
	return client.Message{Topic: p.Topic, Payload: payload, QoS: p.QoS, Retain: p.Retain}
}

// publishAll publishes the message as often as it was asked for.
func (p *pubCommand) publishAll(c *console, conn *client.Client, payload []byte) error {
	for i := range p.Repeat {
		if i > 0 {
			select {
			case <-time.After(time.Duration(p.RepeatDelay)):
			case <-c.Done():
				return nil
			}
		}
		if _, err := conn.Publish(c, p.message(payload)); err != nil {
			return err
		}
	}
	return nil
}

// publishLines publishes each line without waiting for the acknowledgement of the
// one before, and waits for all of them at the end.
func (p *pubCommand) publishLines(c *console, conn *client.Client) error {
	waits := make(chan *client.Pending, 65535)
	var acks sync.WaitGroup
	var refused error
	acks.Go(func() {
		for pending := range waits {
			if _, err := pending.Wait(c); err != nil && refused == nil {
				refused = err
			}
		}
	})
	err := p.readLines(c, func(line []byte) error {
		pending, err := conn.PublishAsync(c, p.message(line))
		if err == nil {
			waits <- pending
		}
		return err
	})
	close(waits)
	acks.Wait()
	return cmp.Or(err, refused)
}

// readLines calls f for each line until the input or the program ends.
func (p *pubCommand) readLines(c *console, f func([]byte) error) error {
	lines := make(chan string)
	var failure error
	go func() {
		defer close(lines)
		s := bufio.NewScanner(c.stdin)
		s.Buffer(nil, maxLine)
		for s.Scan() {
			select {
			case lines <- strings.TrimSuffix(s.Text(), "\r"):
			case <-c.Done():
				return
			}
		}
		failure = s.Err()
	}()
	for {
		select {
		case line, more := <-lines:
			if !more {
				return failure
			}
			if err := f([]byte(line)); err != nil {
				return err
			}
		case <-c.Done():
			return nil
		}
	}
}
