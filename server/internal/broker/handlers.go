package broker

import (
	"bytes"
	"encoding/json"
	"time"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// Handlers are functions of the embedding program. Each is called synchronously on
// the goroutine that owns the client: a handler that blocks holds up that client and,
// over QUIC, all clients of the same worker. A handler may call Broker.Publish. A
// panic is caught and logged with its stack; it refuses the request and costs nothing
// but that call. Handlers of different clients run at the same time.
//
// Handlers for messages are added with Broker.HandlePublish.
type Handlers struct {
	// Connect decides about a CONNECT: nil lets the client in, an *Error refuses it
	// with its code, any other error with NotAuthorized (0x87). When it is nil,
	// Config.AllowAnonymous decides.
	Connect func(*ConnectEvent) error
	// Disconnect is called once for every client that had been let in, when its
	// network connection is gone. After a takeover the new connection may already
	// have been let in.
	Disconnect func(*DisconnectEvent)
	// Subscribe is called for each filter of a SUBSCRIBE: nil grants it, an *Error
	// refuses it with its code, any other error with NotAuthorized (0x87).
	Subscribe func(*SubscribeEvent) error

	// Authorize is asked before a client publishes to a topic, with a will too, and
	// before it subscribes to a filter: nil allows it, an *Error refuses it with its
	// code, any other error with NotAuthorized (0x87). It is asked about every message,
	// and its answers are not remembered. A refused will refuses the CONNECT; a refused
	// message gets the code in PUBACK or PUBREC, if the version and QoS have a place for
	// it, and vanishes. In MQTT 3.1 and 3.1.1 UnspecifiedError, which a panic is too, and
	// ImplementationSpecificError end the connection of the publisher instead, which
	// sends the message again. Messages of Broker.Publish and replies of handlers are not
	// asked about.
	Authorize func(c *ClientInfo, a Action, topic string) error

	// Deliver is called for each message and each session that is to get it, retained
	// messages included, before it is queued; on the goroutine of the publisher, or of
	// the receiver for retained messages. It may change the event for this receiver
	// alone; any error, or a panic, keeps the message from it. Of a group with a shared
	// subscription another member is asked then. It costs memory and time for each
	// receiver; without it there is no such cost.
	Deliver func(*DeliverEvent) error

	// Connected is called once for every client that has been let in, when its CONNACK
	// is on the way.
	Connected func(*ConnectedEvent)
	// Session is called when a session begins, goes on with a new connection, or ends.
	// Changes in quick succession come from different goroutines and may be told in
	// another order.
	Session func(*SessionEvent)
	// Moved is called when a client that has been let in has another address, at which it
	// has shown to be (QUIC migration, NAT rebinding). All events that follow have its new
	// ClientInfo, and Authorize sees that. It cannot be refused; a program that wants no
	// client at the new address disconnects it.
	Moved func(*MovedEvent)
}

// PublishHandler is called for each message from a client before it is delivered
// or retained, wills included. It may change the event, which belongs to it until
// it returns. nil passes the message on, ErrDrop drops it silently, an *Error
// refuses it with its code (5.0 publishers at QoS 1 and 2 are told), any other
// error with NotAuthorized (0x87). A panic refuses it with UnspecifiedError (0x80).
type PublishHandler func(*PublishEvent) error

// ClientInfo describes a client that has sent its CONNECT. It does not change and
// may be kept; a client that moves to another address gets a new one.
type ClientInfo struct {
	ID         string // the assigned one when the client sent none
	Username   string // empty when absent
	Version    packet.Version
	KeepAlive  uint16 // seconds, 0 = off, as granted
	CleanStart bool
	Conn       ConnInfo
	Connected  time.Time
}

// ConnectEvent is a CONNECT to be decided about.
type ConnectEvent struct {
	Client      *ClientInfo
	HasUsername bool
	Password    []byte // nil when absent
	Will        *Publication
	Properties  packet.Properties // of the CONNECT
	// AuthMethod is the method by which an Authenticator has authenticated the client as
	// Client.Username; empty when there was none, and the handler has to look itself.
	AuthMethod string
	// Answer is for the handler to set: the User Property entries of the CONNACK that lets
	// a 5.0 client in. Others are left out, and those too when they do not fit the client's
	// Maximum Packet Size.
	Answer packet.Properties
}

// DisconnectEvent tells that a client is gone.
type DisconnectEvent struct {
	Client *ClientInfo
	// Code is the reason code of the DISCONNECT that the client or the broker sent;
	// UnspecifiedError when the network connection was lost without one.
	Code packet.ReasonCode
	// Err is the error of the network connection or of the client's input, nil after
	// a normal DISCONNECT.
	Err error
}

// SubscribeEvent is a subscription to be decided about.
type SubscribeEvent struct {
	Client *ClientInfo
	Filter string // of a shared subscription what follows the group
	Share  string // the group of a shared subscription (MQTT 5.0 section 4.8.2), else empty
	QoS    byte   // the one asked for; may be lowered
	reply  []Publication
}

// Reply answers the subscriber, and nobody else, with a message, after the SUBACK.
// Its topic should match the filter [MQTT-3.3.2-3]; its QoS is capped by that of the
// subscription. It is not retained; Retain is sent as it is. p is copied.
func (e *SubscribeEvent) Reply(p Publication) {
	p.Payload, p.Properties = bytes.Clone(p.Payload), bytes.Clone(p.Properties)
	e.reply = append(e.reply, p)
}

// PublishEvent is a message on its way to the subscribers.
type PublishEvent struct {
	Client *ClientInfo // the publisher
	// Stream is the id of the QUIC stream that brought the message (RFC 9000 section 2.1). It
	// is 0 for the control stream, whichever that is of a client that has one stream alone,
	// for a message over another transport and for a will, and DatagramStream for a message
	// in a datagram. Ids are those of one connection: the next one has them anew.
	Stream int64
	Publication
}

// Text is the payload as a string.
func (e *PublishEvent) Text() string { return string(e.Payload) }

// JSON decodes the payload into v.
func (e *PublishEvent) JSON(v any) error { return json.Unmarshal(e.Payload, v) }

// Publication is a message as programs see it.
type Publication struct {
	Topic   string
	Payload []byte // not kept by the broker
	QoS     byte   // 0, 1 or 2
	Retain  bool
	// Expiry is how long the message is worth delivering, 0 = for ever. It goes on
	// the wire in whole seconds, rounded up.
	Expiry time.Duration
	// Properties that subscribers get: Payload Format Indicator, Content Type,
	// Response Topic, Correlation Data, User Property. Others are ignored.
	Properties packet.Properties
}
