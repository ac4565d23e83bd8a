package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/ngmq/ngmq/mqtt/client"
	"github.com/ngmq/ngmq/mqtt/packet"
)

// connect makes the client and connects it.
func (f *connection) connect(c *console, address string, o client.Options) (*client.Client, error) {
	o.Servers = []string{address}
	if f.SRV && address == f.hostURL() {
		if err := f.findServers(c, &o, net.DefaultResolver.LookupSRV); err != nil {
			return nil, err
		}
	}
	if err := o.Validate(); err != nil {
		return nil, err
	}
	f.warn(c, address)
	conn, err := dial(c, o)
	switch {
	case err == nil:
		f.logConnected(c, c, conn)
		return conn, nil
	case errors.Is(c.Err(), context.DeadlineExceeded): // -W
		return nil, &failed{exitTimeout, fmt.Errorf("no connection in time: %w%s", err, f.connectHint(err))}
	case c.Err() != nil:
		return nil, errInterrupted
	}
	var refused *client.ReasonError
	if errors.As(err, &refused) {
		return nil, &failed{exitRefused, fmt.Errorf("connection refused: %w%s", err, f.refusalHint(refused))}
	}
	return nil, &failed{exitNoServer, fmt.Errorf("cannot connect: %w%s", err, f.connectHint(err))}
}

// refusalHint says what to do about a refused connection.
func (f *connection) refusalHint(refused *client.ReasonError) string {
	if _, elsewhere := refused.Properties.Bytes(packet.ServerReference); elsewhere && !f.Follow {
		return "\n  the broker sends clients elsewhere: go there with --url, or let --follow-reference do so"
	}
	return refusalHint(refused.Code)
}

// dial is client.Dial with any number of servers.
func dial(ctx context.Context, o client.Options) (*client.Client, error) {
	conn, err := client.New(o)
	if err != nil {
		return nil, err
	}
	if _, err := conn.Connect(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// disconnectTimeout bounds the polite end of a connection.
const disconnectTimeout = 5 * time.Second

// disconnect ends the connection politely, even after a signal.
func (f *connection) disconnect(c *console, conn *client.Client) {
	ctx, cancel := context.WithTimeout(context.Background(), disconnectTimeout)
	defer cancel()
	f.logEnd(ctx, c, conn)
	_ = conn.DisconnectWith(ctx, &packet.Disconnect{Properties: f.Properties.of("disconnect")}) // it ends in any case
}

// errInterrupted: a signal came before the work was done.
var errInterrupted = errors.New("interrupted")

// explain gives an error of a publish or subscribe its exit status.
func explain(err error) error {
	var refused *client.ReasonError
	var lost *client.ConnectionLostError
	switch {
	case errors.As(err, &lost), errors.Is(err, client.ErrNotConnected):
		return &failed{exitLost, err}
	case errors.As(err, &refused):
		return &failed{exitRefused, err}
	case errors.Is(err, context.Canceled):
		return errInterrupted
	}
	return err
}
