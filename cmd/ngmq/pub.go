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

// payloadFlags say what to publish, once.
type payloadFlags struct {
	Message *string `short:"m" xor:"payload" placeholder:"TEXT" help:"The message."`
	File    string  `short:"f" xor:"payload" type:"path" placeholder:"FILE" help:"The message is the content of this file."`
	Null    bool    `short:"n" name:"null-message" xor:"payload" help:"The message is empty."`
	Stdin   bool    `short:"s" name:"stdin-file" xor:"payload" help:"The message is the whole input."`
}

// given says whether there is something to publish.
func (p *payloadFlags) given() bool { return p.Message != nil || p.File != "" || p.Null || p.Stdin }

func (p *payloadFlags) payload(c *console) ([]byte, error) {
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

// pubCommand publishes one message, one per line, or a file.
type pubCommand struct {
	Topic  string `short:"t" placeholder:"TOPIC" help:"Topic to publish to."`
	Lines  bool   `short:"l" name:"stdin-line" xor:"payload" help:"Each line of the input is a message."`
	Retain bool   `short:"r" help:"The broker keeps the message."`

	Repeat      int           `default:"1" placeholder:"N" help:"Publish N times (not with -l)."`
	RepeatDelay secondsOption `placeholder:"SECONDS" help:"Wait between repetitions, e.g. 0.5."`

	payloadFlags
	connection
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
	if err := publishTopic(&p.Topic, name); err != nil {
		return err
	}
	payload, err := p.payload(c) // before connecting: a missing file is found at once
	if err != nil {
		return err
	}
	conn, err := p.connect(c, address, p.options(c))
	if err != nil {
		return err
	}
	defer p.disconnect(c, conn)
	if p.Lines {
		return explain(p.publishLines(c, conn))
	}
	return explain(p.publishAll(c, conn, payload))
}

func (p *pubCommand) validate(c *console) error {
	var wrong problems
	wrong.check(!p.given() && !p.Lines, "no message: give one with --message (-m), --file (-f), --null-message (-n), --stdin-file (-s) or --stdin-line (-l)")
	return errors.Join(append(wrong, p.connection.validate(c))...)
}

// publishTopic chooses between -t and the topic of the URL, and checks it.
func publishTopic(flag *string, fromURL string) error {
	if fromURL != "" {
		*flag = fromURL
	}
	if *flag == "" {
		return errors.New("no topic: give one with -t")
	}
	if err := topic.ValidateName(*flag); err != nil {
		return fmt.Errorf("-t: %w", err)
	}
	return nil
}

func (p *pubCommand) message(payload []byte) client.Message {
	return client.Message{Topic: p.Topic, Payload: payload, QoS: p.QoS, Retain: p.Retain, Stream: p.Stream, Properties: p.Properties.of("publish")}
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
