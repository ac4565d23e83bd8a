package broker

import (
	"errors"
	"fmt"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// Error is a failure with the reason code that the peer is told. Client.Feed
// returns it when the connection has to be closed, handlers return it to refuse a
// request with a code of their choice.
type Error struct {
	Code   packet.ReasonCode
	Reason string // for people; sent as Reason String to 5.0 clients
	// Properties go with it to 5.0 clients: User Property, and Server Reference in
	// CONNACK and DISCONNECT. Others are left out.
	Properties packet.Properties
}

// Error is the code's name and the reason.
func (e *Error) Error() string {
	if e.Reason == "" {
		return e.Code.String()
	}
	return fmt.Sprintf("%s: %s", e.Code, e.Reason)
}

// Refuse makes the error that a handler returns to refuse a request. code should be
// legal in the answer (CONNACK, SUBACK, PUBACK): the broker sends NotAuthorized in
// place of a code that is not. reason may be empty.
func Refuse(code packet.ReasonCode, reason string) error {
	return &Error{Code: code, Reason: reason}
}

// Redirect makes the error that sends a 5.0 client to another server (section 4.11), from
// a Connect handler or with Broker.DisconnectFor. code is UseAnotherServer (0x9C, this
// time) or ServerMoved (0x9D, for good); reference names the servers, separated by
// spaces, such as "[::1]:1883 broker.example:8883".
func Redirect(code packet.ReasonCode, reference string) error {
	return &Error{Code: code, Properties: packet.AppendString(nil, packet.ServerReference, reference)}
}

// ErrDrop is what a publish handler returns to make a message vanish: the publisher
// gets a normal acknowledgement, nobody gets the message.
var ErrDrop = errors.New("broker: message dropped by a handler")

// ErrInvalidTopic is returned by Broker.Publish for a topic that is not a topic name
// or is beyond the configured limits.
var ErrInvalidTopic = errors.New("broker: invalid topic name")

// CloseCode is the reason code of an error of Client.Feed, to be mapped to the close
// code of the network connection. It is NormalDisconnection for nil.
func CloseCode(err error) packet.ReasonCode {
	var e *Error
	var p *packet.Error
	switch {
	case err == nil:
		return packet.NormalDisconnection
	case errors.As(err, &e):
		return e.Code
	case errors.As(err, &p):
		return p.Code
	}
	return packet.UnspecifiedError
}
