package packet

import "fmt"

// PropertyID identifies a property (MQTT 5.0 table 2-4). On the wire it is a
// Variable Byte Integer; all assigned values fit into one byte.
type PropertyID uint8

// The 27 properties. The comment names the data type and the packets.
const (
	PayloadFormatIndicator          PropertyID = 0x01 // byte 0..1: PUBLISH, will
	MessageExpiryInterval           PropertyID = 0x02 // uint32, seconds: PUBLISH, will
	ContentType                     PropertyID = 0x03 // string: PUBLISH, will
	ResponseTopic                   PropertyID = 0x08 // string: PUBLISH, will
	CorrelationData                 PropertyID = 0x09 // binary: PUBLISH, will
	SubscriptionIdentifier          PropertyID = 0x0B // varint, not 0: PUBLISH (repeatable), SUBSCRIBE
	SessionExpiryInterval           PropertyID = 0x11 // uint32, seconds: CONNECT, CONNACK, DISCONNECT
	AssignedClientIdentifier        PropertyID = 0x12 // string: CONNACK
	ServerKeepAlive                 PropertyID = 0x13 // uint16, seconds: CONNACK
	AuthenticationMethod            PropertyID = 0x15 // string: CONNECT, CONNACK, AUTH
	AuthenticationData              PropertyID = 0x16 // binary: CONNECT, CONNACK, AUTH
	RequestProblemInformation       PropertyID = 0x17 // byte 0..1: CONNECT
	WillDelayInterval               PropertyID = 0x18 // uint32, seconds: will
	RequestResponseInformation      PropertyID = 0x19 // byte 0..1: CONNECT
	ResponseInformation             PropertyID = 0x1A // string: CONNACK
	ServerReference                 PropertyID = 0x1C // string: CONNACK, DISCONNECT
	ReasonString                    PropertyID = 0x1F // string: all answers, DISCONNECT, AUTH
	ReceiveMaximum                  PropertyID = 0x21 // uint16, not 0: CONNECT, CONNACK
	TopicAliasMaximum               PropertyID = 0x22 // uint16: CONNECT, CONNACK
	TopicAlias                      PropertyID = 0x23 // uint16, not 0: PUBLISH
	MaximumQoS                      PropertyID = 0x24 // byte 0..1: CONNACK
	RetainAvailable                 PropertyID = 0x25 // byte 0..1: CONNACK
	UserProperty                    PropertyID = 0x26 // string pair, repeatable: everywhere
	MaximumPacketSize               PropertyID = 0x27 // uint32, bytes, not 0: CONNECT, CONNACK
	WildcardSubscriptionAvailable   PropertyID = 0x28 // byte 0..1: CONNACK
	SubscriptionIdentifierAvailable PropertyID = 0x29 // byte 0..1: CONNACK
	SharedSubscriptionAvailable     PropertyID = 0x2A // byte 0..1: CONNACK
)

const maxPropertyID = SharedSubscriptionAvailable

// kind is the data type of a property's value.
type kind uint8

const (
	kindNone   kind = iota // the identifier is not assigned
	kindByte               // one byte
	kindUint16             // two byte integer
	kindUint32             // four byte integer
	kindVarint             // variable byte integer
	kindString             // UTF-8 string
	kindBinary             // binary data
	kindPair               // UTF-8 string pair
)

// rule restricts the value of a property.
type rule uint8

const (
	ruleNone    rule = iota
	ruleBool         // 0 or 1, else a protocol error
	ruleNonZero      // 0 is a protocol error
	ruleAlias        // 0 is Topic Alias invalid [MQTT-3.3.2-8]
	ruleTopic        // a topic name: not empty, no wildcards [MQTT-3.3.2-14]
)

// propertyInfo is one row of table 2-4: where the property may stand (bit
// 1<<Type, bit 0 for the will) and what its value may be.
type propertyInfo struct {
	name string
	kind kind
	rule rule
	in   uint16
}

