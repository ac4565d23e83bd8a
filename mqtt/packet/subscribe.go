package packet

import "strings"

// Subscribe asks for messages that match filters (MQTT 5.0 section 3.8). Its flags
// are 0010 [MQTT-3.8.1-1].
//
// Decoding refuses reserved option bits [MQTT-3.8.3-5] (MalformedPacket), packet
// identifier 0, an empty list [MQTT-3.8.3-2], QoS 3, Retain Handling 3 and No Local
// on a shared subscription [MQTT-3.8.3-4] (ProtocolError), more than MaxFilters
// filters (QuotaExceeded). In 3.x QoS 3 is MalformedPacket [MQTT-3.8.3-4, 3.1.1].
// The syntax of a filter, its minimum length of one included, is left to the caller,
// who can answer per filter in the SUBACK.
type Subscribe struct {
	PacketID uint16
	// Properties, 5.0 only: Subscription Identifier, User Property.
	Properties Properties
	// Subscriptions, at least one, in the order of the packet.
	Subscriptions []Subscription
}

// Subscription is one entry of a Subscribe: a filter and its options (MQTT 5.0
// section 3.8.3.1).
type Subscription struct {
	// Filter is a topic filter, well-formed UTF-8 [MQTT-3.8.3-1].
	Filter string
	// QoS is the highest QoS wanted: 0, 1 or 2.
	QoS byte
	// NoLocal (5.0): do not send back the client's own messages [MQTT-3.8.3-3].
	NoLocal bool
	// RetainAsPublished (5.0): keep the RETAIN flag [MQTT-3.3.1-13].
	RetainAsPublished bool
	// RetainHandling (5.0): retained messages are sent 0 always, 1 for a new
	// subscription, 2 never [MQTT-3.3.1-9] [MQTT-3.3.1-10] [MQTT-3.3.1-11].
	RetainHandling byte
}

// Subscription options.
const (
	maskSubscriptionQoS   = 3
	flagNoLocal           = 1 << 2
	flagRetainAsPublished = 1 << 3
	shiftRetainHandling   = 4
	maskReservedOptions   = 0xC0
	sharedPrefix          = "$share/"
)

// Type is SUBSCRIBE.
func (*Subscribe) Type() Type { return SUBSCRIBE }

// Size is the length on the wire.
func (p *Subscribe) Size(v Version) int { return packetSize(p.remaining(v)) }

func (p *Subscribe) remaining(v Version) int {
	n := 2
	if v == V50 {
		n += p.Properties.size()
	}
	for i := range p.Subscriptions {
		n += stringSize(len(p.Subscriptions[i].Filter)) + 1
	}
	return n
}

// AppendTo appends the packet.
func (p *Subscribe) AppendTo(dst []byte, v Version) []byte {
	dst = appendHeader(dst, SUBSCRIBE, requiredFlags(SUBSCRIBE), p.remaining(v))
	dst = append(dst, byte(p.PacketID>>8), byte(p.PacketID))
	if v == V50 {
		dst = p.Properties.appendTo(dst)
	}
	for i := range p.Subscriptions {
		s := &p.Subscriptions[i]
		dst = append(appendString(dst, s.Filter), s.options(v))
	}
	return dst
}

func (s *Subscription) options(v Version) byte {
	o := s.QoS & maskSubscriptionQoS
	if v != V50 {
		return o
	}
	if s.NoLocal {
		o |= flagNoLocal
	}
	if s.RetainAsPublished {
		o |= flagRetainAsPublished
	}
	return o | s.RetainHandling&3<<shiftRetainHandling
}

func (p *Subscribe) longest() (n int) {
	for i := range p.Subscriptions {
		n = max(n, len(p.Subscriptions[i].Filter))
	}
	return n
}

// parseSubscribe reads the packet after the fixed header. body is kept.
func parseSubscribe(body []byte, v Version) (*Subscribe, *Error) {
	f := fields{b: body}
	p := &Subscribe{PacketID: f.packetID(), Properties: f.properties(SUBSCRIBE, v)}
	if f.err == nil && len(f.b) == 0 {
		f.fail(protocolError("SUBSCRIBE without a filter [MQTT-3.8.3-2]"))
	}
	for len(f.b) > 0 {
		f.limitFilters(len(p.Subscriptions))
		p.Subscriptions = append(p.Subscriptions, f.subscription(v))
	}
	if err := f.end(); err != nil {
		return nil, err
	}
	return p, nil
}

// limitFilters refuses one filter more than MaxFilters.
func (f *fields) limitFilters(have int) {
	if have >= MaxFilters {
		f.fail(&Error{Code: QuotaExceeded, Reason: "more than 65535 filters in one packet"})
	}
}

func (f *fields) subscription(v Version) Subscription {
	filter, o := f.string(), f.byte()
	s := Subscription{
		Filter:            filter,
		QoS:               o & maskSubscriptionQoS,
		NoLocal:           o&flagNoLocal != 0,
		RetainAsPublished: o&flagRetainAsPublished != 0,
		RetainHandling:    o >> shiftRetainHandling & 3,
	}
	switch {
	case v != V50 && o > 2:
		f.fail(malformed("reserved bit or QoS 3 in SUBSCRIBE [MQTT-3.8.3-4, 3.1.1]"))
	case o&maskReservedOptions != 0:
		f.fail(malformed("reserved subscription option is set [MQTT-3.8.3-5]"))
	case s.QoS == 3:
		f.fail(protocolError("subscription with QoS 3"))
	case s.RetainHandling == 3:
		f.fail(protocolError("Retain Handling 3"))
	case s.NoLocal && strings.HasPrefix(filter, sharedPrefix):
		f.fail(protocolError("No Local on a shared subscription [MQTT-3.8.3-4]"))
	}
	return s
}
