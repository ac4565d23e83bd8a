package packet

// Unsuback is the server's answer to an Unsubscribe [MQTT-3.10.4-4] (MQTT 5.0
// section 3.11).
//
// Decoding refuses an empty list (5.0) and codes that are not in the table
// [MQTT-3.11.3-2] (ProtocolError).
type Unsuback struct {
	// PacketID of the UNSUBSCRIBE [MQTT-3.10.4-5].
	PacketID uint16
	// Properties, 5.0 only: Reason String, User Property.
	Properties Properties
	// ReasonCodes, 5.0 only: one per filter in their order [MQTT-3.11.3-1].
	ReasonCodes []ReasonCode
}

// Type is UNSUBACK.
func (*Unsuback) Type() Type { return UNSUBACK }

// Size is the length on the wire.
func (p *Unsuback) Size(v Version) int { return packetSize(p.remaining(v)) }

func (p *Unsuback) remaining(v Version) int {
	if v != V50 {
		return 2
	}
	return 2 + p.Properties.size() + len(p.ReasonCodes)
}

// AppendTo appends the packet.
func (p *Unsuback) AppendTo(dst []byte, v Version) []byte {
	dst = appendHeader(dst, UNSUBACK, 0, p.remaining(v))
	dst = append(dst, byte(p.PacketID>>8), byte(p.PacketID))
	if v != V50 {
		return dst
	}
	dst = p.Properties.appendTo(dst)
	for _, c := range p.ReasonCodes {
		dst = append(dst, byte(c))
	}
	return dst
}

// parseUnsuback reads the packet after the fixed header. body is kept.
func parseUnsuback(body []byte, v Version) (*Unsuback, *Error) {
	f := fields{b: body}
	p := &Unsuback{PacketID: f.packetID(), Properties: f.properties(UNSUBACK, v)}
	if v == V50 {
		p.ReasonCodes = f.reasons(UNSUBACK)
	}
	if err := f.end(); err != nil {
		return nil, err
	}
	return p, nil
}
