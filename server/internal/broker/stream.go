package broker

import (
	"bytes"
	"errors"
	"sync/atomic"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// controlID is the id of the control stream.
const controlID int64 = 0

// Stream is one way for MQTT packets to and from a client: the control stream, which
// each connection has and which is all that most have, or one of the data streams that
// a QUIC client opens besides. All methods belong to the owner of the Client.
//
// Answers go back on the stream that carried the request, and messages on the stream
// that carried the SUBSCRIBE. Streams have no order among them, and none waits for
// another one: what is left unread on one fills its own queue alone.
//
// A Topic Alias of the client is known on the stream that has set it, and those of
// the control stream also on all others that have not set it themselves. The broker
// uses none on data streams.
type Stream struct {
	c       *Client
	id      int64
	uni     bool // it has no way back: the control stream has the answers
	server  bool // of a server flow
	retired bool // of a server flow whose subscription has ended; owner only
	highest int8 // see QoS, and 1 more; 0 = none; owner only

	waiting atomic.Bool // of a data stream: Flush has something to do
	overrun atomic.Bool // of a data stream: it is to be reset (DropClient)

	// Guarded by Client.mu.
	answers  []byte // encoded control packets that wait for Flush
	answered int    // how many they are

	// Owner only.
	decoder packet.Decoder
	aliases [][]byte // topic names by Topic Alias - 1
	begun   int      // bytes of a packet that is not complete; of a data stream

	// Of a data stream with subscriptions. Written under Session.mu.
	out         *outlet // nil = none yet
	flow        *flow   // that has joined it and is to be kept; nil = none
	number      uint32  // in the session
	open, bytes int     // messages in flight, and their size
}

// StreamError is an error of a data stream that leaves its connection unharmed: the owner
// resets the stream, both ways, with Code and calls Stream.Closed.
type StreamError struct {
	Code   packet.ReasonCode
	Reason string
}

func (e *StreamError) Error() string { return "stream: " + e.Reason }

// maxStreamAliases is how many bytes of topic names a client may have in memory by the
// aliases that it sets on data streams: as much as 16 of the longest ones on the control
// stream.
const maxStreamAliases = 1 << 20

// incompletePackets is how many packets of MaxPacketSize, in bytes, may be there in part on
// the data streams of a client together: a few large ones at a time are what streams are
// for, one on each of them would be a lot of memory.
const incompletePackets = 4

// OpenStream makes a data stream. The CONNECT of the client has been accepted (see Info);
// until then the owner holds back what comes on other streams. id is not 0 and no other
// open stream's. uni: the client alone sends on it, and only packets that carry or
// acknowledge messages. Owner only.
func (c *Client) OpenStream(id int64, uni bool) *Stream {
	st := &Stream{c: c, id: id, uni: uni}
	st.decoder.Init(uint32(c.b.cfg.MaxPacketSize))
	st.decoder.SetVersion(c.version)
	c.streams.Add(1)
	c.b.count.streams.Add(1)
	return st
}

// Feed is Client.Feed for a data stream. After a *StreamError the stream alone is at its
// end, after any other error the connection.
func (st *Stream) Feed(chunk []byte) error { return st.c.take(st, chunk, len(chunk)) }

// End tells that the client has ended the stream with FIN. Inside a packet that is an
// error, a *StreamError: a packet that cannot be parsed (MQTT 5.0 section 4.13.1).
func (st *Stream) End() error {
	if st.decoder.Buffered() == 0 {
		return nil
	}
	return st.Malformed("the stream ends inside a packet")
}

// Malformed makes, logs and counts the error of a stream of which the owner itself found
// that it is malformed, for what stands around the packets.
func (st *Stream) Malformed(reason string) error {
	return st.fail(&packet.Error{Code: packet.MalformedPacket, Reason: reason})
}

// Flush is Client.Flush for a data stream. The owner calls it, for all data streams,
// after Client.Flush. It costs next to nothing when there is nothing to do. A *StreamError
// tells that the client is too slow (DropClient).
func (st *Stream) Flush(s Sink) error {
	if !st.waiting.Load() {
		return nil
	}
	st.waiting.Store(false)
	st.c.flush(st, s)
	if st.overrun.Load() {
		return &StreamError{packet.QuotaExceeded, errSlow}
	}
	return nil
}

// Finish is the last Flush of a stream that the client has ended with FIN. The answers to what
// came last are written whatever room there is: at most MaxPendingControl bytes.
func (st *Stream) Finish(s Sink) error {
	if err := st.Flush(s); err != nil {
		return err
	}
	w := writers.Get().(*writer)
	defer st.c.endFlush(w)
	st.c.takeAnswers(st, w)
	w.flush(s)
	w.finish(st.c.b)
	return nil
}

// Closed tells that a data stream is gone, in whatever way, while its connection lives.
// Its subscriptions go, but for those of a flow that are kept and of the server's flow; what
// is not acknowledged goes on on the control stream. Owner only, once; not needed when the
// connection is gone too.
func (st *Stream) Closed() {
	c := st.c
	c.streams.Add(-1)
	c.b.count.streams.Add(-1)
	_ = c.b.Protect("end of a stream", func() error { c.session.closeStream(c, st); return nil })
	for _, name := range st.aliases {
		c.aliasBytes -= len(name)
	}
	c.begun -= st.begun
	st.decoder, st.aliases = packet.Decoder{}, nil
	c.wake()
}

// QoS is the highest QoS of the subscriptions that have been made on the stream; -1: there
// were none. Owner only.
func (st *Stream) QoS() int { return int(st.highest) - 1 }

// isControl reports whether st is the control stream.
func (st *Stream) isControl() bool { return st.id == controlID }

// back is the stream that has the answers to what comes on st.
func (st *Stream) back() *Stream {
	if st.uni {
		return &st.c.control
	}
	return st
}

// carries refuses packets that belong to the control stream, or need a way back.
func (st *Stream) carries(t packet.Type) error {
	if st.server {
		return carriesBack(t)
	}
	switch t {
	case packet.PUBLISH, packet.PUBACK, packet.PUBREC, packet.PUBREL, packet.PUBCOMP:
		return nil
	case packet.SUBSCRIBE, packet.UNSUBSCRIBE, packet.PINGREQ:
		if !st.uni {
			return nil
		}
	}
	return &Error{Code: packet.ProtocolError, Reason: t.String() + " is not legal on this stream"}
}

// wait counts the part that is here of a packet that is not complete.
func (st *Stream) wait() error {
	if st.isControl() || st.id == DatagramStream {
		return nil
	}
	c, n := st.c, st.decoder.Buffered()
	c.begun += n - st.begun
	st.begun = n
	if n > 0 && c.begun > incompletePackets*c.b.cfg.MaxPacketSize {
		return st.fail(&Error{Code: packet.QuotaExceeded, Reason: "too much of packets that are not complete on data streams"})
	}
	return nil
}

// fail is what Feed gives for an error of a data stream: a *StreamError for what is wrong
// with the bytes of this stream, the end of the connection for anything else.
func (st *Stream) fail(err error) error {
	e := &StreamError{Code: packet.UnspecifiedError}
	var malformed *packet.Error
	var known *Error
	switch {
	case errors.As(err, &malformed):
		e.Code, e.Reason = malformed.Code, malformed.Reason
		if st.id == DatagramStream {
			return e
		}
	case errors.As(err, &known):
		e.Code, e.Reason = known.Code, known.Reason
	}
	switch e.Code {
	case packet.MalformedPacket, packet.ProtocolError, packet.PacketTooLarge, packet.TopicAliasInvalid, packet.QuotaExceeded:
		if st.id != DatagramStream {
			st.c.b.count.streamFaults.Add(1)
			st.c.b.logStreamReset(st, e)
		}
		return e
	}
	return st.c.fail(err)
}

// outlet is where the messages for st wait, nil when there are none.
func (st *Stream) outlet(s *Session) *outlet {
	if st.isControl() {
		return &s.outlet
	}
	return st.out
}

// subscribing is the outlet for a subscription that comes on st.
func (st *Stream) subscribing() (*outlet, error) {
	c := st.c
	if !st.isControl() && st.out == nil {
		if err := c.session.addOutlet(c, st); err != nil {
			return nil, err
		}
	}
	return st.outlet(c.session), nil
}

// alias is the topic name of an alias on st, nil when it has none.
func (st *Stream) alias(alias uint32) []byte {
	for _, s := range [...]*Stream{st, &st.c.control} {
		if int(alias) <= len(s.aliases) && s.aliases[alias-1] != nil {
			return s.aliases[alias-1]
		}
	}
	return nil
}

// setAlias makes name what alias means on st.
func (st *Stream) setAlias(alias uint32, name []byte) error {
	if st.id == DatagramStream {
		return nil
	}
	if st.aliases == nil {
		st.aliases = make([][]byte, st.c.b.cfg.TopicAliasMaximum)
	}
	at := &st.aliases[alias-1]
	if bytes.Equal(*at, name) {
		return nil
	}
	if !st.isControl() {
		if st.c.aliasBytes += len(name) - len(*at); st.c.aliasBytes > maxStreamAliases {
			st.c.aliasBytes -= len(name) - len(*at)
			return &Error{Code: packet.QuotaExceeded, Reason: "topic aliases of data streams take too much memory"}
		}
	}
	*at = bytes.Clone(name)
	return nil
}
