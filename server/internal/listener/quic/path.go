//go:build !noquic

package quic

import "github.com/ngmq/ngmq/ngtcp2"

// OnPathValidated implements endpoint.ValidatedPathHandler: access control and limits
// follow a client that has shown to be at another address (RFC 9000 section 9); nothing
// does as long as packets only claim to come from there.
func (c *conn) OnPathValidated(_, to ngtcp2.Path) {
	defer c.guard()
	if !c.over {
		c.client.Moved(to.Local, to.Remote)
	}
}
