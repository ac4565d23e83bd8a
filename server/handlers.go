package server

import (
	"context"
	"iter"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/mqtt/scram"
	"github.com/ngmq/ngmq/server/internal/broker"
	"github.com/ngmq/ngmq/server/internal/listener/quic"
)

// Handlers are the functions of the embedding program that Config takes:
//
//	Connect    func(*ConnectEvent) error    decides about a CONNECT
//	Disconnect func(*DisconnectEvent)       a client is gone
//	Subscribe  func(*SubscribeEvent) error  decides about a subscription, may answer it
//	Authorize  func(*Client, Action, string) error
//	                                        decides who may publish to and subscribe what
//	Deliver    func(*DeliverEvent) error    filters and changes messages per receiver
//	Connected  func(*ConnectedEvent)        a client has been let in
//	Session    func(*SessionEvent)          a session has begun, gone on or ended
//	Moved      func(*MovedEvent)            a client has another address
//
// nil ones decide nothing. An error made by Refuse refuses with its reason code, any
// other error with NotAuthorized (0x87). They are called on the goroutine of the
// client and must not block. Handlers for messages: Server.HandlePublish.
type Handlers = broker.Handlers

// Authenticator is a method of enhanced authentication: Method names it, Begin starts an
// Exchange for a client, when it connects and when it authenticates again.
type Authenticator = broker.Authenticator

// Exchange is one authentication: Next takes the Authentication Data of the client and
// gives that of the answer until it is done, User then tells who it is.
type Exchange = broker.Exchange

// SCRAM is the Authenticator "SCRAM-SHA-256" for the users of a store, scram.Users for
// example. Clients are let in under the name that they have proved to be, as
// Client.Username; Handlers.Connect may refuse them still (ConnectEvent.AuthMethod tells
// that they are authenticated).
func SCRAM(users scram.Store) Authenticator { return scramMethod{scram.NewServer(users)} }

type scramMethod struct{ server *scram.Server }

func (scramMethod) Method() string           { return scram.Method }
func (m scramMethod) Begin(*Client) Exchange { return m.server.Begin() }

// Action is what Handlers.Authorize is asked about.
type Action = broker.Action

const (
	ActionPublish   = broker.ActionPublish   // a PUBLISH or will with this topic name
	ActionSubscribe = broker.ActionSubscribe // a filter, of a shared subscription the part behind the name
)

// DeliverEvent is a message on its way to the session of ClientID; Client is nil while it
// is away; From is who published it. Its Publication may be changed for this receiver:
// assign new slices, others share those that are there.
type DeliverEvent = broker.DeliverEvent

// ConnectedEvent tells that Client has been let in, and whether to a session that had
// been kept.
type ConnectedEvent = broker.ConnectedEvent

// MovedEvent tells that a Client, which has the new addresses in Conn, is not where it was,
// From: QUIC clients migrate, and NATs give them other addresses. It has shown that it is
// there. Handlers.Authorize and the limits per address see the new address from now on.
type MovedEvent = broker.MovedEvent

// SessionEvent tells the Change in the session of ClientID.
type SessionEvent = broker.SessionEvent

// SessionChange is what has become of a session.
type SessionChange = broker.SessionChange

const (
	SessionCreated = broker.SessionCreated // for a client that had none, or wanted a new one
	SessionResumed = broker.SessionResumed // the client has come back to it
	SessionEnded   = broker.SessionEnded   // with its connection, or for the sake of a new one
	SessionExpired = broker.SessionExpired // the client was away for too long
)

// PublishHandler is called for each message from a client, wills included, before
// it is delivered or retained. It may change the event. nil passes the message on,
// ErrDrop makes it vanish, an error made by Refuse tells the publisher its code.
type PublishHandler = broker.PublishHandler

// ConnectEvent is a CONNECT to be decided about: Client (who), HasUsername, Password,
// Will and the Properties of the packet. Answer takes User Property entries for the
// CONNACK.
type ConnectEvent = broker.ConnectEvent

// DisconnectEvent tells that a Client is gone, with the reason Code of the
// DISCONNECT (UnspecifiedError: lost without one) and the Err of the connection.
type DisconnectEvent = broker.DisconnectEvent

