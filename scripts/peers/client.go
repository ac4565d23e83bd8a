package main

import (
	"context"
	"fmt"
	"sync"
)

// client is one MQTT client with a goroutine that reads.
type client struct {
	id      string
	link    link
	in      frames
	traffic traffic
	acks    []byte        // PUBACKs that are sent when a read has been worked on; of the reader
	replies chan reply    // everything but PUBLISH and PUBACK
	gone    chan struct{} // closed when the reader has ended
	err     error         // why, after gone

	writing sync.Mutex
}

// reply is an answer: its last byte says what was granted or refused.
type reply struct{ kind, last byte }

// traffic is what a client does with messages; the reader calls it.
type traffic interface {
	received(f frame) (ack uint16, err error) // ack is the packet identifier to acknowledge; 0: none
	acknowledged(id uint16) error
}

func newClient(id string, l link, t traffic) *client {
	c := &client{id: id, link: l, in: frames{r: l}, traffic: t, replies: make(chan reply, 1), gone: make(chan struct{})}
	go c.read()
	return c
}

func (c *client) write(b []byte) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	_, err := c.link.Write(b)
	return err
}

func (c *client) read() {
	defer close(c.gone)
	defer c.link.end()
	for c.err == nil {
		if c.err = c.in.fill(); c.err == nil {
			c.err = c.handleAll()
		}
	}
}

func (c *client) handleAll() error {
	for {
		f, err := c.in.next()
		if err == nil && f.whole != nil {
			err = c.handle(f)
		}
		if err != nil {
			return err
		}
		if f.whole == nil {
			break
		}
	}
	if len(c.acks) == 0 {
		return nil
	}
	err := c.write(c.acks)
	c.acks = c.acks[:0]
	return err
}

func (c *client) handle(f frame) error {
	switch kind := f.kind(); {
	case kind == typePublish && c.traffic != nil:
		ack, err := c.traffic.received(f)
		if ack > 0 {
			c.acks = appendPuback(c.acks, ack)
		}
		return err
	case kind == typePuback && c.traffic != nil && len(f.body) == 2:
		return c.traffic.acknowledged(uint16(f.body[0])<<8 | uint16(f.body[1]))
	}
	select {
	case c.replies <- reply{f.kind(), f.whole[len(f.whole)-1]}:
		return nil
	default:
		return fmt.Errorf("nobody asked for a packet of type %d", f.kind())
	}
}

// call sends a request and wants an answer of that kind with a last byte of want (default 0).
func (c *client) call(ctx context.Context, kind byte, request []byte, want ...byte) error {
	if err := c.write(request); err != nil {
		return c.lost(err)
	}
	wanted := reply{kind: kind}
	if len(want) > 0 {
		wanted.last = want[0]
	}
	select {
	case r := <-c.replies:
		if r != wanted {
			return fmt.Errorf("%s: the answer was type %d, last byte %d, not type %d, last byte %d", c.id, r.kind, r.last, kind, wanted.last)
		}
		return nil
	case <-c.gone:
		return c.lost(c.err)
	case <-ctx.Done():
		return fmt.Errorf("%s: no answer: %w", c.id, ctx.Err())
	}
}

func (c *client) lost(err error) error {
	return fmt.Errorf("%s: the connection was lost: %w", c.id, err)
}

func (c *client) subscribe(ctx context.Context, topic string, qos byte) error {
	return c.call(ctx, typeSuback, appendSubscribe(nil, 1, topic, qos), qos)
}

func (c *client) ping(ctx context.Context) error { return c.call(ctx, typePingresp, pingreq) }
