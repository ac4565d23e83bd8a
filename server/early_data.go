package server

// EarlyData says whether QUIC clients that have been here before may send with their first
// packets, before the handshake is complete (0-RTT).
type EarlyData uint8

const (
	// EarlyDataOff rejects it: those clients resume their session and send after the
	// handshake.
	EarlyDataOff EarlyData = iota
	// EarlyDataOn takes it: such a client has its CONNACK after one round trip.
	EarlyDataOn
	// EarlyDataSingleUse takes it once per session ticket: a copy of early data is
	// rejected, also while its handshake is under way. It holds for one process; others
	// with the same Config.TicketKeysFile have a memory of their own. Up to 65,536 tickets
	// are remembered for the 12 s for which a copy would pass; when more come, early data
	// is rejected and their clients go on without.
	EarlyDataSingleUse
	numEarlyData
)

var earlyDataNames = []string{EarlyDataOff: "off", EarlyDataOn: "on", EarlyDataSingleUse: "single-use"}

// String is "off", "on" or "single-use".
func (e EarlyData) String() string { return nameOf("EarlyData", earlyDataNames, uint8(e)) }

// UnmarshalText reads what String gives.
func (e *EarlyData) UnmarshalText(text []byte) error {
	i, err := indexOf(earlyDataNames, text)
	*e = EarlyData(i)
	return err
}
