package endpoint

import (
	"errors"

	"github.com/ngmq/ngmq/crypto"
	"github.com/ngmq/ngmq/ngtcp2"
)

// DialConfig describes a connection of the client role.
type DialConfig struct {
	// TLS is a context of the client role. Needed; it stays the caller's.
	TLS *crypto.Context
	// ServerName is the name to ask for (SNI) and to verify. Default: the host
	// of the address.
	ServerName string
	// Handler gets the connection's callbacks. Needed.
	Handler ConnHandler
	// Datagrams, when set, gets the datagrams of a DialConn (Config.MaxDatagram turns them
	// on); without it the server is told to send none. With Dial it has no effect: there
	// Handler implements DatagramHandler. When it has a method OnFlush as ConnHandler does,
	// that is called too, before the stream's data: the place for what SendDatagram had no
	// room for.
	Datagrams DatagramHandler
	// Settings, when set, changes what Config made of the defaults, for this connection. It
	// is called on the worker.
	Settings func(*ngtcp2.Settings)
	// Ready, when set, is called on the worker when the handshake has completed, or
	// before it begins when early data can be sent, and before any method of Handler:
	// the place to open streams.
	Ready func(*Conn)
	// Token is what OnToken got from an earlier connection to the same server:
	// it may spare a Retry. Use each token once (RFC 9000 section 8.1.3).
	Token []byte
	// OnToken, when set, is called on the worker with a token for the next
	// connection, which is the callee's to keep.
	OnToken func([]byte)
	// Session is what OnSession got from an earlier connection to the same server, with
	// the same ALPN: its handshake is resumed if the server agrees (TLS().Resumed).
	// One of another Version is left aside. ngtcp2.ErrSessionInvalid: it cannot be
	// used with TLS; dial without it.
	Session []byte
	// OnSession, when set, is called on the worker with a session for a later
	// connection, which is the callee's to keep, like a password. It comes after the
	// handshake, more than once perhaps: the last one is the best.
	OnSession func([]byte)
	// EarlyData lets the application send with the first flight (0-RTT) when the
	// server has allowed it with Session: Ready is called, and Dial returns, before
	// the handshake; if it fails after that, OnClosed tells. If the server rejects the
	// early data, or speaks another version only, all that was done on streams is done
	// again, with the same ids; datagrams are reported lost. An attacker can have the
	// server see such data more than once: send what may happen twice. Of addr's
	// addresses Dial tries the first only. Conn.EarlyData tells the outcome. Default
	// off.
	EarlyData bool
	// IgnorePreferredAddr stays at the address that was dialled. Default: follow the
	// server to its preferred address of the same family once the handshake is
	// confirmed, if that address answers (RFC 9000 section 9.6; see
	// ngtcp2.PreferredAddrFollow for those that are refused).
	IgnorePreferredAddr bool
	// Version is the QUIC version of the first packet; 0 = the first of Config.Versions.
	Version uint32

	noDatagrams bool        // none are taken
	addr        string      // that Dial was called with
	claim       func() bool // of several attempts, only the one that gets true lives
}

// dialing is what a client's connection needs until its handshake has ended.
type dialing struct {
	cfg   DialConfig
	ended func(error)

	server   []uint32 // of its Version Negotiation packet
	original uint32   // version of the first attempt, in the second one
}

// attempt is the dial that may begin again; nil when there is none.
func (c *Conn) attempt() *dialing {
	if c.early != nil && c.dial == nil {
		return c.early.dial
	}
	return c.dial
}

// complete hands a connection whose handshake is complete to the application.
func (d *dialing) complete(c *Conn) {
	if d.cfg.claim != nil && !d.cfg.claim() {
		c.Close(0, "")
		d.end(nil)
		return
	}
	c.setHandler(d.cfg.Handler)
	if d.cfg.Ready != nil {
		d.cfg.Ready(c)
	}
	d.ended(nil)
}

// end reports a handshake that did not complete.
func (d *dialing) end(cause error) {
	if cause == nil {
		cause = ErrClosed
	}
	d.ended(cause)
}

// Validate returns everything that is wrong with d, joined.
func (d *DialConfig) Validate() error {
	var errs []error
	if d.TLS == nil || d.TLS.Role() != crypto.Client {
		errs = append(errs, errors.New("endpoint: DialConfig.TLS: set a crypto.Context of the client role"))
	}
	if d.Handler == nil {
		errs = append(errs, errors.New("endpoint: DialConfig.Handler: set it"))
	}
	return errors.Join(errs...)
}

func (d *DialConfig) preferredAddr() ngtcp2.PreferredAddrPolicy {
	if d.IgnorePreferredAddr {
		return ngtcp2.PreferredAddrIgnore
	}
	return ngtcp2.PreferredAddrFollow
}

// Connect starts a connection to path.Remote. ended is called on the worker once:
// with nil when the handshake has completed, or may be awaited with early data; with
// the reason when it can not.
func (c *Core) Connect(path ngtcp2.Path, cfg DialConfig, now ngtcp2.Timestamp, ended func(error)) (*Conn, error) {
	c.now = now
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if c.ending || c.shared.conns.Load() >= int64(c.cfg.MaxConns) {
		return nil, errors.Join(ErrClosed, errors.New("endpoint: no more connections: Shutdown or Config.MaxConns"))
	}
	if cfg.Version == 0 {
		cfg.Version = c.cfg.Versions[0]
	}
	d := &dialing{cfg: cfg, ended: ended}
	nc, scid, record, err := c.newClient(path, d)
	if err != nil {
		return nil, err
	}
	conn := c.adopt(nc, false, path)
	conn.recordID = record
	conn.onToken, conn.onSession = cfg.OnToken, cfg.OnSession
	if nc.CanSendEarlyData() {
		conn.early, conn.earlyState = newEarlyLog(), EarlyPending
	}
	conn.dial = d
	c.table.add(scid, conn)
	c.stats.inc(Dialed)
	c.markDirty(conn)
	return conn, nil
}

// newClient makes the transport of a dial; the second one of a dial, after Version
// Negotiation, has neither token nor early data.
func (c *Core) newClient(path ngtcp2.Path, d *dialing) (nc *ngtcp2.Conn, scid ngtcp2.ConnectionID, record uint64, err error) {
	settings, params, cfg := c.cfg.settings(c.now), c.cfg.params(), &d.cfg
	if cfg.Settings != nil {
		cfg.Settings(&settings)
		settings.InitialTS = c.now
	}
	if cfg.noDatagrams {
		params.MaxDatagramFrameSize = 0
	}
	settings.Token = cfg.Token
	if d.original != 0 {
		settings.Token, settings.OriginalVersion, settings.PreferredVersions = nil, d.original, c.cfg.Versions
	}
	dcid := randomCID()
	scid = c.newCID()
	record = c.startRecord(&settings, QlogInfo{ODCID: dcid, Remote: path.Remote})
	cc := ngtcp2.ConnConfig{
		DCID: dcid, SCID: scid, Path: path, Version: cfg.Version,
		Settings: &settings, Params: &params, TLS: cfg.TLS, ServerName: cfg.ServerName,
		Session: cfg.Session, EarlyData: cfg.EarlyData && d.original == 0,
		Events: c.events, ResetSecret: c.cfg.ResetSecret, PreferredAddr: cfg.preferredAddr(),
	}
	c.issue(&cc)
	nc, err = ngtcp2.NewClientConn(cc)
	if err != nil {
		c.endRecord(record)
	}
	return nc, scid, record, err
}
