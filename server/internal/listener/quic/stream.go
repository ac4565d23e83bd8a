//go:build !noquic

package quic

import (
	"errors"
	"slices"

	"github.com/ngmq/ngmq/ngtcp2/endpoint"
	"github.com/ngmq/ngmq/server/internal/broker"
)

// dataStream is a stream that the client has opened besides the control stream.
type dataStream struct {
	c      *conn
	s      *endpoint.Stream
	stream *broker.Stream // nil: held until the CONNECT has been accepted
	out    datagramSink

	begun bool      // its first byte has been looked at; unidirectional: its header
	gone  bool      // to the broker it is closed
	fin   bool      // nothing follows what is held
	head  []byte    // of a unidirectional stream or a flow, until its header is complete
	flow  *dataFlow // under MQTT-next, else nil

	held []byte // what has come meanwhile; the windows of the connection bound it
	owed int    // bytes for which the client has no credit yet

	qos int // of broker.Stream.QoS, by which it is placed (Config.QoSPriority)
}

// openData makes the data stream of s.
func (c *conn) openData(s *endpoint.Stream) {
	d := &dataStream{c: c, s: s, out: datagramSink{sink{s: s}}, qos: -1}
	s.UserData = d
	if c.next != nil {
		d.flow = new(dataFlow)
	}
	if s.Bidi() {
		_ = s.SetUrgency(dataUrgency) // ErrClosed: then it does not matter
	}
	c.data = append(c.data, d)
	if c.accepted && !c.over {
		d.open()
	}
}

func (d *dataStream) open() { d.stream = d.c.client.OpenStream(d.s.ID(), !d.s.Bidi()) }

// accept begins with the data streams that have been held: the client has been let in.
func (c *conn) accept() {
	c.accepted = true
	for _, d := range c.data {
		if c.over {
			return
		}
		if d.gone || d.stream != nil { // a server flow
			continue
		}
		d.open()
		held := d.held
		d.held = nil
		d.take(held, d.fin)
	}
}

// onData takes what has come on the stream, or holds it. What is held has no credit yet.
func (d *dataStream) onData(data []byte, fin bool) {
	if d.isClient(data) {
		d.becomeClient(data, fin)
		return
	}
	switch {
	case d.gone || d.c.over:
		d.s.Consume(len(data))
	case d.stream == nil:
		d.held = append(d.held, data...)
		d.fin = fin
	default:
		d.take(data, fin)
	}
}

// take hands data to the broker and gives the credit back.
func (d *dataStream) take(data []byte, fin bool) {
	if len(data) > 0 {
		d.feed(data)
	}
	d.owed = giveCredit(d.s, d.owed+len(data), d.c.client)
	if !fin || d.gone || d.c.over {
		return
	}
	switch err := d.whole(); {
	case err == nil:
		d.finish()
	case d.flow != nil:
		d.close(FlowIncompletePacket)
	default:
		d.fail(err)
	}
}

// whole tells what is wrong with a stream that ends here.
func (d *dataStream) whole() error {
	if len(d.head) > 0 {
		return d.stream.Malformed("the stream ends inside its header")
	}
	return d.stream.End()
}

// isClient looks at the first byte: with a CONNECT, and where it is allowed, the stream is
// an MQTT connection of its own.
func (d *dataStream) isClient(data []byte) bool {
	if d.begun || len(data) == 0 || !d.s.Bidi() {
		return false
	}
	d.begun = true
	return data[0] == connectByte && d.c.l.cfg.StreamClients && !d.gone
}

// becomeClient puts a streamClient in the place of d.
func (d *dataStream) becomeClient(data []byte, fin bool) {
	d.end()
	_ = d.s.SetUrgency(controlUrgency) // ErrClosed: then it does not matter
	d.c.data = slices.DeleteFunc(d.c.data, func(x *dataStream) bool { return x == d })
	if m := d.c.openClient(d.s); m != nil {
		m.onData(data, fin)
	}
}

// skipHeader takes the header away with which a unidirectional stream may begin.
func (d *dataStream) skipHeader(data []byte) (rest []byte) {
	if d.begun {
		return data
	}
	d.head = append(d.head, data...)
	size, complete, ok := strayHeader(d.head)
	if !ok {
		d.fail(d.stream.Malformed("the header of the stream cannot be served"))
	}
	if !ok || !complete {
		return nil
	}
	rest, d.begun, d.head = d.head[size:], true, nil
	return rest
}

// packets is what of data comes after the header with which the stream begins.
func (d *dataStream) packets(data []byte) []byte {
	switch {
	case d.flow != nil:
		return d.begin(data)
	case !d.s.Bidi():
		return d.skipHeader(data)
	}
	return data
}

func (d *dataStream) feed(data []byte) {
	if data = d.packets(data); len(data) == 0 {
		return
	}
	err := d.stream.Feed(data)
	d.c.qc.MarkDirty()
	if err != nil {
		d.fail(err)
	} else if d.c.l.cfg.QoSPriority {
		d.place()
	}
}

// fail ends what is at its end after an error of the broker: the stream or the connection.
func (d *dataStream) fail(err error) {
	var e *broker.StreamError
	switch {
	case !errors.As(err, &e):
		d.c.end(verdict(err))
	case d.flow != nil && d.flow.begun && d.flow.header.id != 0:
		d.failFlow(e)
	default:
		d.close(uint64(e.Code))
	}
}

// finish ends the stream after the client has: with the answers to what came last.
func (d *dataStream) finish() {
	d.out.bound = sendBound
	if err := d.stream.Finish(&d.out); err != nil {
		d.fail(err)
		return
	}
	d.end()
	_ = d.s.CloseWrite() // ErrClosed: it is a stream of the client alone
}

// close resets the stream, both ways.
func (d *dataStream) close(code uint64) {
	if !d.gone {
		d.end()
		d.s.Refuse(code)
	}
}

// end tells the broker that the stream is gone.
func (d *dataStream) end() {
	d.gone, d.held = true, nil
	if d.stream != nil && !d.c.over {
		d.stream.Closed()
	}
}

// flush moves what waits for the stream into it, while fewer than bound bytes are there
// that the client has not acknowledged.
func (d *dataStream) flush(bound int) {
	if d.gone || d.stream == nil {
		return
	}
	d.out.bound = bound
	if err := d.stream.Flush(&d.out); err != nil {
		d.fail(err)
	}
	if d.flow != nil {
		d.retire()
	}
}

// flushData flushes all data streams. A stream gets no more of dataBound than it leaves
// free, so that one that the client does not read leaves room to all others.
func (c *conn) flushData() {
	if len(c.data) == 0 {
		return
	}
	free := dataBound
	for _, d := range c.data {
		free -= d.s.Buffered()
	}
	for _, d := range c.data {
		before := d.s.Buffered()
		d.flush(min(sendBound, max(free, 0)))
		free -= d.s.Buffered() - before
	}
}
