package endpoint

import (
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/ngmq/ngmq/crypto"
	"github.com/ngmq/ngmq/ngtcp2"
)

// Handler is the application of the server role.
type Handler interface {
	// OnConn is called on the owning worker when a handshake has completed, or, with
	// Config.EarlyData, when early data has arrived before that: see
	// Conn.HandshakeCompleted. It returns the connection's handler, never nil. It may
	// close the connection, open streams and read TLS.
	OnConn(*Conn) ConnHandler
}

// ConnHandler is the application of one connection. It may implement DatagramHandler
// and HandshakeHandler too; that is looked up once. All methods are called on
// the connection's worker; none may block: everything else on that worker waits.
type ConnHandler interface {
	// OnStreamOpen: the peer opened s. Refuse it with s.Refuse.
	OnStreamOpen(s *Stream)
	// OnStreamData: data (may be empty with fin) arrived in order; it is valid
	// during the call. fin: the peer has finished. Give the credit back with
	// s.Consume, now or later.
	OnStreamData(s *Stream, data []byte, fin bool)
	// OnStreamReset: the peer abandoned its side of s (RESET_STREAM).
	OnStreamReset(s *Stream, code uint64)
	// OnStopSending: the peer wants no more of this side's data on s; it has
	// been reset and what was queued is released. Before ngtcp2 1.24 the next
	// write notices it, with code 0 (ngtcp2.ReportsStopSending).
	OnStopSending(s *Stream, code uint64)
	// OnStreamClosed: both sides of s are finished. s is not used afterwards.
	OnStreamClosed(s *Stream)
	// OnFlush: the connection is about to be written; move queued output into
	// streams now. Called when it was marked dirty: by Wake, MarkDirty, arriving
	// datagrams or acknowledgements.
	OnFlush()
	// OnClosed is the last call, of every handler that OnConn returned or that
	// Ready was called for; Conn and Streams are dead. err says why: nil =
	// this side's Close; *ngtcp2.ApplicationError or *ngtcp2.TransportError =
	// the peer's; ngtcp2.ErrIdleTimeout, ngtcp2.ErrHandshakeTimeout,
	// ngtcp2.ErrStatelessReset; *ngtcp2.Error = a fault found on this side;
	// ErrClosed = cut off by the end of Endpoint.Shutdown.
	OnClosed(err error)
}

// Conn is one QUIC connection. Methods marked (any) may be called from any
// goroutine, all others on its worker only: inside ConnHandler methods or Post.
type Conn struct {
	core    *Core
	nc      *ngtcp2.Conn // nil when closing, draining or gone
	handler ConnHandler
	dial    *dialing     // client: until the handshake has ended
	onToken func([]byte) // client: DialConfig.OnToken

	datagramHandler DatagramHandler // the handler again, nil when it is none
	onSession       func([]byte)    // client: DialConfig.OnSession
	early           *earlyLog       // client: until early data is accepted or repeated

	server      bool
	completed   bool // the handshake
	earlyState  EarlyState
	handshaking bool
	dirty       bool
	lingering   bool  // counted in Core.closed
	started     bool  // the first stream has been used
	pinging     bool  // the keep-alive time is cut short for one write
	given       uint8 // NEW_TOKEN frames
	woken       atomic.Bool

	nextDirty, nextWoken *Conn
	timer                timerKey
	closing              *closing

	keepAlive time.Duration // 0: off

	pending  []ngtcp2.StreamChunk // chunks for the next WritePkts; nil when idle
	buffered int                  // bytes of all streams not yet acknowledged
	first    Stream               // the first stream ever, in most cases the only one
	others   map[int64]*Stream    // all further ones

	half        *halfOpen                    // server: until the handshake is complete
	initialDCID ngtcp2.ConnectionID          // server: the client's first choice
	tokens      []ngtcp2.StatelessResetToken // of the peer's CIDs in use
	path        atomic.Pointer[ngtcp2.Path]
	migration   *migration // nil before the first one
	proof       *proof     // nil before the path has changed
	recordID    uint64     // in Core.records; 0: not recorded
}

// Wake asks the worker to mark the connection dirty, which leads to OnFlush and
// a write (any). It never blocks and never allocates; calls are coalesced.
func (c *Conn) Wake() { c.core.inbox.wake(c) }

// Post runs f on the connection's worker (any). It allocates: for control, not
// for data. f may find the connection closed. When the Endpoint has ended f may
// never run.
func (c *Conn) Post(f func()) { c.core.inbox.post(f) }

