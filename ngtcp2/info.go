package ngtcp2

// #include "shim_api.h"
import "C"

import (
	"time"
	"unsafe"
)

// The methods of this file report no events. On a freed Conn they return zero
// values.

// ConnInfo is ngtcp2_conn_info: statistics of a connection.
type ConnInfo struct {
	LatestRTT, MinRTT, SmoothedRTT, RTTVar time.Duration

	CWND          uint64 // congestion window, bytes
	SSThresh      uint64 // slow start threshold, bytes; math.MaxUint64 at first
	BytesInFlight uint64

	PktSent, BytesSent, PktRecv, BytesRecv uint64
	PktLost, BytesLost                     uint64
	PingRecv, PktDiscarded                 uint64
}

// Info returns the statistics (ngtcp2_conn_get_conn_info).
func (c *Conn) Info() ConnInfo {
	var i C.ngtcp2_conn_info
	if c.c == nil {
		return ConnInfo{}
	}
	C.shim_conn_info(c.c, &i)
	return ConnInfo{
		LatestRTT: time.Duration(i.latest_rtt), MinRTT: time.Duration(i.min_rtt),
		SmoothedRTT: time.Duration(i.smoothed_rtt), RTTVar: time.Duration(i.rttvar),
		CWND: uint64(i.cwnd), SSThresh: uint64(i.ssthresh), BytesInFlight: uint64(i.bytes_in_flight),
		PktSent: uint64(i.pkt_sent), BytesSent: uint64(i.bytes_sent),
		PktRecv: uint64(i.pkt_recv), BytesRecv: uint64(i.bytes_recv),
		PktLost: uint64(i.pkt_lost), BytesLost: uint64(i.bytes_lost),
		PingRecv: uint64(i.ping_recv), PktDiscarded: uint64(i.pkt_discarded),
	}
}

// values reads the single values that have a C getter each.
func (c *Conn) values() (v C.shim_values) {
	if c.c != nil {
		C.shim_conn_values(c.c, &v)
	}
	return v
}

// PTO is the current probe timeout (ngtcp2_conn_get_pto). The closing and
// draining periods last three of it.
func (c *Conn) PTO() time.Duration { return time.Duration(c.values().pto) }

// NegotiatedVersion is the QUIC version in use, 0 before it is known
// (ngtcp2_conn_get_negotiated_version).
func (c *Conn) NegotiatedVersion() uint32 { return uint32(c.values().negotiated_version) }

// StreamsBidiLeft is how many bidirectional streams this side may open now
// (ngtcp2_conn_get_streams_bidi_left).
func (c *Conn) StreamsBidiLeft() uint64 { return uint64(c.values().streams_bidi_left) }

// StreamsUniLeft is how many unidirectional streams this side may open now
// (ngtcp2_conn_get_streams_uni_left).
func (c *Conn) StreamsUniLeft() uint64 { return uint64(c.values().streams_uni_left) }

// MaxDataLeft is the connection credit left for sending, in bytes
// (ngtcp2_conn_get_max_data_left).
func (c *Conn) MaxDataLeft() uint64 { return uint64(c.values().max_data_left) }

// CWNDLeft is the part of the congestion window not in use, in bytes
// (ngtcp2_conn_get_cwnd_left).
func (c *Conn) CWNDLeft() uint64 { return uint64(c.values().cwnd_left) }

// SendQuantum is the number of bytes to send at once (ngtcp2_conn_get_send_quantum).
func (c *Conn) SendQuantum() int { return int(c.values().send_quantum) }

// PathMaxTxUDPPayloadSize is the datagram size that the path is known to carry,
// in bytes (ngtcp2_conn_get_path_max_tx_udp_payload_size; 1200 after a black hole
// was detected, RFC 8899 section 4.3).
func (c *Conn) PathMaxTxUDPPayloadSize() int { return int(c.values().path_max_tx_udp_payload_size) }

// KeyUpdates is how many key updates of either side are confirmed, which takes a
// round trip and three PTOs (callback update_key).
func (c *Conn) KeyUpdates() uint64 { return uint64(c.values().key_updates) }

// Path is the current path (ngtcp2_conn_get_path).
func (c *Conn) Path() Path {
	v := c.values()
	return pathFromC(&v.path)
}

// RemoteTransportParams are the peer's transport parameters; ok is false before
// they are known (ngtcp2_conn_get_remote_transport_params).
func (c *Conn) RemoteTransportParams() (p TransportParams, ok bool) {
	return c.transportParams(1)
}

// LocalTransportParams are this side's transport parameters as sent, but for
// ActiveConnectionIDLimit, which is larger by 2 once the handshake is complete
// (ngtcp2_conn_get_local_transport_params).
func (c *Conn) LocalTransportParams() (p TransportParams, ok bool) {
	return c.transportParams(0)
}

func (c *Conn) transportParams(remote C.int) (p TransportParams, ok bool) {
	var s C.shim_params
	if c.c == nil || C.shim_conn_params(c.c, remote, &s) != 0 {
		return p, false
	}
	return paramsFromC(&s), true
}

// SCIDs are the CIDs that this side has issued and the peer has not retired
// (ngtcp2_conn_get_scid).
func (c *Conn) SCIDs() []ConnectionID {
	if c.c == nil {
		return nil
	}
	n := C.shim_conn_scids(c.c, nil, 0)
	ids := make([]ConnectionID, n)
	if n > 0 {
		C.shim_conn_scids(c.c, (*C.shim_cid)(unsafe.Pointer(&ids[0])), n)
	}
	return ids
}

// DCID is the peer's CID in use (ngtcp2_conn_get_dcid).
func (c *Conn) DCID() ConnectionID {
	v := c.values()
	return *(*ConnectionID)(unsafe.Pointer(&v.dcid))
}

// ClientInitialDCID is the DCID of the client's first Initial packet that this
// server Conn has seen: route it here until the handshake is complete
// (ngtcp2_conn_get_client_initial_dcid).
func (c *Conn) ClientInitialDCID() ConnectionID {
	v := c.values()
	return *(*ConnectionID)(unsafe.Pointer(&v.client_initial_dcid))
}

// CloseError says why the connection ended: a *TransportError or
// *ApplicationError that the peer sent, ErrStatelessReset, ErrIdleTimeout or
// ErrHandshakeTimeout. nil = it has not ended, or this side ended it
// (ngtcp2_conn_get_ccerr).
func (c *Conn) CloseError() error {
	if c.state&stateStatelessReset != 0 {
		return ErrStatelessReset
	}
	if c.close != nil || c.c == nil {
		return c.close
	}
	if c.InDrainingPeriod() {
		c.close = c.peerClose()
	}
	return c.close
}

// peerClose reads the peer's CONNECTION_CLOSE.
func (c *Conn) peerClose() error {
	var e C.shim_ccerr
	C.shim_conn_ccerr(c.c, &e)
	reason := C.GoStringN((*C.char)(unsafe.Pointer(e.reason)), C.int(e.reasonlen))
	if CloseKind(e.kind) == CloseApplication {
		return &ApplicationError{Code: uint64(e.code), Reason: reason}
	}
	return &TransportError{Code: uint64(e.code), FrameType: uint64(e.frame_type), Reason: reason}
}
