package crypto

// #cgo noescape shim_tls_set_session
// #cgo nocallback shim_tls_set_session
// #include "shim.h"
import "C"

import "unsafe"

// TicketKeyLen is the length of one of [Config.TicketKeys], in bytes: 16 that name
// it, 32 for AES-256-CBC, 32 for HMAC-SHA256 (RFC 5077, 4).
const TicketKeyLen = C.SHIM_TICKET_KEY_LEN

// maxTicketKeys bounds the search for the key of a ticket.
const maxTicketKeys = 16

// Slots are the indexes of the values that hang on each SSL (SSL_set_ex_data), for
// the C code that drives it.
type Slots struct {
	// Version holds the QUIC version as an integer. A server's driver sets it
	// before it hands in TLS messages: tickets are bound to it.
	Version int
	// Limits holds an integer that stands for the server's transport parameters: the
	// early data of a ticket that was made under another one is rejected. A server's
	// driver sets it together with Version.
	Limits int
	// Session holds a *SSL_SESSION that a client has got, the newest one, or NULL.
	// Whoever takes it out puts NULL there and frees it.
	Session int
}

// SSLSlots returns the indexes, which are the same for the life of the process.
func SSLSlots() Slots {
	s := C.shim_ssl_slots()
	return Slots{Version: int(s.version), Limits: int(s.limits), Session: int(s.session)}
}

// SetSession gives ssl, a *SSL of the client role that has not begun its
// handshake, a session to resume, in the form of i2d_SSL_SESSION. earlyData says
// whether its server takes 0-RTT. It fails for bytes that are none, and for a session
// that was made under other CAs or whose server was not verified. Owner of ssl only.
func SetSession(ssl unsafe.Pointer, der []byte) (earlyData bool, err error) {
	var text C.shim_error
	rv := C.shim_tls_set_session((*C.SSL)(ssl), bytePtr(der), C.size_t(len(der)), &text)
	if rv < 0 {
		return false, failure(&text)
	}
	return rv == 1, nil
}

// sessions sets up tickets and early data.
func (b *builder) sessions(cfg *Config) {
	C.shim_tlsctx_use_sessions(b.ctx, C.int(boolInt(cfg.Role == Server)), C.int(boolInt(cfg.EarlyData)))
	if len(cfg.TicketKeys) == 0 {
		return
	}
	var keys []byte
	for _, k := range cfg.TicketKeys {
		keys = append(keys, k...)
	}
	if C.shim_tlsctx_set_ticket_keys(b.ctx, bytePtr(keys), C.size_t(len(keys)), &b.text) != C.SHIM_OK {
		b.fault(source{field: "TicketKeys"}, "use fewer keys")
	}
	clear(keys)
}
