//go:build !noquic

package quic

import (
	"github.com/ngmq/ngmq/ngtcp2"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
	"github.com/ngmq/ngmq/server/internal/broker"
)

// sendBound is how much a stream holds that is not acknowledged, in bytes:
// enough for 20 Mbit/s at 100 ms. The rest waits in the session, where it is counted
// and limited.
const sendBound = 256 << 10

// dataBound is the same for all data streams of a connection together.
const dataBound = 4 << 20

// sink is a stream as a broker.Sink.
type sink struct {
	s     *endpoint.Stream
	bound int // see sendBound
}

// Room implements broker.Sink.
func (k sink) Room() int { return k.bound - k.s.Buffered() }

// Write implements broker.Sink.
func (k sink) Write(p []byte) { k.s.Write(p) }

// WritePayload implements broker.Sink: the payload is put into C memory once and shared
// by all its receivers.
func (k sink) WritePayload(p []byte, m *broker.Message) {
	k.s.WriteBuffer(sharedPayload(p, m), 0, len(p))
}

// payload is the payload of a message in C memory, attached to the message.
type payload struct{ buf ngtcp2.Buffer }

// Release implements broker.Attachment.
func (p payload) Release() { p.buf.Release() }

// sharedPayload gives the C form of the payload of m, which the first receiver makes.
// It lives at least as long as the caller's reference to m.
func sharedPayload(p []byte, m *broker.Message) ngtcp2.Buffer {
	a := m.Attachment()
	if a == nil {
		made := payload{ngtcp2.NewBuffer(len(p))}
		copy(made.buf.Bytes(), p)
		a = m.Attach(made)
	}
	return a.(payload).buf
}
