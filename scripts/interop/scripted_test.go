package interop

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
)

// scripted is a client in another language: a process that is told what to do by JSON lines on stdin and answers by
// JSON lines on stdout, see mqttjs/client.mjs and pahopython/client.py. The names of options are those of MQTT.js.
type scripted struct {
	argv       []string
	version    int
	o          options
	in         chan message
	properties chan properties // of the messages of in, one by one

	cmd   *exec.Cmd
	stdin io.WriteCloser
	ended chan struct{}

	mu      sync.Mutex
	serial  int
	waiting map[int]chan scriptLine
}

// properties of a PUBLISH of MQTT 5.0.
type properties struct {
	ResponseTopic         string            `json:"responseTopic,omitempty"`
	CorrelationData       string            `json:"correlationData,omitempty"`
	ContentType           string            `json:"contentType,omitempty"`
	MessageExpiryInterval int               `json:"messageExpiryInterval,omitempty"` // seconds
	UserProperties        map[string]string `json:"userProperties,omitempty"`
}

func newScripted(version int, o options, argv ...string) *scripted {
	const most = 20_000 // messages that wait to be looked at
	return &scripted{argv: argv, version: version, o: o, in: make(chan message, most), properties: make(chan properties, most)}
}

// scriptLine is an answer or a message.
type scriptLine struct {
	ID      int
	Error   string
	Result  json.RawMessage
	Topic   string
	Payload string
	QoS     byte
	Retain  bool

	Properties properties
}

func (c *scripted) start() error {
	c.cmd = exec.Command(c.argv[0], c.argv[1:]...)
	c.cmd.Stderr, c.ended, c.waiting = os.Stderr, make(chan struct{}), map[int]chan scriptLine{}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		return err
	}
	if err = c.cmd.Start(); err == nil {
		go c.read(out)
	}
	return err
}

func (c *scripted) read(out io.Reader) {
	defer close(c.ended)
	defer c.cmd.Wait()
	lines := bufio.NewReader(out)
	for {
		b, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		var l scriptLine
		if err := json.Unmarshal(b, &l); err != nil {
			fmt.Fprintf(os.Stderr, "interop: %s says %.200q: %v\n", c.cmd, b, err)
			return
		}
		if l.ID == 0 {
			c.properties <- l.Properties
			c.in <- message{topic: l.Topic, payload: l.Payload, qos: l.QoS, retain: l.Retain}
			continue
		}
		c.mu.Lock()
		c.waiting[l.ID] <- l
		c.mu.Unlock()
	}
}

// ask sends a command and waits for its result.
func (c *scripted) ask(ctx context.Context, command map[string]any, result any) error {
	answer := make(chan scriptLine, 1)
	c.mu.Lock()
	c.serial++
	command["id"], c.waiting[c.serial] = c.serial, answer
	c.mu.Unlock()
	line, err := json.Marshal(command)
	if err != nil {
		return err
	}
	if _, err := c.stdin.Write(append(line, '\n')); err != nil {
		return err
	}
	select {
	case l := <-answer:
		if l.Error != "" {
			return errors.New(l.Error)
		}
		return json.Unmarshal(l.Result, result)
	case <-c.ended:
		return errors.New(c.argv[0] + " has ended")
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *scripted) connect(ctx context.Context) (present bool, err error) {
	if err := c.start(); err != nil {
		return false, err
	}
	o := map[string]any{"clientId": c.o.id, "clean": !c.o.persistent, "keepalive": c.o.keepAlive, "protocolVersion": c.version}
	if c.o.persistent && c.version == 5 {
		o["properties"] = map[string]any{"sessionExpiryInterval": 3600}
	}
	if w := c.o.will; w != nil {
		o["will"] = map[string]any{"topic": w.topic, "payload": w.payload, "qos": w.qos, "retain": w.retain}
	}
	err = c.ask(ctx, map[string]any{"do": "connect", "options": o}, &present)
	return present, err
}

func (c *scripted) publish(ctx context.Context, m message) error {
	return c.publishWith(ctx, m, properties{})
}

func (c *scripted) publishWith(ctx context.Context, m message, p properties) error {
	return c.ask(ctx, map[string]any{
		"do": "publish", "topic": m.topic, "payload": m.payload, "qos": m.qos, "retain": m.retain, "properties": p,
	}, new(any))
}

func (c *scripted) subscribe(ctx context.Context, filter string, qos byte) (granted byte, err error) {
	err = c.ask(ctx, map[string]any{"do": "subscribe", "topic": filter, "qos": qos}, &granted)
	return granted, err
}

func (c *scripted) unsubscribe(ctx context.Context, filter string) error {
	return c.ask(ctx, map[string]any{"do": "unsubscribe", "topic": filter}, new(any))
}

func (c *scripted) received() <-chan message { return c.in }

func (c *scripted) disconnect() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c.ask(ctx, map[string]any{"do": "disconnect"}, new(any))
	c.drop()
}

func (c *scripted) drop() {
	c.cmd.Process.Kill()
	<-c.ended
	c.stdin.Close()
}
