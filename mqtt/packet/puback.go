package packet

// Puback is the answer to a QoS 1 Publish [MQTT-3.3.4-1] (MQTT 5.0 section 3.4).
// Decoding refuses reason codes that are not in its table [MQTT-3.4.2-1].
type Puback struct {
	// PacketID of the PUBLISH [MQTT-2.2.1-5]; not 0.
	PacketID uint16
	// ReasonCode is always Success in 3.x.
	ReasonCode ReasonCode
	// Properties, 5.0 only: Reason String, User Property.
	Properties Properties
}

// Type is PUBACK.
func (*Puback) Type() Type { return PUBACK }

// Size is the length on the wire.
func (p *Puback) Size(v Version) int { return packetSize((*ack)(p).remaining(v)) }

// AppendTo appends the packet. It does not allocate when dst has the capacity.
func (p *Puback) AppendTo(dst []byte, v Version) []byte { return (*ack)(p).appendTo(dst, v, PUBACK) }
