package broker

import (
	"errors"
	"sync"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// writer is the scratch space of one Flush. Writers are pooled.
type writer struct {
	batch   [64]outgoing // taken from the session, with references
	n       int
	buf     []byte    // encoded, not yet written
	sent    [3]uint64 // PUBLISH
	packets int       // others
	bytes   int
	drops   []dropped

	datagrams datagrams
}

// dropped is a message that was given up under the session's lock.
type dropped struct {
	m      *Message
	reason DropReason
}

const (
	// writeSize is how much is encoded before it is handed to the sink, in bytes.
	writeSize = 16 << 10
	// sharePayload is the size in bytes from which a payload is handed to the sink
	// as it is, so that the sink can keep a reference instead of a copy.
	sharePayload = 4 << 10
)

var writers = sync.Pool{New: func() any { return &writer{buf: make([]byte, 0, writeSize+sharePayload)} }}

func (w *writer) full() bool { return w.n == len(w.batch) }

// next is the place in the batch of one more packet; it is empty.
func (w *writer) next() *outgoing {
	w.n++
	return &w.batch[w.n-1]
}

func (w *writer) drop(m *Message, reason DropReason) { w.drops = append(w.drops, dropped{m, reason}) }

// Flush writes what is waiting, as far as there is room: control packets first, then
// messages. It takes some of the retained messages that the client waits for from the
// store; when there are more it calls Transport.Wake.
func (c *Client) Flush(s Sink) {
	c.woken.Store(false)
	c.flush(&c.control, s)
}

// flush is Flush for a stream.
func (c *Client) flush(st *Stream, s Sink) {
	w := writers.Get().(*writer)
	defer c.endFlush(w)
	if c.getsDatagrams {
		w.datagramsTo(s)
	}
	visits := retainedVisits
	for {
		room := s.Room()
		if room <= 0 && !c.closing.Load() {
			st.waiting.Store(true)
			break
		}
		// The session first: what it gives was queued after CONNACK, which is
		// then in front of it in control.
		if session := c.live.Load(); session != nil && room > 0 && !c.closing.Load() {
			if o := st.outlet(session); o != nil {
				o.sendRetained(c, &visits)
				o.collect(c, w, room)
			}
		}
		more := w.n > 0
		last := c.takeAnswers(st, w)
		w.write(s, st)
		if len(last) > 0 {
			w.bytes += len(last)
			s.Write(last)
		}
		if !more {
			break
		}
	}
	w.finish(c.b)
	if visits <= 0 { // more in a later turn
		st.waiting.Store(true)
		c.wake()
	}
}

// takeAnswers moves the waiting control packets of a stream to w. last is the final packet
// of the control stream.
func (c *Client) takeAnswers(st *Stream, w *writer) (last []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w.buf = append(w.buf, st.answers...)
	st.answers = st.answers[:0]
	if cap(st.answers) > keepControl {
		st.answers = nil
	}
	if st.isControl() {
		last, c.last = c.last, nil
	}
	w.packets += st.answered
	st.answered = 0
	if last != nil {
		w.packets++
	}
	return last
}

// write encodes the batch and hands everything to the sink.
func (w *writer) write(s Sink, st *Stream) {
	for i := range w.batch[:w.n] {
		o := &w.batch[i]
		w.encode(s, o, st)
		*o = outgoing{}
	}
	w.n = 0
	w.flush(s)
}

func (w *writer) encode(s Sink, o *outgoing, st *Stream) {
	c := st.c
	if o.m == nil {
		w.packets++
		w.buf = appendAck(w.buf, packet.PUBREL, o.id, packet.Success)
		return
	}
	w.sent[o.qos]++
	if !w.datagram(o, c.version) {
		w.publish(s, o, st)
	}
	o.m.Release()
}

// publish encodes a PUBLISH for a stream.
func (w *writer) publish(s Sink, o *outgoing, st *Stream) {
	c := st.c
	payload := o.m.Payload()
	if c.outAliases != nil && st.isControl() {
		c.outAliases.choose(o, c.maxPacket)
	}
	w.buf = o.appendHead(w.buf, c.version)
	if len(payload) < sharePayload {
		w.buf = append(w.buf, payload...)
	} else {
		w.flush(s)
		w.bytes += len(payload)
		s.WritePayload(payload, o.m)
	}
	if len(w.buf) >= writeSize {
		w.flush(s)
	}
}

// flush hands what is encoded to the sink.
func (w *writer) flush(s Sink) {
	if len(w.buf) > 0 {
		w.bytes += len(w.buf)
		s.Write(w.buf)
		w.buf = w.buf[:0]
	}
}

// finish adds up the counters, releases what was dropped and readies w for the pool.
func (w *writer) finish(b *Broker) {
	for qos, n := range w.sent {
		if n > 0 {
			b.count.messagesOut[qos].Add(n)
			w.packets += int(n)
		}
	}
	if w.packets > 0 {
		b.count.packetsOut.Add(uint64(w.packets))
	}
	if w.bytes > 0 {
		b.count.bytesOut.Add(uint64(w.bytes))
	}
	for _, d := range w.drops {
		b.count.dropped[d.reason].Add(1)
		d.m.Release()
	}
	clear(w.drops)
	w.drops = w.drops[:0]
	w.sent, w.packets, w.bytes = [3]uint64{}, 0, 0
	w.datagrams.count(&b.count)
	if cap(w.buf) > 4*writeSize {
		w.buf = make([]byte, 0, writeSize+sharePayload)
	}
}

// reply queues a control packet on the stream that has asked for it. What would make the
// packet too large for the client and is not needed is left out; a packet that is too large
// without it ends the connection, because the client waits for it. Owner only.
func (c *Client) reply(p packet.Packet) error {
	if !c.shorten(p) {
		return &Error{Code: packet.PacketTooLarge, Reason: p.Type().String() + " is larger than the client's Maximum Packet Size"}
	}
	st := c.current.back()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closing.Load() {
		st.answers = p.AppendTo(st.answers, c.version)
		st.answered++
	}
	return c.checkAnswers(st)
}

// ack queues a PUBACK, PUBREC, PUBREL or PUBCOMP without allocating. Owner only.
func (c *Client) ack(t packet.Type, id uint16, code packet.ReasonCode) error {
	if c.version != packet.V50 {
		code = packet.Success
	}
	if c.maxPacket < 5 {
		return &Error{Code: packet.PacketTooLarge, Reason: t.String() + " is larger than the client's Maximum Packet Size"}
	}
	st := c.current.back()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closing.Load() {
		st.answers = appendAck(st.answers, t, id, code)
		st.answered++
	}
	return c.checkAnswers(st)
}

// checkAnswers notes that there is something to flush and limits what may wait. c.mu
// is held.
func (c *Client) checkAnswers(st *Stream) error {
	c.dirty = true
	if !st.isControl() {
		st.waiting.Store(true)
	}
	if len(st.answers) > c.b.cfg.MaxPendingControl {
		return &Error{Code: packet.QuotaExceeded, Reason: "client does not read its acknowledgements"}
	}
	return nil
}

// disconnect encodes a DISCONNECT for the client; nil when its version has none from
// a server, when there was no CONNACK [MQTT-3.14.0-1], or when it does not fit. The
// caller is the owner or holds c.mu.
func (c *Client) disconnect(e *Error) []byte {
	if !c.accepted {
		if c.early == nil {
			return nil
		}
		c = c.early.c // which knows what the client has said, and changes no more
	}
	if c.version != packet.V50 {
		return nil
	}
	code := e.Code
	if !code.AllowedIn(packet.DISCONNECT, packet.Server) {
		code = packet.UnspecifiedError
	}
	return c.fitting(&packet.Disconnect{ReasonCode: code, Properties: e.properties(packet.DISCONNECT)})
}

// fitting encodes p, shortened if need be; nil when it is larger than the client accepts
// [MQTT-3.14.2-3].
func (c *Client) fitting(p packet.Packet) []byte {
	if !c.shorten(p) {
		return nil
	}
	return p.AppendTo(nil, c.version)
}

// answerCode is the reason code that a packet of type t carries for err: Success for
// nil, the code of an *Error if the packet may carry it, else NotAuthorized.
func answerCode(err error, t packet.Type) packet.ReasonCode {
	var e *Error
	switch {
	case err == nil:
		return packet.Success
	case errors.As(err, &e) && e.Code.IsError() && e.Code.AllowedIn(t, packet.Server):
		return e.Code
	}
	return packet.NotAuthorized
}
