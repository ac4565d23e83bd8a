// Package quiclb makes and reads Connection IDs that a load balancer can route by:
// QUIC-LB, draft-ietf-quic-load-balancers-21. It is pure Go and needs no connection, so
// that a load balancer can be written with it as well as a server.
//
//	first octet: 3 bits config rotation (Config.ID), 5 bits length of what follows
//	server ID    Config.ServerID: which server; the load balancer has a table of them
//	nonce        Config.NonceLen bytes that no other Connection ID of the server has
//
// With a Config.Key server ID and nonce are encrypted, with AES-128 as one block when they
// are 16 bytes together, else with the four-pass Feistel network of the draft. Without one
// everybody can read which server a client is at, and so guess which clients are one that
// has moved.
//
// # A load balancer
//
// In front of several servers it looks at every datagram that comes from a client:
//
//	DCID            of a long header: by its length octet; of a short header: Codec.Len bytes
//	Codec.Decode    ok and a server of that ID: send the datagram there
//	otherwise       long header: choose by the addresses and ports (the client's first
//	                datagrams have a Connection ID that it made up); short header: drop
//
// and sends what comes from a server to the address that the client was last seen at, or
// lets the servers answer directly. It keeps no state per connection; those that move to
// another address stay with their server.
//
// # Rotation
//
// A new key or another length needs a new Config.ID. The load balancer gets it first, next
// to the old one, then the servers: a new key while they run (Server.Rotate), lengths with
// their next start. The old one may go when the last connection that began with it has
// ended (section 3.1 of the draft). ID 7 says that no load balancer can read the
// Connection ID.
package quiclb
