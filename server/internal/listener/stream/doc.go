// Package stream serves MQTT over byte streams: TCP and Unix sockets and pipes
// inside the process (Pipe), with TLS, WebSocket
// and a PROXY protocol header before it as configured.
//
// # Pipeline
//
//	accept -> conn.serve (reader): handshake (PROXY header, TLS, WebSocket)
//	          -> Read -> (frames, in place) -> Client.Feed ... -> linger -> Client.Closed
//	          conn.write (writer): Wake -> Client.Flush(batch) -> batch.writeTo ...
//
// A connection is two goroutines. The reader owns the broker's Client. The writer
// sleeps until the broker calls Wake, then moves what waits in the session into a
// bounded batch and writes it; a client that does not take it within the write
// timeout is cut off, and until then only its own queue grows, to the broker's limit.
//
// Buffers are borrowed from pools: an idle connection holds one small read buffer
// and nothing to write from. A batch has room for the header of a WebSocket frame before
// its first byte, so that WebSocket costs no copy and no further write.
//
// # Ownership
//
//	what           who may touch it
//	Listener       any goroutine
//	conn.client    reader: Feed, Closed; writer: Flush
//	conn.out       writer
//	conn.ws        decoder: reader; pings and the close code: any goroutine (atomic)
//	conn.reason,   any goroutine (atomic); they are how the broker, the reader and
//	conn.closing   the writer tell each other that the connection ends
//
// # How a connection ends
//
// Whoever wants it to end (broker: Close, reader: end of input or an error of Feed)
// sets closing and wakes the writer. The writer flushes a last time, closes its
// direction and leaves the reader a short time to see the peer's end, so that bytes
// underway do not turn into a TCP reset that would cost the peer the last packet.
// The reader then closes the socket and calls Client.Closed.
package stream