// SubscribeEvent is a subscription of Client to Filter at QoS, which a handler may
// lower. Share is the group when the subscription is a shared one; Filter is then what
// follows the group. Its method Reply answers the subscriber, and nobody else, with a
// message.
type SubscribeEvent = broker.SubscribeEvent

// PublishEvent is a message from Client: a Publication with the methods Text (the
// payload as a string) and JSON (decodes it). Stream is the id of the QUIC stream that brought
// it: 0 for the control stream, for other transports and for wills, DatagramStream for a
// datagram. How many streams the client has is in Server.Lookup.
type PublishEvent = broker.PublishEvent

// DatagramStream is PublishEvent.Stream of a message in a QUIC datagram.
const DatagramStream = broker.DatagramStream

// Publication is a message as programs see it: Topic, Payload, QoS, Retain, Expiry
// (0 = for ever) and the Properties that are forwarded to 5.0 subscribers.
type Publication = broker.Publication

// Client describes a connected client: ID, Username, Version, KeepAlive in seconds,
// CleanStart, Connected (when) and Conn (how).
type Client = broker.ClientInfo

// ConnInfo describes a network connection: Transport ("quic", "tcp", "tls", "ws", "wss",
// "unix" or "pipe"), Listener, Remote and Local address (those of the PROXY header where there
// is one, not valid for Unix sockets and pipes), TLS (nil without).
type ConnInfo = broker.ConnInfo

// TLSInfo describes the TLS session of a connection, with the client certificate when
// there is one that has been verified.
type TLSInfo = broker.TLSInfo

// QueuePolicy says what happens to a message for a session whose queue is full: DropNew,
// DropOld or DropClient. In flags they are "drop-new", "drop-old" and "disconnect".
type QueuePolicy = broker.QueuePolicy

// Queue policies.
const (
	DropNew    = broker.DropNew    // drop the message
	DropOld    = broker.DropOld    // drop what has waited longest for that session
	DropClient = broker.DropClient // drop the message and disconnect the client (0x97)
)

// Datagrams says what QUIC datagrams are for, see Config.Datagrams. In flags its values are
// "on-request", "always" and "off".
type Datagrams = broker.Datagrams

// Uses of datagrams.
const (
	DatagramsOnRequest = broker.DatagramsOnRequest // taken from all clients, sent to those that ask
	DatagramsAlways    = broker.DatagramsAlways    // sent to all clients whose QUIC takes them
	DatagramsOff       = broker.DatagramsOff       // neither taken nor sent
)

// A 5.0 client whose CONNECT has the User Property DatagramProperty with the value
// DatagramQoS0 asks for messages with QoS 0 in datagrams.
const (
	DatagramProperty = broker.DatagramProperty
	DatagramQoS0     = broker.DatagramQoS0
)

// RatePolicy says what becomes of a client that sends more than Limits.MaxMessageRate
// or Limits.MaxByteRate.
type RatePolicy = broker.RatePolicy

const (
	// RateWait does not read from the client until it is within its rates again. TCP
	// and QUIC flow control make it wait; nothing is lost. What arrived before is still
	// handled: over QUIC up to the flow control window.
	RateWait = broker.RateWait
	// RateDisconnect ends the connection, in MQTT 5.0 with DISCONNECT 0x96.
	RateDisconnect = broker.RateDisconnect
)

// Fault is a mistake that the server makes on purpose, see Config.Faults. Its text, which
// UnmarshalText reads and ngmqd takes with --inject-fault, is "connack=CODE" or the name
// behind the other constants.
type Fault = broker.Fault

// FaultKind is the Kind of a Fault.
type FaultKind = broker.FaultKind

// Kinds of faults.
const (
	FaultConnack             = broker.FaultConnack             // every CONNECT is refused with Code
	FaultWrongVersion        = broker.FaultWrongVersion        // wrong-version: a CONNACK in the format of another version
	FaultWrongPacket         = broker.FaultWrongPacket         // wrong-packet: a PINGRESP answers the CONNECT
	FaultRemainingLength     = broker.FaultRemainingLength     // remaining-length: a PUBLISH that says to have 268,435,455 bytes
	FaultMalformedLength     = broker.FaultMalformedLength     // malformed-length: a Remaining Length of five bytes
	FaultShortPublish        = broker.FaultShortPublish        // short-publish: a PUBLISH that ends inside its topic name
	FaultPublishBeforeSuback = broker.FaultPublishBeforeSuback // publish-before-suback: legal, but unexpected
)

