package ngtcp2

// EventType says what an Event reports.
type EventType uint32

// Events. After each name: which fields of Event are set, and the ngtcp2
// callback that it comes from.
const (
	// EventHandshakeCompleted: the handshake is complete (handshake_completed).
	EventHandshakeCompleted EventType = iota + 1
	// EventHandshakeConfirmed: the handshake is confirmed (handshake_confirmed;
	// a server reports it together with completion).
	EventHandshakeConfirmed
	// EventStreamOpen: StreamID; the peer opened it (stream_open).
	EventStreamOpen
	// EventStreamData: StreamID, Data (may be empty with FlagFin), A = offset,
	// FlagFin, FlagEarly (recv_stream_data). Offsets rise without gaps; what
	// several packets of a run bring is one event when nothing lies between.
	EventStreamData
	// EventStreamAcked: StreamID, A = bytes newly acknowledged, summed per
	// stream within one call (acked_stream_data_offset).
	EventStreamAcked
	// EventStreamClose: StreamID, A = application error code with FlagHasCode;
	// both directions are finished, the id is gone (stream_close).
	EventStreamClose
	// EventStreamReset: StreamID, A = application error code, B = final size;
	// the peer sent RESET_STREAM (stream_reset).
	EventStreamReset
	// EventStopSending: StreamID, A = application error code; the peer sent
	// STOP_SENDING. ngtcp2 answers with RESET_STREAM and everything queued on
	// the stream has been released (recv_stop_sending; see ReportsStopSending).
	EventStopSending
	// EventNewCID: Data = a CID that this side issued to the peer: route it to
	// this Conn (get_new_connection_id).
	EventNewCID
	// EventRetireCID: Data = an issued CID that the peer retired: stop routing
	// it (remove_connection_id).
	EventRetireCID
	// EventDCIDStatus: Data = the peer's CID, A = sequence number,
	// FlagDeactivate, B = 1 when a stateless reset token follows the CID in Data
	// (last 16 bytes) (dcid_status).
	EventDCIDStatus
	// EventPathValidation: Data = path (see Events.Path), FlagFailed or
	// FlagAborted when not successful, FlagPreferredAddr, FlagNewToken: the
	// server should send a NEW_TOKEN (path_validation).
	EventPathValidation
	// EventBeginPathValidation: Data = path, FlagPreferredAddr
	// (begin_path_validation).
	EventBeginPathValidation
	// EventNewToken: Data = token for the next connection (recv_new_token).
	EventNewToken
	// EventDatagram: Data = payload, FlagEarly (recv_datagram).
	EventDatagram
	// EventDatagramAcked: A = id (ack_datagram).
	EventDatagramAcked
	// EventDatagramLost: A = id; it is not sent again (lost_datagram, or
	// QueueDatagram's promise could not be kept).
	EventDatagramLost
	// EventMaxStreamsBidi: A = total number of bidirectional streams that this
	// side may open (extend_max_local_streams_bidi).
	EventMaxStreamsBidi
	// EventMaxStreamsUni: the same for unidirectional streams.
	EventMaxStreamsUni
	// EventMaxRemoteStreamsBidi: A = total number of bidirectional streams that
	// the peer may open (extend_max_remote_streams_bidi).
	EventMaxRemoteStreamsBidi
	// EventMaxRemoteStreamsUni: the same for unidirectional streams.
	EventMaxRemoteStreamsUni
	// EventMaxStreamData: StreamID, A = new offset limit given by the peer
	// (extend_max_stream_data).
	EventMaxStreamData
	// EventStatelessReset: the peer lost its state; ReadPkts returns
	// ErrDraining (recv_stateless_reset).
	EventStatelessReset
	// EventVersionNegotiation: Data = versions offered by the server, 4 bytes
	// each in network byte order (recv_version_negotiation).
	EventVersionNegotiation
	// EventEarlyDataRejected: the server refused 0-RTT; all streams are gone
	// without EventStreamClose, and what was sent on them has had no effect: open
	// streams again. Datagrams that were sent are lost, without EventDatagramLost
	// (tls_early_data_rejected; ngtcp2_conn_tls_early_data_rejected).
	EventEarlyDataRejected
	// EventSession: Data = a session for ConnConfig.Session of a later client, the
	// newest when several came in one call (RFC 8446 section 4.6.1).
	EventSession
)

// EventFlags are bits of Event.Flags.
type EventFlags uint32

// Flags of events.
const (
	FlagFin           EventFlags = 0x01 // the peer finished sending on the stream
	FlagEarly         EventFlags = 0x02 // the data came in a 0-RTT packet
	FlagHasCode       EventFlags = 0x04 // A holds an application error code
	FlagPreferredAddr EventFlags = 0x08
	FlagNewToken      EventFlags = 0x10
	FlagFailed        EventFlags = 0x20
	FlagAborted       EventFlags = 0x40
	FlagDeactivate    EventFlags = 0x80
)

// Event is one fact reported by a call. It lies in C memory and mirrors
// shim_event (layout.go asserts it).
type Event struct {
	Type     EventType
	Flags    EventFlags
	StreamID int64
	A, B     uint64
	off, len uint32
}
