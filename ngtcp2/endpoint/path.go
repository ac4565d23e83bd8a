package endpoint

import (
	"errors"
	"fmt"

	"github.com/ngmq/ngmq/ngtcp2"
)

// PathHandler is what a ConnHandler implements too if it wants to know about
// paths. Its methods are called on the worker, like those of ConnHandler.
type PathHandler interface {
	// OnPathChanged: packets go over to, no longer over from. The reason is a
	// migration of either side, a NAT that gave the peer another address, or the
	// server's preferred address (RFC 9000 section 9). A path that a peer went to
	// by itself is not validated yet; when that fails another call leads back.
	OnPathChanged(from, to ngtcp2.Path)
	// OnPathFailed: p answered no PATH_CHALLENGE in time (RFC 9000 section 8.2.4).
	OnPathFailed(p ngtcp2.Path)
}

// Errors of Conn.Migrate and Conn.StartMigration. ngtcp2.ErrConnIDBlocked is one
// too: the peer has given no unused Connection ID; it usually does within a round
// trip after a migration, but has to wait three PTOs for the old one to retire. The
// attempt sends a PING, so that a peer that lost track of this client finds it.
var (
	// ErrNotClient: only clients migrate (RFC 9000 section 9).
	ErrNotClient = errors.New("endpoint: only a client can migrate")
	// ErrNotConfirmed: the handshake is not confirmed yet (RFC 9000 section 9).
	ErrNotConfirmed = errors.New("endpoint: no migration before the handshake is confirmed")
	// ErrMigrationDisabled: the peer sent disable_active_migration.
	ErrMigrationDisabled = errors.New("endpoint: the peer forbids migration")
	// ErrPathFailed: the new path carried no answer; the old one is kept.
	ErrPathFailed = errors.New("endpoint: path validation failed")
	// ErrMigrationReplaced: another migration began before this one was done.
	ErrMigrationReplaced = errors.New("endpoint: another migration began")
)

// followPath notices a change of the path in use. Call it after whatever may have
// changed it.
func (c *Conn) followPath() {
	from, to := *c.path.Load(), c.nc.Path()
	if from == to {
		return
	}
	c.needProof()
	c.path.Store(&to)
	c.core.stats.inc(PathChanges)
	c.migration.releaseLocals(c)
	if h, ok := c.app().(PathHandler); ok {
		h.OnPathChanged(from, to)
	}
}

// pathValidated reports the outcome of a validation.
func (c *Conn) pathValidated(p ngtcp2.Path, flags ngtcp2.EventFlags) {
	if v := c.needProof(); v.validating == p {
		v.validating = ngtcp2.Path{}
	}
	c.followPath()
	switch {
	case flags&ngtcp2.FlagFailed != 0:
		c.core.stats.inc(PathsFailed)
		c.migration.settle(c, p, fmt.Errorf("%v: %w", p, ErrPathFailed))
		if h, ok := c.app().(PathHandler); ok {
			h.OnPathFailed(p)
		}
	case flags&ngtcp2.FlagAborted != 0:
		c.migration.settle(c, p, ErrMigrationReplaced)
	default:
		if flags&ngtcp2.FlagNewToken != 0 {
			c.core.giveToken(c)
		}
		c.migration.settle(c, p, nil)
	}
}
