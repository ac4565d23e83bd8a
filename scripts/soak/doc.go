// Command soak keeps a server busy with thousands of MQTT clients that come and go, and
// judges what it did: every message of QoS 1 and 2 that the server has acknowledged arrives at
// all who have subscribed to it, at QoS 2 once, in order, and memory stays flat.
//
//	make soak                                   2000 clients for 10 minutes
//	make soak DURATION=8h CLIENTS=5000 SEED=7   others
//
// # What clients do
//
// Clients form groups of 4; each receives, at QoS 0, 1 and 2, what all of its group publish.
// One client of three speaks MQTT 3.1.1, the others 5.0. Every client has one session as long as
// the server lives, and uses it over any of
//
//	quic          one stream (model D)
//	quic-multi    publishes at each QoS on a data stream of its own, subscribes on others (model A)
//	quic-uni      publishes on unidirectional streams (model B), half of them with a flow header
//	quic-shared   a stream of a connection that others of the pool use (model C)
//	tcp tls ws    one byte stream
//
// A client keeps to one way half of the time, and chooses any for the rest. Now and then,
// with messages in flight, it
//
//	resumes       after DISCONNECT or without, and after a while; over QUIC the TLS session is
//	              resumed too, and by half of the clients with early data (0-RTT)
//	takes over    connects again without an end of the connection before
//	migrates      to another local address, validated before or not
//	resets a stream on which it publishes, and sends what was in flight there on control
//	ends a stream on which it subscribes, by FIN, RESET_STREAM or STOP_SENDING, with messages in
//	              flight on it, and subscribes again on another
//
// Half of the clients with a QUIC connection of their own send QoS 0 in datagrams, and those of
// MQTT 5.0 have asked to get it so. With early data clients send messages before their CONNACK.
//
// Half of the clients over QUIC are behind a NAT that loses and swaps datagrams, and gives a
// client another address every 2 s.
//
// # Restarts
//
// In the first half of the time the server is ended, by a crash (SIGKILL) and then by SIGTERM,
// under load, and started again at the same addresses. It keeps no sessions: clients, which over
// QUIC notice by a stateless reset, have to be told that there is none, subscribe again, and give
// up what was in flight. What was published shortly before may be missing. So that this is
// little, everything has to arrive a second before the server ends; and no group publishes again
// before all of its clients have subscribed.
//
// # The oracle
//
// A payload is the number of a message of its publisher and QoS. A violation is
//
//	lost              a message of QoS 1 or 2 that a client of the group has not got in the end
//	duplicated        one that came twice at QoS 0, or at QoS 2 under another packet identifier
//	out of order      one that came after a later one of the same publisher and QoS, on the same
//	                  stream of a connection (QoS 1 and 2, repetitions apart)
//	never acknowledged, damaged, with a wrong topic or QoS, a session that is gone, a DISCONNECT
//	other than for a takeover, an acknowledgement that says failure, a line of level ERROR in the
//	server's log, a server that ends
//	memory            see below
//
// Each is printed with the last 160 events and packets of the client, and of the publisher.
//
// A schedule, that is what clients choose to do, follows from the seed. The order in which
// things happen between clients, and which datagrams are lost, does not.
//
// # Memory
//
// When all clients are gone the server has, within a minute, as many connections, sessions and
// subscriptions as at its start, and within what memory.go states as much Go heap, C heap, RSS,
// goroutines and files. Under load for a minute or more its RSS in the last quarter of the time
// is that of the second one, within 15 % and 24 MiB.
//
// # Who runs what
//
//	goroutine        what
//	client.run       the schedule of one client: connects, publishes
//	workers, byteLink.read   what arrives: connection.onData, under client.mu
//	nat              relays
//	soak             starts and ends all, reads the server's counters (SIGUSR1)
package main
