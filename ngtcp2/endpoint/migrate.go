package endpoint

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/ngmq/ngmq/ngtcp2"
)

// Migration says where a client's connection is to go.
type Migration struct {
	// Local is the new local address. With port 0 the system chooses the port.
	// The zero value is a new port at the address that the system routes from
	// now. (A Core without an Endpoint needs an address and a port that its
	// driver can send from.)
	Local netip.AddrPort
	// Immediate sends over the new path at once instead of validating it first:
	// for when the old network is gone.
	Immediate bool
}

// migration is what a connection that has ever migrated keeps.
type migration struct {
	wanted    *Migration // to be started by the next flush
	path      ngtcp2.Path
	ended     func(error) // nil when none is under way
	validated bool        // path needs no validation
	locals    []netip.AddrPort
}

// Migrate moves the connection of a client to another local address and returns
// when the new path is validated and in use, or when that failed: the connection
// then stays where it was (an Immediate one stays at the new path). When ctx ends
// first, the attempt goes on without the caller. Call it from any goroutine but
// the connection's worker, where StartMigration is for (RFC 9000 section 9).
//
// In an Endpoint a migration opens a socket of its own for the connection. It is
// closed three PTOs after the connection has left it.
func (c *Conn) Migrate(ctx context.Context, m Migration) error {
	ended := make(chan error, 1)
	c.Post(func() { c.StartMigration(m, func(err error) { ended <- err }) })
	select {
	case err := <-ended:
		return err
	case <-c.core.shared.done:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// StartMigration begins what Migrate does. ended is called once on the worker:
// with nil when the new path is validated and in use, otherwise with the reason;
// it may be called before StartMigration returns.
func (c *Conn) StartMigration(m Migration, ended func(error)) {
	if err := c.mayMigrate(); err != nil {
		ended(err)
		return
	}
	if c.migration == nil {
		c.migration = &migration{}
	}
	replaced := c.migration.ended
	c.migration.wanted, c.migration.ended = &m, ended
	c.MarkDirty() // the flush starts it: no events are being handled then
	if replaced != nil {
		replaced(ErrMigrationReplaced)
	}
}

func (c *Conn) mayMigrate() error {
	switch {
	case c.Closed():
		return ErrClosed
	case c.server:
		return ErrNotClient
	case !c.nc.HandshakeConfirmed():
		return ErrNotConfirmed
	}
	if p, ok := c.nc.RemoteTransportParams(); ok && p.DisableActiveMigration {
		return ErrMigrationDisabled
	}
	return nil
}

// startMigration starts what StartMigration left.
func (c *Core) startMigration(conn *Conn) {
	m := conn.migration
	want := *m.wanted
	m.wanted = nil
	remote := conn.path.Load().Remote
	local, err := c.localAddr(m, want.Local, remote)
	if err != nil {
		m.finish(fmt.Errorf("endpoint: Migrate to %v: %w", want.Local, err))
		m.releaseLocals(conn) // of one that this one replaced
		return
	}
	m.path, m.validated = ngtcp2.Path{Local: local, Remote: remote}, true
	begin := conn.nc.InitiateMigration
	if want.Immediate {
		begin = conn.nc.InitiateImmediateMigration
	}
	err = begin(m.path, c.now)
	c.drain(conn) // a validation that begins takes validated back
	if err != nil {
		m.finish(fmt.Errorf("endpoint: Migrate to %v: %w", local, err))
		c.failMigration(conn, err)
		if errors.Is(err, ngtcp2.ErrConnIDBlocked) {
			conn.ping()
		}
		return
	}
	conn.followPath()
	if m.validated {
		m.settle(conn, m.path, nil)
	}
}

// ping has the write of this flush send a PING, unless the peer owes an acknowledgement
// anyway. A client that waits for Connection IDs may be behind a NAT that has given it
// another address: what the server sends, those IDs too, reaches it only when the server
// has heard from there.
func (c *Conn) ping() {
	if c.nc != nil && c.nc.Info().BytesInFlight == 0 {
		c.pinging = true
		c.nc.SetKeepAliveTimeout(1)
	}
}

// pinged sets the keep-alive time as it was.
func (c *Conn) pinged() {
	if c.pinging {
		c.pinging = false
		c.nc.SetKeepAliveTimeout(c.keepAlive)
	}
}

// failMigration undoes a migration that could not begin.
func (c *Core) failMigration(conn *Conn, err error) {
	var e *ngtcp2.Error
	if errors.As(err, &e) && e.Class != ngtcp2.Transitional {
		c.fail(conn, err)
		return
	}
	conn.migration.releaseLocals(conn)
}

// localAddr is the address to migrate to; in an Endpoint it opens the socket.
func (c *Core) localAddr(m *migration, local, remote netip.AddrPort) (netip.AddrPort, error) {
	if c.openLocal == nil {
		if !local.IsValid() || local.Port() == 0 {
			return local, errors.New("Migration.Local: a Core needs an address and a port")
		}
		return local, nil
	}
	local, err := c.openLocal(local, remote)
	if err == nil {
		m.locals = append(m.locals, local)
	}
	return local, err
}

// begun notes that p is being validated.
func (m *migration) begun(p ngtcp2.Path) {
	if m != nil && m.path == p {
		m.validated = false
	}
}

// settle ends the migration to p. It may be nil.
func (m *migration) settle(c *Conn, p ngtcp2.Path, err error) {
	if m == nil || m.path != p || m.wanted != nil {
		return
	}
	m.finish(err)
	m.releaseLocals(c)
}

// finish reports the migration under way, if any. It may be nil.
func (m *migration) finish(err error) {
	if m == nil || m.ended == nil {
		return
	}
	ended := m.ended
	m.ended, m.wanted = nil, nil
	ended(err)
}

// releaseLocals gives up the local addresses that are neither in use nor to be
// used, after the time in which the peer may still send there. It may be nil.
func (m *migration) releaseLocals(c *Conn) {
	if m == nil || len(m.locals) == 0 {
		return
	}
	at := c.core.now.Add(closePTOs * c.nc.PTO())
	used := c.path.Load().Local
	m.locals = slices.DeleteFunc(m.locals, func(l netip.AddrPort) bool {
		if l == used || m.ended != nil && l == m.path.Local {
			return false
		}
		c.core.closeLocal(l, at)
		return true
	})
}

// end gives up everything at the end of a connection. It may be nil.
func (m *migration) end(c *Core) {
	if m == nil {
		return
	}
	for _, l := range m.locals {
		c.closeLocal(l, c.now)
	}
	m.locals = nil
}
