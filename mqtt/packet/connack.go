package packet

// Connack is the server's answer to a Connect (MQTT 5.0 section 3.2).
//
// Decoding refuses flags other than Session Present (MalformedPacket)
// [MQTT-3.2.2-1], codes that are not in the table [MQTT-3.2.2-8] and Session
// Present with a failure [MQTT-3.2.2-6] (ProtocolError).
type Connack struct {
	// SessionPresent tells that the server goes on with a stored session
	// [MQTT-3.2.2-2] [MQTT-3.2.2-3]. 3.1 has no such flag.
	SessionPresent bool
	// ReasonCode is a code of 5.0 in every version. For 3.x it is translated by
	// ReasonCode.ReturnCode when encoding (ServerUnavailable when nothing fits; a
	// server that follows [MQTT-3.2.2-6, 3.1.1] then sends no CONNACK) and by
	// ReturnCode.ReasonCode when decoding.
	ReasonCode ReasonCode
	// Properties, 5.0 only: what the server grants and limits; see PropertyID.
	Properties Properties
}

// Type is CONNACK.
func (*Connack) Type() Type { return CONNACK }

// Size is the length on the wire.
func (p *Connack) Size(v Version) int { return packetSize(p.remaining(v)) }

func (p *Connack) remaining(v Version) int {
	if v == V50 {
		return 2 + p.Properties.size()
	}
	return 2
}

// AppendTo appends the packet.
func (p *Connack) AppendTo(dst []byte, v Version) []byte {
	dst = appendHeader(dst, CONNACK, 0, p.remaining(v))
	var flags byte
	if p.SessionPresent && v != V31 {
		flags = 1
	}
	if v == V50 {
		return p.Properties.appendTo(append(dst, flags, byte(p.ReasonCode)))
	}
	code, _ := p.ReasonCode.ReturnCode()
	return append(dst, flags, byte(code))
}

// parseConnack reads the packet after the fixed header. body is kept.
func parseConnack(body []byte, v Version) (*Connack, *Error) {
	f := fields{b: body}
	flags, code := f.byte(), f.byte()
	p := &Connack{SessionPresent: flags == 1, ReasonCode: ReasonCode(code)}
	if v == V31 { // the byte is reserved and has no meaning
		flags, p.SessionPresent = 0, false
	}
	if flags > 1 {
		f.fail(malformed("reserved CONNACK flag is set [MQTT-3.2.2-1]"))
	}
	if v != V50 {
		if ReturnCode(code) > maxReturnCode {
			f.fail(protocolError(reasonBadCode))
		}
		p.ReasonCode = ReturnCode(code).ReasonCode()
	}
	p.Properties = f.properties(CONNACK, v)
	if !p.ReasonCode.AllowedIn(CONNACK, Server) {
		f.fail(protocolError(reasonBadCode + " [MQTT-3.2.2-8]"))
	}
	if p.SessionPresent && p.ReasonCode != Success {
		f.fail(protocolError("Session Present with a failure [MQTT-3.2.2-6]"))
	}
	if err := f.end(); err != nil {
		return nil, err
	}
	return p, nil
}
