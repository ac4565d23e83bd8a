package packet

import "encoding/binary"

// ack is the common layout of PUBACK, PUBREC, PUBREL and PUBCOMP: packet
// identifier, then in 5.0 a reason code and properties. The reason code is left out
// when it is Success and nothing follows, the properties when there are none.
type ack struct {
	PacketID   uint16
	ReasonCode ReasonCode
	Properties Properties
}

func (a *ack) remaining(v Version) int {
	switch {
	case v != V50:
		return 2
	case len(a.Properties) > 0:
		return 3 + a.Properties.size()
	case a.ReasonCode != Success:
		return 3
	}
	return 2
}

func (a *ack) appendTo(dst []byte, v Version, t Type) []byte {
	n := a.remaining(v)
	dst = appendHeader(dst, t, requiredFlags(t), n)
	dst = append(dst, byte(a.PacketID>>8), byte(a.PacketID))
	if n > 2 {
		dst = append(dst, byte(a.ReasonCode))
	}
	if n > 3 {
		dst = a.Properties.appendTo(dst)
	}
	return dst
}

// parse reads the packet after the fixed header into a.
func (a *ack) parse(t Type, b []byte, v Version) *Error {
	if len(b) < 2 {
		return malformed(reasonShort)
	}
	*a = ack{PacketID: binary.BigEndian.Uint16(b)}
	if a.PacketID == 0 {
		return protocolError(reasonPacketID)
	}
	b = b[2:]
	if len(b) == 0 {
		return nil
	}
	if v != V50 {
		return malformed(reasonTrailing)
	}
	return a.parseReason(t, b)
}

// parseReason reads what only 5.0 has: reason code and properties.
func (a *ack) parseReason(t Type, b []byte) *Error {
	f := fields{b: b}
	a.ReasonCode = f.reason(t)
	if len(f.b) > 0 {
		a.Properties = f.properties(t, V50)
	}
	return f.end()
}

// reason reads a reason code that may stand in t, whoever sends it.
func (f *fields) reason(t Type) ReasonCode {
	c := ReasonCode(f.byte())
	if f.err == nil && !c.AllowedIn(t, Either) {
		f.fail(protocolError(reasonBadCode))
	}
	return c
}
