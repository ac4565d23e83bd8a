// Package client is an MQTT client for MQTT 5.0, 3.1.1 and 3.1 over QUIC, TCP,
// TLS, WebSocket and Unix sockets. The URL chooses the transport:
//
//	quic://host[:14567]                 QUIC
//	mqtt://host[:1883]   tcp://...      TCP
//	mqtts://host[:8883]  ssl://...      TLS over TCP
//	ws://host[:80][/mqtt]               WebSocket
//	wss://host[:443][/mqtt]             WebSocket over TLS
//	unix:///path                        Unix socket
//
// A program built with the tag noquic refuses quic:// servers and needs no cgo.
//
// # Three ways to use it
//
//	Dial or Connect       one connection; when it is lost, calls fail and the program decides
//	Options.Reconnect     the client stays connected, restores subscriptions, queues messages
//	Dialer                connections for another client library, such as Paho's
//
// The example Program is a whole one, over QUIC with a CA file.
//
// Calls block until the server has answered or their context ends. [Client.PublishAsync],
// [Client.SubscribeAsync] and [Client.UnsubscribeAsync] return a [Pending] instead, a
// token to wait for. Callbacks in [Options] tell of connections, losses with their cause,
// deliveries and errors. Messages come to [Options.OnMessage] or to the handlers of
// [Client.Handle].
//
// # Pipeline
//
//	Publish, Subscribe, ... -> session (identifier, inflight) -> lane: outbox -> writer -> stream
//	        with Reconnect  -> queue (memory, file) -> feeder -> session ...
//	stream -> reader -> packet.Decoder -> session (acks) -> Pending
//	                                   -> inbox -> deliverer -> handlers -> ack on the same lane
//	pinger: PINGREQ when a direction is silent for the keep alive time
//
// A lane is a stream of packets: the network connection, or with [Options.Streams] one of
// several streams of a QUIC connection. A [Client] is a session: packet identifiers,
// unacknowledged messages and the received QoS 2 identifiers outlive a network connection.
//
// # Reconnecting
//
// Without [Options.Reconnect] a lost connection ends every waiting call, and the
// program calls Connect again. With [Options.ResumeSession] and a server that kept the
// session, unacknowledged QoS 1 and QoS 2 messages are then sent again in their order.
//
// With Reconnect the client does that by itself, from the first Connect or from
// [Client.Start] on until Disconnect or Close. The pauses between attempts grow
// ([Backoff]). Messages wait in a [Queue] while there is no connection, in memory or in a
// file that survives the program; Publish and Pending wait for their acknowledgement, over
// as many connections as it takes.
//
//	session kept by the server    PUBLISH with DUP, or PUBREL, in their order
//	session lost                  SUBSCRIBE, then PUBLISH without DUP, in their order; a
//	                              QoS 2 message that the server took (PUBREC) is done
//
// # Networks without UDP
//
// With [Options.Fallback], or a list of servers and [Options.HeadStart], QUIC goes first
// and the others follow a quarter of a second later; the first connection counts. What
// worked is remembered, and QUIC is tried again later. Encryption is never given up: plain
// mqtt:// is used only if it is in the list.
//
// [Options.Proxy] leads through a SOCKS5 proxy, which has no QUIC.
//
// # Many clients in one program
//
// A QUIC connection has sockets, an event loop and a TLS context of its own. An [Endpoint]
// shares them between clients. Measured on Linux with 2,000 idle clients, each takes 98 KB of
// memory with an Endpoint of two workers, and 194 KB without.
//
// # Servers that send their clients elsewhere
//
// A 5.0 server may name another one when it refuses or ends a connection. With
// [Options.FollowReference] the client goes there, for once or for good; without, the
// *[ReasonError] has the Server Reference.
//
// # What QUIC adds
//
//	resumption, 0-RTT     TLS.SessionFile, TLS.EarlyData
//	several streams       Options.Streams, Message.Stream, Client.SubscribeOn: a lost packet
//	                      or a large message holds up one stream only
//	datagrams             Options.Datagrams: QoS 0 without repetition, both ways
//	migration             Client.Rebind, Options.FollowNetwork: the address changes, the
//	                      session does not notice
//	statistics            Client.Connection
//
// A server that does not know one of these gets what it knows.
//
// # Errors
//
//	from                    error                     do
//	New, Validate           joined, each a field      mend the Options
//	Connect                 *ReasonError              its Code says why the server refused
//	                        others                    network, TLS: try later, or elsewhere
//	Publish, Subscribe ...  *ReasonError              refused: its Code, Filter, Properties
//	                        *ConnectionLostError      without Reconnect: Connect again
//	                        ErrNotConnected           Connect, or wait
//	                        ErrQueueFull              publish less, later, or drop
//	                        ErrNotSupported           the server said so in its CONNACK
//	                        ErrClosed                 nothing: this program did that
//
// Use errors.Is and errors.As.
//
// # Ownership
//
//	what                                   who
//	Client, Pending, Dialer                any number of goroutines
//	Endpoint                               any number of goroutines, Clients and Dialers; who made
//	                                       it ends it, after them
//	Options                                copied by New; what it points to must not change
//	Message given to Publish               copied before Publish or PublishAsync returns
//	Message given to a handler             the handler's, for ever
//	OnMessage, handlers of Handle          called by one goroutine, one message after the other
//	OnConnected, OnConnectionLost,
//	OnDelivered, OnError                   called by one goroutine, in the order of events
//	Metrics, OnPacket                      called by several goroutines; return at once
//	Queue.File, TLS.SessionFile            the first one belongs to one Client until Close, the
//	                                       second one may be shared, the last writer counts
//	outbox                                 appended by any goroutine, written by the writer
//	Decoder, topic aliases of the server   the reader of the lane
//	session, queue, store                  any goroutine, under session.mu; never across I/O
//
// PUBACK and PUBREC are sent when the handler has returned, in the order in which
// the messages came [MQTT-4.6.0-2]. A handler may call Publish, Subscribe and so
// on, and wait for the answer; but not [Client.Request], whose response is a message
// that would have to be handled meanwhile. While a handler does not return, messages wait:
//
//	nothing is awaited            up to 128 messages, and [Options.InboxBytes]; then reading
//	                              stops, which slows the server down
//	an acknowledgement, SUBACK,   reading goes on, for what is awaited may come behind them.
//	PINGRESP ... is awaited       QoS 1 and 2: all that are in flight, which
//	                              [Options.ReceiveMaximum] bounds, or the server; beyond
//	                              twice the InboxBytes reading stops. QoS 0: beyond 16,384
//	                              messages or the InboxBytes reading stops too, but when no
//	                              handler has returned for 50 ms they are dropped: see [Stats]
//
// Acknowledgements that are withheld this way keep a server from sending more. Handlers that
// block for long should hand the message to a goroutine of their own even so.
package client
