package client

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"sync"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// requests are those that wait for their response.
type requests struct {
	mu     sync.Mutex
	lastID uint64
	open   map[uint64]chan Message

	setup chan struct{} // capacity 1: held by who uses what follows
	topic string        // of responses; empty: there is none yet
	link  *link         // the connection that it was subscribed on; nil = none
}

func (r *requests) init() {
	r.open, r.setup = map[uint64]chan Message{}, make(chan struct{}, 1)
}

// ErrNoResponseTopic says that a message to respond to has no Response Topic.
var ErrNoResponseTopic = errors.New("client: the message is no request: it has no Response Topic")

// Request publishes m with a Response Topic and Correlation Data (MQTT 5.0 section
// 4.10), and waits for the response, which no handler gets. The first call subscribes to
// a response topic of this client: [Options.ResponseTopic], or a random one below
// "ngmq/response/". m.QoS is used for the subscription too. 5.0 only.
func (c *Client) Request(ctx context.Context, m Message) (Message, error) {
	if c.opts.Version != packet.V50 {
		return Message{}, errors.New("client: Request needs MQTT 5.0: in 3.x publish and subscribe with topics of your own")
	}
	name, err := c.responseTopic(ctx, m.QoS)
	if err != nil {
		return Message{}, err
	}
	id, response := c.requests.begin()
	defer c.requests.end(id)
	m.Properties = m.Properties.AppendExcept(nil, packet.ResponseTopic, packet.CorrelationData)
	m.Properties = packet.AppendString(m.Properties, packet.ResponseTopic, name)
	m.Properties = packet.AppendBinary(m.Properties, packet.CorrelationData, binary.BigEndian.AppendUint64(nil, id))
	if _, err := c.Publish(ctx, m); err != nil {
		return Message{}, err
	}
	var done <-chan struct{}
	if !c.opts.Reconnect {
		done = c.Done()
	}
	select {
	case r := <-response:
		return r, nil
	case <-done:
		return Message{}, ErrNotConnected
	case <-ctx.Done():
		return Message{}, ctx.Err()
	}
}

// Respond publishes a response to a request: on its Response Topic, with its Correlation
// Data. m.Topic is ignored. [ErrNoResponseTopic] when it is no request.
func (c *Client) Respond(ctx context.Context, request, m Message) error {
	name, ok := request.Properties.Bytes(packet.ResponseTopic)
	if !ok {
		return ErrNoResponseTopic
	}
	m.Topic = string(name)
	m.Properties = m.Properties.AppendExcept(nil, packet.CorrelationData)
	if data, ok := request.Properties.Bytes(packet.CorrelationData); ok {
		m.Properties = packet.AppendBinary(m.Properties, packet.CorrelationData, data)
	}
	_, err := c.Publish(ctx, m)
	return err
}

func (r *requests) begin() (uint64, <-chan Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lastID++
	response := make(chan Message, 1)
	r.open[r.lastID] = response
	return r.lastID, response
}

func (r *requests) end(id uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.open, id)
}

// deliver is the handler of the response topic. Late and foreign messages are dropped.
func (r *requests) deliver(m Message) {
	data, _ := m.Properties.Bytes(packet.CorrelationData)
	if len(data) != 8 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	id := binary.BigEndian.Uint64(data)
	if response, ok := r.open[id]; ok {
		response <- m // the only one: the entry goes
		delete(r.open, id)
	}
}

// responseTopic subscribes the first time. Without Reconnect each connection needs a
// subscription of its own.
func (c *Client) responseTopic(ctx context.Context, qos byte) (string, error) {
	r := &c.requests
	select {
	case r.setup <- struct{}{}:
		defer func() { <-r.setup }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	l, err := c.available(ctx)
	if err != nil {
		return "", err
	}
	if r.link == l || r.link != nil && c.opts.Reconnect {
		return r.topic, nil
	}
	if r.topic == "" {
		name := cmp.Or(c.opts.ResponseTopic, "ngmq/response/"+randomID())
		if _, err := c.Handle(name, r.deliver); err != nil {
			return "", err
		}
		r.topic = name
	}
	if _, err := c.Subscribe(ctx, packet.Subscription{Filter: r.topic, QoS: qos}); err != nil {
		return "", err
	}
	r.link = l
	return r.topic, nil
}
