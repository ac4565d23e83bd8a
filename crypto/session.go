package crypto

// #cgo noescape shim_tls_set_session
// #cgo nocallback shim_tls_set_session
// #include "shim.h"
import "C"

import (
	"errors"
	"time"
	"unsafe"
)

// TicketKeyLen is the length of one of [Config.TicketKeys], in bytes: 16 that name
// it, 32 for AES-256-CBC, 32 for HMAC-SHA256 (RFC 5077, 4).
const TicketKeyLen = C.SHIM_TICKET_KEY_LEN

// TicketLifetime is how long a server's tickets are good for: the time for which keys that
// make no new ones have to stay in [Config.TicketKeys].
const TicketLifetime = C.SHIM_TICKET_LIFETIME * time.Second

// DefaultEarlyDataOnce is a good value of [Config.EarlyDataOnce]: 5,461 connections with
// early data a second, in 4 MB.
const DefaultEarlyDataOnce = 1 << 16

// maxEarlyDataOnce bounds the memory for it: 256 MB.
const maxEarlyDataOnce = 1 << 22

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

// SetTicketKeys puts keys in the place of [Config.TicketKeys], like [Context.ReloadConfig]
// with nothing else changed.
func (c *Context) SetTicketKeys(keys [][]byte) error {
	return c.reload(func(cfg *Config) { cfg.TicketKeys = keys })
}

// SetClientCRLs puts lists in the place of [Config.ClientCRLPEM] and ClientCRLFile, like
// [Context.ReloadConfig] with nothing else changed.
func (c *Context) SetClientCRLs(pem []byte) error {
	return c.reload(func(cfg *Config) { cfg.ClientCRLFile, cfg.ClientCRLPEM = "", pem })
}

// once is the memory of [Config.EarlyDataOnce].
type once struct{ p *C.shim_once }

// newOnce makes the memory that cfg asks for, if it asks for one.
func newOnce(cfg *Config) (o once, err error) {
	if cfg.EarlyDataOnce == 0 {
		return o, nil
	}
	now := C.shim_once_now()
	o.p = C.shim_once_new(C.size_t(cfg.EarlyDataOnce), C.int(boolInt(len(cfg.TicketKeys) > 0)), &now)
	if o.p == nil {
		return o, errors.New("crypto: EarlyDataOnce: out of memory")
	}
	return o, nil
}

func (o once) free() { C.shim_once_free(o.p) }

// use tells whether the ticket with this hash, made at the Unix time made, is used for the
// first time; now is the time since some beginning, and the Unix time.
func (o once) use(hash [onceKeyLen]byte, made int64, now time.Duration, unix int64) bool {
	at := C.shim_instant{ms: C.uint64_t(now.Milliseconds()), seconds: C.int64_t(unix)}
	return C.shim_once_use(o.p, bytePtr(hash[:]), C.int64_t(made), &at) == 1
}

// monotonic is the clock of once.
func monotonic() time.Duration { return time.Duration(C.shim_once_now().ms) * time.Millisecond }

const (
	onceKeyLen = C.SHIM_ONCE_KEY_LEN
	onceWindow = C.SHIM_ONCE_WINDOW_MS * time.Millisecond
)

// sessions sets up tickets and early data.
func (b *builder) sessions(cfg *Config, o once) {
	C.shim_tlsctx_use_sessions(b.ctx, C.int(boolInt(cfg.Role == Server)), C.int(boolInt(cfg.EarlyData)))
	if o.p != nil && C.shim_tlsctx_use_once(b.ctx, o.p, &b.text) != C.SHIM_OK {
		b.fault(source{field: "EarlyDataOnce"}, "remember fewer tickets")
	}
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
