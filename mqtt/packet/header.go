package packet

// requiredFlags is what the lower four bits of the first byte must be; for PUBLISH
// they are variable (MQTT 5.0 table 2-2) [MQTT-2.1.3-1].
func requiredFlags(t Type) byte {
	switch t {
	case PUBREL, SUBSCRIBE, UNSUBSCRIBE:
		return 2
	}
	return 0
}

// legalFirst has bit 1<<Version set when the byte may begin a packet on a
// connection of that version. Version 0, before SetVersion, allows the packets
// that look the same in every version.
var legalFirst = func() (table [256]uint8) {
	for first := range table {
		for _, v := range []Version{0, V31, V311, V50} {
			if firstByteError(byte(first), v) == nil {
				table[first] |= 1 << v
			}
		}
	}
	return table
}()

// firstByteError says what is wrong with the first byte of a packet.
func firstByteError(first byte, v Version) *Error {
	t, flags := Type(first>>4), first&15
	switch {
	case t == 0 || t == AUTH && v != V50 && v != 0:
		return malformed("reserved packet type")
	case v == 0 && t != CONNECT && t != PINGREQ && t != PINGRESP:
		return protocolError("packet before CONNECT [MQTT-3.1.0-1]")
	case t == PUBLISH:
		return publishFlagsError(flags)
	case v == V31 && requiredFlags(t) == 2 && flags == 2|flagDup:
		return nil // 3.1 marks resends of these packets too
	case flags != requiredFlags(t):
		return malformed("reserved flags of the fixed header [MQTT-2.1.3-1]")
	}
	return nil
}

func publishFlagsError(flags byte) *Error {
	switch qos := flags >> shiftQoS & 3; {
	case qos == 3:
		return malformed("PUBLISH with QoS 3 [MQTT-3.3.1-4]")
	case qos == 0 && flags&flagDup != 0:
		return malformed("DUP with QoS 0 [MQTT-3.3.1-2]")
	}
	return nil
}

// frame is the fixed header of a packet.
type frame struct {
	head   int  // its own length in bytes, 0 while bytes are missing
	total  int  // length of the whole packet
	padded bool // the Remaining Length is longer than needed
}

// frame reads the fixed header at the start of b, which is not empty. It fails as
// soon as the bytes seen so far cannot become an acceptable packet.
func (d *Decoder) frame(b []byte) (f frame, err *Error) {
	if legalFirst[b[0]]&(1<<d.version) == 0 {
		return f, firstByteError(b[0], d.version)
	}
	length := 0
	for i := 1; i < len(b); i++ {
		length |= int(b[i]&0x7F) << (7 * (i - 1))
		if b[i] >= 0x80 && i == 4 {
			return f, malformed("Remaining Length: " + reasonVarint)
		}
		if b[i] >= 0x80 {
			continue
		}
		f = frame{head: i + 1, total: i + 1 + length, padded: i > 1 && b[i] == 0}
		return f, d.checkFrame(f)
	}
	return f, nil
}

// checkFrame looks at the length. 3.x does not ask for the shortest form of the
// Remaining Length; which version a CONNECT is, its parser knows.
func (d *Decoder) checkFrame(f frame) *Error {
	if f.padded && d.version == V50 {
		return malformed("Remaining Length: " + reasonVarint)
	}
	if f.total > d.limit {
		return &Error{Code: PacketTooLarge, Reason: "packet is larger than the maximum packet size [MQTT-3.2.2-15]"}
	}
	return nil
}
