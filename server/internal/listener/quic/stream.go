//go:build !noquic

package quic

import (
	"errors"

	"github.com/ngmq/ngmq/ngtcp2/endpoint"
	"github.com/ngmq/ngmq/server/internal/broker"
)

// dataStream is a stream that the client has opened besides the control stream.
type dataStream struct {
	c      *conn
	s      *endpoint.Stream
	stream *broker.Stream // nil: held until the CONNECT has been accepted

	held []byte // what has come meanwhile; the windows of the connection bound it
	fin  bool   // and that was all
	owed int    // bytes for which the client has no credit yet
	gone bool   // to the broker it is closed
}

// openData makes the data stream of s.
func (c *conn) openData(s *endpoint.Stream) {
	d := &dataStream{c: c, s: s}
	s.UserData = d
	c.data = append(c.data, d)
	if c.accepted {
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
		if d.gone {
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
	d.owed += len(data)
	d.giveCredit()
	if fin && !d.gone && !d.c.over {
		d.finish()
	}
}

func (d *dataStream) feed(data []byte) {
	err := d.stream.Feed(data)
	d.c.qc.MarkDirty()
	var e *broker.StreamError
	switch {
	case errors.As(err, &e):
		d.close(uint64(e.Code))
	case err != nil:
		d.c.refuse(err)
	}
}

// giveCredit lets the client send as much again as has been handled; see conn.giveCredit.
func (d *dataStream) giveCredit() {
	if d.owed > 0 && d.c.client.Pause() == 0 {
		d.s.Consume(d.owed)
		d.owed = 0
	}
}

// finish ends the stream after the client has: with the answers to what came last.
func (d *dataStream) finish() {
	d.flush(sendBound)
	if d.gone {
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
	var e *broker.StreamError
	if errors.As(d.stream.Flush(sink{d.s, bound}), &e) {
		d.close(uint64(e.Code))
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
