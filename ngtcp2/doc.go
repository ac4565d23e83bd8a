// Package ngtcp2 is a thin binding to the QUIC library ngtcp2 with OpenSSL as its
// TLS library. Names follow the C API without its prefix, and the doc comments
// name the C function behind each call.
//
// # Pipeline
//
// A Conn does no I/O and reads no clock: it takes datagrams and a Timestamp, and
// gives events, datagrams and a deadline.
//
//	datagram  -> Accept / DecodeVersionCID   which connection? a new one?
//	          -> Conn.ReadPkts               a run of datagrams in one call
//	          -> Events.At(0..Len)           what happened: drain after each call
//	          -> Conn.WritePkts              queue stream data, fill a buffer
//	          -> Conn.Expiry                 arm a timer
//	timer     -> Conn.HandleExpiry -> Events -> WritePkts -> Expiry
//
// # Call order
//
// Make the Conn with NewServerConn (from the header that Accept returned, then
// give the same datagram to ReadPkts) or NewClientConn (then call WritePkts).
// After every ReadPkts, HandleExpiry or change to a stream, call WritePkts until
// Written.More is false, and read Expiry again. ReadPkts, WritePkts, HandleExpiry,
// WriteConnectionClose and the two that migrate empty the Events first and may fill
// them; all other methods leave them alone, so they may be called while events are drained.
//
// Stream data arrives as EventStreamData in order; give the credit back with
// Consume when the application has used it. To send, put bytes into a Buffer and
// hand StreamChunks to WritePkts; EventStreamAcked tells how much has arrived.
// SetStreamUrgency puts streams before others.
// Datagrams (RFC 9221) go through QueueDatagram and come as EventDatagram.
//
// Give the Data of EventSession to a later client as ConnConfig.Session, and it
// resumes; with EarlyData it may open streams and write before the handshake.
//
// When a call fails, look at the class of the *Error:
//
//	Transitional  the call failed, the connection lives on
//	Fatal         WriteConnectionClose(dst, CloseFor(err), ts), send the packet,
//	              keep it to answer later packets for 3 PTO, then Free
//	Drop          write nothing. ErrDraining: CloseError says why the peer
//	              closed; wait 3 PTO, then Free. ErrRetry: the server should send
//	              a Retry. Others: Free
//
// Process the events of a failed ReadPkts first: data may have come in the same
// datagram as the peer's CONNECTION_CLOSE.
//
// # Who owns what
//
//	what                       lives in   freed by
//	Conn (C side, SSL, queues) C heap     Conn.Free, by the goroutine that owns it
//	Events                     C heap     Events.Free, after the last of its Conns
//	Event, Events.Data         C heap     valid until the next call of a Conn of the Events
//	Buffer                     C heap     the last Release; WritePkts takes over one
//	                                      reference per chunk and drops it when the bytes
//	                                      are acknowledged, the stream closes, or Free
//	datagrams, dst             Go heap    lent to C for one call
//	Settings, TransportParams  Go heap    copied by New*Conn
//	crypto.Context             C heap     its owner; an SSL object holds its own reference
//
// # What ngtcp2 1.24 does otherwise
//
// After a client has gone from address A to B, the server validates A once more,
// for three probe timeouts (of the initial RTT at least: 3 s), and follows no
// packet from A meanwhile. A client that returns to A within that time is answered
// at B, and waits until its own probe timeout sends something after it: some
// seconds, 4.2 at most in a sweep of 462 cases. There is no call that ends that
// validation. When the server then follows, ngtcp2 has stopped its loss detection
// timer; this package sends a PING, which starts it again.
//
// A server that follows a client from A to B, where it keeps its Connection ID as behind a
// NAT, and to C with another one while A or B is still being validated, retires the first,
// though its way back from C has it still. If the client returns, or C fails, the server
// goes on with a retired Connection ID: the client may find that a PROTOCOL_VIOLATION (RFC
// 9000 section 19.16), or it knows that ID no more and hears nothing until its idle
// timeout. No call of ngtcp2 prevents that. Among simulated clients that did so
// every 20 ms to 2 s for a minute, on links that lost up to 20 %, it ended 2 to 3 of 100.
//
// # Threads
//
// One goroutine at a time may use an Events and the Conns on it; there is no lock.
// Buffers may be shared by all. C never calls Go, so a call costs some tens of
// nanoseconds plus its work, and one call's work is bounded (MaxReadRun,
// MaxWritePkts). A failing call returns its whole error: no state is kept per
// thread.
package ngtcp2
