package endpoint

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/ngmq/ngmq/ngtcp2"
	"github.com/ngmq/ngmq/ngtcp2/endpoint/internal/udp"
)

// Unreachable is an ICMP error that a datagram met with.
type Unreachable = udp.Unreachable

// ErrUnreachable is why a Dial ended when the server's host or a router said that
// nobody is there. The error wraps a syscall.Errno too: ECONNREFUSED, EHOSTUNREACH
// or ENETUNREACH.
var ErrUnreachable = errors.New("unreachable")

// Unreachable ends the dials whose first packet met with an ICMP error. An ICMP
// message can be forged, so it counts only when it quotes the packet's random
// source Connection ID, and only while nothing has come from the server (RFC 9000
// sections 14.2.1 and 21). Over loopback the first packets of several dials to one
// address may travel as one GSO run, and only the first of them is quoted: the
// others learn of it from a later packet, or time out.
func (c *Core) Unreachable(list []Unreachable, now ngtcp2.Timestamp) {
	for i := range list {
		c.now = now
		c.unreachable(&list[i])
	}
}

func (c *Core) unreachable(u *Unreachable) {
	switch u.Err {
	case syscall.ECONNREFUSED, syscall.EHOSTUNREACH, syscall.ENETUNREACH:
	default:
		return
	}
	v, err := ngtcp2.DecodeVersionCID(u.Quote, c.cidLen)
	if err != nil || v.SCID == nil {
		return
	}
	conn := c.table.lookup(v.SCID)
	if conn == nil || conn.nc == nil || conn.server || !conn.handshaking ||
		conn.path.Load().Remote != u.Remote || conn.nc.Info().PktRecv > 0 {
		return
	}
	c.giveUp(conn, fmt.Errorf("%w: %w", ErrUnreachable, u.Err))
}
