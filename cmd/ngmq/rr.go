package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/ngmq/ngmq/mqtt/client"
	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/mqtt/topic"
)

// rrCommand publishes a request and prints the response.
type rrCommand struct {
	Topic      string        `short:"t" placeholder:"TOPIC" help:"Topic of the request."`
	Response   string        `short:"e" name:"response-topic" placeholder:"TOPIC" help:"Topic of the response, where this client subscribes. Default: one made up, ngmq/response/..."`
	Retain     bool          `short:"r" help:"The broker keeps the request."`
	NoRetained bool          `short:"R" name:"no-retained" help:"A retained message is not the response."`
	Timeout    secondsOption `short:"W" name:"timeout" placeholder:"SECONDS" help:"End when there is no response after this time, with exit status 27."`

	payloadFlags
	printFlags
	connection
}

// Run subscribes to the response topic, publishes the request and waits for the first
// response. With MQTT 5 the request carries the Response Topic (section 4.10); a
// message with other Correlation Data than the request's is not its response.
func (r *rrCommand) Run(c *console) error {
	if err := r.validate(c); err != nil {
		return err
	}
	address, name, err := r.server()
	if err != nil {
		return err
	}
	if err := publishTopic(&r.Topic, name); err != nil {
		return err
	}
	if err := r.responseTopic(); err != nil {
		return err
	}
	payload, err := r.payload(c)
	if err != nil {
		return err
	}
	out, err := newPrinter(&r.printFlags, c)
	if err != nil {
		return err
	}
	ctx, cancel := deadline(c, r.Timeout)
	defer cancel()
	within := *c
	within.Context = ctx
	return outcome(c, ctx, r.run(&within, address, payload, out))
}

func (r *rrCommand) validate(c *console) error {
	var wrong problems
	wrong.check(!r.given(), "no message: give one with --message (-m), --file (-f), --null-message (-n) or --stdin-file (-s)")
	return errors.Join(append(wrong, r.connection.validate(c))...)
}

func (r *rrCommand) responseTopic() error {
	if r.Response == "" {
		r.Response = "ngmq/response/" + rand.Text()
	}
	if err := topic.ValidateName(r.Response); err != nil {
		return fmt.Errorf("-e: %w", err)
	}
	if r.Properties.of("publish").Has(packet.ResponseTopic) {
		return errors.New("give the response topic with -e, not with -D")
	}
	return nil
}

func (r *rrCommand) run(c *console, address string, payload []byte, out *printer) error {
	responses, lost := make(chan client.Message, 1), make(chan error, 1)
	o := r.options(c)
	o.OnMessage = func(m client.Message) {
		if !r.answers(m) {
			return
		}
		select {
		case responses <- m:
		default: // the first one counts
		}
	}
	o.OnConnectionLost = func(err error) { lost <- err }
	conn, err := r.connect(c, address, o)
	if err != nil {
		return err
	}
	defer r.disconnect(c, conn)
	subs := []packet.Subscription{{Filter: r.Response, QoS: r.QoS}}
	if err := r.subscribe(c, conn, subs); err != nil {
		return err
	}
	if _, err := conn.Publish(c, r.request(payload)); err != nil {
		return explain(err)
	}
	select {
	case m := <-responses:
		return out.print(m)
	case err := <-lost:
		return &failed{exitLost, fmt.Errorf("connection lost: %w", err)}
	case <-c.Done():
		if errors.Is(c.Err(), context.DeadlineExceeded) {
			return &failed{exitTimeout, fmt.Errorf("no response in time: does anybody subscribe to %s, and answer to its response topic?", r.Topic)}
		}
		return c.Err()
	}
}

func (r *rrCommand) request(payload []byte) client.Message {
	m := client.Message{Topic: r.Topic, Payload: payload, QoS: r.QoS, Retain: r.Retain, Stream: r.Stream}
	if packet.Version(r.Protocol) == packet.V50 {
		m.Properties = packet.AppendString(bytes.Clone(r.Properties.of("publish")), packet.ResponseTopic, r.Response)
	}
	return m
}

// answers says whether m is the response.
func (r *rrCommand) answers(m client.Message) bool {
	if m.Topic != r.Response || m.Retain && r.NoRetained {
		return false
	}
	asked, _ := r.Properties.of("publish").Bytes(packet.CorrelationData)
	answered, there := m.Properties.Bytes(packet.CorrelationData)
	return !there || bytes.Equal(asked, answered)
}
