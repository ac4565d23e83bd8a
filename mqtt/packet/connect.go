package packet

// Connect asks for a session; it opens every connection [MQTT-3.1.0-1] (MQTT 5.0
// section 3.1).
//
// Decoding refuses with these codes: UnsupportedProtocolVersion for a protocol
// name or level that is none of the three [MQTT-3.1.2-1] [MQTT-3.1.2-2];
// ClientIdentifierNotValid for an empty client identifier in 3.1, and in 3.1.1
// together with CleanSession 0 [MQTT-3.1.3-8, 3.1.1]; TopicNameInvalid for a will
// topic with wildcards; else MalformedPacket or ProtocolError.
type Connect struct {
	// ProtocolName is "MQTT", in 3.1 "MQIsdp". Empty when encoding: that of Version.
	ProtocolName string
	// Version is the protocol level. 0 when encoding: the version given to AppendTo.
	Version Version
	// CleanStart (3.x: CleanSession) drops a stored session [MQTT-3.1.2-4].
	CleanStart bool
	// KeepAlive is in seconds, 0 means off [MQTT-3.1.2-22].
	KeepAlive uint16
	// ClientID may be empty: the server then assigns one [MQTT-3.1.3-6].
	ClientID string
	// Username is nil when absent [MQTT-3.1.2-16] [MQTT-3.1.2-17].
	Username *string
	// Password is nil when absent, not nil but empty when it is there and empty
	// [MQTT-3.1.2-18] [MQTT-3.1.2-19]. In 3.x it needs a Username
	// [MQTT-3.1.2-22, 3.1.1].
	Password []byte
	// Will is nil when there is none [MQTT-3.1.2-7].
	Will *Will
	// Properties, 5.0 only: Session Expiry Interval, Receive Maximum, Maximum
	// Packet Size, Topic Alias Maximum, Request Response Information, Request
	// Problem Information, User Property, Authentication Method and Data.
	Properties Properties
}

// Will is the message that the server publishes when the client is lost (MQTT 5.0
// section 3.1.2.5).
type Will struct {
	Topic   string
	Payload []byte
	QoS     byte // 0, 1 or 2 [MQTT-3.1.2-12]
	Retain  bool
	// Properties, 5.0 only: Will Delay Interval, Payload Format Indicator, Message
	// Expiry Interval, Content Type, Response Topic, Correlation Data, User
	// Property.
	Properties Properties
}

// Connect flags (MQTT 5.0 section 3.1.2.3).
const (
	flagReserved   = 1 << 0
	flagCleanStart = 1 << 1
	flagWill       = 1 << 2
	shiftWillQoS   = 3
	flagWillRetain = 1 << 5
	flagPassword   = 1 << 6
	flagUsername   = 1 << 7
)

// Type is CONNECT.
func (*Connect) Type() Type { return CONNECT }

// Size is the length on the wire; v counts only when p.Version is 0.
func (p *Connect) Size(v Version) int { return packetSize(p.remaining(p.version(v))) }

// AppendTo appends the packet; v counts only when p.Version is 0.
func (p *Connect) AppendTo(dst []byte, v Version) []byte {
	v = p.version(v)
	dst = appendHeader(dst, CONNECT, 0, p.remaining(v))
	dst = appendString(dst, p.protocolName(v))
	dst = append(dst, byte(v), p.flags(), byte(p.KeepAlive>>8), byte(p.KeepAlive))
	if v == V50 {
		dst = p.Properties.appendTo(dst)
	}
	dst = appendString(dst, p.ClientID)
	if w := p.Will; w != nil {
		if v == V50 {
			dst = w.Properties.appendTo(dst)
		}
		dst = appendString(appendString(dst, w.Topic), w.Payload)
	}
	if p.Username != nil {
		dst = appendString(dst, *p.Username)
	}
	if p.Password != nil {
		dst = appendString(dst, p.Password)
	}
	return dst
}

func (p *Connect) version(v Version) Version {
	if p.Version != 0 {
		return p.Version
	}
	return v
}

func (p *Connect) protocolName(v Version) string {
	if p.ProtocolName != "" {
		return p.ProtocolName
	}
	return v.ProtocolName()
}

func (p *Connect) remaining(v Version) int {
	n := stringSize(len(p.protocolName(v))) + 4 + stringSize(len(p.ClientID))
	if v == V50 {
		n += p.Properties.size()
	}
	if w := p.Will; w != nil {
		n += stringSize(len(w.Topic)) + stringSize(len(w.Payload))
		if v == V50 {
			n += w.Properties.size()
		}
	}
	if p.Username != nil {
		n += stringSize(len(*p.Username))
	}
	if p.Password != nil {
		n += stringSize(len(p.Password))
	}
	return n
}

