package server

import "github.com/ngmq/ngmq/server/internal/listener/quic"

// MQTTNext says whether the QUIC listener serves the draft "MQTT-next" (W. Yang, 2024), in
// which every data stream begins with a header that makes it a flow with an identifier of its
// own.
type MQTTNext uint8

const (
	// MQTTNextOff knows the ALPN "mqtt" alone.
	MQTTNextOff MQTTNext = iota
	// MQTTNextOn prefers the ALPN "MQTT-next" where a client offers it.
	MQTTNextOn
	// MQTTNextServerFlows also gives subscriptions that are made on the control stream a flow
	// each, on a stream that the server opens: up to 100, as far as the client allows.
	MQTTNextServerFlows
	numMQTTNext
)

var mqttNextNames = []string{MQTTNextOff: "off", MQTTNextOn: "on", MQTTNextServerFlows: "server-flows"}

// String is "off", "on" or "server-flows".
func (n MQTTNext) String() string { return nameOf("MQTTNext", mqttNextNames, uint8(n)) }

// UnmarshalText reads what String gives.
func (n *MQTTNext) UnmarshalText(text []byte) error {
	i, err := indexOf(mqttNextNames, text)
	*n = MQTTNext(i)
	return err
}

// check says whether n is one of those above.
func (n MQTTNext) check() error {
	if n < numMQTTNext {
		return nil
	}
	return &ConfigError{Field: "MQTTNext", Value: n.String(), Problem: "unknown", Remedy: "use MQTTNextOff, MQTTNextOn or MQTTNextServerFlows"}
}

// FlowCode says what one of the codes means with which MQTT-next resets a stream.
type FlowCode = quic.FlowCode

// FlowCodes are the codes, from 0xB3 on, with which MQTT-next resets a stream (RESET_STREAM and
// STOP_SENDING). It is not to be changed.
var FlowCodes = quic.FlowCodes

// CodeFlowError is the application error code of the CONNECTION_CLOSE after an error on a flow
// that tolerates none.
const CodeFlowError = quic.NextProtocolError
