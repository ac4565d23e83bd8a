package quic

// Application error codes of MQTT-next, for RESET_STREAM and STOP_SENDING.
const (
	FlowNoError              uint64 = 0x00
	FlowNoState              uint64 = 0xB3
	FlowNotOwner             uint64 = 0xB4
	FlowStreamType           uint64 = 0xB5
	FlowBadID                uint64 = 0xB6
	FlowPersistentTopic      uint64 = 0xB7
	FlowPersistentSub        uint64 = 0xB8
	FlowOptionalHeader       uint64 = 0xB9
	FlowIncompletePacket     uint64 = 0xBA
	FlowOpenIdle             uint64 = 0xBB
	FlowCancelled            uint64 = 0xBC
	FlowPacketCancelled      uint64 = 0xBD
	FlowRefused              uint64 = 0xBE
	FlowDiscardState         uint64 = 0xBF
	FlowServerPushNotWelcome uint64 = 0xC0
	FlowRecoveryFailed       uint64 = 0xC1
)

// Application error codes of MQTT-next, for CONNECTION_CLOSE.
const (
	NextTLSError          uint64 = 0xB1
	NextUnspecified       uint64 = 0xB2
	NextTooManyRecoveries uint64 = 0xB3
	// NextProtocolError: a flow that tolerates no error had one, or the header of the
	// control stream is wrong.
	NextProtocolError uint64 = 0xB4
)

// FlowCode says what a code of a stream means in MQTT-next.
type FlowCode struct {
	Name     string
	Level    uint8 // 0 to 2, the gravest first
	Discards bool  // what is kept of the flow is to be discarded
}

// FlowCodes are the codes with which a stream may be reset in MQTT-next.
var FlowCodes = map[uint64]FlowCode{
	FlowNoError:              {Name: "NO_ERROR", Level: 2},
	FlowNoState:              {Name: "NO_FLOW_STATE", Level: 0},
	FlowNotOwner:             {Name: "NOT_FLOW_OWNER", Level: 0},
	FlowStreamType:           {Name: "STREAM_TYPE", Level: 1},
	FlowBadID:                {Name: "BAD_FLOW_ID", Level: 1, Discards: true},
	FlowPersistentTopic:      {Name: "PERSISTENT_TOPIC", Level: 1},
	FlowPersistentSub:        {Name: "PERSISTENT_SUB", Level: 1, Discards: true},
	FlowOptionalHeader:       {Name: "OPTIONAL_HEADER", Level: 1, Discards: true},
	FlowIncompletePacket:     {Name: "INCOMPLETE_PACKET", Level: 2},
	FlowOpenIdle:             {Name: "FLOW_OPEN_IDLE", Level: 2},
	FlowCancelled:            {Name: "FLOW_CANCELLED", Level: 2, Discards: true},
	FlowPacketCancelled:      {Name: "FLOW_PACKET_CANCELLED", Level: 2},
	FlowRefused:              {Name: "FLOW_REFUSED", Level: 2},
	FlowDiscardState:         {Name: "DISCARD_STATE", Level: 1, Discards: true},
	FlowServerPushNotWelcome: {Name: "SERVER_PUSH_NOT_WELCOME", Level: 1, Discards: true},
	FlowRecoveryFailed:       {Name: "RECOVERY_FAILED", Level: 1, Discards: true},
}
