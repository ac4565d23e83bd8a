package packet

import (
	"encoding/binary"
	"iter"
	"slices"
)

// Properties is an encoded property block without its length prefix (MQTT 5.0
// section 2.2.2). In a decoded packet it is valid for the packet and points to
// the input (see the package doc for how long). The zero value is the empty block.
//
// Blocks are built with AppendByte, AppendUint16, ... and read with the methods.
// Reading a block that is not valid is safe: it ends at the first bad property.
type Properties []byte

// Property is one property of a block.
type Property struct {
	ID PropertyID
	// Uint is the value of a number of any size, else 0.
	Uint uint32
	// Key is the name of a User Property, else nil.
	Key []byte
	// Value is the string, the binary data or the value of a User Property. It
	// points into the block.
	Value []byte
}

// Uint is the first value of a number property; ok is false when it is absent.
// It fits all number types: byte, uint16, uint32 and varint.
func (p Properties) Uint(id PropertyID) (value uint32, ok bool) {
	q, ok := p.find(id)
	return q.Uint, ok
}

// Bytes is the first value of a string or binary property (of a User Property:
// the value, not the key); ok is false when it is absent. The slice points into p.
func (p Properties) Bytes(id PropertyID) (value []byte, ok bool) {
	q, ok := p.find(id)
	return q.Value, ok
}

// Has reports whether the block holds id.
func (p Properties) Has(id PropertyID) bool {
	_, ok := p.find(id)
	return ok
}

func (p Properties) find(id PropertyID) (Property, bool) {
	for len(p) > 0 {
		q, n := readProperty(p)
		if n == 0 {
			break
		}
		if q.ID == id {
			return q, true
		}
		p = p[n:]
	}
	return Property{}, false
}

// All gives every property in the order of the block.
func (p Properties) All() iter.Seq[Property] {
	return func(yield func(Property) bool) {
		for rest := p; len(rest) > 0; {
			q, n := readProperty(rest)
			if n == 0 || !yield(q) {
				return
			}
			rest = rest[n:]
		}
	}
}

// UserProperties gives key and value of every User Property in order
// [MQTT-3.3.2-18]. The slices point into p.
func (p Properties) UserProperties() iter.Seq2[[]byte, []byte] {
	return func(yield func(key, value []byte) bool) {
		for q := range p.All() {
			if q.ID == UserProperty && !yield(q.Key, q.Value) {
				return
			}
		}
	}
}

// SubscriptionIdentifiers gives every Subscription Identifier in order.
func (p Properties) SubscriptionIdentifiers() iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		for q := range p.All() {
			if q.ID == SubscriptionIdentifier && !yield(q.Uint) {
				return
			}
		}
	}
}

// AppendExcept appends to dst every property of p but those in ids, in order and
// byte for byte. dst must not overlap p, except that dst may be p[:0].
func (p Properties) AppendExcept(dst Properties, ids ...PropertyID) Properties {
	for len(p) > 0 {
		q, n := readProperty(p)
		if n == 0 {
			break
		}
		if !slices.Contains(ids, q.ID) {
			dst = append(dst, p[:n]...)
		}
		p = p[n:]
	}
	return dst
}

// AppendByte appends a property of type byte.
func AppendByte(dst Properties, id PropertyID, v byte) Properties {
	return append(dst, byte(id), v)
}

// AppendUint16 appends a property of type two byte integer.
func AppendUint16(dst Properties, id PropertyID, v uint16) Properties {
	return append(dst, byte(id), byte(v>>8), byte(v))
}

// AppendUint32 appends a property of type four byte integer.
func AppendUint32(dst Properties, id PropertyID, v uint32) Properties {
	return binary.BigEndian.AppendUint32(append(dst, byte(id)), v)
}

// AppendVarint appends a property of type variable byte integer (Subscription
// Identifier). Values above MaxRemainingLength become MaxRemainingLength.
func AppendVarint(dst Properties, id PropertyID, v uint32) Properties {
	return AppendVariableByteInteger(append(dst, byte(id)), int(v))
}

// AppendString appends a property of type UTF-8 string, cut before the character that
// crosses MaxStringSize.
func AppendString(dst Properties, id PropertyID, s string) Properties {
	return appendString(append(dst, byte(id)), cutString(s))
}

// AppendBinary appends a property of type binary data, cut at MaxStringSize.
func AppendBinary(dst Properties, id PropertyID, b []byte) Properties {
	return appendString(append(dst, byte(id)), b)
}

// AppendUserProperty appends a User Property; key and value are cut as by
// AppendString.
func AppendUserProperty(dst Properties, key, value string) Properties {
	return appendString(appendString(append(dst, byte(UserProperty)), cutString(key)), cutString(value))
}

// size is the length of the block with its length prefix.
func (p Properties) size() int { return VariableByteIntegerSize(len(p)) + len(p) }

// appendTo appends the block with its length prefix [MQTT-2.2.2-1].
func (p Properties) appendTo(dst []byte) []byte {
	return append(AppendVariableByteInteger(dst, len(p)), p...)
}
