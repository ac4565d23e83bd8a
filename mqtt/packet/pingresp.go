package packet

// Pingresp is the server's answer to a Pingreq [MQTT-3.12.4-1] (MQTT 5.0 section
// 3.13). It has no fields.
type Pingresp struct{}

// Type is PINGRESP.
func (*Pingresp) Type() Type { return PINGRESP }

// Size is 2 in every version.
func (*Pingresp) Size(Version) int { return packetSize(0) }

// AppendTo appends the packet, the same in every version.
func (*Pingresp) AppendTo(dst []byte, _ Version) []byte { return appendHeader(dst, PINGRESP, 0, 0) }
