package websocket

import (
	"encoding/binary"
	"fmt"

	"github.com/gobwas/ws"
)

// Error is why a WebSocket connection ends: a mistake of the peer, or its Close frame.
type Error struct {
	Code   ws.StatusCode // to send, or the one that the peer sent
	Reason string
	Peer   bool // the peer sent a Close frame
}

func (e *Error) Error() string {
	if e.Peer {
		return fmt.Sprintf("websocket: the peer closed with %d %s", e.Code, e.Reason)
	}
	return fmt.Sprintf("websocket: %s (%d)", e.Reason, e.Code)
}

// Normal reports a Close frame without complaint.
func (e *Error) Normal() bool {
	return e.Peer && (e.Code == ws.StatusNormalClosure || e.Code == ws.StatusGoingAway || e.Code == ws.StatusNoStatusRcvd)
}

// Decoder takes the frames of one direction apart, whatever pieces they come in. The
// zero Decoder needs Init.
type Decoder struct {
	maxFrame int64
	state    ws.State // which side this is; fragmented: a data message is open

	head    [ws.MaxHeaderSize]byte
	headLen int // bytes of head that are there

	frame   ws.Header // current one
	open    bool      // its payload is not complete
	left    int64     // bytes of its payload to come
	control []byte    // payload so far of a control frame
	ping    []byte    // payload of the last ping that has not been taken
}

// Init makes d the decoder of a server or a client that takes data frames of up to
// maxFrame bytes.
func (d *Decoder) Init(server bool, maxFrame int64) {
	*d = Decoder{maxFrame: maxFrame, state: ws.StateClientSide}
	if server {
		d.state = ws.StateServerSide
	}
}

// Decode takes the next bytes of the connection and gives the payload of the data
// frames in them, which stands at the beginning of b. With an error, an *Error, there is
// nothing more; the payload before it counts.
func (d *Decoder) Decode(b []byte) ([]byte, error) {
	to := 0
	for from := 0; from < len(b) || d.open && d.left == 0; {
		if !d.open {
			from += d.fill(b[from:])
			done, err := d.header()
			if err != nil {
				return b[:to], err
			}
			if !done {
				break
			}
			continue
		}
		n := int(min(d.left, int64(len(b)-from)))
		piece := b[from : from+n]
		from += n
		if d.frame.Masked {
			ws.Cipher(piece, d.frame.Mask, int((d.frame.Length-d.left)%4))
		}
		d.left -= int64(n)
		d.open = d.left > 0
		if !d.frame.OpCode.IsControl() {
			to += copy(b[to:], piece)
		} else if err := d.onControl(piece); err != nil {
			return b[:to], err
		}
	}
	return b[:to], nil
}

// fill takes no more than what the header needs.
func (d *Decoder) fill(b []byte) int {
	taken := 0
	for taken < len(b) && d.headLen < d.need() {
		n := copy(d.head[d.headLen:d.need()], b[taken:])
		d.headLen += n
		taken += n
	}
	return taken
}

// need is the size of the header, as far as it is known (RFC 6455 section 5.2).
func (d *Decoder) need() int {
	if d.headLen < 2 {
		return 2
	}
	n := 2
	switch d.head[1] & 0x7F {
	case 126:
		n += 2
	case 127:
		n += 8
	}
	if d.head[1]&0x80 != 0 {
		n += 4
	}
	return n
}

// header begins a frame when its header is complete.
func (d *Decoder) header() (complete bool, err error) {
	if d.headLen < 2 || d.headLen < d.need() {
		return false, nil
	}
	h := parse(d.head[:d.headLen])
	d.headLen = 0
	if err := d.check(h); err != nil {
		return false, err
	}
	if !h.OpCode.IsControl() {
		d.state = d.state.Clear(ws.StateFragmented)
		if !h.Fin {
			d.state = d.state.Set(ws.StateFragmented)
		}
	}
	d.frame, d.left, d.open, d.control = h, h.Length, true, d.control[:0]
	return true, nil
}

// parse reads a complete header.
func parse(b []byte) ws.Header {
	h := ws.Header{Fin: b[0]&0x80 != 0, Rsv: b[0] >> 4 & 7, OpCode: ws.OpCode(b[0] & 0x0F), Masked: b[1]&0x80 != 0}
	n := 2
	switch length := b[1] & 0x7F; length {
	case 126:
		h.Length, n = int64(binary.BigEndian.Uint16(b[2:])), 4
	case 127:
		h.Length, n = int64(binary.BigEndian.Uint64(b[2:])), 10
	default:
		h.Length = int64(length)
	}
	if h.Masked {
		copy(h.Mask[:], b[n:])
	}
	return h
}

func (d *Decoder) check(h ws.Header) error {
	switch err := ws.CheckHeader(h, d.state); {
	case err != nil:
		return &Error{Code: ws.StatusProtocolError, Reason: err.Error()}
	case h.OpCode == ws.OpText:
		return &Error{Code: ws.StatusUnsupportedData, Reason: "text frame: MQTT goes in binary frames [MQTT-6.0.0-1]"}
	case h.Length < 0 || h.Length > d.maxFrame && !h.OpCode.IsControl():
		return &Error{Code: ws.StatusMessageTooBig, Reason: fmt.Sprintf("frame of more than %d bytes", d.maxFrame)}
	}
	return nil
}

// onControl collects the payload of a control frame and handles it when it is complete.
func (d *Decoder) onControl(piece []byte) error {
	d.control = append(d.control, piece...)
	if d.open {
		return nil
	}
	p := d.control
	d.control = nil
	switch d.frame.OpCode {
	case ws.OpClose:
		return closed(p)
	case ws.OpPing:
		d.ping = append([]byte{}, p...)
	}
	return nil
}

// closed is the error for a Close frame (RFC 6455 section 5.5.1).
func closed(p []byte) *Error {
	if len(p) == 0 {
		return &Error{Code: ws.StatusNoStatusRcvd, Peer: true}
	}
	if len(p) == 1 {
		return &Error{Code: ws.StatusProtocolError, Reason: "Close frame with half a code"}
	}
	code, reason := ws.StatusCode(binary.BigEndian.Uint16(p)), string(p[2:])
	if err := ws.CheckCloseFrameData(code, reason); err != nil {
		return &Error{Code: ws.StatusProtocolError, Reason: err.Error()}
	}
	return &Error{Code: code, Reason: reason, Peer: true}
}

// TakePing gives the payload of the last ping, once, not nil; nil when there was none.
// Earlier pings need no answer (RFC 6455 section 5.5.3).
func (d *Decoder) TakePing() []byte {
	p := d.ping
	d.ping = nil
	return p
}
