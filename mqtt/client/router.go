package client

import (
	"fmt"
	"sync/atomic"

	"github.com/ngmq/ngmq/mqtt/topic"
)

// router finds the handlers of a topic.
type router struct {
	tree   topic.Tree[uint64, func(Message)]
	lastID atomic.Uint64
}

// Handle has handler called, as Options.OnMessage would be, for messages whose topic
// matches the filter. Of several handlers that match, all are called; OnMessage is for messages that none
// matches. It does not subscribe. For a shared subscription the filter may be given
// with or without its $share/group/. remove takes the handler away again.
func (c *Client) Handle(filter string, handler func(Message)) (remove func(), err error) {
	if err := topic.ValidateFilter(filter); err != nil {
		return nil, fmt.Errorf("client: filter %q: %w", filter, err)
	}
	_, filter, err = topic.ParseShare(filter)
	if err != nil {
		return nil, fmt.Errorf("client: filter %q: %w", filter, err)
	}
	id := c.router.lastID.Add(1)
	c.router.tree.Insert(filter, id, handler)
	return func() { c.router.tree.Remove(filter, id) }, nil
}

// dispatch calls the handlers of a message. Only the deliverer calls it.
func (c *Client) dispatch(m Message) {
	handlers := c.router.tree.Match([]byte(m.Topic), nil)
	for _, handler := range handlers {
		handler(m)
	}
	if len(handlers) == 0 && c.opts.OnMessage != nil {
		c.opts.OnMessage(m)
	}
}
