package packet

// Suback is the server's answer to a Subscribe [MQTT-3.8.4-1] (MQTT 5.0 section
// 3.9).
//
// Decoding refuses an empty list and codes that are not in the table
// [MQTT-3.9.3-2] [MQTT-3.9.3-2, 3.1.1] (ProtocolError).
type Suback struct {
	// PacketID of the SUBSCRIBE [MQTT-3.8.4-2].
	PacketID uint16
	// Properties, 5.0 only: Reason String, User Property.
	Properties Properties
	// ReasonCodes, one per filter in their order [MQTT-3.8.4-6] [MQTT-3.9.3-1]:
	// GrantedQoS0..2 or a failure. In 3.x every failure is sent as 0x80.
	ReasonCodes []ReasonCode
}

// Type is SUBACK.
func (*Suback) Type() Type { return SUBACK }

// Size is the length on the wire.
func (p *Suback) Size(v Version) int { return packetSize(p.remaining(v)) }

func (p *Suback) remaining(v Version) int {
	n := 2 + len(p.ReasonCodes)
	if v == V50 {
		n += p.Properties.size()
	}
	return n
}

// AppendTo appends the packet.
func (p *Suback) AppendTo(dst []byte, v Version) []byte {
	dst = appendHeader(dst, SUBACK, 0, p.remaining(v))
	dst = append(dst, byte(p.PacketID>>8), byte(p.PacketID))
	if v == V50 {
		dst = p.Properties.appendTo(dst)
	}
	for _, c := range p.ReasonCodes {
		if v != V50 && c.IsError() {
			c = UnspecifiedError
		}
		dst = append(dst, byte(c))
	}
	return dst
}

// parseSuback reads the packet after the fixed header. body is kept.
func parseSuback(body []byte, v Version) (*Suback, *Error) {
	f := fields{b: body}
	p := &Suback{PacketID: f.packetID(), Properties: f.properties(SUBACK, v)}
	p.ReasonCodes = f.reasons(SUBACK)
	for _, c := range p.ReasonCodes {
		if v != V50 && c > GrantedQoS2 && c != UnspecifiedError {
			f.fail(protocolError(reasonBadCode + " [MQTT-3.9.3-2, 3.1.1]"))
		}
	}
	if err := f.end(); err != nil {
		return nil, err
	}
	return p, nil
}

// reasons reads the reason codes up to the end of the packet, at least one.
func (f *fields) reasons(t Type) []ReasonCode {
	if f.err == nil && len(f.b) == 0 {
		f.fail(protocolError(t.String() + " without a reason code"))
	}
	codes := make([]ReasonCode, 0, len(f.b))
	for len(f.b) > 0 {
		codes = append(codes, f.reason(t))
	}
	return codes
}
