package quic

import "github.com/ngmq/ngmq/mqtt/packet"

// Application error codes of MQTT over QUIC (RFC 9000 section 20.2), for
// CONNECTION_CLOSE, RESET_STREAM and STOP_SENDING. From 0x80 on they are MQTT reason
// codes. No standard assigns them; deployed peers look at 0 or at nothing.
const (
	// CodeNormal: the client or the server ended the connection in order.
	CodeNormal uint64 = 0
	// CodeControlStreamLost: the control stream ended without a DISCONNECT.
	CodeControlStreamLost uint64 = 1
	// CodeOverloaded: too many connections, or too much of something.
	CodeOverloaded uint64 = 2
)

// CloseCodes says with which application error code a connection is closed when its
// MQTT reason is not a code of its own accord; see CloseCode.
var CloseCodes = map[packet.ReasonCode]uint64{
	packet.NormalDisconnection:    CodeNormal,
	packet.DisconnectWithWill:     CodeNormal,
	packet.ServerUnavailable:      CodeOverloaded,
	packet.ServerBusy:             CodeOverloaded,
	packet.MessageRateTooHigh:     CodeOverloaded,
	packet.QuotaExceeded:          CodeOverloaded,
	packet.ConnectionRateExceeded: CodeOverloaded,
}

// CloseCode maps an MQTT reason code to the application error code of the
// CONNECTION_CLOSE: what CloseCodes says, else the reason code itself.
func CloseCode(code packet.ReasonCode) uint64 {
	if c, ok := CloseCodes[code]; ok {
		return c
	}
	return uint64(code)
}
