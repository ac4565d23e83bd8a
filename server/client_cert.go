package server

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/ngmq/ngmq/server/internal/broker"
)

// ClientCert says what is wanted of clients over TLS, WSS and QUIC when there is a
// Config.ClientCAFile.
type ClientCert uint8

const (
	// ClientCertRequired lets only clients in with a certificate of the CA.
	ClientCertRequired ClientCert = iota
	// ClientCertOptional also lets clients in without a certificate. One that does not
	// verify ends the handshake all the same.
	ClientCertOptional
	numClientCerts
)

var clientCertNames = []string{ClientCertRequired: "required", ClientCertOptional: "optional"}

// String is "required" or "optional".
func (c ClientCert) String() string { return nameOf("ClientCert", clientCertNames, uint8(c)) }

// UnmarshalText reads what String gives.
func (c *ClientCert) UnmarshalText(text []byte) error {
	i, err := indexOf(clientCertNames, text)
	*c = ClientCert(i)
	return err
}

// CertUsername says what of a verified client certificate becomes the user name of the
// client, in place of the one in its CONNECT.
type CertUsername uint8

const (
	CertUsernameOff CertUsername = iota // the user name is that of the CONNECT
	CertUsernameCN                      // common name of the subject
	CertUsernameSAN                     // first DNS name of the subject alternative names, else the first mail address, else the first URI
	CertUsernameDN                      // distinguished name of the subject, in the form of RFC 2253
	numCertUsernames
)

var certUsernameNames = []string{CertUsernameOff: "off", CertUsernameCN: "cn", CertUsernameSAN: "san", CertUsernameDN: "dn"}

// String is "off", "cn", "san" or "dn".
func (u CertUsername) String() string { return nameOf("CertUsername", certUsernameNames, uint8(u)) }

// UnmarshalText reads what String gives.
func (u *CertUsername) UnmarshalText(text []byte) error {
	i, err := indexOf(certUsernameNames, text)
	*u = CertUsername(i)
	return err
}

func nameOf(kind string, names []string, i uint8) string {
	if int(i) < len(names) {
		return names[i]
	}
	return fmt.Sprintf("%s(%d)", kind, i)
}

func indexOf(names []string, text []byte) (int, error) {
	i := slices.Index(names, string(text))
	if i < 0 {
		return 0, fmt.Errorf("%q is not one of %q", text, names)
	}
	return i, nil
}

// of is the user name that t gives; nil: none is taken from certificates.
func (u CertUsername) of() func(*broker.TLSInfo) string {
	switch u {
	case CertUsernameCN:
		return func(t *broker.TLSInfo) string { return t.PeerCommonName }
	case CertUsernameSAN:
		return func(t *broker.TLSInfo) string {
			for _, names := range [][]string{t.PeerDNSNames, t.PeerEmails, t.PeerURIs} {
				if len(names) > 0 {
					return names[0]
				}
			}
			return ""
		}
	case CertUsernameDN:
		return func(t *broker.TLSInfo) string { return t.PeerIdentity }
	}
	return nil
}

// clientCAs is the content of ClientCAFile; nil without one.
func (c Config) clientCAs() ([]byte, error) {
	if c.ClientCert >= numClientCerts || c.CertUsername >= numCertUsernames {
		return nil, &ConfigError{
			Field: "ClientCert, CertUsername", Value: c.ClientCert.String() + ", " + c.CertUsername.String(), Problem: "unknown",
			Remedy: "use the constants of these types",
		}
	}
	if c.ClientCAFile == "" {
		if c.ClientCert != ClientCertRequired || c.CertUsername != CertUsernameOff {
			return nil, &ConfigError{
				Field: "ClientCAFile", Problem: "client certificates are to be used, but there is no CA to verify them",
				Remedy: "name the CA (ngmqd: --client-ca), or leave ClientCert and CertUsername out (ngmqd: --client-cert, --cert-username)",
			}
		}
		return nil, nil
	}
	pem, err := os.ReadFile(c.ClientCAFile)
	if err == nil && !x509.NewCertPool().AppendCertsFromPEM(pem) {
		err = errors.New("it holds no certificate")
	}
	if err != nil {
		return nil, &ConfigError{
			Field: "ClientCAFile", Value: c.ClientCAFile, Problem: "not a usable CA", Err: err,
			Remedy: "name a readable PEM file with the certificates of the CA of the clients (ngmqd: --client-ca)",
		}
	}
	return pem, nil
}

// askForCertificates has c verify client certificates.
func (s *Server) askForCertificates(c *tls.Config, cas []byte) {
	if cas == nil {
		return
	}
	c.ClientCAs = x509.NewCertPool()
	c.ClientCAs.AppendCertsFromPEM(cas)
	c.ClientAuth = tls.RequireAndVerifyClientCert
	if s.cfg.ClientCert == ClientCertOptional {
		c.ClientAuth = tls.VerifyClientCertIfGiven
	}
}
