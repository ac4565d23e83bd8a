// Package broker is the MQTT server without its network: it takes bytes of a
// connection and gives bytes back. It knows nothing of sockets and QUIC; listeners
// implement Transport and Sink and own the clients.
//
// # The way of a message
//
//	bytes -> Client.Feed -> packet.Decoder -> Client.onPublish
//	      -> newMessage                one copy, pooled, counted references
//	      -> Broker.inspect            publish handlers, if any match
//	      -> Broker.route              retained store, then router.receivers:
//	                                   topic.Tree.Match merged per session, cached;
//	                                   one member of each group of a shared subscription
//	      -> Session.deliver           queue of each receiver, Transport.Wake
//	      -> Client.ack                PUBACK or PUBREC for the publisher
//
//	owner: Transport.Wake -> Client.Flush -> Client.control (acknowledgements)
//	      -> Session.collect           packet identifiers, Receive Maximum, expiry
//	      -> writer.encode -> Sink     head, payload (shared when large)
//
// A QoS 0 message costs no allocation on this way.
//
// # Files
//
//	broker.go config.go errors.go stats.go log.go   the broker, its limits and numbers
//	transport.go handlers.go                        what listeners and programs implement
//	client.go connect.go auth.go                    a network connection: input, CONNECT, end
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
//	Client, decoder, aliases,     the goroutine that calls Feed and Closed
//	  authentication
//	writer, outAliases            the goroutine that calls Flush, during the call
//	members of a shareGroup       shareGroup.mu
//	Client.control, last, cause   Client.mu
//	Session queue, window, will   Session.mu; from any goroutine
//	Session.subs, retained        Session.subMu; the client's owner, who ends the session
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
// routed. So a takeover between two owners cannot deadlock, and a slow receiver
// never holds up a publisher: its queue fills, and what is beyond the limit is dropped
// and counted.
package broker
