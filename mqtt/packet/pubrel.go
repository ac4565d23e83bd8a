package packet

// Pubrel is the answer to a Pubrec without failure [MQTT-4.3.3-4] (MQTT 5.0 section
// 3.6). Its flags are 0010 [MQTT-3.6.1-1]. Decoding refuses reason codes other than
// Success and PacketIdentifierNotFound [MQTT-3.6.2-1].
type Pubrel struct {
	// PacketID of the PUBLISH [MQTT-2.2.1-5]; not 0.
	PacketID uint16
	// ReasonCode is always Success in 3.x.
	ReasonCode ReasonCode
	// Properties, 5.0 only: Reason String, User Property.
	Properties Properties
}

// Type is PUBREL.
func (*Pubrel) Type() Type { return PUBREL }

// Size is the length on the wire.
func (p *Pubrel) Size(v Version) int { return packetSize((*ack)(p).remaining(v)) }

// AppendTo appends the packet. It does not allocate when dst has the capacity.
func (p *Pubrel) AppendTo(dst []byte, v Version) []byte { return (*ack)(p).appendTo(dst, v, PUBREL) }
