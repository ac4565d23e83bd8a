package packet

// Disconnect is the last packet on a connection [MQTT-3.14.4-1] (MQTT 5.0 section
// 3.14). In 3.x only a client sends it and it has no fields.
//
// Decoding refuses reason codes that are in no row of the table [MQTT-3.14.2-1]
// (ProtocolError). The caller looks at what depends on the sender: codes of the
// other role ([ReasonCode.AllowedIn]), Session Expiry Interval from a server
// [MQTT-3.14.2-2] or above 0 after 0 in the CONNECT.
type Disconnect struct {
	// ReasonCode is NormalDisconnection in 3.x.
	ReasonCode ReasonCode
	// Properties, 5.0 only: Session Expiry Interval, Reason String, User Property,
	// Server Reference.
	Properties Properties
}

// Type is DISCONNECT.
func (*Disconnect) Type() Type { return DISCONNECT }

// Size is the length on the wire.
func (p *Disconnect) Size(v Version) int { return packetSize(p.remaining(v)) }

// remaining is 0 for a plain NormalDisconnection and 1 without properties.
func (p *Disconnect) remaining(v Version) int {
	switch {
	case v != V50:
		return 0
	case len(p.Properties) > 0:
		return 1 + p.Properties.size()
	case p.ReasonCode != NormalDisconnection:
		return 1
	}
	return 0
}

// AppendTo appends the packet.
func (p *Disconnect) AppendTo(dst []byte, v Version) []byte {
	n := p.remaining(v)
	dst = appendHeader(dst, DISCONNECT, 0, n)
	if n > 0 {
		dst = append(dst, byte(p.ReasonCode))
	}
	if n > 1 {
		dst = p.Properties.appendTo(dst)
	}
	return dst
}

// parseDisconnect reads the packet after the fixed header. body is kept.
func parseDisconnect(body []byte, v Version) (*Disconnect, *Error) {
	f := fields{b: body}
	p := &Disconnect{}
	if v == V50 && len(f.b) > 0 {
		p.ReasonCode = f.reason(DISCONNECT)
	}
	if v == V50 && len(f.b) > 0 {
		p.Properties = f.properties(DISCONNECT, v)
	}
	if err := f.end(); err != nil {
		return nil, err
	}
	return p, nil
}
