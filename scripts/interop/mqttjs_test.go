//go:build mqttjs

package interop

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// TestMQTTJS: MQTT.js over all its transports. Every connection is a process of its own.
func TestMQTTJS(t *testing.T) {
	npmInstall(t, "mqttjs")
	for _, s := range []stack{
		onMQTTJS("MQTT.js 5.0 (TCP)", 5, "mqtt://"+broker.tcp),
		onMQTTJS("MQTT.js 5.0 (TLS)", 5, "mqtts://"+broker.tls),
		onMQTTJS("MQTT.js 5.0 (WebSocket)", 5, "ws://"+broker.ws+"/mqtt"),
		onMQTTJS("MQTT.js 5.0 (secure WebSocket)", 5, "wss://"+broker.wss+"/mqtt"),
		onMQTTJS("MQTT.js 3.1.1 (secure WebSocket)", 4, "wss://"+broker.wss+"/mqtt"),
	} {
		for _, c := range libraryCases {
			proves(t, s.name, c.name, func(t *testing.T) { c.run(t, s) })
		}
	}
}

func onMQTTJS(name string, version int, url string) stack {
	return stack{name: name, atRelease: true, new: func(_ dialer, o options) client {
		return &mqttjs{url: url, version: version, o: o, in: make(chan message, 20_000)}
	}}
}

// mqttjs is a node process with an MQTT.js client, see mqttjs/client.mjs.
type mqttjs struct {
	url     string
	version int
	o       options
	in      chan message

	cmd   *exec.Cmd
	stdin io.WriteCloser
	ended chan struct{}

	mu      sync.Mutex
	serial  int
	waiting map[int]chan mqttjsLine
}

// mqttjsLine is an answer or a message.
type mqttjsLine struct {
	ID      int
	Error   string
	Result  json.RawMessage
	Topic   string
	Payload string
	QoS     byte
	Retain  bool
}

func (c *mqttjs) start() error {
	c.cmd = exec.Command("node", filepath.Join("mqttjs", "client.mjs"), c.url, broker.ca)
	c.cmd.Stderr, c.ended, c.waiting = os.Stderr, make(chan struct{}), map[int]chan mqttjsLine{}
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

func (c *mqttjs) read(out io.Reader) {
	defer close(c.ended)
	defer c.cmd.Wait()
	lines := bufio.NewReader(out)
	for {
		b, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		var l mqttjsLine
		if json.Unmarshal(b, &l) != nil {
			return
		}
		if l.ID == 0 {
			c.in <- message{topic: l.Topic, payload: l.Payload, qos: l.QoS, retain: l.Retain}
			continue
		}
		c.mu.Lock()
		c.waiting[l.ID] <- l
		c.mu.Unlock()
	}
}

// ask sends a command and waits for its result.
func (c *mqttjs) ask(ctx context.Context, command map[string]any, result any) error {
	answer := make(chan mqttjsLine, 1)
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
		return errors.New("node has ended")
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *mqttjs) connect(ctx context.Context) (present bool, err error) {
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

func (c *mqttjs) publish(ctx context.Context, m message) error {
	return c.ask(ctx, map[string]any{"do": "publish", "topic": m.topic, "payload": m.payload, "qos": m.qos, "retain": m.retain}, new(any))
}

func (c *mqttjs) subscribe(ctx context.Context, filter string, qos byte) (granted byte, err error) {
	err = c.ask(ctx, map[string]any{"do": "subscribe", "topic": filter, "qos": qos}, &granted)
	return granted, err
}

func (c *mqttjs) unsubscribe(ctx context.Context, filter string) error {
	return c.ask(ctx, map[string]any{"do": "unsubscribe", "topic": filter}, new(any))
}

func (c *mqttjs) received() <-chan message { return c.in }

func (c *mqttjs) disconnect() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c.ask(ctx, map[string]any{"do": "disconnect"}, new(any))
	c.drop()
}

func (c *mqttjs) drop() {
	c.cmd.Process.Kill()
	<-c.ended
	c.stdin.Close()
}