const (
	ofWill      = 1 << WillProperties
	ofConnect   = 1 << CONNECT
	ofConnack   = 1 << CONNACK
	ofPublish   = 1 << PUBLISH
	ofSubscribe = 1 << SUBSCRIBE
	ofAnswers   = ofConnack | 1<<PUBACK | 1<<PUBREC | 1<<PUBREL | 1<<PUBCOMP | 1<<SUBACK | 1<<UNSUBACK
	ofMessage   = ofPublish | ofWill
	ofLeave     = 1 << DISCONNECT
	ofAuth      = 1 << AUTH
	ofAll       = ofWill | ofConnect | ofAnswers | ofPublish | ofSubscribe | 1<<UNSUBSCRIBE | ofLeave | ofAuth
)

var propertyInfos = [maxPropertyID + 1]propertyInfo{
	PayloadFormatIndicator:          {"Payload Format Indicator", kindByte, ruleBool, ofMessage},
	MessageExpiryInterval:           {"Message Expiry Interval", kindUint32, ruleNone, ofMessage},
	ContentType:                     {"Content Type", kindString, ruleNone, ofMessage},
	ResponseTopic:                   {"Response Topic", kindString, ruleTopic, ofMessage},
	CorrelationData:                 {"Correlation Data", kindBinary, ruleNone, ofMessage},
	SubscriptionIdentifier:          {"Subscription Identifier", kindVarint, ruleNonZero, ofPublish | ofSubscribe},
	SessionExpiryInterval:           {"Session Expiry Interval", kindUint32, ruleNone, ofConnect | ofConnack | ofLeave},
	AssignedClientIdentifier:        {"Assigned Client Identifier", kindString, ruleNone, ofConnack},
	ServerKeepAlive:                 {"Server Keep Alive", kindUint16, ruleNone, ofConnack},
	AuthenticationMethod:            {"Authentication Method", kindString, ruleNone, ofConnect | ofConnack | ofAuth},
	AuthenticationData:              {"Authentication Data", kindBinary, ruleNone, ofConnect | ofConnack | ofAuth},
	RequestProblemInformation:       {"Request Problem Information", kindByte, ruleBool, ofConnect},
	WillDelayInterval:               {"Will Delay Interval", kindUint32, ruleNone, ofWill},
	RequestResponseInformation:      {"Request Response Information", kindByte, ruleBool, ofConnect},
	ResponseInformation:             {"Response Information", kindString, ruleNone, ofConnack},
	ServerReference:                 {"Server Reference", kindString, ruleNone, ofConnack | ofLeave},
	ReasonString:                    {"Reason String", kindString, ruleNone, ofAnswers | ofLeave | ofAuth},
	ReceiveMaximum:                  {"Receive Maximum", kindUint16, ruleNonZero, ofConnect | ofConnack},
	TopicAliasMaximum:               {"Topic Alias Maximum", kindUint16, ruleNone, ofConnect | ofConnack},
	TopicAlias:                      {"Topic Alias", kindUint16, ruleAlias, ofPublish},
	MaximumQoS:                      {"Maximum QoS", kindByte, ruleBool, ofConnack},
	RetainAvailable:                 {"Retain Available", kindByte, ruleBool, ofConnack},
	UserProperty:                    {"User Property", kindPair, ruleNone, ofAll},
	MaximumPacketSize:               {"Maximum Packet Size", kindUint32, ruleNonZero, ofConnect | ofConnack},
	WildcardSubscriptionAvailable:   {"Wildcard Subscription Available", kindByte, ruleBool, ofConnack},
	SubscriptionIdentifierAvailable: {"Subscription Identifier Available", kindByte, ruleBool, ofConnack},
	SharedSubscriptionAvailable:     {"Shared Subscription Available", kindByte, ruleBool, ofConnack},
}

// info is the row of id; kindNone when id is not assigned.
func (id PropertyID) info() *propertyInfo {
	if id > maxPropertyID {
		id = 0
	}
	return &propertyInfos[id]
}

// String is the name of the standard, e.g. "Topic Alias".
func (id PropertyID) String() string {
	if in := id.info(); in.kind != kindNone {
		return in.name
	}
	return fmt.Sprintf("unknown property 0x%02X", uint8(id))
}

// AllowedIn reports whether the property may stand in packet type t;
// [WillProperties] asks about the will of a CONNECT.
func (id PropertyID) AllowedIn(t Type) bool {
	return t <= AUTH && id.info().in&(1<<t) != 0
}

// repeatable reports whether t may carry the property more than once.
func (id PropertyID) repeatable(t Type) bool {
	return id == UserProperty || id == SubscriptionIdentifier && t == PUBLISH
}
