package ngtcp2

// #include "shim_api.h"
import "C"

import (
	"errors"
	"fmt"
	"unsafe"

	"github.com/ngmq/ngmq/crypto"
)

// Bounds of ConnConfig.
const (
	minPrefixRandom = 4                 // random bytes of an issued CID behind the prefix
	minResetSecret  = 16                // bytes
	maxResetSecret  = C.SHIM_SECRET_MAX // bytes
)

// Validate reports everything that is wrong with cfg, joined.
func (cfg *ConnConfig) Validate(server bool) error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("ngtcp2: ConnConfig."+format, args...))
	}
	switch {
	case cfg.TLS == nil:
		bad("TLS is nil: set a crypto.Context")
	case (cfg.TLS.Role() == crypto.Server) != server:
		bad("TLS is a context of the other role: make one for this role")
	}
	if cfg.Events == nil || cfg.Events.c == nil {
		bad("Events is nil or freed: set the worker's NewEvents")
	}
	if !cfg.Path.Local.IsValid() || !cfg.Path.Remote.IsValid() || cfg.Path.Local.Addr().Is4() != cfg.Path.Remote.Addr().Is4() {
		bad("Path %v: set two valid addresses of one family", cfg.Path)
	}
	if n := len(cfg.CIDPrefix); n > 0 && n+minPrefixRandom > cfg.SCID.Len() {
		bad("CIDPrefix has %d bytes: SCID (%d bytes) must be at least %d longer", n, cfg.SCID.Len(), minPrefixRandom)
	}
	if cfg.GivenCIDs && len(cfg.CIDPrefix) > 0 {
		bad("CIDPrefix is for CIDs that are not given: leave it empty, or GivenCIDs off")
	}
	if n := len(cfg.ResetSecret); n > maxResetSecret || n > 0 && n < minResetSecret {
		bad("ResetSecret has %d bytes: use %d to %d", n, minResetSecret, maxResetSecret)
	}
	if cfg.PreferredAddr > PreferredAddrFollow {
		bad("PreferredAddr is %d: use PreferredAddrIgnore or PreferredAddrFollow", cfg.PreferredAddr)
	}
	if cfg.Version != 0 && !IsSupportedVersion(cfg.Version) {
		bad("Version 0x%x is not supported: use VersionV1 or VersionV2", cfg.Version)
	}
	if !server {
		errs = append(errs, cfg.validateVersion())
	}
	errs = append(errs, cfg.validateRole(server), cfg.settings().Validate(), cfg.params().Validate(server))
	return errors.Join(errs...)
}

// validateRole checks what only one role needs.
func (cfg *ConnConfig) validateRole(server bool) error {
	switch {
	case server && cfg.SCID == cfg.params().OriginalDCID:
		return errors.New("ngtcp2: ConnConfig.SCID: a server must choose its own, not the client's DCID")
	case !server && cfg.RejectEarlyData:
		return errors.New("ngtcp2: ConnConfig.RejectEarlyData is for servers: a client leaves EarlyData off")
	case server && (len(cfg.Session) > 0 || cfg.EarlyData):
		return errors.New("ngtcp2: ConnConfig.Session and EarlyData are for clients: a server sets crypto.Config.EarlyData")
	case !server && cfg.DCID.Len() < MinInitialDCIDLen && len(cfg.settings().Token) == 0:
		return fmt.Errorf("ngtcp2: ConnConfig.DCID: a client needs at least %d random bytes", MinInitialDCIDLen)
	}
	return nil
}

// validateVersion: ngtcp2 aborts when a client's lists lack its own version.
func (cfg *ConnConfig) validateVersion() error {
	s, v := cfg.settings(), cfg.version()
	for _, list := range [][]uint32{s.PreferredVersions, s.AvailableVersions} {
		if len(list) > 0 && !contains(list, v) {
			return fmt.Errorf("ngtcp2: ConnConfig.Version 0x%x must be in a client's PreferredVersions and AvailableVersions: add it there", v)
		}
	}
	return nil
}

func (cfg *ConnConfig) version() uint32 {
	if cfg.Version == 0 {
		return VersionV1
	}
	return cfg.Version
}

func (cfg *ConnConfig) settings() *Settings {
	if cfg.Settings != nil {
		return cfg.Settings
	}
	s := DefaultSettings()
	return &s
}

func (cfg *ConnConfig) params() *TransportParams {
	if cfg.Params != nil {
		return cfg.Params
	}
	p := DefaultTransportParams()
	return &p
}

func newConn(cfg *ConnConfig, server bool) (*Conn, error) {
	if err := cfg.Validate(server); err != nil {
		return nil, err
	}
	var c C.shim_config
	if err := cfg.toC(&c, server); err != nil {
		return nil, err
	}
	ssl, err := cfg.TLS.NewSSL(cfg.ServerName)
	if err != nil {
		return nil, err
	}
	if err := cfg.resume(&c, ssl); err != nil {
		C.shim_conn_ssl_free(ssl)
		return nil, err
	}
	p := C.shim_conn_new(&c, span(cfg.settings().Token), ssl, cfg.Events.c)
	if p == nil {
		return nil, fmt.Errorf("ngtcp2: new connection: %w", cfg.Events.err())
	}
	conn := &Conn{c: p, ev: cfg.Events, path: cfg.Path, cpath: c.path, server: server, early: c.early_len > 0}
	return conn, conn.done()
}

// toC fills everything but SSL and token.
func (cfg *ConnConfig) toC(c *C.shim_config, server bool) error {
	c.server = boolToC(server)
	c.reject_early = boolToC(server && cfg.RejectEarlyData)
	c.follow_preferred = boolToC(!server && cfg.PreferredAddr == PreferredAddrFollow)
	c.dcid, c.scid = cidToC(cfg.DCID), cidToC(cfg.SCID)
	c.given_cids = boolToC(cfg.GivenCIDs)
	c.version = C.uint32_t(cfg.version())
	c.prefix_len = C.uint8_t(copy((*[MaxCIDLen]byte)(unsafe.Pointer(&c.prefix))[:], cfg.CIDPrefix))
	c.secret_len = C.uint8_t(copy((*[maxResetSecret]byte)(unsafe.Pointer(&c.secret))[:], cfg.ResetSecret))
	return errors.Join(pathToC(&c.path, cfg.Path),
		settingsToC(&c.settings, cfg.settings()), paramsToC(&c.params, cfg.params()))
}
