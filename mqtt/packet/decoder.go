package packet

import (
	"bytes"
	"errors"
	"io"
	"sync"
)

// Sizes of the buffer for a packet that arrives in pieces, in bytes.
const (
	// minBuffer is the first size, so that small packets need one allocation.
	minBuffer = 512
	// retainBuffer is the largest buffer kept for the next packet; it bounds what
	// an idle connection costs.
	retainBuffer = 16 << 10
	// lendBuffer is the largest buffer that is lent from packet to packet of any
	// connection.
	lendBuffer = 1 << 20
	// directSpace is from how many missing bytes of a packet Space is of use, and the
	// first size of the buffer then.
	directSpace = 4 << 10
	directFirst = 16 << 10
	// growth is by how much the buffer grows when it is full: more means fewer
	// copies, and more memory for a peer that announces a long packet and stops.
	growth = 4
)

// Decoder cuts the byte stream of one connection into packets. It does not mind
// how the stream is chunked. A packet that lies within one chunk is decoded
// without copying; of a packet that does not, the bytes that have arrived are kept,
// so memory follows the bytes received and never the length announced.
//
// Calls, by one goroutine at a time:
//
//	d.Feed(chunk)
//	for {
//		p, err := d.Next()
//		if err != nil { ... }     // the connection is over
//		if p == nil { break }     // the next chunk is needed
//		...                       // p is valid until the next Next or Feed
//	}
//
// The zero value needs Init before use.
type Decoder struct {
	in      []byte // rest of the chunk
	buf     []byte // beginning of a packet whose end is not here yet
	frm     frame  // of the packet in buf; frm.head is 0 until it is known
	limit   int    // largest packet accepted, in bytes
	version Version
	given   bool // the packet in buf has been returned and can go
	err     *Error

	publish Publish // returned for every PUBLISH
	ack     ack     // returned for every PUBACK, PUBREC, PUBREL, PUBCOMP
}

// NewDecoder makes a Decoder. maxPacketSize is the largest packet accepted, in
// bytes, fixed header included; 0 means MaxPacketSize, the limit of the format.
func NewDecoder(maxPacketSize uint32) *Decoder {
	d := &Decoder{}
	d.Init(maxPacketSize)
	return d
}

// Init prepares a Decoder that is part of another struct; see NewDecoder. It
// forgets everything before, the version too.
func (d *Decoder) Init(maxPacketSize uint32) {
	*d = Decoder{}
	d.SetMaxPacketSize(maxPacketSize)
}

// SetMaxPacketSize changes the limit for the packets whose fixed header has not
// arrived yet; 0 means MaxPacketSize.
func (d *Decoder) SetMaxPacketSize(n uint32) {
	if n == 0 || n > MaxPacketSize {
		n = MaxPacketSize
	}
	d.limit = int(n)
}

// SetVersion sets the layout of the packets to come. A server calls it when it has
// seen the CONNECT, a client before the first byte. Until then only CONNECT,
// PINGREQ and PINGRESP, which look the same in every version, are accepted; others
// are a ProtocolError [MQTT-3.1.0-1]. v is V31, V311 or V50; others mean 0, unset.
func (d *Decoder) SetVersion(v Version) {
	if v < V31 || v > V50 {
		v = 0
	}
	d.version = v
}

// Version is what SetVersion set, 0 before.
func (d *Decoder) Version() Version { return d.version }

// Feed hands in the next bytes of the stream. The chunk is lent: it must not
// change until Next has returned (nil, nil), or Keep has been called. Feed makes
// the packet returned last invalid. Feeding before the last chunk is used up is
// legal and copies the rest.
func (d *Decoder) Feed(chunk []byte) {
	if len(d.in) > 0 {
		chunk = append(d.in[:len(d.in):len(d.in)], chunk...)
	}
	d.in = chunk
}

