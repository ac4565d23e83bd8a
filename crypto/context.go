package crypto

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"
	"unsafe"
)

// ErrClosed is returned by the methods of a [Context] after Close.
var ErrClosed = errors.New("crypto: context is closed")

// maxHostName is the longest DNS name, in bytes, without the final dot (RFC 1035).
const maxHostName = 253

// Context holds one SSL_CTX and makes SSL objects from it. All methods may be
// called from any goroutine. Free it with Close.
type Context struct {
	reloading sync.Mutex // held by who changes the rest; taken before mu

	mu   sync.RWMutex
	cfg  Config
	ctx  sslCtx // p is nil after Close
	once once   // p is nil without EarlyDataOnce, and after Close
}

// NewContext reads what cfg names and builds the SSL_CTX. The error joins every
// fault that was found, a [*ConfigError] each: a field, the file where there is
// one, the reason and the remedy.
func NewContext(cfg Config) (*Context, error) {
	c := &Context{cfg: cfg.clone()}
	err := c.cfg.Validate()
	if err == nil {
		c.once, err = newOnce(&c.cfg)
	}
	ctx, faults := c.cfg.build(c.once)
	if faults != nil || err != nil {
		c.once.free()
		return nil, cmp.Or(faults, err)
	}
	c.ctx = ctx
	c.cfg.warn()
	return c, nil
}

// build returns a new SSL_CTX, or all faults of the Config and its files.
func (c *Config) build(o once) (sslCtx, error) {
	invalid := c.Validate()
	m, errs := c.load(time.Now())
	if invalid != nil {
		return sslCtx{}, errors.Join(append([]error{invalid}, errs...)...)
	}
	ctx, more := newSSLCtx(c, &m, o)
	if errs = append(errs, more...); len(errs) == 0 {
		return ctx, nil
	}
	if ctx.p != nil {
		ctx.free()
	}
	return sslCtx{}, errors.Join(errs...)
}

// warn is loud about what takes the protection of TLS away.
func (c *Config) warn() {
	if c.Logger == nil {
		return
	}
	if c.InsecureSkipVerify {
		c.Logger.Warn("INSECURE: the server's certificate is not verified; anyone in the path can read and change everything (InsecureSkipVerify)")
	}
	if c.KeyLogFile != "" {
		c.Logger.Warn("INSECURE: session secrets are written to a file; whoever reads it can decrypt the traffic (KeyLogFile)", "file", c.KeyLogFile)
	}
}

// Reload reads the files of the Config again, so that a renewed certificate is
// used. See [Context.ReloadConfig].
func (c *Context) Reload() error { return c.reload(func(*Config) {}) }

// ReloadConfig builds a new SSL_CTX and puts it in the place of the old one for
// every SSL made from then on. SSL objects made before keep theirs, finished or
// not. On an error, which is as [NewContext] returns it, nothing changes. The
// role and EarlyDataOnce cannot change. Tickets issued before are accepted only when TicketKeys has
// their key and clients are verified as before; other clients fall back to a full
// handshake.
func (c *Context) ReloadConfig(cfg Config) error {
	return c.reload(func(current *Config) { *current = cfg })
}

// reload puts an SSL_CTX of the Config that change makes in the place of the old one.
func (c *Context) reload(change func(*Config)) error {
	c.reloading.Lock()
	defer c.reloading.Unlock()
	c.mu.RLock()
	cfg, o := c.cfg, c.once
	c.mu.RUnlock()
	change(&cfg)
	cfg = cfg.clone()
	ctx, err := cfg.build(o)
	if err != nil {
		return err
	}
	if err := c.swap(cfg, ctx); err != nil {
		ctx.free()
		return err
	}
	cfg.warn()
	return nil
}

func (c *Context) swap(cfg Config, ctx sslCtx) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.ctx.p == nil:
		return ErrClosed
	case cfg.Role != c.cfg.Role:
		return &ConfigError{Field: "Role", Reason: "differs from that of the context", Remedy: "make a new context for the other role"}
	case cfg.EarlyDataOnce != c.cfg.EarlyDataOnce:
		return &ConfigError{Field: "EarlyDataOnce", Reason: "differs from that of the context, which remembers tickets", Remedy: "make a new context"}
	}
	c.ctx.free()
	c.cfg, c.ctx = cfg, ctx
	return nil
}

// Close drops the context's reference to the SSL_CTX; SSL objects made from it
// live on. Further calls of Close do nothing.
func (c *Context) Close() {
	c.reloading.Lock()
	defer c.reloading.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx.p != nil {
		c.ctx.free()
		c.once.free()
		c.ctx.p, c.once.p = nil, nil
	}
}

// Role returns the role that the context was made for.
func (c *Context) Role() Role {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.cfg.Role
}

// NewSSL makes an SSL (SSL_new) in accept or connect state, ready for
// ngtcp2_crypto_ossl_configure_server_session or its client twin. The caller
// owns it and frees it with SSL_free. The result is a *SSL.
//
// In the client role serverName is the host to reach: a DNS name, sent as SNI
// and verified, or an IP address, verified only (RFC 6066, 3 keeps addresses out
// of SNI). It may be empty only with InsecureSkipVerify. A client must still
// check after the handshake that the server chose a protocol, which TLS leaves
// open and RFC 9001, 8.1 does not: [ConnectionState.ALPN] empty is the alert
// no_application_protocol. In the server role serverName must be empty.
func (c *Context) NewSSL(serverName string) (unsafe.Pointer, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.ctx.p == nil {
		return nil, ErrClosed
	}
	peer, err := c.cfg.peerName(serverName)
	if err != nil {
		return nil, err
	}
	return c.ctx.newSSL(c.cfg.Role, peer)
}

func (c *Config) peerName(host string) (peerName, error) {
	switch {
	case c.Role == Server && host != "":
		return peerName{}, fmt.Errorf("crypto: server name %q given in the server role: leave it empty", host)
	case host == "" && (c.Role == Server || c.InsecureSkipVerify):
		return peerName{}, nil
	case host == "":
		return peerName{}, errors.New("crypto: no server name: the host is needed to verify the server's certificate")
	}
	return parsePeerName(host)
}

// parsePeerName tells addresses from names. The zone of an address and the final
// dot of a name are for the resolver: no certificate has them.
func parsePeerName(host string) (peerName, error) {
	if ip, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")); err == nil {
		return peerName{ip: ip.Unmap().WithZone("")}, nil
	}
	name := strings.TrimSuffix(host, ".")
	// OpenSSL takes a name that begins with a dot for any name below it.
	if name == "" || name[0] == '.' || len(name) > maxHostName || strings.IndexFunc(name, notHostRune) >= 0 {
		return peerName{}, fmt.Errorf("crypto: server name %q: want a DNS name of up to %d ASCII bytes or an IP address, without a port", host, maxHostName)
	}
	return peerName{dns: name}, nil
}

func notHostRune(r rune) bool {
	switch {
	case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
		return false
	}
	return r != '-' && r != '.' && r != '_'
}
