package client

import (
	"context"
	"sync"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// Pending is an operation that the server has not answered yet: a token, or future. All
// methods may be called by any goroutine, any number of times.
type Pending struct {
	topic string

	once   sync.Once
	done   chan struct{}
	answer answer // set before done is closed
}

func newPending(topic string) *Pending { return &Pending{topic: topic, done: make(chan struct{})} }

// completed is a Pending that has succeeded already.
func completed(topic string) *Pending {
	p := newPending(topic)
	p.complete(answer{})
	return p
}

// complete gives p its outcome; the first one counts.
func (p *Pending) complete(a answer) {
	p.once.Do(func() {
		p.answer = a
		close(p.done)
	})
}

// Topic is that of the message; empty for other operations.
func (p *Pending) Topic() string { return p.topic }

// Done is closed when the outcome is known.
func (p *Pending) Done() <-chan struct{} { return p.done }

// Wait returns the outcome when it is known: the reason code of the last
// acknowledgement, of several ([Client.SubscribeAsync]) the first one. See the blocking
// call for the errors. When ctx ends first, its error; the operation goes on.
func (p *Pending) Wait(ctx context.Context) (packet.ReasonCode, error) {
	select {
	case <-p.done:
		return p.answer.code, p.answer.err
	case <-ctx.Done():
	}
	select {
	case <-p.done: // both: the outcome is worth more
		return p.answer.code, p.answer.err
	default:
		return 0, ctx.Err()
	}
}

// Codes are the reason codes of a SUBACK or UNSUBACK, one per filter; nil before Done.
func (p *Pending) Codes() []packet.ReasonCode {
	select {
	case <-p.done:
		return p.answer.codes
	default:
		return nil
	}
}
