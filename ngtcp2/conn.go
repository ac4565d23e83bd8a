package ngtcp2

// #include "shim_api.h"
// #cgo noescape shim_conn_read
// #cgo nocallback shim_conn_read
// #cgo noescape shim_conn_write
// #cgo nocallback shim_conn_write
// #cgo noescape shim_conn_expire
// #cgo nocallback shim_conn_expire
// #cgo noescape shim_conn_write_close
// #cgo nocallback shim_conn_write_close
import "C"

import (
	"time"
	"unsafe"

	"github.com/ngmq/ngmq/crypto"
)

// Limits of one data-path call, so that it stays within tens of microseconds
// (a longer cgo call loses its P to the Go scheduler).
const (
	// MaxReadRun is the number of datagrams that ReadPkts takes at most; more
	// is a caller's error.
	MaxReadRun = 64
	// MaxWritePkts is the number of packets that one WritePkts makes at most.
	MaxWritePkts = 54
)

// ConnConfig is what NewServerConn and NewClientConn need. Everything is copied
// or referenced by the Conn as said below.
type ConnConfig struct {
	// DCID and SCID are those of the packets that this Conn will send. Client:
	// DCID is random (at least MinInitialDCIDLen bytes), SCID is its own choice.
	// Server: DCID is the SCID of the client's Initial, SCID is the server's own
	// choice and never the DCID of the Initial. All CIDs issued later have
	// SCID's length.
	DCID, SCID ConnectionID
	// Path is the path of the first packet.
	Path Path
	// Version is the QUIC version of the first packet. 0 = VersionV1.
	Version uint32
	// Settings; nil = DefaultSettings.
	Settings *Settings
	// Params are the local transport parameters; nil = DefaultTransportParams
	// (a server must set OriginalDCID).
	Params *TransportParams
	// TLS makes the SSL object. Required; it may be shared and reloaded.
	TLS *crypto.Context
	// Session is what EventSession brought a client of the same server and ALPN; it
	// is resumed when the server agrees (crypto.ConnectionState.Resumed). One of
	// another Version is left aside. ErrSessionInvalid: connect without it.
	// Default none.
	Session []byte
	// EarlyData lets a client with a Session open streams and send data before the
	// handshake is complete, when the server's tickets allow it (0-RTT). An attacker
	// can replay such data. crypto.ConnectionState.EarlyData tells that it was
	// accepted, EventEarlyDataRejected that it must be sent again. Default off.
	EarlyData bool
	// RejectEarlyData lets a server turn down the 0-RTT that crypto.Config.EarlyData
	// allows, for this connection and in the tickets that it makes. Default off.
	RejectEarlyData bool
	// PreferredAddr says whether a client follows its server's preferred address;
	// default PreferredAddrIgnore. A server announces one in Params.
	PreferredAddr PreferredAddrPolicy
	// ServerName is the name a client asks for (SNI) and verifies.
	ServerName string
	// Events is the worker's event array. Required; it must outlive the Conn.
	Events *Events
	// CIDPrefix are the first bytes of every CID that this Conn issues later
	// (EventNewCID); the rest is random. It must be shorter than SCID by at
	// least 4 bytes. Default none. (SCID itself is used as given.)
	CIDPrefix []byte
	// GivenCIDs lets this Conn issue the CIDs of Events.GiveCID instead. Give as many as
	// have been taken after each call (Events.GivenCIDs): a Conn that finds none when it
	// has to issue one fails with CodeCallbackFailure. Default off.
	GivenCIDs bool
	// ResetSecret makes the stateless reset tokens of issued CIDs
	// (GenerateStatelessResetToken). 16 to 64 bytes for a server. Empty =
	// random tokens.
	ResetSecret []byte
}

// Conn is one QUIC connection (ngtcp2_conn, its SSL object, its streams' send
// queues). One goroutine at a time may use it, and it shares its Events with
// the other Conns of that goroutine. The owner calls Free.
type Conn struct {
	c      *C.shim_conn
	ev     *Events
	expiry Timestamp
	state  connState
	path   Path        // Go form of cpath
	cpath  C.shim_path // path of the last written packet
	close  error       // why it ended, when known from a call's result
	tls    *tlsCache   // set by ReleaseTLS
	server bool
	early  bool
}

type connState uint32

const (
	stateHandshakeCompleted connState = 1 << iota
	stateHandshakeConfirmed
	stateClosing
	stateDraining
	stateStatelessReset
	stateFailed
	stateClientHello
)

