package packet

// Pubrec is the first answer to a QoS 2 Publish [MQTT-3.3.4-1] (MQTT 5.0 section
// 3.5). A failure in it ends the exchange [MQTT-4.3.3-9]. Decoding refuses reason
// codes that are not in its table [MQTT-3.5.2-1].
type Pubrec struct {
	// PacketID of the PUBLISH [MQTT-2.2.1-5]; not 0.
	PacketID uint16
	// ReasonCode is always Success in 3.x.
	ReasonCode ReasonCode
	// Properties, 5.0 only: Reason String, User Property.
	Properties Properties
}

// Type is PUBREC.
func (*Pubrec) Type() Type { return PUBREC }

// Size is the length on the wire.
func (p *Pubrec) Size(v Version) int { return packetSize((*ack)(p).remaining(v)) }

// AppendTo appends the packet. It does not allocate when dst has the capacity.
func (p *Pubrec) AppendTo(dst []byte, v Version) []byte { return (*ack)(p).appendTo(dst, v, PUBREC) }
