package client

import (
	"time"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// Metrics is told what a client does. Its methods are called by the client's goroutines
// and must return at once. One Metrics may serve many clients.
type Metrics interface {
	// Connected: there is a connection to server, a URL without password; took is the time
	// from the dial to the CONNACK.
	Connected(server string, took time.Duration)
	// ConnectFailed: no server could be connected to.
	ConnectFailed(err error)
	// Disconnected: the connection ended; ErrClosed when this client did that.
	Disconnected(cause error)
	// Sent: a packet of size bytes has been handed to the connection.
	Sent(t packet.Type, size int)
	// Received: a packet of size bytes came.
	Received(t packet.Type, size int)
}

// noMetrics is nobody's.
type noMetrics struct{}

func (noMetrics) Connected(string, time.Duration) {}
func (noMetrics) ConnectFailed(error)             {}
func (noMetrics) Disconnected(error)              {}
func (noMetrics) Sent(packet.Type, int)           {}
func (noMetrics) Received(packet.Type, int)       {}

// Stats is what a client holds at a moment.
type Stats struct {
	// Connected, and the URL of the server, without password; it stays after the end.
	Connected bool
	Server    string
	// Waiting messages are in the queue, Inflight ones are sent and not acknowledged.
	Waiting, Inflight int
	// QueueBytes is what counts for Queue.Bytes; 0 without Reconnect.
	QueueBytes int
	// Subscriptions that Reconnect would restore.
	Subscriptions int
	// Dropped are the received messages of QoS 0, since New, that the handlers were too slow
	// for while an answer of the server was awaited.
	Dropped uint64
}

// Stats is a snapshot.
func (c *Client) Stats() Stats {
	c.mu.Lock()
	st := Stats{Connected: c.link != nil, Server: redacted(c.worked), Dropped: c.dropped.Load()}
	c.mu.Unlock()
	s := c.session
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range s.exchanges {
		if x.kind == packet.PUBLISH {
			st.Inflight++
		}
	}
	st.Waiting, st.QueueBytes, st.Subscriptions = len(s.queue.waiting), s.queue.bytes, len(s.subs)
	return st
}
