// Package stream serves MQTT over byte streams: TCP and Unix sockets and pipes
// inside the process (Pipe), with TLS, WebSocket
// and a PROXY protocol header before it as configured.
//
// # Pipeline
//
//	accept -> conn.serve (reader): handshake (PROXY header, TLS, WebSocket)
//	          -> Read -> (frames, in place) -> Client.Feed ... -> linger -> Client.Closed
//	          Wake, Defer -> who has the duty: Client.Flush(batch) -> TLS -> write ...
//
// A connection is one goroutine, its reader, which owns the broker's Client. To write is a
// duty that somebody takes while there is something to write: the reader whose input it came
// from, after it has handled that (Defer), or a goroutine that is started (Wake). A reader
// writes without waiting; when the network takes no more, a goroutine goes on and waits. It
// moves what waits in the session into a bounded batch and writes it; a client that does not
// take it within the write timeout is cut off, and until then only its own queue grows, to
// the broker's limit.
//
// Buffers are borrowed from pools: an idle connection holds one small read buffer
// and nothing to write from. A batch has room for the header of a WebSocket frame before
// its first byte, so that WebSocket costs no copy and no further write.
//
// # Ownership
//
//	what           who may touch it
//	Listener       any goroutine
//	conn.client    reader: Feed, Closed; who has the duty: Flush
//	conn.out       who has the duty
//	conn.deferred  reader
//	sealer         TLS writes to it from any goroutine; who has the duty takes it from there
//	conn.ws        decoder: reader; pings and the close code: any goroutine (atomic)
//	conn.failed,   any goroutine (atomic); they are how the broker, the reader and
//	conn.closing   who writes tell each other that the connection ends
//
// # How a connection ends
//
// Whoever wants it to end (broker: Close, reader: end of input or an error of Feed)
// sets closing and calls Wake. Who writes then flushes a last time, closes its
// direction and leaves the reader a short time to see the peer's end, so that bytes
// underway do not turn into a TCP reset that would cost the peer the last packet.
// The reader then closes the socket and calls Client.Closed.
package stream
