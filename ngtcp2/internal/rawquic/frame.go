package rawquic

import (
	"encoding/binary"
	"errors"
)

// Frame types (RFC 9000 section 19, RFC 9221).
const (
	TypePadding            = 0x00
	TypePing               = 0x01
	TypeAck                = 0x02
	TypeAckECN             = 0x03
	TypeResetStream        = 0x04
	TypeStopSending        = 0x05
	TypeCrypto             = 0x06
	TypeNewToken           = 0x07
	TypeStream             = 0x08 // to 0x0f
	TypeMaxData            = 0x10
	TypeMaxStreamData      = 0x11
	TypeMaxStreamsBidi     = 0x12
	TypeMaxStreamsUni      = 0x13
	TypeDataBlocked        = 0x14
	TypeStreamDataBlocked  = 0x15
	TypeStreamsBlockedBidi = 0x16
	TypeStreamsBlockedUni  = 0x17
	TypeNewCID             = 0x18
	TypeRetireCID          = 0x19
	TypePathChallenge      = 0x1a
	TypePathResponse       = 0x1b
	TypeClose              = 0x1c
	TypeAppClose           = 0x1d
	TypeHandshakeDone      = 0x1e
	TypeDatagram           = 0x30 // and 0x31
)

// Frame is one that was received. Which fields are set follows from Type.
type Frame struct {
	Level Level
	PN    uint64
	Type  uint64
	// ID is the stream or the sequence number, Offset the offset or the largest
	// acknowledged packet, Value the limit, final size, trigger or "retire prior to".
	ID, Offset, Value, Code uint64
	Data                    []byte // payload, token, reason, CID or path data
	Fin                     bool
}

// Varint is the shortest form of v (RFC 9000 section 16).
func Varint(v uint64) []byte {
	switch {
	case v < 1<<6:
		return []byte{byte(v)}
	case v < 1<<14:
		return binary.BigEndian.AppendUint16(nil, uint16(v)|1<<14)
	case v < 1<<30:
		return binary.BigEndian.AppendUint32(nil, uint32(v)|2<<30)
	}
	return binary.BigEndian.AppendUint64(nil, v|3<<62)
}

// Bytes is a frame (or anything) of variable length integers, byte strings and
// numbers: int and uint64 are written as Varint.
func Bytes(parts ...any) []byte {
	var b []byte
	for _, p := range parts {
		switch v := p.(type) {
		case int:
			b = append(b, Varint(uint64(v))...)
		case uint64:
			b = append(b, Varint(v)...)
		case string:
			b = append(b, v...)
		case []byte:
			b = append(b, v...)
		default:
			panic("rawquic: Bytes takes int, uint64, string and []byte")
		}
	}
	return b
}

// Stream is a STREAM frame with offset and length.
func Stream(id, offset uint64, data []byte, fin bool) []byte {
	t := TypeStream | 4 | 2
	if fin {
		t |= 1
	}
	return Bytes(t, id, offset, len(data), data)
}

// Crypto is a CRYPTO frame.
func Crypto(offset uint64, data []byte) []byte { return Bytes(TypeCrypto, offset, len(data), data) }

// NewCID is a NEW_CONNECTION_ID frame.
func NewCID(seq, retire uint64, cid, token []byte) []byte {
	return Bytes(TypeNewCID, seq, retire, []byte{byte(len(cid))}, cid, token)
}

var errFrame = errors.New("rawquic: a received frame is malformed")

// reader takes a payload apart; after a failure everything is zero.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) varint() uint64 {
	if len(r.b) == 0 {
		r.bad = true
		return 0
	}
	b := r.bytes(1 << (r.b[0] >> 6))
	if r.bad {
		return 0
	}
	v := uint64(b[0] & 0x3f)
	for _, x := range b[1:] {
		v = v<<8 | uint64(x)
	}
	return v
}

func (r *reader) bytes(n uint64) []byte {
	if r.bad || n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) block() []byte { return append([]byte(nil), r.bytes(r.varint())...) }

// parseFrames lists the frames of a payload, PADDING left out.
func parseFrames(payload []byte) (frames []Frame, err error) {
	r := &reader{b: payload}
	for len(r.b) > 0 && !r.bad {
		f := Frame{Type: r.varint()}
		if f.Type == TypePadding {
			continue
		}
		if !r.frame(&f) {
			return frames, errFrame
		}
		frames = append(frames, f)
	}
	if r.bad {
		return frames, errFrame
	}
	return frames, nil
}

// frame reads the fields of f; false: its type is unknown or it is malformed.
func (r *reader) frame(f *Frame) bool {
	switch t := f.Type; {
	case t == TypePing || t == TypeHandshakeDone:
	case t == TypeAck || t == TypeAckECN:
		r.ack(f)
	case t == TypeCrypto:
		f.Offset, f.Data = r.varint(), r.block()
	case t == TypeNewToken:
		f.Data = r.block()
	case t >= TypeStream && t < TypeMaxData:
		r.stream(f)
	case t == TypeNewCID:
		f.ID, f.Value = r.varint(), r.varint()
		if n := r.bytes(1); n != nil {
			f.Data = append([]byte(nil), r.bytes(uint64(n[0]))...)
		}
		r.bytes(16)
	case t == TypePathChallenge || t == TypePathResponse:
		f.Data = append([]byte(nil), r.bytes(8)...)
	case t == TypeClose:
		f.Code, f.Value, f.Data = r.varint(), r.varint(), r.block()
	case t == TypeAppClose:
		f.Code, f.Data = r.varint(), r.block()
	case t == TypeDatagram:
		f.Data = append([]byte(nil), r.bytes(uint64(len(r.b)))...)
	case t == TypeDatagram|1:
		f.Data = r.block()
	default:
		return r.numbers(f)
	}
	return !r.bad
}

// numbers reads frames that are all integers.
func (r *reader) numbers(f *Frame) bool {
	switch f.Type {
	case TypeResetStream:
		f.ID, f.Code, f.Value = r.varint(), r.varint(), r.varint()
	case TypeStopSending:
		f.ID, f.Code = r.varint(), r.varint()
	case TypeMaxStreamData, TypeStreamDataBlocked:
		f.ID, f.Value = r.varint(), r.varint()
	case TypeMaxData, TypeMaxStreamsBidi, TypeMaxStreamsUni, TypeDataBlocked, TypeStreamsBlockedBidi, TypeStreamsBlockedUni:
		f.Value = r.varint()
	case TypeRetireCID:
		f.ID = r.varint()
	default:
		return false
	}
	return !r.bad
}

func (r *reader) ack(f *Frame) {
	f.Offset = r.varint()
	r.varint()
	n := r.varint()
	f.Value = r.varint()
	for range n {
		if r.bad {
			return
		}
		r.varint()
		r.varint()
	}
	if f.Type == TypeAckECN {
		r.varint()
		r.varint()
		r.varint()
	}
}

func (r *reader) stream(f *Frame) {
	f.Fin = f.Type&1 != 0
	f.ID = r.varint()
	if f.Type&4 != 0 {
		f.Offset = r.varint()
	}
	if f.Type&2 != 0 {
		f.Data = r.block()
	} else {
		f.Data = append([]byte(nil), r.bytes(uint64(len(r.b)))...)
	}
	f.Type = TypeStream
}
