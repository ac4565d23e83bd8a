package crypto

import (
	"crypto/x509"
	"fmt"
	"unsafe"
)

// ConnectionState is what a handshake settled on.
type ConnectionState struct {
	Version     string // "TLSv1.3"
	CipherSuite string // such as "TLS_AES_128_GCM_SHA256"
	Group       string // key exchange group, such as "x25519" or "X25519MLKEM768"
	ALPN        string // protocol selected, empty: none
	ServerName  string // SNI, empty: none
	Resumed     bool   // the handshake used a session ticket
	EarlyData   bool   // the client sent 0-RTT data and the server accepted it
	// EarlyDataRejected: the client sent 0-RTT data, or meant to, and the server
	// refused it: it had no effect.
	EarlyDataRejected bool
	Verified          bool // the peer presented a certificate and it was verified
}

// State reads the state of ssl, a *SSL that must not have been freed. Complete
// after the handshake; before it fields may be empty. Owner of ssl only.
func State(ssl unsafe.Pointer) ConnectionState { return readState(ssl) }

// Identity is the peer as its certificate tells.
type Identity struct {
	// Certificates is what the peer sent, leaf first; after a resumed handshake
	// the leaf alone on a server. Empty: no certificate. Not proof of anything
	// unless Verified.
	Certificates []*x509.Certificate
	// VerifiedChain leads from the leaf to a configured CA (SSL_get0_verified_chain).
	// Empty when not verified, and after a resumed handshake, whose certificate
	// was verified in the handshake that issued the ticket.
	VerifiedChain []*x509.Certificate
	// Verified says that the leaf was verified against the configured CAs and, in
	// the client role, against the host name.
	Verified bool
}

// PeerIdentity reads the peer's certificates from ssl, a *SSL that must not have
// been freed, after the handshake. It fails when a certificate that OpenSSL
// accepted cannot be parsed by crypto/x509. Owner of ssl only.
func PeerIdentity(ssl unsafe.Pointer) (Identity, error) {
	certs, err := parseChain(ssl, false)
	if err != nil {
		return Identity{}, err
	}
	verified, err := parseChain(ssl, true)
	if err != nil {
		return Identity{}, err
	}
	return Identity{Certificates: certs, VerifiedChain: verified, Verified: readState(ssl).Verified}, nil
}

func parseChain(ssl unsafe.Pointer, verified bool) ([]*x509.Certificate, error) {
	der, err := peerChain(ssl, verified)
	if err != nil || len(der) == 0 {
		return nil, err
	}
	certs, err := x509.ParseCertificates(der)
	if err != nil {
		return nil, fmt.Errorf("crypto: peer certificate: %w", err)
	}
	return certs, nil
}

// Leaf returns the peer's own certificate, nil when it sent none.
func (i *Identity) Leaf() *x509.Certificate {
	if len(i.Certificates) == 0 {
		return nil
	}
	return i.Certificates[0]
}

// CommonName returns the subject's common name, and only when it is Verified:
// use it for access decisions.
func (i *Identity) CommonName() string {
	if !i.Verified || i.Leaf() == nil {
		return ""
	}
	return i.Leaf().Subject.CommonName
}

// SubjectAltNames returns the DNS names, IP addresses, mail addresses and URIs of
// the leaf as text, in this order, and only when it is Verified.
func (i *Identity) SubjectAltNames() []string {
	leaf := i.Leaf()
	if !i.Verified || leaf == nil {
		return nil
	}
	names := append([]string(nil), leaf.DNSNames...)
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	names = append(names, leaf.EmailAddresses...)
	for _, uri := range leaf.URIs {
		names = append(names, uri.String())
	}
	return names
}
