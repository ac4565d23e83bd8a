package packet

import "fmt"

// Error says why bytes are not an acceptable packet. The connection ends with it
// [MQTT-4.13.1-1]; [Error.Reply] is what to send before.
type Error struct {
	// Code is the reason code of the standard: MalformedPacket for bytes that
	// cannot be parsed, ProtocolError for a well-formed packet that breaks a
	// rule, PacketTooLarge, UnsupportedProtocolVersion, ClientIdentifierNotValid,
	// TopicAliasInvalid, TopicNameInvalid or QuotaExceeded ([MaxFilters]).
	Code ReasonCode
	// Type is the type of the packet; 0 when the first byte is not legal.
	Type Type
	// Version is the format that an answer must have: that of the connection, or
	// for CONNECT that of the packet. For an unsupported protocol level it is the
	// supported version whose CONNACK the peer most likely understands. 0 when
	// nothing is known about the peer.
	Version Version
	// Reason is a sentence for people, with the statement id where one fits.
	Reason string
}

// Error is the text for logs: type, code and reason.
func (e *Error) Error() string {
	return fmt.Sprintf("mqtt: %s: %s: %s", e.Type, e.Code, e.Reason)
}

// Reply is the packet that a server sends before it closes: a CONNACK when the bad
// packet is a CONNECT, else a DISCONNECT; it is to be encoded with e.Version. nil
// means close without a word: 3.x has no DISCONNECT from a server and no return
// code for a malformed CONNECT [MQTT-3.1.4-1, 3.1.1].
//
// Unsupported protocol versions give return code 0x01 in the 3.x format and 0x84
// in the 5.0 format [MQTT-3.1.2-2].
func (e *Error) Reply() Packet {
	if e.Type == CONNECT {
		return e.connack()
	}
	if e.Version != V50 {
		return nil
	}
	return &Disconnect{ReasonCode: e.Code}
}

func (e *Error) connack() Packet {
	if e.Version == 0 {
		return nil
	}
	if _, ok := e.Code.ReturnCode(); !ok && e.Version != V50 {
		return nil
	}
	return &Connack{ReasonCode: e.Code}
}

func malformed(reason string) *Error { return &Error{Code: MalformedPacket, Reason: reason} }

func protocolError(reason string) *Error { return &Error{Code: ProtocolError, Reason: reason} }

// Reasons that many packets share.
const (
	reasonShort    = "packet ends inside a field"
	reasonTrailing = "bytes left over after the last field"
	reasonUTF8     = "string is not well-formed UTF-8 or holds U+0000 [MQTT-1.5.4-1] [MQTT-1.5.4-2]"
	reasonVarint   = "variable byte integer is longer than needed or than four bytes [MQTT-1.5.5-1]"
	reasonPacketID = "packet identifier 0 [MQTT-2.2.1-3]"
	reasonBadCode  = "reason code is not one of this packet's"
)