// NewServerConn makes the server side of a connection for a client's first
// Initial packet, which is then given to ReadPkts (ngtcp2_conn_server_new).
func NewServerConn(cfg ConnConfig) (*Conn, error) { return newConn(&cfg, true) }

// NewClientConn makes the client side; the first WritePkts writes the Initial
// packet (ngtcp2_conn_client_new).
func NewClientConn(cfg ConnConfig) (*Conn, error) { return newConn(&cfg, false) }

// Free releases everything, including all references to stream buffers. It
// writes no packet. Calling it twice does nothing (ngtcp2_conn_del).
func (c *Conn) Free() {
	if c.c == nil {
		return
	}
	C.shim_conn_del(c.c)
	c.c = nil
	c.expiry = NoExpiry
}

// Datagram is one UDP payload inside a buffer: base[Off:Off+Len]. It mirrors
// shim_dgram.
type Datagram struct {
	Off, Len uint32
	ECN      ECN
}

// ReadPkts processes up to MaxReadRun datagrams that arrived on path, in one
// call; base is lent for the call. It stops at the first error; the events of
// the datagrams before it (and of the failing one) are in Events and are to be
// processed first. An ErrDraining means that the peer closed: see CloseError.
// Server: ErrRetry asks for a Retry packet, ErrDropConn to forget the Conn.
// It allocates nothing unless it fails (ngtcp2_conn_read_pkt).
func (c *Conn) ReadPkts(path Path, base []byte, run []Datagram, ts Timestamp) error {
	if c.c == nil {
		return ErrFreed
	}
	c.ev.c.len = 0 // also when nothing is read
	if len(run) == 0 {
		return nil
	}
	if !runFits(base, run) {
		return ErrInvalidArgument
	}
	var p C.shim_path
	if err := pathToC(&p, path); err != nil {
		return err
	}
	C.shim_conn_read(c.c, &p, (*C.uint8_t)(unsafe.SliceData(base)),
		(*C.shim_dgram)(unsafe.Pointer(unsafe.SliceData(run))), C.uint32_t(len(run)), C.uint64_t(ts))
	return c.done()
}

// runFits reports whether every datagram of run lies inside base.
func runFits(base []byte, run []Datagram) bool {
	for i := range run {
		if uint64(run[i].Off)+uint64(run[i].Len) > uint64(len(base)) {
			return false
		}
	}
	return len(run) <= MaxReadRun
}

// Written is the outcome of WritePkts.
type Written struct {
	N           int  // bytes in dst; 0 = nothing to send now
	SegmentSize int  // every packet has this size, the last may be shorter
	ECN         ECN  // for all of them
	Path        Path // for all of them
	More        bool // call again: dst, path, size or packet limit ended the run
}

// WritePkts queues chunks on their streams, then fills dst with packets of one
// path and one size. For each chunk it takes over one reference to Buf:
// contiguous chunks of one Buffer are merged, those of streams that no longer
// accept data are released. Streams with data take turns, several share a
// packet. dst should hold several packets (64 KiB is a good size) and at least
// one of Settings.MaxTxUDPPayloadSize; with an empty dst it only queues, and
// leaves Events untouched. Send what was written also when More is set, then
// call again with no chunks. It allocates nothing unless it fails
// (ngtcp2_conn_write_aggregate_pkt2, ngtcp2_conn_update_pkt_tx_time).
func (c *Conn) WritePkts(dst []byte, chunks []StreamChunk, ts Timestamp) (Written, error) {
	if c.c == nil {
		releaseChunks(chunks)
		return Written{}, ErrFreed
	}
	C.shim_conn_write(c.c, (*C.uint8_t)(unsafe.SliceData(dst)), C.size_t(len(dst)),
		(*C.shim_chunk)(unsafe.Pointer(unsafe.SliceData(chunks))), C.uint32_t(len(chunks)), C.uint64_t(ts))
	err := c.done()
	return c.written(), err
}

func releaseChunks(chunks []StreamChunk) {
	for i := range chunks {
		chunks[i].Buf.Release()
	}
}

// written reads the output part of the result area.
func (c *Conn) written() Written {
	r := &c.ev.c.res
	if r.n <= 0 {
		return Written{More: r.more != 0}
	}
	return Written{
		N:           int(r.n),
		SegmentSize: int(r.segment_size),
		ECN:         ECN(r.ecn),
		Path:        c.resultPath(),
		More:        r.more != 0,
	}
}