// MarkDirty has OnFlush called and the connection written in this turn.
func (c *Conn) MarkDirty() { c.core.markDirty(c) }

// Close ends the connection now with an application error code (RFC 9000
// section 20.2): queued data is dropped. OnClosed follows, no other callback.
func (c *Conn) Close(code uint64, reason string) {
	c.beginClose(closing{close: ngtcp2.ApplicationClose(code, reason)})
}

// CloseAfterFlush ends the connection when everything written has been
// acknowledged, or after Config.CloseTimeout: last data, then FIN in a frame of
// its own on every stream, then CONNECTION_CLOSE. Until then nothing more is
// read and OnFlush is not called. OnClosed follows.
func (c *Conn) CloseAfterFlush(code uint64, reason string) {
	c.beginClose(closing{graceful: true, graceBy: c.core.now.Add(c.core.cfg.CloseTimeout),
		close: ngtcp2.ApplicationClose(code, reason)})
}

// Closed reports whether the connection has ended or is about to.
func (c *Conn) Closed() bool { return c.nc == nil || c.closing != nil }

// OpenStream opens a bidirectional stream. ngtcp2.ErrStreamIDBlocked: the peer
// allows no more now.
func (c *Conn) OpenStream() (*Stream, error) { return c.open(bidi) }

// OpenUniStream opens a unidirectional stream for sending.
func (c *Conn) OpenUniStream() (*Stream, error) { return c.open(uni) }

func (c *Conn) open(kind int) (*Stream, error) {
	switch {
	case c.Closed():
		return nil, ErrClosed
	case c.early.blocked(kind):
		return nil, ngtcp2.ErrStreamIDBlocked
	}
	id, err := openers[kind](c.nc)
	if err != nil {
		return nil, err
	}
	s := c.addStream(id)
	if c.early != nil {
		c.early.opened(s)
	}
	return s, nil
}

// RemoteAddr is the peer's address; it changes when the peer migrates (any).
func (c *Conn) RemoteAddr() net.Addr { return udpAddr(c.path.Load().Remote) }

// LocalAddr is the address that the peer reached (any).
func (c *Conn) LocalAddr() net.Addr { return udpAddr(c.path.Load().Local) }

// Path is both addresses (any).
func (c *Conn) Path() ngtcp2.Path { return *c.path.Load() }

func udpAddr(a netip.AddrPort) net.Addr { return net.UDPAddrFromAddrPort(a) }

// Server reports whether this is the server's side (any).
func (c *Conn) Server() bool { return c.server }

// Worker is the number of the worker that owns the connection, from 0 (any).
func (c *Conn) Worker() int { return c.core.worker }

// SetKeepAlive sends a PING after d of silence; 0 = never.
func (c *Conn) SetKeepAlive(d time.Duration) {
	if c.nc != nil {
		c.keepAlive = d
		c.nc.SetKeepAliveTimeout(d)
		c.core.rearm(c)
	}
}

// IdleTimeout is the time of silence after which the connection ends: the
// smaller one of both sides' limits; 0 = never or not yet known.
func (c *Conn) IdleTimeout() time.Duration {
	if c.nc == nil {
		return 0
	}
	local, _ := c.nc.LocalTransportParams()
	remote, ok := c.nc.RemoteTransportParams()
	switch {
	case !ok:
		return 0
	case local.MaxIdleTimeout == 0:
		return remote.MaxIdleTimeout
	case remote.MaxIdleTimeout == 0:
		return local.MaxIdleTimeout
	}
	return min(local.MaxIdleTimeout, remote.MaxIdleTimeout)
}

// Info is the transport's statistics (ngtcp2_conn_info); zero when closed.
func (c *Conn) Info() ngtcp2.ConnInfo {
	if c.nc == nil {
		return ngtcp2.ConnInfo{}
	}
	return c.nc.Info()
}

// Version is the QUIC version in use; 0 when closed.
func (c *Conn) Version() uint32 {
	if c.nc == nil {
		return 0
	}
	return c.nc.NegotiatedVersion()
}

// TLS is what the handshake settled on; zero when closed.
func (c *Conn) TLS() crypto.ConnectionState {
	if c.nc == nil {
		return crypto.ConnectionState{}
	}
	return c.nc.TLSState()
}

// PeerIdentity is the peer's certificate chain and whether it was verified.
func (c *Conn) PeerIdentity() (crypto.Identity, error) {
	if c.nc == nil {
		return crypto.Identity{}, ErrClosed
	}
	return c.nc.PeerIdentity()
}
