package packet

// Unsubscribe ends subscriptions (MQTT 5.0 section 3.10). Its flags are 0010
// [MQTT-3.10.1-1].
//
// Decoding refuses packet identifier 0 and an empty list [MQTT-3.10.3-2]
// (ProtocolError), filters that are not UTF-8 [MQTT-3.10.3-1] (MalformedPacket) and
// more than MaxFilters filters (QuotaExceeded).
type Unsubscribe struct {
	PacketID uint16
	// Properties, 5.0 only: User Property.
	Properties Properties
	// Filters, at least one, in the order of the packet.
	Filters []string
}

// Type is UNSUBSCRIBE.
func (*Unsubscribe) Type() Type { return UNSUBSCRIBE }

// Size is the length on the wire.
func (p *Unsubscribe) Size(v Version) int { return packetSize(p.remaining(v)) }

func (p *Unsubscribe) remaining(v Version) int {
	n := 2
	if v == V50 {
		n += p.Properties.size()
	}
	for _, filter := range p.Filters {
		n += stringSize(len(filter))
	}
	return n
}

// AppendTo appends the packet.
func (p *Unsubscribe) AppendTo(dst []byte, v Version) []byte {
	dst = appendHeader(dst, UNSUBSCRIBE, requiredFlags(UNSUBSCRIBE), p.remaining(v))
	dst = append(dst, byte(p.PacketID>>8), byte(p.PacketID))
	if v == V50 {
		dst = p.Properties.appendTo(dst)
	}
	for _, filter := range p.Filters {
		dst = appendString(dst, filter)
	}
	return dst
}

func (p *Unsubscribe) longest() (n int) {
	for _, filter := range p.Filters {
		n = max(n, len(filter))
	}
	return n
}

// parseUnsubscribe reads the packet after the fixed header. body is kept.
func parseUnsubscribe(body []byte, v Version) (*Unsubscribe, *Error) {
	f := fields{b: body}
	p := &Unsubscribe{PacketID: f.packetID(), Properties: f.properties(UNSUBSCRIBE, v)}
	if f.err == nil && len(f.b) == 0 {
		f.fail(protocolError("UNSUBSCRIBE without a filter [MQTT-3.10.3-2]"))
	}
	for len(f.b) > 0 {
		f.limitFilters(len(p.Filters))
		p.Filters = append(p.Filters, f.string())
	}
	if err := f.end(); err != nil {
		return nil, err
	}
	return p, nil
}