// Keep copies what is left of the chunk, so that its owner may reuse it although
// Next has not been called to the end. It is for a reader that pauses. The packet
// returned last is not copied: it goes with the chunk.
func (d *Decoder) Keep() { d.in = bytes.Clone(d.in) }

// Buffered is the number of bytes that have been fed and not yet returned in a
// packet.
func (d *Decoder) Buffered() int {
	if d.given {
		return len(d.in)
	}
	return len(d.in) + len(d.buf)
}

// Next returns the next packet of the stream. (nil, nil) means that more bytes are
// needed; the rest of the chunk has then been kept. The error is an *Error and
// final: every further call returns it.
//
// *Publish and the four acks belong to the Decoder: they and their slices are valid
// until the next call of Next or Feed. Other packets belong to the caller. Next
// does not allocate for PUBLISH, the acks, PINGREQ and PINGRESP that lie within one
// chunk.
func (d *Decoder) Next() (Packet, error) {
	if d.err != nil {
		return nil, d.err
	}
	if d.given {
		d.release()
	}
	if len(d.buf) > 0 {
		return d.nextBuffered()
	}
	in := d.in
	if len(in) == 0 {
		return nil, nil
	}
	f, err := d.frame(in)
	if err != nil {
		return nil, d.fail(err, in[0])
	}
	if f.head == 0 || f.total > len(in) {
		d.frm = f
		d.take(len(in))
		return nil, nil
	}
	d.in = in[f.total:]
	return d.decode(in[0], in[f.head:f.total:f.total], f.padded)
}

// nextBuffered goes on with the packet that began in an earlier chunk.
func (d *Decoder) nextBuffered() (Packet, error) {
	for d.frm.head == 0 {
		if len(d.in) == 0 {
			return nil, nil
		}
		d.take(1)
		f, err := d.frame(d.buf)
		if err != nil {
			return nil, d.fail(err, d.buf[0])
		}
		d.frm = f
	}
	d.take(min(d.frm.total-len(d.buf), len(d.in)))
	if len(d.buf) < d.frm.total {
		return nil, nil
	}
	d.given = true
	return d.decode(d.buf[0], d.buf[d.frm.head:], d.frm.padded)
}

// take moves n bytes of the chunk into the buffer. The buffer grows to growth times
// its size, but not beyond the length of the packet.
func (d *Decoder) take(n int) {
	if need := len(d.buf) + n; need > cap(d.buf) {
		size := max(need, growth*cap(d.buf))
		if d.frm.head > 0 {
			size = min(size, d.frm.total)
		}
		d.grow(max(size, minBuffer))
	}
	d.buf = append(d.buf, d.in[:n]...)
	d.in = d.in[n:]
}

// lent are buffers larger than retainBuffer.
var lent sync.Pool

// grow moves what has arrived to a larger buffer.
func (d *Decoder) grow(size int) {
	old := d.buf
	d.buf = append(borrow(size), old...)
	giveBack(old)
}

// borrow gives an empty buffer of at least size bytes, twice as many at most.
func borrow(size int) []byte {
	if size <= retainBuffer {
		return make([]byte, 0, size)
	}
	b, ok := lent.Get().(*[]byte)
	if ok && size <= cap(*b) && cap(*b) <= 2*size {
		return (*b)[:0]
	}
	if ok {
		lent.Put(b)
	}
	return make([]byte, 0, size)
}

// giveBack lends a buffer to the next packet that needs one as large.
func giveBack(b []byte) {
	if cap(b) > retainBuffer && cap(b) <= lendBuffer {
		lent.Put(&b)
	}
}

// Space is where to read the rest of a large packet to whose beginning is here, which
// saves copying it: Filled then does what Feed does for a chunk. It is nil while there is
// no such packet. What it gives belongs to the caller until then.
func (d *Decoder) Space() []byte {
	have := len(d.buf)
	if d.given || d.err != nil || len(d.in) > 0 || have == 0 || d.frm.head == 0 || d.frm.total-have < directSpace {
		return nil
	}
	if cap(d.buf) < have+directSpace {
		d.grow(min(max(growth*have, directFirst), d.frm.total))
	}
	return d.buf[have:min(cap(d.buf), d.frm.total)]
}

