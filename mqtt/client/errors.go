package client

import (
	"errors"
	"fmt"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// Errors to compare with errors.Is.
var (
	// ErrNotConnected: there is no connection; call Connect.
	ErrNotConnected = errors.New("client: not connected")
	// ErrConnected: Connect was called while connected or connecting.
	ErrConnected = errors.New("client: connected already")
	// ErrClosed: Disconnect or Close was called while the call was waiting.
	ErrClosed = errors.New("client: connection closed by this client")
	// ErrQueueFull: there is no connection, and Options.Queue has no room for the message.
	ErrQueueFull = errors.New("client: the queue of messages is full")
	// ErrReturned is why a client leaves a connection that it fell back to: a server
	// that stands before it in Options.Servers can be reached again.
	ErrReturned = errors.New("client: gone back to a preferred server")
	// ErrPingTimeout: the server did not answer a PINGREQ in time.
	ErrPingTimeout = errors.New("client: no PINGRESP from the server")
	// ErrNotSupported: the server told in its CONNACK that it does not do this
	// (QoS, retained messages, packet size, ...).
	ErrNotSupported = errors.New("client: not supported by the server")
)

// ReasonError is a refusal by the server: a CONNACK, PUBACK, PUBREC, PUBCOMP,
// SUBACK or UNSUBACK with a failure, or a DISCONNECT.
type ReasonError struct {
	// Packet that carried the refusal.
	Packet packet.Type
	// Code is the reason code of MQTT 5.0; 3.x return codes are translated.
	Code packet.ReasonCode
	// Filter is the topic filter that a SUBACK or UNSUBACK refuses, else empty.
	Filter string
	// Properties of the packet, among them Reason String and Server Reference.
	Properties packet.Properties
}

// Error names packet, filter, code and the server's Reason String.
func (e *ReasonError) Error() string {
	text := fmt.Sprintf("client: server answered %s: %s", e.Packet, e.Code)
	if e.Packet == packet.DISCONNECT {
		text = fmt.Sprintf("client: server disconnected: %s", e.Code)
	}
	if e.Filter != "" {
		text += fmt.Sprintf(", filter %q", e.Filter)
	}
	if elsewhere, ok := e.Properties.Bytes(packet.ServerReference); ok {
		text += fmt.Sprintf(", Server Reference %q", elsewhere)
	}
	if reason, ok := e.Properties.Bytes(packet.ReasonString); ok {
		text += ": " + string(reason)
	}
	return text
}

// ConnectionLostError is returned by calls that were waiting for the server when
// the connection ended. A QoS 1 or QoS 2 message is then neither known to be
// delivered nor lost: in a session that is resumed it is sent again by the next
// Connect.
type ConnectionLostError struct{ Cause error }

// Error names the cause.
func (e *ConnectionLostError) Error() string {
	return fmt.Sprintf("client: connection lost: %v", e.Cause)
}

// Unwrap gives the cause.
func (e *ConnectionLostError) Unwrap() error { return e.Cause }

// failure is nil for a code below 0x80.
func failure(t packet.Type, code packet.ReasonCode, props packet.Properties) error {
	if !code.IsError() {
		return nil
	}
	return &ReasonError{Packet: t, Code: code, Properties: props}
}
