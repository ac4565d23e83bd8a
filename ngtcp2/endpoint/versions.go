package endpoint

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
)

// VersionError is why a Dial ended when the server speaks no version that this side
// offers.
type VersionError struct {
	Offered []uint32 // by this side: Config.Versions
	Server  []uint32 // in its Version Negotiation packet, which is not authenticated
}

// Error names both lists.
func (e *VersionError) Error() string {
	return fmt.Sprintf("endpoint: no common QUIC version: this side offers %s, the server %s",
		versionList(e.Offered), versionList(e.Server))
}

func versionList(list []uint32) string {
	var b strings.Builder
	for i, v := range list {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "0x%x", v)
	}
	return b.String()
}

// maxServerVersions bounds what is kept of a Version Negotiation packet.
const maxServerVersions = 64

// versionsOf reads an EventVersionNegotiation.
func versionsOf(data []byte) (list []uint32) {
	for len(data) >= 4 && len(list) < maxServerVersions {
		list = append(list, binary.BigEndian.Uint32(data))
		data = data[4:]
	}
	return list
}

// commonVersion is the first of ours that is theirs too; 0 = none.
func commonVersion(ours, theirs []uint32) uint32 {
	for _, v := range ours {
		if slices.Contains(theirs, v) {
			return v
		}
	}
	return 0
}

// negotiated ends a dial that met a Version Negotiation packet, or begins it again
// with a common version (RFC 9000 section 6.2, RFC 9368 section 2.1). It happens
// once: ngtcp2 ignores such packets from then on, and closes if the server turns out
// to support the first version after all (a downgrade).
func (c *Core) negotiated(conn *Conn, d *dialing) {
	offered, first := c.cfg.Versions, d.cfg.Version
	v := commonVersion(offered, d.server)
	if v == 0 || v == first || d.original != 0 {
		c.giveUp(conn, &VersionError{Offered: offered, Server: d.server})
		return
	}
	d.original, d.cfg.Version = first, v
	if err := c.redial(conn, d); err != nil {
		c.giveUp(conn, err)
	}
}

// redial replaces the transport of a client's connection whose handshake has not
// got anywhere. Early data waits for the handshake then.
func (c *Core) redial(conn *Conn, d *dialing) error {
	nc, scid, record, err := c.newClient(*conn.path.Load(), d)
	if err != nil {
		return err
	}
	for _, id := range conn.nc.SCIDs() {
		c.table.remove(id, conn)
	}
	c.table.removeTokens(conn)
	conn.nc.Free()
	c.endRecord(conn.recordID)
	conn.nc, conn.recordID = nc, record
	c.table.add(scid, conn)
	c.timers.remove(conn)
	c.markDirty(conn)
	conn.earlyRejected()
	return nil
}
