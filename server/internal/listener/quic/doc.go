// Package quic serves MQTT over QUIC: it stands between the event loop of package
// endpoint and the broker.
//
// # Pipeline
//
//	endpoint worker -> OnStreamData -> Client.Feed, Stream.Feed; credit back
//	broker -> Wake -> worker -> OnFlush -> Client.Flush, Stream.Flush (sink) -> streams -> packets
//
// A connection is one MQTT client. Its first bidirectional stream, client-initiated
// stream 0, is the control stream: CONNECT, AUTH and DISCONNECT come there, and
// everything else may. The other streams that the client opens are data streams: raw
// MQTT packets, acknowledged on the stream that carried them, messages on the stream
// that has subscribed. Streams of the client alone (unidirectional) carry PUBLISH
// packets and acknowledgements, after a flow header that some clients write; they are
// answered on the control stream. The server opens no stream, but for flows of MQTT-next.
//
// By option (Config.StreamClients) a bidirectional stream that begins with CONNECT is a
// client of its own, a streamClient; the connection ends with the last of them and the
// control stream.
//
// # MQTT-next
//
// By option (Config.Next) the draft MQTT-next is spoken with clients that have negotiated it.
// A data stream of either direction may then begin with a flow header; without one it is a
// data stream as above. Where the draft leaves room, the choice is:
//
//	control flow        its header is optional; a wrong one ends the connection (NextProtocolError)
//	type                0x14: FlowRefused; 0x13: FlowNotOwner; 0x11 and unknown ones: FlowStreamType
//	flow id             0: FlowBadID; odd: FlowNotOwner; integers may be longer than need be
//	optional headers    FlowOptionalHeader
//	topic aliases       FlowPersistentTopic: an alias lives no longer than its connection [MQTT-3.3.2-7]
//	FIN inside a header or packet: FlowIncompletePacket, whatever is tolerated
//	a packet that is malformed, not legal or too large: with err_tolerance 0 DISCONNECT and
//	                    NextProtocolError, with 1 FlowCancelled, with 2 FlowPacketCancelled; 3 is
//	                    refused with FlowRefused
//	an open flow opened again: the earlier stream is reset with FlowPacketCancelled, and what is
//	                    kept goes on on the new one, unless one of the two is unidirectional, of
//	                    which nothing is in the way
//	FIN, RESET_STREAM, STOP_SENDING: what is to be kept is, but for codes with FlowCode.Discards
//	expiry interval 0   what is kept is kept as long as the session
//	persistent_subscriptions: messages go to the control stream while the flow has no stream
//	persistent_qos      what is in flight waits for the next stream of the flow, or the end of the
//	                    flow; a connection without MQTT-next gets it at once
//	abort_if_no_state   FlowNoState; too many flows with something to keep: FlowRefused
//	clean               before anything else but abort_if_no_state; with FIN and no other flag it
//	                    is the signal to discard, answered with FIN
//
// With Config.ServerFlows a subscription that is made on the control stream gets a bidirectional
// stream of the server, with the header of a server flow (type 0x13, nothing persistent,
// err_tolerance 1). Its messages and their acknowledgements go there, and nothing else may; when the
// client ends it in any way, they go on on the control stream, and after SERVER_PUSH_NOT_WELCOME
// no other is opened on the connection. The server ends it with FIN when the subscription has
// ended and everything is acknowledged. On the next connection the control stream has the
// subscription, until it is made again. Beyond what the client allows, or maxServerFlows, the
// control stream has it too.
//
// # Order
//
// What is on the control stream is sent before what is on data streams, which take turns,
// or go by the QoS of their subscriptions (Config.QoSPriority). Datagrams go first.
//
// Messages with QoS 0 may come in datagrams too, and go to clients that want them there
// (broker.Datagrams). Streams that are clients of their own have none.
//
// Data streams that come before the CONNECT has been accepted are held: they get no
// credit, so that the windows of the connection bound them. A data stream on which something
// is wrong is reset, both ways, with the MQTT reason code; the connection and its other
// streams live on. One that the client ends with FIN is ended in the same way, after the
// answers to what came last; inside a packet that is such an error.
//
// Early data (0-RTT) may be somebody else's copy. An earlyConn answers a CONNECT that will be
// let in and keeps everything, up to maxEarlyBytes, until the handshake is complete; then a
// conn takes its place and is told what was kept.
//
// There is no goroutine and, after that, no buffer per connection or stream: what is to be sent waits
// in the session until the stream has room.
//
// # Ownership
//
//	what                      who may touch it
//	Listener                  any goroutine
//	conn, its broker.Client   the worker of the connection; Wake and Close: any goroutine
//	payload                   the message that it is attached to and the streams that
//	                          still send it, by reference count
//
// # How a connection ends
//
//	DISCONNECT by the client      CONNECTION_CLOSE with CodeNormal
//	control stream ended without  Client.Closed (the will), CodeControlStreamLost
//	Close by the broker, error    last packet -> acknowledged -> FIN -> CONNECTION_CLOSE
//	CONNECTION_CLOSE by the peer  after the stream data that came with it
//
// The MQTT keep alive alone decides about silent clients: where the QUIC idle timeout
// would be faster, the connection sends PINGs.
//
// With the build tag noquic the package holds the codes alone.
package quic
