package endpoint

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/ngmq/ngmq/ngtcp2"
)

const (
	// minInitial is the least size of a datagram with a client's Initial, and
	// of one that is answered with Version Negotiation (RFC 9000 section 14.1).
	minInitial = 1200
	// sameFlight is how long datagrams of one client count as one flight: far below
	// the first probe timeout, after which a lost Retry is asked for again.
	sameFlight = 100 * time.Millisecond
	// newTokenTimeout is how long a token from NEW_TOKEN is good for.
	newTokenTimeout = 24 * time.Hour
	// maxNewTokens is how many a connection gets, one per address that it comes
	// from: they wait in memory for a client that acknowledges nothing.
	maxNewTokens = 16
	// resetMin and resetMax are the sizes of a stateless reset (RFC 9000
	// section 10.3): it must be smaller than what it answers.
	resetMin, resetMax = 21, 43
	// replyMax is room for a packet that is written without a connection.
	replyMax = 1500
)

// validation is what a token proved about a client's address.
type validation struct {
	odcid     ngtcp2.ConnectionID // DCID of the client's first Initial
	proven    bool                // the address is the client's
	retried   bool                // it answered our Retry
	tokenType ngtcp2.TokenType
}

// accept handles a long header packet that belongs to no connection.
func (c *Core) accept(d *datagram, v ngtcp2.VersionCID) {
	if longType(d.bytes()) == typeEarly {
		c.strayEarly(d, v)
		return
	}
	h, err := ngtcp2.Accept(d.bytes())
	if err != nil && !errors.Is(err, ngtcp2.ErrRetry) || d.at.Len < minInitial {
		c.stats.inc(DropNotInitial)
		return
	}
	if c.ending {
		c.stats.inc(DropShutdown)
		return
	}
	if !slices.Contains(c.cfg.Versions, h.Version) {
		c.negotiateVersion(d, v)
		return
	}
	val, ok := c.validate(d, &h)
	switch {
	case !ok:
		c.refuse(d, &h, ngtcp2.InvalidToken)
	case !val.proven && (err != nil || c.wantRetry()):
		c.retry(d, &h)
	case c.full():
		c.refuse(d, &h, ngtcp2.ConnectionRefused)
	default:
		c.newServerConn(d, &h, val)
	}
}

// validate checks the token of an Initial. ok is false only for a Retry token of
// ours that does not fit (RFC 9000 section 8.1.2); other useless tokens count
// as absent.
func (c *Core) validate(d *datagram, h *ngtcp2.PktHeader) (val validation, ok bool) {
	if ngtcp2.IsRetryToken(h.Token) {
		odcid, err := ngtcp2.VerifyRetryToken(h.Token, c.cfg.TokenSecret, ngtcp2.RetryToken{
			Version: h.Version, Remote: d.path.Remote, RetrySCID: h.DCID,
		}, c.cfg.HandshakeTimeout, c.now)
		switch {
		case err == nil:
			return validation{odcid: odcid, proven: true, retried: true, tokenType: ngtcp2.TokenRetry}, true
		case errors.Is(err, ngtcp2.ErrTokenInvalid):
			return validation{}, false
		}
	}
	val = validation{odcid: h.DCID}
	if ngtcp2.IsToken(h.Token) {
		err := ngtcp2.VerifyToken(h.Token, c.cfg.TokenSecret, d.path.Remote, newTokenTimeout, c.wallClock())
		val.proven, val.tokenType = err == nil, ngtcp2.TokenNewToken
	}
	return val, true
}

// wallClock is the time for tokens that may outlive the process.
func (c *Core) wallClock() ngtcp2.Timestamp { return c.now + c.wallOffset }

// giveToken sends the client a token for its next connection.
func (c *Core) giveToken(conn *Conn) {
	if !conn.server || c.cfg.Retry == RetryNever || conn.given >= maxNewTokens {
		return
	}
	conn.given++
	token, err := ngtcp2.GenerateToken(c.cfg.TokenSecret, conn.Path().Remote, c.wallClock())
	if err == nil {
		_ = conn.nc.SubmitNewToken(token) // a courtesy: the connection needs it not
	}
}

func (c *Core) wantRetry() bool {
	switch c.cfg.Retry {
	case RetryAlways:
		return true
	case RetryAuto:
		return c.shared.handshakes.Load() > int64(c.cfg.MaxHandshakes/2)
	}
	return false
}

func (c *Core) full() bool {
	return c.shared.conns.Load() >= int64(c.cfg.MaxConns) ||
		c.shared.handshakes.Load() >= int64(c.cfg.MaxHandshakes)
}

// newServerConn makes a connection and gives it its first datagram.
func (c *Core) newServerConn(d *datagram, h *ngtcp2.PktHeader, val validation) {
	settings, params := c.cfg.settings(c.now), c.cfg.params()
	params.OriginalDCID, params.OriginalDCIDPresent = val.odcid, true
	preferred, prefers := c.preferAddr(&params, d.path.Local)
	if val.retried {
		params.RetrySCID, params.RetrySCIDPresent = h.DCID, true
	}
	if val.proven {
		settings.Token, settings.TokenType = h.Token, val.tokenType
	}
	scid := c.newCID()
	record := c.startRecord(&settings, QlogInfo{ODCID: val.odcid, Server: true, Remote: d.path.Remote})
	cc := ngtcp2.ConnConfig{
		DCID: h.SCID, SCID: scid, Path: d.path, Version: h.Version,
		Settings: &settings, Params: &params, TLS: c.cfg.TLS, Events: c.events,
		ResetSecret: c.cfg.ResetSecret, RejectEarlyData: !c.cfg.EarlyData,
	}
	c.issue(&cc)
	nc, err := ngtcp2.NewServerConn(cc)
	if err != nil {
		c.endRecord(record)
		c.cfg.Logger.Error("endpoint: a connection could not be made", "err", err)
		c.refuse(d, h, ngtcp2.InternalError)
		return
	}
	conn := c.adopt(nc, true, d.path)
	conn.initialDCID, conn.recordID = h.DCID, record
	conn.half = &halfOpen{proven: val.proven}
	c.table.add(h.DCID, conn)
	c.supersede(conn, val)
	c.table.add(scid, conn)
	if prefers {
		c.table.add(preferred, conn)
	}
	c.shared.handshakes.Add(1)
	c.stats.inc(Accepted)
	run := [1]ngtcp2.Datagram{d.at}
	again := c.read(conn, d.path, d.buf, run[:])
	if again && !val.proven && !c.keepAhead(h.DCID, d.path, d.buf, d.at) {
		c.retry(d, h)
	}
}

