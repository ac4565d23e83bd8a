package packet

// Pingreq shows that the client is alive and asks for a Pingresp [MQTT-3.12.4-1]
// (MQTT 5.0 section 3.12). It has no fields.
type Pingreq struct{}

// Type is PINGREQ.
func (*Pingreq) Type() Type { return PINGREQ }

// Size is 2 in every version.
func (*Pingreq) Size(Version) int { return packetSize(0) }

// AppendTo appends the packet, the same in every version.
func (*Pingreq) AppendTo(dst []byte, _ Version) []byte { return appendHeader(dst, PINGREQ, 0, 0) }
