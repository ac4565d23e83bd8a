package crypto

/*
#cgo pkg-config: libssl libcrypto
#cgo CFLAGS: -std=gnu11 -O2 -Wall -Wextra
#cgo LDFLAGS: -ldl -lpthread
#cgo noescape shim_tls_new
#cgo nocallback shim_tls_new
#cgo noescape shim_tls_read_state
#cgo nocallback shim_tls_read_state
#include <stdlib.h>
#include "shim.h"
*/
import "C"

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"net/netip"
	"runtime"
	"strings"
	"unsafe"
)

func init() {
	if C.shim_openssl_init() != 1 {
		panic("crypto: OPENSSL_init_ssl failed: OpenSSL cannot be used in this process")
	}
}

// OpenSSLVersion names the library that runs, such as "OpenSSL 3.5.7 9 Jun 2026".
func OpenSSLVersion() string {
	return C.GoString(C.OpenSSL_version(C.OPENSSL_VERSION))
}

func failure(e *C.shim_error) error { return errors.New("crypto: " + goText(e.text[:])) }

// goText copies up to the NUL. C.GoString would move its argument to the heap.
func goText(a []C.char) string {
	b := charBytes(a)
	if end := bytes.IndexByte(b, 0); end >= 0 {
		b = b[:end]
	}
	return string(b)
}

func charBytes(a []C.char) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(a))), len(a))
}

// sslCtx is one reference to an SSL_CTX.
type sslCtx struct{ p *C.SSL_CTX }

func (s sslCtx) free() { C.SSL_CTX_free(s.p) }

// builder makes an SSL_CTX step by step, and goes on after a failed step so that
// every fault is found.
type builder struct {
	ctx  *C.SSL_CTX
	errs []error
	text C.shim_error
}

// newSSLCtx builds from a valid Config and what it loaded.
func newSSLCtx(cfg *Config, m *material, o once) (sslCtx, []error) {
	b := &builder{}
	b.ctx = C.shim_tlsctx_new(C.int(boolInt(cfg.Role == Server)), &b.text)
	if b.ctx == nil {
		return sslCtx{}, []error{failure(&b.text)}
	}
	b.identity(m)
	b.trust(cfg, m)
	b.protocols(cfg)
	b.sessions(cfg, o)
	b.keyLog(cfg)
	if len(b.errs) > 0 {
		C.SSL_CTX_free(b.ctx)
		return sslCtx{}, b.errs
	}
	return sslCtx{b.ctx}, nil
}

func (b *builder) fault(s source, remedy string) {
	b.errs = append(b.errs, s.fault(goText(b.text.text[:]), remedy))
}

func (b *builder) identity(m *material) {
	if len(m.chain.pem) > 0 && C.shim_tlsctx_use_chain(b.ctx, bytePtr(m.chain.pem), C.size_t(len(m.chain.pem)), &b.text) != C.SHIM_OK {
		b.fault(m.chain, "replace the certificate chain")
		return // without a leaf the key has nothing to be compared with
	}
	if len(m.key.pem) == 0 {
		return
	}
	switch C.shim_tlsctx_use_key(b.ctx, bytePtr(m.key.pem), C.size_t(len(m.key.pem)), &b.text) {
	case C.SHIM_OK:
	case C.SHIM_KEY_MISMATCH:
		b.errs = append(b.errs, m.key.fault(mismatch(m), "give the key that the certificate was issued for"))
	default:
		b.fault(m.key, "replace the private key")
	}
}

func mismatch(m *material) string {
	return "the private key does not belong to the certificate of " + strings.TrimSpace(m.chain.field+" "+m.chain.file)
}

func (b *builder) trust(cfg *Config, m *material) {
	C.shim_tlsctx_set_verify(b.ctx, verifyMode(cfg))
	ca := m.ca
	if cfg.Role == Client && len(ca.pem) == 0 && cfg.CAFile == "" && !cfg.InsecureSkipVerify {
		ca = source{field: "CAFile", pem: readSystemRoots()}
		if len(ca.pem) == 0 && C.shim_tlsctx_default_cas(b.ctx, &b.text) != C.SHIM_OK {
			b.fault(ca, "install the package ca-certificates, or set CAFile")
		}
	}
	if len(ca.pem) > 0 && C.shim_tlsctx_add_cas(b.ctx, bytePtr(ca.pem), C.size_t(len(ca.pem)), &b.text) != C.SHIM_OK {
		b.fault(ca, "replace the CA certificates")
	}
	if crl := m.crl; len(crl.pem) > 0 && C.shim_tlsctx_add_crls(b.ctx, bytePtr(crl.pem), C.size_t(len(crl.pem)), &b.text) != C.SHIM_OK {
		b.fault(crl, "replace the certificate revocation lists")
	}
	// A ticket is good only where clients are verified the same way.
	how := append([]byte{byte(cfg.ClientAuth), byte(boolInt(cfg.InsecureSkipVerify))}, ca.pem...)
	id := sha256.Sum256(append(how, m.crl.pem...))
	if C.shim_tlsctx_set_session_context(b.ctx, bytePtr(id[:]), C.size_t(len(id)), &b.text) != C.SHIM_OK {
		b.errs = append(b.errs, errors.New("crypto: "+goText(b.text.text[:])))
	}
}

