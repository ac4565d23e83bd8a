package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/ngmq/ngmq/mqtt/client"
	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/mqtt/topic"
)

// errNoConnection tells what to do first.
var errNoConnection = errors.New("not connected: type connect URL")

// connect connects to the URL, or the server of before.
func (sh *shell) connect(args []string) error {
	if len(args) > 1 {
		return errors.New("connect takes one URL; flags such as --cafile stand on the command line of ngmq shell")
	}
	if sh.conn != nil && (sh.cmd.Reconnect || !ended(sh.conn)) {
		return errors.New("connected already: type disconnect first")
	}
	sh.conn = nil
	address := sh.address
	var err error
	switch {
	case len(args) == 1:
		address, _, err = splitTopic(args[0])
	case address == "":
		address, _, err = sh.cmd.server()
	}
	if err != nil {
		return err
	}
	ctx, cancel := sh.waiting()
	defer cancel()
	within := *sh.c
	within.Context = ctx
	o := sh.cmd.options(sh.c)
	o.OnMessage = func(m client.Message) { sh.report(sh.printer.print(m)) }
	o.OnConnectionLost = func(err error) { sh.printf("connection lost: %v", err) }
	conn, err := sh.cmd.connect(&within, address, o)
	if err != nil {
		return err
	}
	sh.conn, sh.address = conn, address
	clear(sh.filters)
	sh.printf("connected as %s%s", conn.ClientID(), map[bool]string{true: ", session resumed"}[conn.Connack().SessionPresent])
	return nil
}

// ended says whether the connection is over.
func ended(conn *client.Client) bool {
	select {
	case <-conn.Done():
		return true
	default:
		return false
	}
}

// connected is the client with a connection.
func (sh *shell) connected() (*client.Client, error) {
	if sh.conn == nil {
		return nil, errNoConnection
	}
	return sh.conn, nil
}

func (sh *shell) disconnect([]string) error {
	conn, err := sh.connected()
	if err != nil {
		return err
	}
	sh.cmd.disconnect(sh.c, conn)
	sh.conn = nil
	clear(sh.filters)
	return nil
}

func (sh *shell) subscribe(args []string) error {
	if len(args) < 1 || len(args) > 2 {
		return errors.New("sub takes a filter, and perhaps a QoS")
	}
	qos := sh.cmd.QoS
	if len(args) == 2 {
		var err error
		if qos, err = parseQoS(args[1]); err != nil {
			return err
		}
	}
	if err := topic.ValidateFilter(args[0]); err != nil {
		return err
	}
	conn, err := sh.connected()
	if err != nil {
		return err
	}
	ctx, cancel := sh.waiting()
	defer cancel()
	codes, err := conn.SubscribeOn(ctx, sh.cmd.Stream, sh.cmd.Properties.of("subscribe"), packet.Subscription{Filter: args[0], QoS: qos})
	if err != nil {
		return err
	}
	sh.filters[args[0]] = byte(codes[0])
	sh.printf("subscribed to %s with QoS %d", args[0], codes[0])
	return nil
}

func parseQoS(text string) (byte, error) {
	n, err := strconv.ParseUint(text, 10, 8)
	if err != nil || n > 2 {
		return 0, fmt.Errorf("%q is no QoS: 0, 1 or 2", text)
	}
	return byte(n), nil
}

func (sh *shell) unsubscribe(args []string) error {
	if len(args) != 1 {
		return errors.New("unsub takes a filter")
	}
	conn, err := sh.connected()
	if err != nil {
		return err
	}
	ctx, cancel := sh.waiting()
	defer cancel()
	if _, err := conn.UnsubscribeWith(ctx, sh.cmd.Properties.of("unsubscribe"), args[0]); err != nil {
		return err
	}
	delete(sh.filters, args[0])
	sh.printf("unsubscribed from %s", args[0])
	return nil
}

func (sh *shell) publish(args []string) error {
	m := client.Message{QoS: sh.cmd.QoS, Stream: sh.cmd.Stream, Properties: sh.cmd.Properties.of("publish")}
	var err error
	for len(args) > 0 && len(args[0]) == 2 && args[0][0] == '-' {
		switch {
		case args[0] == "-r":
			m.Retain, args = true, args[1:]
		case args[0] == "-q" && len(args) > 1:
			if m.QoS, err = parseQoS(args[1]); err != nil {
				return err
			}
			args = args[2:]
		default:
			return fmt.Errorf("pub takes -q QOS and -r, not %s", args[0])
		}
	}
	if len(args) < 1 {
		return errors.New("pub takes a topic, and perhaps a text")
	}
	m.Topic = args[0]
	for i, word := range args[1:] {
		if i > 0 {
			m.Payload = append(m.Payload, ' ')
		}
		m.Payload = append(m.Payload, word...)
	}
	if err := topic.ValidateName(m.Topic); err != nil {
		return err
	}
	conn, err := sh.connected()
	if err != nil {
		return err
	}
	ctx, cancel := sh.waiting()
	defer cancel()
	code, err := conn.Publish(ctx, m)
	if err == nil && code == packet.NoMatchingSubscribers {
		sh.printf("nobody is subscribed")
	}
	return err
}

// format changes how messages are shown.
func (sh *shell) format(args []string) error {
	flags := printFlags{Verbose: len(args) == 0}
	for i, word := range args {
		if i > 0 {
			flags.Format += " "
		}
		flags.Format += word
	}
	p, err := newPrinter(&flags, sh.c)
	if err != nil {
		return err
	}
	sh.printer.use(p)
	return nil
}

func (sh *shell) status([]string) error {
	conn, err := sh.connected()
	if err != nil {
		return err
	}
	state := "connected"
	if ended(conn) {
		state = "connection lost"
	}
	sh.printf("%s: %s as %s", redactedURL(sh.address), state, conn.ClientID())
	for _, filter := range slices.Sorted(maps.Keys(sh.filters)) {
		sh.printf("%s with QoS %d", filter, sh.filters[filter])
	}
	return nil
}
