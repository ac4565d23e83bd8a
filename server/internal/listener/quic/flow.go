//go:build !noquic

package quic

// clientDataFlow is the type of the header with which some clients begin their
// unidirectional streams, under the ALPN "mqtt" too: that of a client data flow of MQTT-next.
// No MQTT packet begins with it.
const clientDataFlow = 0x12

// strayHeader finds the header at the beginning of a unidirectional stream under the ALPN
// "mqtt" and gives its size in bytes, 0 when the stream begins with MQTT. complete is false
// while more bytes are needed to tell; ok is false for a header that cannot be served.
func strayHeader(b []byte) (size int, complete, ok bool) {
	if len(b) == 0 {
		return 0, false, true
	}
	if b[0] != clientDataFlow {
		return 0, true, true
	}
	h, size := parseFlowHeader(b)
	return size, size > 0, !h.flags.has(flowOptional)
}
