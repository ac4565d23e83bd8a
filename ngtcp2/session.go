package ngtcp2

// #include "shim_api.h"
import "C"

import (
	"encoding/binary"
	"errors"
	"unsafe"

	"github.com/ngmq/ngmq/crypto"
)

// A session, as EventSession brings it and ConnConfig.Session takes it: the QUIC
// version and the length of what follows (4 bytes each, network byte order), the
// transport parameters to remember (RFC 9000 section 7.4.1), and the TLS session
// (i2d_SSL_SESSION). It holds a secret: keep it like a password, and use it for the
// same server and ALPN alone. Its form may change with the library: one that cannot
// be read any more is ErrSessionInvalid.

const (
	sessionHead    = C.sizeof_shim_session_head
	maxEarlyParams = C.SHIM_EARLY_PARAMS_MAX // bytes
)

// ErrSessionInvalid says that ConnConfig.Session is not what EventSession brought, or
// that it was made under other CAs or without verification: connect without it.
var ErrSessionInvalid = errors.New("ngtcp2: session cannot be read")

type session struct {
	version     uint32
	params, der []byte
}

func parseSession(b []byte) (s session, err error) {
	if len(b) < sessionHead {
		return s, ErrSessionInvalid
	}
	n := binary.BigEndian.Uint32(b[4:])
	rest := b[sessionHead:]
	if n == 0 || n > maxEarlyParams || uint64(n) >= uint64(len(rest)) {
		return s, ErrSessionInvalid
	}
	return session{binary.BigEndian.Uint32(b), rest[:n], rest[n:]}, nil
}

// SessionVersion is the QUIC version that a session of EventSession belongs to: it
// is used only by a Conn with this ConnConfig.Version. 0: not a session.
func SessionVersion(b []byte) uint32 {
	s, _ := parseSession(b)
	return s.version
}

// CanSendEarlyData reports whether this is a client that may open streams and send
// before its handshake is complete: with ConnConfig.EarlyData and a Session that
// allows it. It stays true after the handshake.
func (c *Conn) CanSendEarlyData() bool { return c.early }

// resume gives ssl the session of cfg, and c the parameters when 0-RTT is to be
// sent. A session of another version is left aside.
func (cfg *ConnConfig) resume(c *C.shim_config, ssl unsafe.Pointer) error {
	slots := crypto.SSLSlots()
	c.version_slot, c.limits_slot, c.session_slot = C.int(slots.Version), C.int(slots.Limits), C.int(slots.Session)
	if len(cfg.Session) == 0 {
		return nil
	}
	s, err := parseSession(cfg.Session)
	if err != nil || s.version != cfg.version() {
		return err
	}
	early, err := crypto.SetSession(ssl, s.der)
	if err != nil {
		return errors.Join(ErrSessionInvalid, err)
	}
	if early && cfg.EarlyData {
		c.early_len = C.uint32_t(copy((*[maxEarlyParams]byte)(unsafe.Pointer(&c.early_params))[:], s.params))
	}
	return nil
}
