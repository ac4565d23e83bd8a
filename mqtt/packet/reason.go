package packet

import "fmt"

// ReasonCode is an MQTT 5.0 reason code (section 2.4). Below 0x80 it means
// success, from 0x80 on failure.
type ReasonCode uint8

// Reason codes of MQTT 5.0 (table 2-6). Three names share the value 0x00.
const (
	Success                             ReasonCode = 0x00
	NormalDisconnection                 ReasonCode = 0x00 // DISCONNECT
	GrantedQoS0                         ReasonCode = 0x00 // SUBACK
	GrantedQoS1                         ReasonCode = 0x01
	GrantedQoS2                         ReasonCode = 0x02
	DisconnectWithWill                  ReasonCode = 0x04
	NoMatchingSubscribers               ReasonCode = 0x10
	NoSubscriptionExisted               ReasonCode = 0x11
	ContinueAuthentication              ReasonCode = 0x18
	Reauthenticate                      ReasonCode = 0x19
	UnspecifiedError                    ReasonCode = 0x80
	MalformedPacket                     ReasonCode = 0x81
	ProtocolError                       ReasonCode = 0x82
	ImplementationSpecificError         ReasonCode = 0x83
	UnsupportedProtocolVersion          ReasonCode = 0x84
	ClientIdentifierNotValid            ReasonCode = 0x85
	BadUserNameOrPassword               ReasonCode = 0x86
	NotAuthorized                       ReasonCode = 0x87
	ServerUnavailable                   ReasonCode = 0x88
	ServerBusy                          ReasonCode = 0x89
	Banned                              ReasonCode = 0x8A
	ServerShuttingDown                  ReasonCode = 0x8B
	BadAuthenticationMethod             ReasonCode = 0x8C
	KeepAliveTimeout                    ReasonCode = 0x8D
	SessionTakenOver                    ReasonCode = 0x8E
	TopicFilterInvalid                  ReasonCode = 0x8F
	TopicNameInvalid                    ReasonCode = 0x90
	PacketIdentifierInUse               ReasonCode = 0x91
	PacketIdentifierNotFound            ReasonCode = 0x92
	ReceiveMaximumExceeded              ReasonCode = 0x93
	TopicAliasInvalid                   ReasonCode = 0x94
	PacketTooLarge                      ReasonCode = 0x95
	MessageRateTooHigh                  ReasonCode = 0x96
	QuotaExceeded                       ReasonCode = 0x97
	AdministrativeAction                ReasonCode = 0x98
	PayloadFormatInvalid                ReasonCode = 0x99
	RetainNotSupported                  ReasonCode = 0x9A
	QoSNotSupported                     ReasonCode = 0x9B
	UseAnotherServer                    ReasonCode = 0x9C
	ServerMoved                         ReasonCode = 0x9D
	SharedSubscriptionsNotSupported     ReasonCode = 0x9E
	ConnectionRateExceeded              ReasonCode = 0x9F
	MaximumConnectTime                  ReasonCode = 0xA0
	SubscriptionIdentifiersNotSupported ReasonCode = 0xA1
	WildcardSubscriptionsNotSupported   ReasonCode = 0xA2
)

// IsError reports whether c means failure (0x80 and above). A CONNACK or
// DISCONNECT with such a code ends the connection [MQTT-4.13.2-1].
func (c ReasonCode) IsError() bool { return c >= 0x80 }

// String is the name of the standard with the value, e.g. "Protocol Error (0x82)".
func (c ReasonCode) String() string {
	name := reasons[c].name
	if name == "" {
		name = "unknown reason code"
	}
	return fmt.Sprintf("%s (0x%02X)", name, uint8(c))
}

// AllowedIn reports whether the standard lists c for packet type t when it is
// sent by role from (Either: by anyone). The tables are 3-1 CONNACK, 3-4 PUBACK,
// 3-5 PUBREC, 3-6 PUBREL, 3-7 PUBCOMP, 3-8 SUBACK, 3-9 UNSUBACK, 3-10 DISCONNECT
// and 3-11 AUTH of MQTT 5.0; they belong to the statements MQTT-3.2.2-8, 3.4.2-1,
// 3.5.2-1, 3.6.2-1, 3.7.2-1, 3.9.3-2, 3.11.3-2, 3.14.2-1 and 3.15.2-1.
func (c ReasonCode) AllowedIn(t Type, from Role) bool {
	if t > AUTH {
		return false
	}
	r := &reasons[c]
	var in uint16
	if from&Client != 0 {
		in |= r.client
	}
	if from&Server != 0 {
		in |= r.server
	}
	return in&(1<<t) != 0
}

// ReturnCode is a CONNACK return code of MQTT 3.1 and 3.1.1 (3.1.1 table 3.1).
type ReturnCode uint8

// CONNACK return codes of MQTT 3.1 and 3.1.1.
const (
	ConnectionAccepted                 ReturnCode = 0
	RefusedUnacceptableProtocolVersion ReturnCode = 1
	RefusedIdentifierRejected          ReturnCode = 2
	RefusedServerUnavailable           ReturnCode = 3
	RefusedBadUserNameOrPassword       ReturnCode = 4
	RefusedNotAuthorized               ReturnCode = 5
	maxReturnCode                      ReturnCode = RefusedNotAuthorized
	returnCodeWhenNoneFits             ReturnCode = RefusedServerUnavailable
)

// ReturnCode translates a 5.0 CONNACK reason code to the return code of 3.x. ok is
// false when none fits: the server then closes without a CONNACK
// [MQTT-3.2.2-6, 3.1.1].
func (c ReasonCode) ReturnCode() (code ReturnCode, ok bool) {
	switch c {
	case Success:
		return ConnectionAccepted, true
	case UnsupportedProtocolVersion:
		return RefusedUnacceptableProtocolVersion, true
	case ClientIdentifierNotValid:
		return RefusedIdentifierRejected, true
	case ServerUnavailable, ServerBusy, QuotaExceeded, ConnectionRateExceeded,
		UseAnotherServer, ServerMoved, ServerShuttingDown:
		return RefusedServerUnavailable, true
	case BadUserNameOrPassword:
		return RefusedBadUserNameOrPassword, true
	case NotAuthorized, Banned, BadAuthenticationMethod:
		return RefusedNotAuthorized, true
	}
	return returnCodeWhenNoneFits, false
}

// ReasonCode translates a 3.x return code to the 5.0 reason code of the same
// meaning; an unknown one gives UnspecifiedError.
func (r ReturnCode) ReasonCode() ReasonCode {
	switch r {
	case ConnectionAccepted:
		return Success
	case RefusedUnacceptableProtocolVersion:
		return UnsupportedProtocolVersion
	case RefusedIdentifierRejected:
		return ClientIdentifierNotValid
	case RefusedServerUnavailable:
		return ServerUnavailable
	case RefusedBadUserNameOrPassword:
		return BadUserNameOrPassword
	case RefusedNotAuthorized:
		return NotAuthorized
	}
	return UnspecifiedError
}