// noBeginning: the first datagram that arrived of a client holds no beginning of a
// ClientHello, and the connection is dropped. Another datagram has overtaken that, or it
// was lost: then a Retry makes the client send all again. Some clients would only go on
// to send PINGs, which nobody acknowledges: OpenSSL's. Datagrams that are no packets
// stay unanswered.
func noBeginning(nc *ngtcp2.Conn, err error) bool {
	return errors.Is(err, ngtcp2.ErrRetry) ||
		errors.Is(err, ngtcp2.ErrDropConn) && nc.Info().PktDiscarded == 0
}

// adopt makes the Go side of nc.
func (c *Core) adopt(nc *ngtcp2.Conn, server bool, path ngtcp2.Path) *Conn {
	conn := &Conn{core: c, nc: nc, server: server, handshaking: true}
	conn.path.Store(&path)
	c.live.Add(1)
	c.shared.conns.Add(1)
	return conn
}

// negotiateVersion answers a packet of an unsupported version (RFC 9000 6.1).
func (c *Core) negotiateVersion(d *datagram, v ngtcp2.VersionCID) {
	if c.cfg.TLS == nil || d.at.Len < minInitial {
		c.stats.inc(DropMalformed)
		return
	}
	c.reply(d, &c.limits.versions, VersionNegotiations, func(dst []byte) (int, error) {
		return ngtcp2.WriteVersionNegotiation(dst, uint8(rand.Uint32()), v, c.cfg.Versions)
	})
}

// retry asks the client to prove its address (RFC 9000 section 8.1.2).
func (c *Core) retry(d *datagram, h *ngtcp2.PktHeader) {
	if c.retried.again(d.path.Remote, h.DCID, c.now) {
		c.stats.inc(DropRepeated)
		return
	}
	c.reply(d, &c.limits.retries, Retries, func(dst []byte) (int, error) {
		scid := c.newCID()
		token, err := ngtcp2.GenerateRetryToken(c.cfg.TokenSecret, ngtcp2.RetryToken{
			Version: h.Version, Remote: d.path.Remote, RetrySCID: scid, ODCID: h.DCID,
		}, c.now)
		if err != nil {
			return 0, err
		}
		return ngtcp2.WriteRetry(dst, ngtcp2.Retry{
			Version: h.Version, DCID: h.SCID, SCID: scid, ODCID: h.DCID, Token: token,
		})
	})
}

// lastRetry is what the last Retry answered.
type lastRetry struct {
	remote netip.AddrPort
	dcid   ngtcp2.ConnectionID
	at     ngtcp2.Timestamp
}

// again reports whether a datagram belongs to the flight that was answered last: a
// ClientHello often takes two datagrams, and the client would drop a second Retry
// (RFC 9000 section 17.2.5.2).
func (l *lastRetry) again(remote netip.AddrPort, dcid ngtcp2.ConnectionID, now ngtcp2.Timestamp) bool {
	if l.remote == remote && l.dcid == dcid && now < l.at.Add(sameFlight) {
		return true
	}
	*l = lastRetry{remote, dcid, now}
	return false
}

// refuse answers an Initial with CONNECTION_CLOSE.
func (c *Core) refuse(d *datagram, h *ngtcp2.PktHeader, code uint64) {
	c.reply(d, &c.limits.refusals, Refused, func(dst []byte) (int, error) {
		return ngtcp2.WriteConnectionCloseInitial(dst, ngtcp2.InitialClose{
			Version: h.Version, DCID: h.SCID, SCID: h.DCID, Code: code,
		})
	})
}

// resetStateless tells a peer that its connection is unknown here (RFC 9000
// section 10.3).
func (c *Core) resetStateless(d *datagram, dcid []byte) {
	size := min(int(d.at.Len)-1, resetMax)
	id, err := ngtcp2.NewConnectionID(dcid)
	if size < resetMin || err != nil {
		c.stats.inc(DropUnknownCID)
		return
	}
	c.reply(d, &c.limits.resets, StatelessResets, func(dst []byte) (int, error) {
		token, err := ngtcp2.GenerateStatelessResetToken(c.cfg.ResetSecret, id)
		if err != nil {
			return 0, err
		}
		return ngtcp2.WriteStatelessReset(dst[:size], token)
	})
}

// reply sends what write makes back along d's path, if the rate allows.
func (c *Core) reply(d *datagram, l *limiter, what Counter, write func(dst []byte) (int, error)) {
	if !l.allow(c.now) {
		c.stats.inc(DropRateLimited)
		return
	}
	dst := c.tx.space()
	if len(dst) < replyMax {
		c.stats.inc(DropNoBuffer)
		return
	}
	n, err := write(dst[:replyMax])
	if err != nil || n == 0 {
		c.stats.inc(DropMalformed)
		return
	}
	c.send(Transmit{Local: d.path.Local, Remote: d.path.Remote, Len: n, SegmentSize: n})
	c.stats.inc(what)
}
