// Package outside is a Go module of its own that imports ngmq's QUIC packages as any
// other program would: an echo server and a client over net.Listener and net.Conn.
//
//	client: stdin -> QUIC stream -> server -> the same stream back -> stdout
//
// The tests build both with the plain go command and let them talk.
package outside
