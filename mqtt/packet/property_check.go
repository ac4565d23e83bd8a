package packet

import "encoding/binary"

// Validate checks the block as the Decoder does for a packet of type t
// ([WillProperties] for a will): known identifiers in a packet that may carry
// them and well-formed values (else MalformedPacket), nothing twice but what is
// repeatable, values in range, Authentication Data only with a method (else
// ProtocolError), Topic Alias not 0 (else TopicAliasInvalid). The error is an
// *Error; nil when the block is valid.
func (p Properties) Validate(t Type) error {
	if err := p.check(t); err != nil {
		err.Type, err.Version = t, V50
		return err
	}
	return nil
}

func (p Properties) check(t Type) *Error {
	var seen uint64
	for rest := p; len(rest) > 0; {
		id := PropertyID(rest[0])
		in := id.info()
		if in.in&(1<<t) == 0 {
			return malformed("property " + id.String() + " does not belong into " + t.String())
		}
		if seen&(1<<id) != 0 && !id.repeatable(t) {
			return protocolError("property " + id.String() + " twice")
		}
		seen |= 1 << id
		n, err := in.check(rest[1:])
		if err != nil {
			return err
		}
		rest = rest[1+n:]
	}
	if seen&(1<<AuthenticationData|1<<AuthenticationMethod) == 1<<AuthenticationData {
		return protocolError("Authentication Data without Authentication Method")
	}
	return nil
}

// check looks at the value at the start of b; n is its length.
func (in *propertyInfo) check(b []byte) (n int, err *Error) {
	switch in.kind {
	case kindString:
		var s []byte
		if s, n = readBinary(b); n > 0 {
			return n, in.checkText(s)
		}
	case kindBinary:
		_, n = readBinary(b)
	case kindPair: // [MQTT-1.5.7-1]
		var key, value []byte
		if key, value, n = readPair(b); n > 0 && !(validString(key) && validString(value)) {
			return n, malformed(in.name + ": " + reasonUTF8)
		}
	default:
		var v uint32
		if v, n = in.kind.readNumber(b); n > 0 && in.rule != ruleNone {
			return n, in.checkNumber(v)
		}
	}
	if n == 0 {
		return 0, malformed("property " + in.name + " is cut off or badly encoded")
	}
	return n, nil
}

func (in *propertyInfo) checkText(s []byte) *Error {
	if !validString(s) {
		return malformed(in.name + ": " + reasonUTF8)
	}
	if in.rule == ruleTopic && (len(s) == 0 || hasWildcard(s)) {
		return protocolError(in.name + " is empty or has a wildcard [MQTT-3.3.2-14]")
	}
	return nil
}

func (in *propertyInfo) checkNumber(v uint32) *Error {
	switch {
	case in.rule == ruleBool && v > 1:
		return protocolError(in.name + " is neither 0 nor 1")
	case in.rule == ruleNonZero && v == 0:
		return protocolError(in.name + " is 0")
	case in.rule == ruleAlias && v == 0:
		return &Error{Code: TopicAliasInvalid, Reason: "Topic Alias is 0 [MQTT-3.3.2-8]"}
	}
	return nil
}

// readProperty splits the first property off b, which is not empty. n is its
// length, 0 when b does not begin with a whole property of a known identifier.
// Values are not looked at.
func readProperty(b []byte) (q Property, n int) {
	q.ID = PropertyID(b[0])
	v := b[1:]
	switch k := q.ID.info().kind; k {
	case kindString, kindBinary:
		q.Value, n = readBinary(v)
	case kindPair:
		q.Key, q.Value, n = readPair(v)
	default:
		q.Uint, n = k.readNumber(v)
	}
	if n > 0 {
		n++ // the identifier
	}
	return q, n
}

// readNumber reads the value of a number property; n is its length, 0 when it is
// cut off or k is no number.
func (k kind) readNumber(b []byte) (v uint32, n int) {
	switch {
	case k == kindByte && len(b) >= 1:
		return uint32(b[0]), 1
	case k == kindUint16 && len(b) >= 2:
		return uint32(binary.BigEndian.Uint16(b)), 2
	case k == kindUint32 && len(b) >= 4:
		return binary.BigEndian.Uint32(b), 4
	case k == kindVarint:
		return readVarint(b)
	}
	return 0, 0
}

func readPair(b []byte) (key, value []byte, n int) {
	key, i := readBinary(b)
	if i == 0 {
		return nil, nil, 0
	}
	value, j := readBinary(b[i:])
	if j == 0 {
		return nil, nil, 0
	}
	return key, value, i + j
}
