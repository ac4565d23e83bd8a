//go:build !noquic

package quic

const (
	// clientDataFlow is the first byte of a header with which some clients begin their
	// unidirectional streams: the flow header of the draft for MQTT over several QUIC
	// streams ("MQTT-next"). It is followed by the flow id and the expiry interval
	// (variable-length integers, RFC 9000 section 16) and a byte of flags. No MQTT packet
	// begins with it.
	clientDataFlow = 0x12
	// moreHeaders is the flag that further headers follow, of which none is defined.
	moreHeaders = 0x80
)

// flowHeader finds the header at the beginning of a unidirectional stream and gives its
// size in bytes, 0 when the stream begins with MQTT. complete is false while more bytes are
// needed to tell; ok is false for a header that cannot be served.
func flowHeader(b []byte) (size int, complete, ok bool) {
	if len(b) == 0 {
		return 0, false, true
	}
	if b[0] != clientDataFlow {
		return 0, true, true
	}
	at := 1
	for range 2 {
		if at == len(b) {
			return 0, false, true
		}
		at += 1 << (b[at] >> 6)
		if at > len(b) {
			return 0, false, true
		}
	}
	if at == len(b) {
		return 0, false, true
	}
	return at + 1, true, b[at]&moreHeaders == 0
}
