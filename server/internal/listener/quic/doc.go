// Package quic serves MQTT over QUIC: it stands between the event loop of package
// endpoint and the broker.
//
// # Pipeline
//
//	endpoint worker -> OnStreamData (control stream) -> Client.Feed, credit back
//	broker -> Wake -> worker -> OnFlush -> Client.Flush(sink) -> control stream -> packets
//
// A connection is one MQTT client. Its first bidirectional stream, client-initiated
// stream 0, is the control stream and carries everything. Other streams are refused:
// STOP_SENDING and RESET_STREAM with CodeStreamRefused; the connection lives on.
// There is no goroutine and no buffer per connection: what is to be sent waits in the
// session until the control stream has room.
//
// # Ownership
//
//	what                      who may touch it
//	Listener                  any goroutine
//	conn, its broker.Client   the worker of the connection; Wake and Close: any goroutine
//	payload                   the message that it is attached to and the streams that
//	                          still send it, by reference count
//
// # How a connection ends
//
//	DISCONNECT by the client      CONNECTION_CLOSE with CodeNormal
//	control stream ended without  Client.Closed (the will), CodeControlStreamLost
//	Close by the broker, error    last packet -> acknowledged -> FIN -> CONNECTION_CLOSE
//	CONNECTION_CLOSE by the peer  after the stream data that came with it
//
// The MQTT keep alive alone decides about silent clients: where the QUIC idle timeout
// would be faster, the connection sends PINGs.
//
// With the build tag noquic the package holds the codes alone.
package quic
