package main

import (
	"fmt"
	"sync"

	"github.com/ngmq/ngmq/mqtt/client"
)

// deletions are retained messages that are to be deleted at the broker. That is not the work
// of the message handler: while it waits nothing is read, and so no acknowledgement either.
type deletions struct {
	mu      sync.Mutex
	changed *sync.Cond
	topics  []string
	over    bool // nothing is added any more
}

func newDeletions() *deletions {
	d := new(deletions)
	d.changed = sync.NewCond(&d.mu)
	return d
}

func (d *deletions) add(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.topics = append(d.topics, name)
	d.changed.Signal()
}

// end lets run return when it has done what there is.
func (d *deletions) end() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.over = true
	d.changed.Signal()
}

// next waits for topics; none: there will be no more.
func (d *deletions) next() (topics []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for len(d.topics) == 0 && !d.over {
		d.changed.Wait()
	}
	topics, d.topics = d.topics, nil
	return topics
}

// run deletes until end, and returns when the broker has acknowledged everything; sooner when
// it cannot.
func (d *deletions) run(c *console, conn *client.Client) error {
	var sent []*client.Pending
	for topics := d.next(); len(topics) > 0; topics = d.next() {
		for _, name := range topics {
			pending, err := conn.PublishAsync(c, client.Message{Topic: name, QoS: 1, Retain: true})
			if err != nil {
				return fmt.Errorf("%s: cannot delete the retained message: %w", name, explain(err))
			}
			sent = append(sent, pending)
		}
	}
	for _, pending := range sent {
		if _, err := pending.Wait(c); err != nil {
			return explain(err)
		}
	}
	return nil
}