// Filled tells that n bytes have been read to Space. Next goes on from there.
func (d *Decoder) Filled(n int) { d.buf = d.buf[:len(d.buf)+n] }

// release empties the buffer after its packet has been used.
func (d *Decoder) release() {
	d.given = false
	d.frm = frame{}
	d.buf = d.buf[:0]
	if cap(d.buf) > retainBuffer {
		giveBack(d.buf)
		d.buf = nil
	}
}

// fail makes err final and lets go of all input.
func (d *Decoder) fail(err *Error, first byte) error {
	if err.Version == 0 {
		err.Version = d.version
	}
	err.Type = Type(first >> 4)
	d.err = err
	d.in, d.buf, d.given = nil, nil, false
	return err
}

// decode parses one packet. body is what follows the fixed header.
func (d *Decoder) decode(first byte, body []byte, padded bool) (Packet, error) {
	switch t := Type(first >> 4); t {
	case PUBLISH:
		if err := d.publish.parse(first, body, d.version); err != nil {
			return nil, d.fail(err, first)
		}
		return &d.publish, nil
	case PUBACK, PUBREC, PUBREL, PUBCOMP:
		if err := d.ack.parse(t, body, d.version); err != nil {
			return nil, d.fail(err, first)
		}
		return d.ackPacket(t), nil
	case PINGREQ, PINGRESP:
		if len(body) > 0 {
			return nil, d.fail(malformed(reasonTrailing), first)
		}
		return ping(t), nil
	default:
		p, err := parse(t, bytes.Clone(body), d.version, padded)
		if err != nil {
			return nil, d.fail(err, first)
		}
		return p, nil
	}
}

func (d *Decoder) ackPacket(t Type) Packet {
	switch t {
	case PUBACK:
		return (*Puback)(&d.ack)
	case PUBREC:
		return (*Pubrec)(&d.ack)
	case PUBREL:
		return (*Pubrel)(&d.ack)
	}
	return (*Pubcomp)(&d.ack)
}

func ping(t Type) Packet {
	if t == PINGREQ {
		return &Pingreq{}
	}
	return &Pingresp{}
}

// parse reads the packets that are rare and outlive the input; they keep body.
func parse(t Type, body []byte, v Version, padded bool) (p Packet, err *Error) {
	switch t {
	case CONNECT:
		return wrap(parseConnect(body, padded))
	case CONNACK:
		return wrap(parseConnack(body, v))
	case SUBSCRIBE:
		return wrap(parseSubscribe(body, v))
	case SUBACK:
		return wrap(parseSuback(body, v))
	case UNSUBSCRIBE:
		return wrap(parseUnsubscribe(body, v))
	case UNSUBACK:
		return wrap(parseUnsuback(body, v))
	case DISCONNECT:
		return wrap(parseDisconnect(body, v))
	}
	return wrap(parseAuth(body))
}

func wrap[P Packet](p P, err *Error) (Packet, *Error) { return p, err }

// ReadPacket reads from r until a packet is complete, for readers that block. buf
// is the chunk to read into, not empty; it belongs to the Decoder until the stream
// ends. The error is that of Next, that of r, io.EOF at the end between two
// packets, or io.ErrUnexpectedEOF at the end inside a packet.
func (d *Decoder) ReadPacket(r io.Reader, buf []byte) (Packet, error) {
	for {
		if p, err := d.Next(); p != nil || err != nil {
			return p, err
		}
		n, err := r.Read(buf)
		if n > 0 {
			d.Feed(buf[:n])
			continue
		}
		if errors.Is(err, io.EOF) && d.Buffered() > 0 {
			return nil, io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, err
		}
	}
}
