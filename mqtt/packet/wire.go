package packet

import (
	"encoding/binary"
	"unicode/utf8"
)

// Data representation, MQTT 5.0 section 1.5: how numbers and strings are laid out.

// VariableByteIntegerSize is the length of v as a Variable Byte Integer (MQTT 5.0
// section 1.5.5), 1 to 4 bytes.
func VariableByteIntegerSize(v int) int {
	switch {
	case v < 1<<7:
		return 1
	case v < 1<<14:
		return 2
	case v < 1<<21:
		return 3
	}
	return 4
}

// AppendVariableByteInteger appends v, which is not negative, as a Variable Byte Integer
// in its shortest encoding [MQTT-1.5.5-1]. Above MaxRemainingLength it becomes
// MaxRemainingLength.
func AppendVariableByteInteger(dst []byte, v int) []byte {
	v = min(v, MaxRemainingLength)
	for v >= 0x80 {
		dst = append(dst, byte(v)|0x80)
		v >>= 7
	}
	return append(dst, byte(v))
}

// readVarint reads a Variable Byte Integer at the start of b. n is its length, 0
// when it is cut off, longer than four bytes or not the shortest.
func readVarint(b []byte) (v uint32, n int) {
	for i := 0; i < len(b) && i < 4; i++ {
		v |= uint32(b[i]&0x7F) << (7 * i)
		if b[i] < 0x80 {
			if i > 0 && b[i] == 0 {
				return 0, 0
			}
			return v, i + 1
		}
	}
	return 0, 0
}

// readBinary reads a field with a two byte length. n is its length with the
// prefix, 0 when it is cut off. The field points into b.
func readBinary(b []byte) (field []byte, n int) {
	if len(b) < 2 {
		return nil, 0
	}
	n = 2 + int(binary.BigEndian.Uint16(b))
	if len(b) < n {
		return nil, 0
	}
	return b[2:n:n], n
}

// stringSize is the length of a string or binary field with its prefix.
func stringSize(n int) int { return 2 + min(n, MaxStringSize) }

// appendString appends a string or binary field with its prefix.
func appendString[T string | []byte](dst []byte, s T) []byte {
	s = s[:min(len(s), MaxStringSize)]
	return append(append(dst, byte(len(s)>>8), byte(len(s))), s...)
}

// cutString shortens a string to MaxStringSize, between two characters.
func cutString(s string) string {
	if len(s) <= MaxStringSize {
		return s
	}
	n := MaxStringSize
	for n > MaxStringSize-utf8.UTFMax+1 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// packetSize is the length of a packet with the given Remaining Length.
func packetSize(remaining int) int { return 1 + VariableByteIntegerSize(remaining) + remaining }

// appendHeader appends the fixed header (MQTT 5.0 section 2.1).
func appendHeader(dst []byte, t Type, flags byte, remaining int) []byte {
	return AppendVariableByteInteger(append(dst, byte(t)<<4|flags), remaining)
}

// fields reads the fields of a packet one after the other. The first failure
// sticks: later reads give zero values and err tells what went wrong.
type fields struct {
	b   []byte
	err *Error
}

func (f *fields) fail(err *Error) {
	if f.err == nil {
		f.err = err
	}
	f.b = nil
}

func (f *fields) byte() byte {
	if len(f.b) < 1 {
		f.fail(malformed(reasonShort))
		return 0
	}
	v := f.b[0]
	f.b = f.b[1:]
	return v
}

func (f *fields) uint16() uint16 {
	if len(f.b) < 2 {
		f.fail(malformed(reasonShort))
		return 0
	}
	v := binary.BigEndian.Uint16(f.b)
	f.b = f.b[2:]
	return v
}

// packetID reads a packet identifier, which is never 0.
func (f *fields) packetID() uint16 {
	id := f.uint16()
	if id == 0 {
		f.fail(protocolError(reasonPacketID))
	}
	return id
}

func (f *fields) binary() []byte {
	v, n := readBinary(f.b)
	if n == 0 {
		f.fail(malformed(reasonShort))
		return nil
	}
	f.b = f.b[n:]
	return v
}

// text reads a UTF-8 string as bytes.
func (f *fields) text() []byte {
	v := f.binary()
	if !validString(v) {
		f.fail(malformed(reasonUTF8))
	}
	return v
}

// string reads a UTF-8 string and copies it.
func (f *fields) string() string { return string(f.text()) }

// properties reads the property block of a packet of type t; in a 3.x packet
// there is none.
func (f *fields) properties(t Type, v Version) Properties {
	if v != V50 || f.err != nil {
		return nil
	}
	p, n, err := readProperties(f.b, t)
	if err != nil {
		f.fail(err)
		return nil
	}
	f.b = f.b[n:]
	return p
}

// end makes left over bytes an error.
func (f *fields) end() *Error {
	if len(f.b) > 0 {
		f.fail(malformed(reasonTrailing))
	}
	return f.err
}

// readProperties reads and checks the property block at the start of b; n is its
// length with the prefix. An empty block is nil.
func readProperties(b []byte, t Type) (p Properties, n int, err *Error) {
	if len(b) > 0 && b[0] == 0 {
		return nil, 1, nil
	}
	size, head := readVarint(b)
	if head == 0 {
		return nil, 0, malformed("Property Length: " + reasonVarint)
	}
	n = head + int(size)
	if n > len(b) {
		return nil, 0, malformed("Property Length is beyond the end of the packet")
	}
	p = Properties(b[head:n:n])
	return p, n, p.check(t)
}
