//go:build !noquic

package quic

import "encoding/binary"

// NextALPN is the application protocol of the draft "MQTT-next" (W. Yang, 2024), in which
// data streams begin with a flow header.
const NextALPN = "MQTT-next"

// Types of flow headers.
const (
	controlFlow    = 0x11
	serverDataFlow = 0x13
	userFlow       = 0x14
)

// isFlowType reports whether a stream that begins with b begins with a flow header, of a type
// that is known or not. No MQTT packet but CONNECT begins so.
func isFlowType(b byte) bool { return b&0xF0 == 0x10 && b != connectByte }

// flowFlags are the last byte of a flow header.
type flowFlags uint8

const (
	flowClean         flowFlags = 1 << 0 // discard what is kept of the flow
	flowAbort         flowFlags = 1 << 1 // refuse the flow if nothing is kept of it
	flowTolerance     flowFlags = 3 << 2 // see tolerance
	flowQoS           flowFlags = 1 << 4 // keep what is not acknowledged
	flowTopicAlias    flowFlags = 1 << 5 // keep topic aliases
	flowSubscriptions flowFlags = 1 << 6 // keep subscriptions
	flowOptional      flowFlags = 1 << 7 // optional headers follow
)

// tolerance is what an error of a flow costs.
type tolerance uint8

const (
	tolerateNone   tolerance = iota // the connection
	tolerateStream                  // the stream, and what is kept of the flow
	tolerateFlow                    // the stream
	tolerateReserved
)

func (f flowFlags) has(bits flowFlags) bool { return f&bits != 0 }

func (f flowFlags) tolerance() tolerance { return tolerance(f & flowTolerance >> 2) }

// flowHeader is what its owner writes at the beginning of a stream: type, flow id, for data
// flows the expiry interval (variable-length integers, RFC 9000 section 16), flags.
type flowHeader struct {
	kind   byte   // controlFlow, clientDataFlow or serverDataFlow
	id     uint64 // 0: control; odd: the server's
	expiry uint64 // of a data flow, in seconds; 0 = none
	flags  flowFlags
}

// maxFlowHeader is the length of the longest flow header in bytes.
const maxFlowHeader = 1 + 8 + 8 + 1

// parseFlowHeader reads the header at the beginning of b and gives its size in bytes, 0 while
// more bytes are needed. b begins with its type, which takes one byte: in a longer form it
// would look like an MQTT packet. Other integers may take more bytes than they need.
func parseFlowHeader(b []byte) (h flowHeader, size int) {
	if len(b) == 0 {
		return h, 0
	}
	h.kind = b[0]
	at := 1
	ok := readInteger(b, &at, &h.id) && (h.kind == controlFlow || readInteger(b, &at, &h.expiry)) && at < len(b)
	if !ok {
		return h, 0
	}
	h.flags = flowFlags(b[at])
	return h, at + 1
}

// readInteger reads a variable-length integer at *at, and moves *at behind it.
func readInteger(b []byte, at *int, n *uint64) bool {
	if *at >= len(b) {
		return false
	}
	size := 1 << (b[*at] >> 6)
	if *at+size > len(b) {
		return false
	}
	*n = uint64(b[*at] & 0x3F)
	for _, x := range b[*at+1 : *at+size] {
		*n = *n<<8 | uint64(x)
	}
	*at += size
	return true
}

// append appends the header.
func (h *flowHeader) append(dst []byte) []byte {
	dst = appendInteger(append(dst, h.kind), h.id)
	if h.kind != controlFlow {
		dst = appendInteger(dst, h.expiry)
	}
	return append(dst, byte(h.flags))
}

// appendInteger appends n, which is below 1<<62, in its shortest form.
func appendInteger(dst []byte, n uint64) []byte {
	switch {
	case n < 1<<6:
		return append(dst, byte(n))
	case n < 1<<14:
		return binary.BigEndian.AppendUint16(dst, uint16(n)|1<<14)
	case n < 1<<30:
		return binary.BigEndian.AppendUint32(dst, uint32(n)|2<<30)
	}
	return binary.BigEndian.AppendUint64(dst, n|3<<62)
}

// refusal is the code with which the server refuses a data flow of the client for what its
// header says by itself, FlowNoError if it does not.
func (h *flowHeader) refusal() uint64 {
	switch {
	case h.id == 0:
		return FlowBadID
	case h.id&1 != 0:
		return FlowNotOwner
	case h.flags.has(flowOptional):
		return FlowOptionalHeader
	case h.flags.has(flowTopicAlias):
		return FlowPersistentTopic
	case h.flags.tolerance() == tolerateReserved:
		return FlowRefused
	}
	return FlowNoError
}