// Stats is a snapshot of the server's counters.
type Stats = broker.Stats

// Errors of handlers and of Publish.
var (
	// ErrDrop, returned by a PublishHandler, makes the message vanish; the publisher
	// gets a normal acknowledgement.
	ErrDrop = broker.ErrDrop
	// ErrInvalidTopic is returned by Publish for what is not a topic name.
	ErrInvalidTopic = broker.ErrInvalidTopic
)

// Refuse makes the error with which a handler refuses a request. The client is told
// code and, in MQTT 5.0, reason, which may be empty.
func Refuse(code packet.ReasonCode, reason string) error { return broker.Refuse(code, reason) }

// Redirect makes the error that sends a 5.0 client to another server (MQTT 5.0 section
// 4.11): from Handlers.Connect, or with Server.DisconnectFor. code is
// packet.UseAnotherServer (0x9C, this time) or packet.ServerMoved (0x9D, for good);
// reference names one or more servers, separated by spaces, such as
// "broker.example:8883". Older clients are just refused or disconnected.
func Redirect(code packet.ReasonCode, reference string) error {
	return broker.Redirect(code, reference)
}

// HandlePublish has fn called for every message from a client whose topic matches
// filter. Handlers of the same message are called in the order in which they were
// added. Add them before Run, so that they miss nothing. The error says that the
// filter is not valid.
func (s *Server) HandlePublish(filter string, fn PublishHandler) error {
	return s.broker.HandlePublish(filter, fn)
}

// Publish delivers a message to all subscribers, as if a client had sent it, and
// keeps it when Retain is set. No handler is called. It does not block.
func (s *Server) Publish(p Publication) error { return s.broker.Publish(p) }

// Disconnect ends the connection of a client; a 5.0 client is told code. It reports
// whether there was such a client.
func (s *Server) Disconnect(clientID string, code packet.ReasonCode) bool {
	return s.broker.Disconnect(clientID, code)
}

// ClientState is what a connected client is like at one moment: Client, with the address
// where it is now, and the number of its open Streams, the control stream included.
type ClientState = broker.ClientState

// Lookup finds a connected client by its identifier.
func (s *Server) Lookup(clientID string) (ClientState, bool) { return s.broker.Lookup(clientID) }

// DisconnectFor is Disconnect with everything that cause says, an error made by Refuse or
// Redirect.
func (s *Server) DisconnectFor(clientID string, cause error) bool {
	return s.broker.DisconnectFor(clientID, cause)
}

// Error is what Refuse and Redirect make: reason Code, Reason String and Properties (User
// Property, Server Reference). A handler may return one of its own.
type Error = broker.Error

// Stats gives a snapshot of the counters.
func (s *Server) Stats() Stats { return s.broker.Stats() }

// QUICStats yields the counters of QUIC with their names, those of live connections
// included; nothing without QUIC. ctx bounds the wait for the event loops, which count
// packets per connection; when it ends, live connections are left out. The names are
// those of endpoint.Counter, in snake case.
func (s *Server) QUICStats(ctx context.Context) iter.Seq2[string, uint64] {
	if s.quic == nil {
		return func(func(string, uint64) bool) {}
	}
	return s.quic.Counters(ctx)
}

// Application error codes of QUIC that the server uses in CONNECTION_CLOSE,
// RESET_STREAM and STOP_SENDING besides MQTT reason codes (0x80 and above).
const (
	CodeNormal            = quic.CodeNormal            // ended in order
	CodeControlStreamLost = quic.CodeControlStreamLost // the control stream ended without DISCONNECT
	CodeOverloaded        = quic.CodeOverloaded        // too many connections, or too much of something
)

// CloseCode maps the MQTT reason code with which a client is disconnected to the
// application error code of the CONNECTION_CLOSE that follows.
func CloseCode(code packet.ReasonCode) uint64 { return quic.CloseCode(code) }
