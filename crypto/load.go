package crypto

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"
)

// systemRoots are the bundles that distributions keep; the first that is there
// is used. OpenSSL's own compiled-in place may belong to another installation.
var systemRoots = []string{
	"/etc/ssl/certs/ca-certificates.crt",                // Debian, Ubuntu, Arch
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", // Fedora, RHEL
	"/etc/ssl/ca-bundle.pem",                            // openSUSE
	"/etc/ssl/cert.pem",                                 // Alpine, FreeBSD
}

// maxFile bounds what is read of one file: a bundle of all public roots is about
// 250 KB.
const maxFile = 16 << 20

// source is PEM text and where it came from.
type source struct {
	field, file string
	pem         []byte
}

func (s *source) fault(reason, remedy string) error {
	return &ConfigError{Field: s.field, File: s.file, Reason: reason, Remedy: remedy}
}

// material is everything that a Config names, in memory.
type material struct {
	chain, key, ca, crl source
}

// load reads and checks all of it; what failed is left empty.
func (c *Config) load(now time.Time) (material, []error) {
	var (
		m    material
		errs []error
	)
	take := func(dst *source, field, file string, pem []byte, check func(*source, time.Time) error) {
		s, err := read(field, file, pem)
		if err == nil && len(s.pem) > 0 {
			err = check(&s, now)
		}
		if err != nil {
			errs = append(errs, err)
			return
		}
		*dst = s
	}
	take(&m.chain, "CertFile", c.CertFile, c.CertPEM, checkChain)
	take(&m.key, "KeyFile", c.KeyFile, c.KeyPEM, checkKey)
	switch c.Role {
	case Server:
		take(&m.ca, "ClientCAFile", c.ClientCAFile, c.ClientCAPEM, checkCAs)
		take(&m.crl, "ClientCRLFile", c.ClientCRLFile, c.ClientCRLPEM, checkCRLs)
	case Client:
		take(&m.ca, "CAFile", c.CAFile, c.CAPEM, checkCAs)
	}
	return m, errs
}

func read(field, file string, text []byte) (source, error) {
	if file == "" {
		return source{field: strings.TrimSuffix(field, "File") + "PEM", pem: text}, nil
	}
	s := source{field: field, file: file}
	info, err := os.Stat(file)
	switch {
	case err != nil:
		return s, s.fault("cannot be read: "+cause(err), "check the path, and that this user may read it")
	case !info.Mode().IsRegular():
		return s, s.fault("is not a regular file", "name a PEM file")
	case info.Size() > maxFile:
		return s, s.fault(fmt.Sprintf("has %d bytes, more than the %d that are read", info.Size(), maxFile), "name a PEM file")
	case info.Size() == 0:
		return s, s.fault("is empty", "name a PEM file")
	}
	if s.pem, err = os.ReadFile(file); err != nil {
		return s, s.fault("cannot be read: "+cause(err), "check that this user may read it")
	}
	return s, nil
}

// cause is an error without the path, which the message has already.
func cause(err error) string {
	var perr *fs.PathError
	if errors.As(err, &perr) {
		return perr.Err.Error()
	}
	return err.Error()
}

// certificates parses all CERTIFICATE blocks.
func (s *source) certificates() ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	for block, rest := pem.Decode(s.pem); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, s.fault(fmt.Sprintf("certificate %d cannot be parsed: %v", len(certs)+1, err), "replace it with a valid X.509 certificate")
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 {
		return nil, s.fault("holds no PEM certificate", "give certificates in PEM form (-----BEGIN CERTIFICATE-----)")
	}
	return certs, nil
}

// checkChain refuses a chain with a certificate that is out of its dates.
func checkChain(s *source, now time.Time) error {
	certs, err := s.certificates()
	if err != nil {
		return err
	}
	var errs []error
	for _, cert := range certs {
		if reason := dateFault(cert, now); reason != "" {
			errs = append(errs, s.fault(fmt.Sprintf("certificate %q %s", cert.Subject, reason), "renew it, or correct the clock of this machine"))
		}
	}
	return errors.Join(errs...)
}

// checkCAs wants one certificate at least that is valid now: bundles hold
// expired ones as a matter of course.
func checkCAs(s *source, now time.Time) error {
	certs, err := s.certificates()
	if err != nil {
		return err
	}
	reason := ""
	for _, cert := range certs {
		if reason = dateFault(cert, now); reason == "" {
			return nil
		}
	}
	return s.fault(fmt.Sprintf("none of %d CA certificates is valid now: %q %s", len(certs), certs[len(certs)-1].Subject, reason), "renew the CA, or correct the clock of this machine")
}

// checkCRLs wants lists that can be read; whether they are of a CA, and valid, is found in
// the handshakes.
func checkCRLs(s *source, _ time.Time) error {
	n := 0
	for block, rest := pem.Decode(s.pem); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "X509 CRL" {
			continue
		}
		n++
		if _, err := x509.ParseRevocationList(block.Bytes); err != nil {
			return s.fault(fmt.Sprintf("certificate revocation list %d cannot be parsed: %v", n, err), "replace it with a valid one")
		}
	}
	if n == 0 {
		return s.fault("holds no PEM certificate revocation list", "give lists in PEM form (-----BEGIN X509 CRL-----)")
	}
	return nil
}

func dateFault(cert *x509.Certificate, now time.Time) string {
	switch {
	case now.Before(cert.NotBefore):
		return "is not valid before " + cert.NotBefore.UTC().Format(time.RFC3339)
	case now.After(cert.NotAfter):
		return "expired on " + cert.NotAfter.UTC().Format(time.RFC3339)
	}
	return ""
}

// checkKey finds what OpenSSL would only call a decoder error.
func checkKey(s *source, _ time.Time) error {
	for block, rest := pem.Decode(s.pem); block != nil; block, rest = pem.Decode(rest) {
		if !strings.HasSuffix(block.Type, "PRIVATE KEY") {
			continue
		}
		if block.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED") {
			return s.fault("the private key is encrypted with a pass phrase", "decrypt it (openssl pkey -in old.key -out new.key) and protect the file by its mode")
		}
		return nil
	}
	return s.fault("holds no PEM private key", "give the key in PEM form (-----BEGIN PRIVATE KEY-----)")
}

// readSystemRoots returns the first bundle that is there; nil: none.
func readSystemRoots() []byte {
	for _, file := range systemRoots {
		if text, err := os.ReadFile(file); err == nil {
			return text
		}
	}
	return nil
}