func (p *Connect) flags() (f byte) {
	if p.CleanStart {
		f |= flagCleanStart
	}
	if w := p.Will; w != nil {
		f |= flagWill | w.QoS&3<<shiftWillQoS
		if w.Retain {
			f |= flagWillRetain
		}
	}
	if p.Username != nil {
		f |= flagUsername
	}
	if p.Password != nil {
		f |= flagPassword
	}
	return f
}

// longest is the length of the longest field with a two byte length.
func (p *Connect) longest() int {
	n := max(len(p.ProtocolName), len(p.ClientID), len(p.Password))
	if p.Username != nil {
		n = max(n, len(*p.Username))
	}
	if p.Will != nil {
		n = max(n, len(p.Will.Topic), len(p.Will.Payload))
	}
	return n
}

// parseConnect reads the packet after the fixed header. body is kept. padded tells
// that the Remaining Length was not in its shortest form.
func parseConnect(body []byte, padded bool) (*Connect, *Error) {
	p := &Connect{}
	f := fields{b: body}
	answer := p.parseProtocol(&f)
	if padded && p.Version == V50 {
		f.fail(malformed("Remaining Length: " + reasonVarint))
	}
	flags := f.byte()
	f.checkConnectFlags(flags, p.Version)
	p.CleanStart = flags&flagCleanStart != 0
	p.KeepAlive = f.uint16()
	p.Properties = f.properties(CONNECT, p.Version)
	p.parsePayload(&f, flags)
	if err := f.end(); err != nil {
		err.Version = answer
		return nil, err
	}
	if err := p.checkClientID(); err != nil {
		return nil, err
	}
	return p, nil
}

// parseProtocol reads name and level. answer is the version for a refusal: for a
// level that is not supported, 3.x below level 5 and 5.0 above. Bit 7 is set by
// bridges of 3.x brokers and does not count.
func (p *Connect) parseProtocol(f *fields) (answer Version) {
	p.ProtocolName = f.string()
	p.Version = Version(f.byte())
	if f.err != nil {
		return 0
	}
	v := p.Version
	if v >= V31 && v <= V50 && p.ProtocolName == v.ProtocolName() {
		return v
	}
	f.fail(&Error{Code: UnsupportedProtocolVersion, Reason: "protocol name or level is not supported [MQTT-3.1.2-1] [MQTT-3.1.2-2]"})
	if v&0x7F >= V50 && p.ProtocolName == V50.ProtocolName() {
		return V50
	}
	return V311
}

func (f *fields) checkConnectFlags(flags byte, v Version) {
	switch {
	case flags&flagReserved != 0:
		f.fail(malformed("reserved connect flag is set [MQTT-3.1.2-3]"))
	case flags&flagWill == 0 && flags>>shiftWillQoS&3 != 0:
		f.fail(malformed("Will QoS without a will [MQTT-3.1.2-11]"))
	case flags&flagWill == 0 && flags&flagWillRetain != 0:
		f.fail(malformed("Will Retain without a will [MQTT-3.1.2-13]"))
	case flags>>shiftWillQoS&3 == 3:
		f.fail(malformed("Will QoS 3 [MQTT-3.1.2-12]"))
	case v != V50 && flags&flagPassword != 0 && flags&flagUsername == 0:
		f.fail(malformed("password without user name [MQTT-3.1.2-22, 3.1.1]"))
	}
}

// parsePayload reads the payload in its order [MQTT-3.1.3-1]. In 3.1 user name and
// password may be missing in spite of their flags: Remaining Length has precedence
// (3.1 section 3.1).
func (p *Connect) parsePayload(f *fields, flags byte) {
	p.ClientID = f.string()
	if flags&flagWill != 0 {
		p.Will = f.will(flags, p.Version)
	}
	wanted := func() bool { return p.Version != V31 || len(f.b) > 0 }
	if flags&flagUsername != 0 && wanted() {
		s := f.string()
		p.Username = &s
	}
	if flags&flagPassword != 0 && wanted() {
		p.Password = f.binary()
	}
}

// will reads the will fields [MQTT-3.1.2-9].
func (f *fields) will(flags byte, v Version) *Will {
	w := &Will{QoS: flags >> shiftWillQoS & 3, Retain: flags&flagWillRetain != 0}
	w.Properties = f.properties(WillProperties, v)
	topic := f.binary()
	if err := checkTopicName(topic); err != nil {
		f.fail(err)
	}
	if len(topic) == 0 {
		f.fail(protocolError("will topic is empty [MQTT-4.7.3-1]"))
	}
	w.Topic = string(topic)
	w.Payload = f.binary()
	return w
}

func (p *Connect) checkClientID() *Error {
	if p.ClientID == "" && (p.Version == V31 || p.Version == V311 && !p.CleanStart) {
		return &Error{
			Code: ClientIdentifierNotValid, Version: p.Version,
			Reason: "empty client identifier needs CleanSession 1 and 3.1.1 or later [MQTT-3.1.3-8, 3.1.1]",
		}
	}
	return nil
}
