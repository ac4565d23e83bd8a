package packet

// Validate tells whether p can be sent on a connection of version v: strings and
// binary fields of at most MaxStringSize bytes, a packet of at most MaxPacketSize,
// and everything that the Decoder of the other side checks. It is for packets made
// of input that is not trusted; it costs an encoding and a decoding. The error is
// an *Error.
func Validate(p Packet, v Version) error {
	if q, ok := p.(interface{ longest() int }); ok && q.longest() > MaxStringSize {
		return invalid(p, v, MalformedPacket, "a string or binary field is longer than 65535 bytes [MQTT-4.7.3-3]")
	}
	if p.Size(v) > MaxPacketSize {
		return invalid(p, v, PacketTooLarge, "Remaining Length is above 268435455")
	}
	if v != V50 && p.Type() == AUTH {
		return invalid(p, v, ProtocolError, "AUTH needs MQTT 5.0")
	}
	d := NewDecoder(0)
	d.SetVersion(v)
	d.Feed(p.AppendTo(make([]byte, 0, p.Size(v)), v))
	_, err := d.Next()
	return err
}

func invalid(p Packet, v Version, code ReasonCode, reason string) error {
	return &Error{Code: code, Type: p.Type(), Version: v, Reason: reason}
}
