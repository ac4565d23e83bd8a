package ngtcp2

// #include "shim_api.h"
import "C"

import (
	"fmt"
	"net/netip"
)

// PreferredAddrPolicy says what a client does with the preferred address of its
// server (RFC 9000 section 9.6).
type PreferredAddrPolicy uint8

const (
	// PreferredAddrIgnore stays at the address that the client dialled.
	PreferredAddrIgnore PreferredAddrPolicy = iota
	// PreferredAddrFollow migrates, once the handshake is confirmed, to the
	// preferred address of the family that the path has; without one of that
	// family it stays. EventBeginPathValidation and EventPathValidation with
	// FlagPreferredAddr tell; when the validation fails the path stays. An address
	// of a narrower scope than the server was reached at (loopback, then link-local,
	// then private, then global) is refused, so that no server has a client send
	// to hosts that it can not reach itself (RFC 9000 section 21.5.6), and so is
	// one that is no host's, and an IPv4-mapped one.
	PreferredAddrFollow
)

// InitiateKeyUpdate changes the packet protection keys with the next packet.
// ngtcp2 does so by itself before a limit of the cipher is reached, and answers
// the peer's updates. ErrInvalidState: the handshake is not confirmed, or the last
// update is less than 3 PTO past or not yet acknowledged: try again later. It
// leaves Events alone (ngtcp2_conn_initiate_key_update).
func (c *Conn) InitiateKeyUpdate(ts Timestamp) error {
	if c.c == nil {
		return ErrFreed
	}
	C.shim_conn_update_key(c.c, C.uint64_t(ts))
	return c.done()
}

// InitiateMigration validates path, another local address of a client, and then
// moves the connection to it; until then, and when it fails, the old path carries
// on. The outcome is EventPathValidation. Read and write packets of both paths
// meanwhile: Written.Path tells. It empties Events and may fill them, as WritePkts
// does; call WritePkts next. ErrInvalidState: a server, a handshake that is not
// confirmed, or a peer that forbids migration (DisableActiveMigration).
// ErrConnIDBlocked: the peer has given no unused CID. ErrInvalidArgument: the local
// address is that of the path in use (ngtcp2_conn_initiate_migration).
func (c *Conn) InitiateMigration(path Path, ts Timestamp) error {
	return c.migrate(path, 0, ts)
}

// InitiateImmediateMigration moves the connection to path at once, for when the
// old one is known to be dead, and validates it then. Everything else is as with
// InitiateMigration (ngtcp2_conn_initiate_immediate_migration).
func (c *Conn) InitiateImmediateMigration(path Path, ts Timestamp) error {
	return c.migrate(path, 1, ts)
}

func (c *Conn) migrate(path Path, immediate C.int, ts Timestamp) error {
	if c.c == nil {
		return ErrFreed
	}
	if path.Local.Addr().Is4() != path.Remote.Addr().Is4() {
		return fmt.Errorf("ngtcp2: path %v: two addresses of one family are needed: %w", path, ErrInvalidArgument)
	}
	var p C.shim_path
	if err := pathToC(&p, path); err != nil {
		return err
	}
	C.shim_conn_migrate(c.c, &p, immediate, C.uint64_t(ts))
	return c.done()
}

// SetLocalAddr changes the local address of the path in use without a migration,
// for when the address of the socket changed under it and the peer cannot tell
// (such as one private address for another behind a NAT). ErrInvalidArgument: an
// address of the other family (ngtcp2_conn_set_local_addr).
func (c *Conn) SetLocalAddr(addr netip.AddrPort) error {
	if c.c == nil {
		return ErrFreed
	}
	var a C.shim_addr
	if err := addrToC(&a, addr); err != nil {
		return err
	}
	if C.shim_conn_set_local_addr(c.c, &a) != 0 {
		return ErrInvalidArgument
	}
	return nil
}
