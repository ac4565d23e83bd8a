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
		q, n := readProperty(rest)
		if n == 0 {
			return badProperty(rest)
		}
		if !q.ID.AllowedIn(t) {
			return malformed("property " + q.ID.String() + " does not belong into " + t.String())
		}
		if seen&(1<<q.ID) != 0 && !q.ID.repeatable(t) {
			return protocolError("property " + q.ID.String() + " twice")
		}
		seen |= 1 << q.ID
		if err := q.check(); err != nil {
			return err
		}
		rest = rest[n:]
	}
	if seen&(1<<AuthenticationData|1<<AuthenticationMethod) == 1<<AuthenticationData {
		return protocolError("Authentication Data without Authentication Method")
	}
	return nil
}

// badProperty explains why readProperty refused b.
func badProperty(b []byte) *Error {
	if PropertyID(b[0]).info().kind == kindNone {
		return malformed(PropertyID(b[0]).String())
	}
	return malformed("property " + PropertyID(b[0]).String() + " is cut off or badly encoded")
}

// check looks at the value of q.
func (q *Property) check() *Error {
	in := q.ID.info()
	switch in.kind {
	case kindString:
		if !validString(q.Value) {
			return malformed(in.name + ": " + reasonUTF8)
		}
	case kindPair: // [MQTT-1.5.7-1]
		if !validString(q.Key) || !validString(q.Value) {
			return malformed(in.name + ": " + reasonUTF8)
		}
	}
	return q.checkRule(in)
}

func (q *Property) checkRule(in *propertyInfo) *Error {
	switch {
	case in.rule == ruleBool && q.Uint > 1:
		return protocolError(in.name + " is neither 0 nor 1")
	case in.rule == ruleNonZero && q.Uint == 0:
		return protocolError(in.name + " is 0")
	case in.rule == ruleAlias && q.Uint == 0:
		return &Error{Code: TopicAliasInvalid, Reason: "Topic Alias is 0 [MQTT-3.3.2-8]"}
	case in.rule == ruleTopic && (len(q.Value) == 0 || hasWildcard(q.Value)):
		return protocolError(in.name + " is empty or has a wildcard [MQTT-3.3.2-14]")
	}
	return nil
}

// readProperty splits the first property off b, which is not empty. n is its
// length, 0 when b does not begin with a whole property of a known identifier.
// Values are not looked at.
func readProperty(b []byte) (q Property, n int) {
	q.ID = PropertyID(b[0])
	v := b[1:]
	switch q.ID.info().kind {
	case kindByte:
		if len(v) >= 1 {
			q.Uint, n = uint32(v[0]), 1
		}
	case kindUint16:
		if len(v) >= 2 {
			q.Uint, n = uint32(binary.BigEndian.Uint16(v)), 2
		}
	case kindUint32:
		if len(v) >= 4 {
			q.Uint, n = binary.BigEndian.Uint32(v), 4
		}
	case kindVarint:
		q.Uint, n = readVarint(v)
	case kindString, kindBinary:
		q.Value, n = readBinary(v)
	case kindPair:
		q.Key, q.Value, n = readPair(v)
	}
	if n > 0 {
		n++ // the identifier
	}
	return q, n
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
