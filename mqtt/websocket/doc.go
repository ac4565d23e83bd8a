// Package websocket is MQTT over WebSocket (RFC 6455; MQTT 5.0 section 6) for the
// server and the client of this module: the opening handshake, and frames taken apart
// and put together where the bytes are, without a copy and without a buffer of their own.
// Handshake, header checks and masks are those of github.com/gobwas/ws.
//
//	server: Header -> Accept -> Decoder.Decode(what was read, in place) -> MQTT
//	        MQTT -> PutHeader before a batch, or AppendControl -> socket
//	client: Client(socket) is a net.Conn
//
// Binary frames carry the byte stream of MQTT, cut anywhere [MQTT-6.0.0-1]
// [MQTT-6.0.0-2]; a text frame ends the connection with 1003. There is no compression.
//
// # Ownership
//
//	what      who may touch it
//	Decoder   one goroutine
//	Conn      one reader, and any number of writers
package websocket
