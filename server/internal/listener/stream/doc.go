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
// Sockets without TLS, WebSocket and PROXY header are served by event loops on Linux (Loop),
// see below. Any other connection is one goroutine, its reader, which owns the broker's Client. To write is a
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
// # Event loop
//
//	epoll -> worker.run -> acceptor.ready: accept, give the connection to a worker
//	                    -> polled.ready -> read -> Client.Feed ...    (input, linger, end)
//	                                    -> write ...                  (room after a full socket)
//	         round.finish: Client.Flush(batch) -> write               (what Feed has deferred)
//
// A Loop is a few workers, each an epoll instance that tells changes alone (EPOLLET), so that
// a connection asks for its events once. A worker has one read buffer; of a connection
// (polled) remain the bytes of an incomplete packet, in the broker's decoder, and what a full
// socket does not take, a batch. A round is what a worker does about the events of one wait: it
// reads, and writes at the end what all of that means for any connection, another worker's too.
// What is to be written for other reasons (Wake) gets a goroutine, which never waits: of a full
// socket the duty to write is left for the event that there is room.
//
// To read is a duty too, of which the end is a part: normally the worker takes it, but a
// goroutine as soon as the program has handlers (Broker.RunsHandlers), which hold up their
// client alone that way. A socket is closed by who has both duties. There is no timer per
// connection: while a write waits or a connection ends, its worker looks at the clock a few
// times a second.
//
// A worker waits in epoll_wait, not in Go's scheduler, which costs more than all the rest for
// a message that comes alone. Meanwhile it keeps one of Go's processors (GOMAXPROCS) for up to
// some milliseconds; that is why there is a worker less than processors, and before each wait
// it lets other goroutines go first.
//
// # Ownership
//
//	what           who may touch it
//	Listener, Loop any goroutine
//	conn.client    reader: Feed, Closed; who has the duty: Flush
//	conn.out       who has the duty
//	conn.round     reader
//	sealer         TLS writes to it from any goroutine; who has the duty takes it from there
//	conn.ws        decoder: reader; pings and the close code: any goroutine (atomic)
//	conn.failed,   any goroutine (atomic); they are how the broker, the reader and
//	conn.closing   who writes tell each other that the connection ends
//	worker         its goroutine; sources and waiting: worker.mu
//	round          the goroutine that has it: a worker, or one of a pool
//	polled         see its fields: who has the duty to read, or to write, or any (atomic)
//
// # How a connection ends
//
// Whoever wants it to end (broker: Close, reader: end of input or an error of Feed)
// sets closing and calls Wake. Who writes then flushes a last time, closes its
// direction and leaves the reader a short time to see the peer's end, so that bytes
// underway do not turn into a TCP reset that would cost the peer the last packet.
// The reader then closes the socket and calls Client.Closed.
package stream
