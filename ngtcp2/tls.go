package ngtcp2

// #include "shim_api.h"
import "C"

import (
	"github.com/ngmq/ngmq/crypto"
)

// tlsCache is what ReleaseTLS keeps of the SSL object.
type tlsCache struct {
	state    crypto.ConnectionState
	identity crypto.Identity
	err      error
}

// TLSState is what the handshake settled on; complete once HandshakeCompleted.
// On a freed Conn it is zero.
func (c *Conn) TLSState() crypto.ConnectionState {
	if c.tls != nil {
		return c.tls.state
	}
	if c.c == nil {
		return crypto.ConnectionState{}
	}
	return crypto.State(C.shim_conn_ssl(c.c))
}

// ALPN is the application protocol that was negotiated, empty before.
func (c *Conn) ALPN() string { return c.TLSState().ALPN }

// PeerIdentity is the peer's certificate chain and whether it was verified; call
// it once HandshakeCompleted.
func (c *Conn) PeerIdentity() (crypto.Identity, error) {
	if c.tls != nil {
		return c.tls.identity, c.tls.err
	}
	if c.c == nil {
		return crypto.Identity{}, ErrFreed
	}
	return crypto.PeerIdentity(C.shim_conn_ssl(c.c))
}

// ReleaseTLS frees a server's SSL object once the handshake is confirmed, which
// saves about 10 KB per connection; TLSState and PeerIdentity stay readable. It
// reports whether it was freed: never for a client, which still receives
// session tickets. shim_conn_release_tls says why it is safe.
func (c *Conn) ReleaseTLS() bool {
	if c.c == nil || c.tls != nil || !c.server || !c.HandshakeConfirmed() {
		return false
	}
	cache := &tlsCache{state: c.TLSState()}
	cache.identity, cache.err = c.PeerIdentity()
	if C.shim_conn_release_tls(c.c) == 0 {
		return false
	}
	c.tls = cache
	return true
}
