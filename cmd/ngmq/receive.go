package main

import (
	"math/rand/v2"

	"github.com/ngmq/ngmq/mqtt/client"
	"github.com/ngmq/ngmq/mqtt/topic"
)

// receiver decides about each message: print it, delete it at the broker, end.
type receiver struct {
	cmd     *subCommand
	out     *printer
	printed uint64
	deleted *deletions
	done    chan struct{} // closed when no more shall be printed
	err     error         // set before done is closed
	over    bool
}

// receive is the message handler: one goroutine calls it.
func (r *receiver) receive(m client.Message) {
	if r.over {
		return
	}
	if r.cmd.Retained && !m.Retain {
		r.end(nil)
		return
	}
	if r.filteredOut(m) {
		return
	}
	if r.cmd.Remove && m.Retain && len(m.Payload) > 0 {
		r.deleted.add(m.Topic)
	}
	if m.Retain && r.cmd.NoRetained {
		return
	}
	if r.cmd.Random >= 100 || rand.Float64()*100 < r.cmd.Random {
		if err := r.out.print(m); err != nil {
			r.end(err)
			return
		}
	}
	if r.printed++; r.printed == r.cmd.Count {
		r.end(nil)
	}
}

func (r *receiver) end(err error) {
	r.over, r.err = true, err
	close(r.done)
}

func (r *receiver) filteredOut(m client.Message) bool {
	for _, filter := range r.cmd.FilterOut {
		if topic.Match(filter, m.Topic) {
			return true
		}
	}
	return false
}
