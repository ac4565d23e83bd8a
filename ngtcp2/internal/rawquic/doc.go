// Package rawquic is a QUIC version 1 peer for tests that can misbehave. It
// shares no code with ngtcp2: TLS is that of crypto/tls, packet protection is
// written from RFC 9001 on the standard library.
//
// A Peer completes a handshake honestly, as client or as server, and from then
// on (or before) sends what a test wants: any bytes as frames, at any encryption
// level, under any header, with any transport parameters.
//
//	p, _ := rawquic.NewClient(rawquic.Config{TLS: tlsConfig})
//	for _, d := range p.Flight() { ... }           // datagrams to send
//	p.Receive(datagram)                            // each that came back
//	... until p.Complete()
//	d := p.Seal(rawquic.App, rawquic.Header{}, rawquic.Stream(0, 0, data, false))
//	p.Closed()                                     // what the other side thought of it
//
// It has no clock, no retransmission and no congestion control: the network of
// a test loses nothing. Only TLS_AES_128_GCM_SHA256 is known. Not for use
// outside of tests. One goroutine at a time.
package rawquic
