// Package client is an MQTT client for MQTT 5.0, 3.1.1 and 3.1 over QUIC, TCP,
// TLS, WebSocket and Unix sockets. The URL chooses the transport:
//
//	quic://host[:14567]                 one QUIC connection, MQTT on its first stream
//	mqtt://host[:1883]   tcp://...      TCP
//	mqtts://host[:8883]  ssl://...      TLS over TCP
//	ws://host[:80][/mqtt]               WebSocket
//	wss://host[:443][/mqtt]             WebSocket over TLS
//	unix:///path                        Unix socket
//
// A program built with the tag noquic refuses quic:// servers and needs no cgo.
//
// # Pipeline
//
//	Publish, Subscribe, ...  -> session (packet id, inflight) -> outbox -> writer -> net.Conn
//	net.Conn -> reader -> packet.Decoder -> session (acks) -> waiting call
//	                                     -> inbox -> deliverer -> Options.OnMessage -> ack
//	pinger: PINGREQ when a direction is silent for the keep alive time
//
// A [Client] is a session: packet identifiers, unacknowledged messages and the
// received QoS 2 identifiers outlive a network connection. [Client.Connect] opens
// one; when it is lost, [Options.OnConnectionLost] tells the cause.
//
// # Reconnecting
//
// Without [Options.Reconnect] a lost connection ends every waiting call, and the
// program calls Connect again. With [Options.ResumeSession] and a server that kept the
// session, unacknowledged QoS 1 and QoS 2 messages are then sent again in their order.
//
// With Reconnect the client does that by itself, from the first Connect or from
// [Client.Start] on until Disconnect or Close. The pauses between attempts grow
// ([Backoff]). Messages wait in a [Queue] while there is no connection; Publish and
// [Pending] wait for their acknowledgement, over as many connections as it takes. When
// the server has lost the session, subscriptions are made again first, and
// unacknowledged messages are sent as new ones.
//
//	session kept by the server    PUBLISH with DUP, or PUBREL, in their order
//	session lost                  SUBSCRIBE, then PUBLISH without DUP, in their order; a
//	                              QoS 2 message that the server took (PUBREC) is done
//
// # Ownership
//
//	what                                   who
//	Client                                 any number of goroutines
//	Options                                copied by New; what it points to must not change
//	Message given to Publish               copied before Publish or PublishAsync returns
//	Message given to OnMessage             the handler, for ever
//	OnMessage                              called by one goroutine, one message after the other
//	OnConnected, OnConnectionLost,
//	OnDelivered, OnError                   called by one goroutine, in the order of events
//	Pending                                any number of goroutines
//	outbox                                 appended by any goroutine, written by the writer
//	Decoder, topic aliases of the server   the reader
//
// PUBACK and PUBREC are sent when OnMessage has returned, in the order in which
// the messages came [MQTT-4.6.0-2]. A handler may call Publish, Subscribe and so
// on. While it does not return, up to inboxSize messages wait; then reading stops,
// which slows the server down, and so calls of the handler that need an answer
// have to wait until their context ends: handlers that may block for long should
// hand the message to a goroutine of their own.
package client