func verifyMode(cfg *Config) C.int {
	switch {
	case cfg.Role == Client && cfg.InsecureSkipVerify:
		return C.SSL_VERIFY_NONE
	case cfg.Role == Client, cfg.ClientAuth == RequestClientCert:
		return C.SSL_VERIFY_PEER
	case cfg.ClientAuth == RequireClientCert:
		return C.SSL_VERIFY_PEER | C.SSL_VERIFY_FAIL_IF_NO_PEER_CERT
	}
	return C.SSL_VERIFY_NONE
}

func (b *builder) protocols(cfg *Config) {
	wire := cfg.alpnWire()
	if C.shim_tlsctx_set_alpn(b.ctx, bytePtr(wire), C.size_t(len(wire)), &b.text) != C.SHIM_OK {
		b.fault(source{field: "ALPN"}, "list the protocols, such as "+alpnExample)
	}
	withCString(or(cfg.Groups, DefaultGroups), func(list *C.char) {
		if C.shim_tlsctx_set_groups(b.ctx, list, &b.text) != C.SHIM_OK {
			b.fault(source{field: "Groups"}, "use a list such as "+DefaultGroups)
		}
	})
	withCString(or(cfg.CipherSuites, DefaultCipherSuites), func(list *C.char) {
		if C.shim_tlsctx_set_ciphersuites(b.ctx, list, &b.text) != C.SHIM_OK {
			b.fault(source{field: "CipherSuites"}, "use a list such as "+DefaultCipherSuites)
		}
	})
}

func (b *builder) keyLog(cfg *Config) {
	if cfg.KeyLogFile == "" {
		return
	}
	withCString(cfg.KeyLogFile, func(path *C.char) {
		if C.shim_tlsctx_set_keylog(b.ctx, path, &b.text) != C.SHIM_OK {
			b.fault(source{field: "KeyLogFile", file: cfg.KeyLogFile}, "name a file that this user alone can read and write (chmod 600)")
		}
	})
}

// newSSL makes an SSL; peer is the name or address to verify, already checked.
func (s sslCtx) newSSL(role Role, peer peerName) (unsafe.Pointer, error) {
	var req C.shim_tls_request
	req.server = C.uint32_t(boolInt(role == Server))
	for i := range len(peer.dns) {
		req.name[i] = C.char(peer.dns[i])
	}
	ip := peer.ip.AsSlice()
	req.iplen = C.uint32_t(len(ip))
	for i, b := range ip {
		req.ip[i] = C.uint8_t(b)
	}
	ssl := C.shim_tls_new(s.p, &req)
	if ssl == nil {
		return nil, failure(&req.err)
	}
	return unsafe.Pointer(ssl), nil
}

// readState and peerChain are the cgo halves of State and PeerIdentity.
func readState(ssl unsafe.Pointer) ConnectionState {
	var st C.shim_tls_state
	C.shim_tls_read_state((*C.SSL)(ssl), &st)
	return ConnectionState{
		Version:           goText(st.version[:]),
		CipherSuite:       goText(st.cipher[:]),
		Group:             goText(st.group[:]),
		ServerName:        goText(st.server_name[:]),
		ALPN:              string(charBytes(st.alpn[:st.alpn_len])),
		Resumed:           st.resumed != 0,
		EarlyData:         st.early_data != 0,
		EarlyDataRejected: st.early_rejected != 0,
		Verified:          st.verified != 0,
	}
}

func peerChain(ssl unsafe.Pointer, verified bool) ([]byte, error) {
	var (
		size C.size_t
		text C.shim_error
	)
	der := C.shim_tls_peer_chain((*C.SSL)(ssl), C.int(boolInt(verified)), &size, &text)
	runtime.KeepAlive(ssl)
	if der == nil {
		if text.text[0] != 0 {
			return nil, failure(&text)
		}
		return nil, nil
	}
	defer C.shim_free(unsafe.Pointer(der))
	return C.GoBytes(unsafe.Pointer(der), C.int(size)), nil
}

// peerName is a host as it is verified: a DNS name or an address, never both.
type peerName struct {
	dns string
	ip  netip.Addr
}

func bytePtr(b []byte) *C.uint8_t { return (*C.uint8_t)(unsafe.Pointer(unsafe.SliceData(b))) }

func withCString(s string, f func(*C.char)) {
	p := C.CString(s)
	defer C.free(unsafe.Pointer(p))
	f(p)
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

func or(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}
