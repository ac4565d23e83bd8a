package packet

// Type is the MQTT control packet type, the upper four bits of the first byte
// (MQTT 5.0 section 2.1.2). The value 0 is reserved and never valid on the wire.
type Type uint8

// Control packet types.
const (
	CONNECT     Type = 1
	CONNACK     Type = 2
	PUBLISH     Type = 3
	PUBACK      Type = 4
	PUBREC      Type = 5
	PUBREL      Type = 6
	PUBCOMP     Type = 7
	SUBSCRIBE   Type = 8
	SUBACK      Type = 9
	UNSUBSCRIBE Type = 10
	UNSUBACK    Type = 11
	PINGREQ     Type = 12
	PINGRESP    Type = 13
	DISCONNECT  Type = 14
	AUTH        Type = 15 // 5.0 only
)

// WillProperties stands for the will properties inside a CONNECT wherever a Type
// tells the place of a property ([Properties.Validate], [PropertyID.AllowedIn]).
const WillProperties Type = 0

var typeNames = [16]string{
	"will properties", "CONNECT", "CONNACK", "PUBLISH", "PUBACK", "PUBREC", "PUBREL", "PUBCOMP",
	"SUBSCRIBE", "SUBACK", "UNSUBSCRIBE", "UNSUBACK", "PINGREQ", "PINGRESP", "DISCONNECT", "AUTH",
}

// String is the name as the standard writes it, e.g. "PUBLISH".
func (t Type) String() string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return "invalid"
}

// Version is the protocol level of a connection (MQTT 5.0 section 3.1.2.2).
// The zero value means "not known yet".
type Version uint8

// Protocol versions.
const (
	V31  Version = 3 // MQTT 3.1, protocol name "MQIsdp"
	V311 Version = 4 // MQTT 3.1.1
	V50  Version = 5 // MQTT 5.0
)

// String is "3.1", "3.1.1", "5.0" or "unknown".
func (v Version) String() string {
	switch v {
	case V31:
		return "3.1"
	case V311:
		return "3.1.1"
	case V50:
		return "5.0"
	}
	return "unknown"
}

// ProtocolName is the name that a CONNECT of this version carries.
func (v Version) ProtocolName() string {
	if v == V31 {
		return "MQIsdp"
	}
	return "MQTT"
}

// Sizes that the wire format allows, in bytes.
const (
	// MaxRemainingLength is the largest value of a Variable Byte Integer
	// (MQTT 5.0 section 1.5.5) and so the largest Remaining Length.
	MaxRemainingLength = 268_435_455
	// MaxPacketSize is the largest possible packet: one byte of type and flags,
	// four bytes of length, MaxRemainingLength.
	MaxPacketSize = 5 + MaxRemainingLength
	// MaxStringSize is the longest string or binary field, without its length
	// prefix (MQTT 5.0 section 1.5.4; [MQTT-4.7.3-3] for topics).
	MaxStringSize = 65_535
)

// MaxFilters is the largest number of filters in one SUBSCRIBE or UNSUBSCRIBE that
// is decoded. The standard has no limit; an entry of three bytes on the wire takes
// ten times as much memory, so the packet size alone does not bound it.
const MaxFilters = 65_535

// Packet is one MQTT control packet. The types are the pointers to the structs of
// this package: *Connect, *Publish, ...
type Packet interface {
	// Type of the packet.
	Type() Type
	// AppendTo appends the whole packet, as version v lays it out, to dst. It
	// does not check the fields: strings beyond MaxStringSize are cut, a packet
	// beyond MaxPacketSize must not be encoded. [Validate] finds both.
	AppendTo(dst []byte, v Version) []byte
	// Size is the number of bytes that AppendTo appends, the "packet size" of
	// Maximum Packet Size (MQTT 5.0 section 2.1.4).
	Size(v Version) int
}

// Role tells who sends a packet.
type Role uint8

// Roles.
const (
	Client Role = 1
	Server Role = 2
	Either Role = Client | Server // whichever of the two
)