// resultPath converts the path of the result, with the last one as a cache.
func (c *Conn) resultPath() Path {
	r := &c.ev.c.res
	if c.cpath != r.path {
		c.cpath = r.path
		c.path = pathFromC(&r.path)
	}
	return c.path
}

// HandleExpiry runs the timers that are due; call it when Expiry has passed,
// then WritePkts. ErrIdleTimeout and ErrHandshakeTimeout end the connection
// (ngtcp2_conn_handle_expiry).
func (c *Conn) HandleExpiry(ts Timestamp) error {
	if c.c == nil {
		return ErrFreed
	}
	C.shim_conn_expire(c.c, C.uint64_t(ts))
	return c.done()
}

// Expiry is when HandleExpiry is due, as of the last call; NoExpiry = never. It
// costs no call into C (ngtcp2_conn_get_expiry).
func (c *Conn) Expiry() Timestamp { return c.expiry }

// WriteConnectionClose writes the packet that ends the connection and enters
// the closing period; keep it and answer later packets with it for 3 PTO. dst
// should hold Settings.MaxTxUDPPayloadSize bytes. n is 0 when nothing is to be
// sent: the error is of class Drop, or the connection is closing or draining
// already (ngtcp2_conn_write_connection_close).
func (c *Conn) WriteConnectionClose(dst []byte, cerr ConnectionError, ts Timestamp) (n int, path Path, err error) {
	if c.c == nil {
		return 0, Path{}, ErrFreed
	}
	if cerr.Kind == closeSilent {
		return 0, Path{}, nil
	}
	reason := cutReason(cerr.Reason)
	C.shim_conn_write_close(c.c, (*C.uint8_t)(unsafe.SliceData(dst)), C.size_t(len(dst)),
		C.shim_ccerr{
			kind: C.uint32_t(cerr.Kind), code: C.uint64_t(cerr.Code),
			reason: (*C.uint8_t)(unsafe.StringData(reason)), reasonlen: C.size_t(len(reason)),
		}, C.uint64_t(ts))
	err = c.done()
	w := c.written()
	return w.N, w.Path, err
}

// done reads the result area of the call that just returned.
func (c *Conn) done() error {
	r := &c.ev.c.res
	c.expiry = Timestamp(r.expiry)
	c.state = connState(r.state)
	if r.code == 0 {
		return nil
	}
	return c.failed()
}

// failed makes the error and remembers why the connection ended.
func (c *Conn) failed() error {
	err := c.ev.err()
	if err.Class == Transitional && c.state&stateFailed != 0 {
		err.Class = Fatal // it came from the data path
	}
	switch Code(c.ev.c.res.code) {
	case CodeIdleClose:
		c.close = ErrIdleTimeout
	case CodeHandshakeTimeout:
		c.close = ErrHandshakeTimeout
	}
	return err
}

// HandshakeCompleted reports whether the TLS handshake is complete
// (ngtcp2_conn_get_handshake_completed).
func (c *Conn) HandshakeCompleted() bool { return c.state&stateHandshakeCompleted != 0 }

// ReceivedClientHello reports whether a server has all of the ClientHello: 0-RTT packets
// are of use from then on only (callback recv_tx_key).
func (c *Conn) ReceivedClientHello() bool { return c.state&stateClientHello != 0 }

// HandshakeConfirmed reports whether the handshake is confirmed (RFC 9001
// section 4.1.2).
func (c *Conn) HandshakeConfirmed() bool { return c.state&stateHandshakeConfirmed != 0 }

// InClosingPeriod reports whether this side has written CONNECTION_CLOSE
// (ngtcp2_conn_in_closing_period).
func (c *Conn) InClosingPeriod() bool { return c.state&stateClosing != 0 }

// InDrainingPeriod reports whether the peer has closed
// (ngtcp2_conn_in_draining_period).
func (c *Conn) InDrainingPeriod() bool { return c.state&stateDraining != 0 }

// SetKeepAliveTimeout sends a PING after d of silence; 0 disables it (the
// default) (ngtcp2_conn_set_keep_alive_timeout).
func (c *Conn) SetKeepAliveTimeout(d time.Duration) {
	if c.c == nil {
		return
	}
	C.shim_conn_keep_alive(c.c, C.uint64_t(max(d, 0)))
	c.expiry = Timestamp(c.ev.c.res.expiry)
}
