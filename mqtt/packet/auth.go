package packet

// Auth carries a step of enhanced authentication, 5.0 only (MQTT 5.0 section 3.15).
//
// Decoding refuses reason codes other than Success, ContinueAuthentication and
// Reauthenticate [MQTT-3.15.2-1] and a packet without Authentication Method
// [MQTT-4.12.0-5] (ProtocolError). The short form, Success without properties, is
// legal by section 3.15.2.1 and passes.
type Auth struct {
	ReasonCode ReasonCode
	// Properties: Authentication Method and Data, Reason String, User Property.
	Properties Properties
}

// Type is AUTH.
func (*Auth) Type() Type { return AUTH }

// Size is the length on the wire.
func (p *Auth) Size(Version) int { return packetSize(p.remaining()) }

// remaining is 0 for Success without properties: both fields are left out.
func (p *Auth) remaining() int {
	if p.ReasonCode == Success && len(p.Properties) == 0 {
		return 0
	}
	return 1 + p.Properties.size()
}

// AppendTo appends the packet in the layout of 5.0, the only one there is.
func (p *Auth) AppendTo(dst []byte, _ Version) []byte {
	n := p.remaining()
	dst = appendHeader(dst, AUTH, 0, n)
	if n == 0 {
		return dst
	}
	return p.Properties.appendTo(append(dst, byte(p.ReasonCode)))
}

// parseAuth reads the packet after the fixed header. body is kept.
func parseAuth(body []byte) (*Auth, *Error) {
	p := &Auth{}
	if len(body) == 0 {
		return p, nil
	}
	f := fields{b: body}
	p.ReasonCode = f.reason(AUTH)
	p.Properties = f.properties(AUTH, V50)
	short := p.ReasonCode == Success && len(p.Properties) == 0
	if f.err == nil && !short && !p.Properties.Has(AuthenticationMethod) {
		f.fail(protocolError("AUTH without Authentication Method"))
	}
	if err := f.end(); err != nil {
		return nil, err
	}
	return p, nil
}
