// Package endpoint is the QUIC event loop: UDP sockets, connections and streams
// for servers and clients, above the binding of package ngtcp2. It is pure Go.
//
// # Pipeline
//
//	kernel -> udp.ReadBatch -> worker.turn -> Core.Receive: DecodeVersionCID, CID table
//	  -> Conn.ReadPkts (one call per run of datagrams of one connection)
//	  -> events -> ConnHandler (the application; it marks connections dirty)
//	  -> Core.Poll: OnFlush -> Conn.WritePkts (GSO runs) -> udp.WriteBatch -> kernel
//
// A Core is the engine of one worker without I/O and clock: it takes datagrams
// and the time, and gives datagrams and a deadline. A worker wraps a Core with
// sockets and the clock. An Endpoint is a set of workers that share a port
// (SO_REUSEPORT); the number of the worker is in every Connection ID that it
// chooses (the first byte, or hidden in the nonce with Config.LoadBalancer), so a
// datagram that reaches another worker's socket (NAT rebinding, migration) is
// forwarded to its owner.
//
// # A datagram, in order (RFC 9000 section 5.2)
//
//	not decodable                      drop
//	version not supported              Version Negotiation packet
//	known Connection ID                ReadPkts, or the stored CONNECTION_CLOSE
//	another worker's Connection ID     forward
//	Initial of at least 1200 bytes     Retry, refuse, or a new connection; without the
//	                                   beginning of a ClientHello it waits for that
//	0-RTT                              it waits for its ClientHello, with Config.EarlyData
//	short header                       stateless reset
//	anything else                      drop
//
// Every reply without a connection is rate limited, every drop is counted by
// reason (Stats).
//
// # Goroutines and ownership
//
//	goroutine    count           owns                                      talks by
//	worker.read  one per socket  receive side of one socket; its worker    worker.mu
//	                             during a turn with what it has received
//	worker.run   Config.Workers  its worker during all other turns: timer  worker.mu
//	                             due, inbox, forwarded datagram
//	recorder     one, if needed  files of qlog, lines of ngtcp2's log      a bounded queue
//	application  any             its own state                             Conn.Wake, Conn.Post
//
// On Linux, the reader of a server's worker waits in a system call of its own if
// GOMAXPROCS leaves it a P to keep (Config.Workers). It then makes the turns for timer and
// inbox too, for which others interrupt its wait (eventfd); worker.run is left with
// forwarded datagrams. Otherwise Go's poller and timers wake these goroutines.
//
// A worker is its Core (conns, streams, CID table, timers, dirty queue, inbox),
// and the send side of its sockets. One goroutine at a time makes a turn with it,
// holding worker.mu: the one that has something to do, so that no datagram
// waits for another goroutine to be scheduled. "On the worker" means: in a turn.
//
// Methods of Conn and Stream belong to the worker unless their comment says
// "(any)": call them from ConnHandler methods or inside Conn.Post. Buffers
// handed to Stream.WriteBuffer are reference counted and may be shared between
// workers.
//
// # Life of a connection
//
//	handshake -> open -> [closing gracefully] -> closing or draining (3 PTO) -> gone
//
// The memory of the connection in C is freed when closing or draining begins;
// for the three PTOs after that only its Connection IDs and, when this side
// closed, its last packet are kept.
//
// # Paths
//
// A connection keeps its stream of data while its addresses change (RFC 9000
// section 9). Conn.Migrate moves a client to another local address, on a socket
// that the worker opens for it and closes when it is left. A NAT's new address
// for the client needs nobody's help, unless it comes in the middle of the handshake:
// what arrives from another address then is ignored, and the dial ends with
// ErrHandshakeTimeout. A ConnHandler that implements PathHandler is told of both;
// Stats counts PathChanges and PathsFailed. A ValidatedPathHandler is told when the
// peer has shown to be at its new address.
//
// # Early data
//
// With early data (0-RTT: Config.EarlyData, DialConfig.EarlyData) the application
// has the connection during the handshake already. What a client did on streams is
// done again, unseen, when the server rejects it. A server cannot tell early data
// from an attacker's copy of it: see Config.EarlyData for what that forbids.
//
// # Adapters
//
// The net.Listener and net.Conn adapters (NewListener, DialConn) make one
// net.Conn of a connection and its first client stream, for everyone who does
// not need the callbacks.
//
// # Optional interfaces
//
// A ConnHandler may implement more: DatagramHandler (RFC 9221), HandshakeHandler,
// PathHandler, ValidatedPathHandler.
//
// # Errors, and what to do about them
//
//	from                  error                                    do
//	New, Validate         joined, each names a field               mend the Config
//	Dial                  *DialError around the next ones          see its cause
//	                      ngtcp2.ErrSessionInvalid                 dial without DialConfig.Session
//	                      ngtcp2.ErrHandshakeTimeout, ctx's        try later
//	                      *ngtcp2.Error, TLS alert inside          the server's certificate or ALPN
//	                      *ngtcp2.TransportError                   the server refused; its code says why
//	                      ErrUnreachable                           nobody listens there
//	                      *VersionError                            Config.Versions of both sides
//	OnClosed              nil                                      nothing: this side closed
//	                      *ngtcp2.ApplicationError                 the peer closed: its protocol's code
//	                      *ngtcp2.TransportError                   the peer found a fault
//	                      *ngtcp2.Error                            this side did; it has told the peer
//	                      ngtcp2.ErrIdleTimeout, ErrStatelessReset the peer is gone: dial again
//	Conn, Stream methods  ErrClosed                                stop; OnClosed or OnStreamClosed tells more
//	                      ngtcp2.ErrStreamIDBlocked                open later, in OnFlush
//	                      ngtcp2.ErrDatagramQueueFull              send later, in OnFlush
//	                      ngtcp2.ErrInvalidArgument                a mistake in the program
//
// Use errors.Is and errors.As: most are wrapped.
package endpoint
