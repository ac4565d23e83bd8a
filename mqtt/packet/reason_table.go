package packet

// reason describes a reason code: its name and the packet types (bit 1<<Type)
// that a client and a server may send it in.
type reason struct {
	name           string
	client, server uint16
}

const (
	inConnack    = 1 << CONNACK
	inAcks       = 1<<PUBACK | 1<<PUBREC  // answers to a PUBLISH
	inRels       = 1<<PUBREL | 1<<PUBCOMP // the second half of QoS 2
	inSuback     = 1 << SUBACK
	inUnsuback   = 1 << UNSUBACK
	inDisconnect = 1 << DISCONNECT
	inAuth       = 1 << AUTH
	inReplies    = inConnack | inAcks | inSuback | inUnsuback | inDisconnect
)

// reasons is table 2-6 of MQTT 5.0 joined with the tables of chapter 3.
//
// 0x8C in DISCONNECT is in table 2-6 only, not in table 3-10; it is accepted from
// a server because it answers a re-authentication.
var reasons = [256]reason{
	Success:                             {"Success", inAcks | inRels | inDisconnect, inConnack | inAcks | inRels | inSuback | inUnsuback | inAuth},
	GrantedQoS1:                         {"Granted QoS 1", 0, inSuback},
	GrantedQoS2:                         {"Granted QoS 2", 0, inSuback},
	DisconnectWithWill:                  {"Disconnect with Will Message", inDisconnect, 0},
	NoMatchingSubscribers:               {"No matching subscribers", inAcks, inAcks},
	NoSubscriptionExisted:               {"No subscription existed", 0, inUnsuback},
	ContinueAuthentication:              {"Continue authentication", inAuth, inAuth},
	Reauthenticate:                      {"Re-authenticate", inAuth, 0},
	UnspecifiedError:                    {"Unspecified error", inAcks | inDisconnect, inReplies},
	MalformedPacket:                     {"Malformed Packet", inDisconnect, inConnack | inDisconnect},
	ProtocolError:                       {"Protocol Error", inDisconnect, inConnack | inDisconnect},
	ImplementationSpecificError:         {"Implementation specific error", inAcks | inDisconnect, inReplies},
	UnsupportedProtocolVersion:          {"Unsupported Protocol Version", 0, inConnack},
	ClientIdentifierNotValid:            {"Client Identifier not valid", 0, inConnack},
	BadUserNameOrPassword:               {"Bad User Name or Password", 0, inConnack},
	NotAuthorized:                       {"Not authorized", inAcks, inReplies},
	ServerUnavailable:                   {"Server unavailable", 0, inConnack},
	ServerBusy:                          {"Server busy", 0, inConnack | inDisconnect},
	Banned:                              {"Banned", 0, inConnack},
	ServerShuttingDown:                  {"Server shutting down", 0, inDisconnect},
	BadAuthenticationMethod:             {"Bad authentication method", 0, inConnack | inDisconnect},
	KeepAliveTimeout:                    {"Keep Alive timeout", 0, inDisconnect},
	SessionTakenOver:                    {"Session taken over", 0, inDisconnect},
	TopicFilterInvalid:                  {"Topic Filter invalid", 0, inSuback | inUnsuback | inDisconnect},
	TopicNameInvalid:                    {"Topic Name invalid", inAcks | inDisconnect, inConnack | inAcks | inDisconnect},
	PacketIdentifierInUse:               {"Packet Identifier in use", inAcks, inAcks | inSuback | inUnsuback},
	PacketIdentifierNotFound:            {"Packet Identifier not found", inRels, inRels},
	ReceiveMaximumExceeded:              {"Receive Maximum exceeded", inDisconnect, inDisconnect},
	TopicAliasInvalid:                   {"Topic Alias invalid", inDisconnect, inDisconnect},
	PacketTooLarge:                      {"Packet too large", inDisconnect, inConnack | inDisconnect},
	MessageRateTooHigh:                  {"Message rate too high", inDisconnect, inDisconnect},
	QuotaExceeded:                       {"Quota exceeded", inAcks | inDisconnect, inConnack | inAcks | inSuback | inDisconnect},
	AdministrativeAction:                {"Administrative action", inDisconnect, inDisconnect},
	PayloadFormatInvalid:                {"Payload format invalid", inAcks | inDisconnect, inConnack | inAcks | inDisconnect},
	RetainNotSupported:                  {"Retain not supported", 0, inConnack | inDisconnect},
	QoSNotSupported:                     {"QoS not supported", 0, inConnack | inDisconnect},
	UseAnotherServer:                    {"Use another server", 0, inConnack | inDisconnect},
	ServerMoved:                         {"Server moved", 0, inConnack | inDisconnect},
	SharedSubscriptionsNotSupported:     {"Shared Subscriptions not supported", 0, inSuback | inDisconnect},
	ConnectionRateExceeded:              {"Connection rate exceeded", 0, inConnack | inDisconnect},
	MaximumConnectTime:                  {"Maximum connect time", 0, inDisconnect},
	SubscriptionIdentifiersNotSupported: {"Subscription Identifiers not supported", 0, inSuback | inDisconnect},
	WildcardSubscriptionsNotSupported:   {"Wildcard Subscriptions not supported", 0, inSuback | inDisconnect},
}
