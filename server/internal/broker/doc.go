// Package broker is the MQTT server without its network: it takes bytes of a
// connection and gives bytes back. It knows nothing of sockets and QUIC; listeners
// implement Transport and Sink and own the clients.
//
// # The way of a message
//
//	bytes -> Client.Feed, Stream.Feed -> packet.Decoder -> Client.onPublish
//	      -> newMessage                one copy, pooled, counted references
//	      -> Broker.inspect            publish handlers, if any match
//	      -> Broker.route              retained store, then router.receivers:
//	                                   topic.Tree.Match merged per outlet, cached;
//	                                   one member of each group of a shared subscription
//	      -> outlet.deliver            queue of each receiver, Transport.Wake
//	      -> Client.ack                PUBACK or PUBREC for the publisher
//
//	owner: Transport.Wake -> Client.Flush, Stream.Flush -> Stream.answers (acknowledgements)
//	      -> outlet.collect            packet identifiers, Receive Maximum, expiry
//	      -> writer.encode -> Sink     head, payload (shared when large)
//
// A QoS 0 message costs no allocation on this way.
//
// # Streams
//
// A client has a control stream, and over QUIC data streams besides (Client.OpenStream).
// What belongs to a stream, and what to the session:
//
//	Stream   decoder, answers, topic aliases of the client, packet identifiers that the
//	         client has given to its QoS 2 messages
//	outlet   subscriptions, the queue of what is to be sent, retained messages to come;
//	         the control stream's is part of the session, a data stream's its own
//	Session  packet identifiers that the broker gives out, Receive Maximum, the window of
//	         what is in flight, will, expiry
//
// A data stream that is closed while its connection lives loses its subscriptions: nothing
// comes to them any more, and they are removed in slices (sweep). The rest of its outlet, and what is in flight on it, becomes the control stream's
// (closeStream). When the connection is lost or taken over, everything does
// (comeHome, then rehome for subscriptions), so that the next connection of the session
// finds it, on whatever transport. A subscription keeps its key in topic.Tree for life
// and is moved by replacing the value: a message finds it once, wherever it is. Queues and
// Receive Maximum are shared so that no stream gets more than it leaves free (outlet.full,
// outlet.greedy).
//
// # Flows
//
// Under MQTT-next a data stream may join a flow (Stream.Join), which is part of the session
// and may outlive its stream. What a flow keeps stays where it is: its outlet, closed, remains
// in Session.streams with its subscriptions, whose messages are the control stream's
// meanwhile; the next stream of the flow opens it again. What is in flight is noted in
// flow.parked, and is sent again on that stream. A flow of the server (Client.UseFlows) carries
// one subscription of the control stream, which gets all of it back when the stream ends.
//
// # Datagrams
//
// Messages with QoS 0 may come in QUIC datagrams (Client.Datagram), and go to clients that
// want it (Config.Datagrams): in place of the stream of their outlet, whose turn and Room
// they keep, when they fit; else on that stream.
//
// # Files
//
//	broker.go config.go errors.go stats.go log.go   the broker, its limits and numbers
//	datagram.go                                     messages in QUIC datagrams
//	transport.go handlers.go                        what listeners and programs implement
//	client.go connect.go auth.go                    a network connection: input, CONNECT, end
//	stream.go outlet.go inbound.go flow.go          its streams, and what is theirs
//	serverflow.go                                   streams that the server opens
//	rate.go addresses.go                            how much of it a client and an address may bring
//	publish.go ack.go subscribe.go                  packets from the client
//	welcome.go                                      retained messages for new subscriptions
//	flush.go encode.go alias.go answer.go           packets to the client
//	session.go queue.go inflight.go admit.go        what outlives a connection
//	registry.go will.go                             who has which session; takeover, expiry, wills
//	route.go message.go retained.go store.go        messages and where they go
//	share.go                                        shared subscriptions
//	dispatch.go hooks.go panic.go                   calling handlers; what a panic costs
//	faults.go                                       mistakes on purpose, for tests of clients
//	timers.go janitor.go sys.go                     what depends on time
//
// # Who owns what
//
//	what                          owner
//	Client, Stream, decoders,     the goroutine that calls Feed and Closed
//	  aliases, authentication
//	writer, outAliases            the goroutine that calls Flush, during the call
//	members of a shareGroup       shareGroup.mu
//	Stream.answers, Client.last,  Client.mu
//	  cause
//	queues, window, inbound, will Session.mu; from any goroutine
//	subscriptions, retained       Session.subMu; the client's owner, who ends the session
//	which client has a session    Broker.mu and Session.mu together to change it
//	Message                       whoever holds a reference; never changed once routed
//	router                        who took it from the pool
//	addresses                     addresses.mu
//	meter                         the owner of its Client; resume and timer: any goroutine
//	timers                        timers.mu; fired by Run's goroutine
//
// A connection that loses its session to another one (takeover) may still be inside
// Feed. Whatever it does to the session then looks at Session.client under
// Session.mu and stops; so there is one live client per identifier, and a QoS 2
// message is either noted and delivered, or neither.
//
// # Locks
//
// Order, outer first: Broker.mu or Session.subMu, Session.mu, then the innermost ones:
// shares.mu, then timers.mu, shareGroup.mu and the locks of topic.Tree and of a store. Client.mu and
// addresses.mu are taken alone. Never two Session.mu or two Client.mu at a time.
// No lock is held while a handler, Transport or Sink is called, or while a message is
// routed, but Client.routing of its publisher, outside of all others: a takeover waits for
// that, with no lock. So a takeover between two owners cannot deadlock, and a slow receiver
// never holds up a publisher: its queue fills, and what is beyond the limit is dropped
// and counted.
package broker
