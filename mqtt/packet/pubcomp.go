package packet

// Pubcomp is the answer to a Pubrel [MQTT-4.3.3-11] (MQTT 5.0 section 3.7); it ends
// the QoS 2 exchange. Decoding refuses reason codes other than Success and
// PacketIdentifierNotFound [MQTT-3.7.2-1].
type Pubcomp struct {
	// PacketID of the PUBLISH [MQTT-2.2.1-5]; not 0.
	PacketID uint16
	// ReasonCode is always Success in 3.x.
	ReasonCode ReasonCode
	// Properties, 5.0 only: Reason String, User Property.
	Properties Properties
}

// Type is PUBCOMP.
func (*Pubcomp) Type() Type { return PUBCOMP }

// Size is the length on the wire.
func (p *Pubcomp) Size(v Version) int { return packetSize((*ack)(p).remaining(v)) }

// AppendTo appends the packet. It does not allocate when dst has the capacity.
func (p *Pubcomp) AppendTo(dst []byte, v Version) []byte { return (*ack)(p).appendTo(dst, v, PUBCOMP) }
