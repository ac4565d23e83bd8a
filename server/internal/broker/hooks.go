package broker

import (
	"log/slog"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/mqtt/topic"
)

// Action is what a client wants to do with a topic.
type Action uint8

const (
	// ActionPublish is a PUBLISH, or the will of a CONNECT, with this topic name.
	ActionPublish Action = iota + 1
	// ActionSubscribe is a subscription with this filter; of a shared one the filter
	// without $share and the name.
	ActionSubscribe
)

// String is "publish" or "subscribe".
func (a Action) String() string {
	switch a {
	case ActionPublish:
		return "publish"
	case ActionSubscribe:
		return "subscribe"
	}
	return "unknown"
}

// SessionChange is what has become of a session.
type SessionChange uint8

const (
	// SessionCreated: a client has come that had none, or wanted a new one.
	SessionCreated SessionChange = iota + 1
	// SessionResumed: a client has come back to its session.
	SessionResumed
	// SessionEnded: it ended with its connection, or for the sake of a new one.
	SessionEnded
	// SessionExpired: it ended because its client was away for too long.
	SessionExpired
)

var changeNames = [...]string{SessionCreated: "created", SessionResumed: "resumed", SessionEnded: "ended", SessionExpired: "expired"}

// String is "created", "resumed", "ended" or "expired".
func (c SessionChange) String() string {
	if c >= SessionCreated && int(c) < len(changeNames) {
		return changeNames[c]
	}
	return "unknown"
}

// ConnectedEvent tells that a client has been let in.
type ConnectedEvent struct {
	Client         *ClientInfo
	SessionPresent bool // it has gone on with a session
}

// SessionEvent tells what has become of the session of a client identifier.
type SessionEvent struct {
	ClientID string
	Change   SessionChange
}

// DeliverEvent is a message on its way to one session. Whoever changes it assigns new
// slices and does not write into those that are there: other receivers share them.
type DeliverEvent struct {
	ClientID string      // of the receiver
	Client   *ClientInfo // the receiver, nil while it is away
	From     string      // client identifier of the publisher, empty for the program itself
	// Publication as the receiver would get it. QoS may be lowered.
	Publication
}

// topicNames is how many topic names a client has in memory for Authorize, so that
// asking about one of them again costs no memory.
const topicNames = 8

// mayPublish asks Authorize about a topic name.
func (c *Client) mayPublish(name []byte) error {
	if c.b.cfg.Handlers.Authorize == nil {
		return nil
	}
	return c.authorize(ActionPublish, c.nameOf(name))
}

// nameOf is name as a string, one that is there already if possible.
func (c *Client) nameOf(name []byte) string {
	if c.names == nil {
		c.names = new([topicNames]string)
	}
	for _, known := range c.names {
		if known == string(name) {
			return known
		}
	}
	at := &c.names[c.nextName%topicNames]
	c.nextName++
	*at = string(name)
	return *at
}

// maySubscribe asks Authorize about a filter.
func (c *Client) maySubscribe(filter string) error {
	if c.b.cfg.Handlers.Authorize == nil {
		return nil
	}
	_, filter, _ = topic.ParseShare(filter)
	return c.authorize(ActionSubscribe, filter)
}

// mayWill asks Authorize about the will of a CONNECT.
func (c *Client) mayWill(w *packet.Will) error {
	if w == nil || c.b.cfg.Handlers.Authorize == nil {
		return nil
	}
	return c.authorize(ActionPublish, w.Topic)
}

func (c *Client) authorize(a Action, name string) error {
	return c.b.Protect("authorize handler", func() error { return c.b.cfg.Handlers.Authorize(c.info, a, name) })
}

func (b *Broker) callConnected(ev ConnectedEvent) {
	if b.cfg.Handlers.Connected != nil {
		_ = b.Protect("connected handler", func() error { b.cfg.Handlers.Connected(&ev); return nil })
	}
}

// callSession tells about the session of id. No lock may be held.
func (b *Broker) callSession(id string, change SessionChange) {
	if b.cfg.Handlers.Session != nil {
		_ = b.Protect("session handler", func() error { b.cfg.Handlers.Session(&SessionEvent{id, change}); return nil })
	}
}

// callDeliver shows d to the Deliver handler. ok is false when the session is not to get
// it. The message of changed is one of its own, which the caller releases, or that of d.
func (s *Session) callDeliver(d delivery) (changed delivery, ok bool) {
	b := s.b
	ev := &DeliverEvent{ClientID: s.id, From: d.m.from, Publication: b.publication(d.m)}
	ev.QoS, ev.Retain = d.qos, d.retain
	s.mu.Lock()
	if s.client != nil {
		ev.Client = s.client.info
	}
	s.mu.Unlock()
	before := ev.Publication
	if b.Protect("deliver handler", func() error { return b.cfg.Handlers.Deliver(ev) }) != nil {
		return d, false
	}
	d.qos, d.retain = min(d.qos, ev.QoS), ev.Retain
	if before.Topic == ev.Topic && same(before.Payload, ev.Payload) && same(before.Properties, ev.Properties) && before.Expiry == ev.Expiry {
		return d, true
	}
	m, err := b.newPublication(&ev.Publication)
	if err != nil {
		b.log(logHandler, slog.LevelError, "deliver handler made an invalid message", "topic", ev.Topic, "client", s.id, "error", err)
		return d, false
	}
	m.qos, m.retain, m.from = d.m.qos, d.m.retain, d.m.from
	if before.Expiry == ev.Expiry {
		m.expires = d.m.expires
	}
	d.m = m
	return d, true
}

// same reports whether a and b are the same slice of memory.
func same[T ~[]byte](a, b T) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// RunsHandlers reports whether Client.Feed, Flush and Closed may call functions of the
// program, which may take their time. It can change from false to true.
func (b *Broker) RunsHandlers() bool { return b.foreign || b.handlerOrder.Load() != 0 }
