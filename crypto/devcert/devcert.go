// Package devcert makes certificates for development, with the standard library
// alone: programs built without cgo have them too.
package devcert

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Names of the files that Generate keeps in its directory.
const (
	caFile    = "dev-ca.crt"
	caKeyFile = "dev-ca.key"
	certFile  = "dev.crt"
	keyFile   = "dev.key"
)

const (
	caLife      = 10 * 365 * 24 * time.Hour
	leafLife    = 825 * 24 * time.Hour // the most that Apple's systems accept of a server
	renewBefore = 7 * 24 * time.Hour   // renewed this long before the end
	backdate    = time.Hour            // for clients whose clock is behind
)

// Cert tells where a development certificate is.
type Cert struct {
	CAFile   string // what clients trust: dev-ca.crt
	CertFile string // dev.crt
	KeyFile  string // dev.key, mode 0600
	// Fingerprint is the SHA-256 of the server certificate, in hex pairs with
	// colons, as openssl x509 -fingerprint -sha256 prints it.
	Fingerprint string
	NotAfter    time.Time // end of the server certificate
	Created     bool      // the server certificate was made by this call
	CACreated   bool      // the CA too: clients must be given the new dev-ca.crt
}

// Generate makes a certificate authority (ECDSA P-256, 10 years) and a server
// certificate (825 days) in dir, for development: the CA's private key lies
// beside it. The certificate is for localhost, 127.0.0.1, ::1, the name of
// this machine, and hosts (names or addresses). What is there and still good for
// a week is used again; what has expired, or lacks a host, is renewed. A file
// that cannot be read or parsed is an error and is left as it is. dir is created
// with mode 0700. One process at a time may do this in a directory.
func Generate(dir string, hosts ...string) (Cert, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return Cert{}, fmt.Errorf("devcert: %w", err)
	}
	d := directory{path: dir, hosts: allHosts(hosts), now: time.Now()}
	ca, err := d.read(caFile, caKeyFile)
	if err != nil {
		return Cert{}, err
	}
	leaf, err := d.read(certFile, keyFile)
	if err != nil {
		return Cert{}, err
	}
	return d.ensure(ca, leaf)
}

// pair is a certificate and its key; either may be absent.
type pair struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

type directory struct {
	path  string
	hosts []string
	now   time.Time
}

func allHosts(more []string) []string {
	hosts := []string{"localhost", "127.0.0.1", "::1"}
	if name, err := os.Hostname(); err == nil {
		hosts = append(hosts, name)
	}
	hosts = append(hosts, more...)
	hosts = slices.DeleteFunc(hosts, func(h string) bool { return h == "" })
	slices.Sort(hosts)
	return slices.Compact(hosts)
}

func (d *directory) file(name string) string { return filepath.Join(d.path, name) }

// ensure renews what has to be.
func (d *directory) ensure(ca, leaf pair) (Cert, error) {
	out := Cert{CAFile: d.file(caFile), CertFile: d.file(certFile), KeyFile: d.file(keyFile)}
	var err error
	if !d.leafGood(ca, leaf) {
		if !d.caGood(ca) {
			if ca, err = d.newCA(); err != nil {
				return Cert{}, err
			}
			out.CACreated = true
		}
		if leaf, err = d.newLeaf(ca); err != nil {
			return Cert{}, err
		}
		out.Created = true
	}
	out.Fingerprint = fingerprint(leaf.cert)
	out.NotAfter = leaf.cert.NotAfter
	return out, nil
}

func (d *directory) current(cert *x509.Certificate) bool {
	return d.now.After(cert.NotBefore) && d.now.Add(renewBefore).Before(cert.NotAfter)
}

// caGood says whether ca can sign a certificate.
func (d *directory) caGood(ca pair) bool {
	return ca.cert != nil && ca.key != nil && ca.cert.IsCA && d.current(ca.cert) && ca.key.PublicKey.Equal(ca.cert.PublicKey)
}

// leafGood says whether leaf can be served to clients that trust ca. The key of
// the CA is not needed for that.
func (d *directory) leafGood(ca, leaf pair) bool {
	if ca.cert == nil || leaf.cert == nil || leaf.key == nil ||
		!d.current(ca.cert) || !d.current(leaf.cert) || !leaf.key.PublicKey.Equal(leaf.cert.PublicKey) {
		return false
	}
	for _, host := range d.hosts {
		if leaf.cert.VerifyHostname(host) != nil {
			return false
		}
	}
	return leaf.cert.CheckSignatureFrom(ca.cert) == nil
}

func (d *directory) newCA() (pair, error) {
	serial, err := newSerial()
	if err != nil {
		return pair{}, err
	}
	tmpl := &x509.Certificate{
		SerialNumber: serial,
		// The name is new with each CA: a client that trusts an old one too must
		// not take it for the issuer.
		Subject:               pkix.Name{CommonName: fmt.Sprintf("ngmq development CA %x", serial.Bytes()[:4])},
		NotBefore:             d.now.Add(-backdate),
		NotAfter:              d.now.Add(caLife),
		IsCA:                  true,
		MaxPathLenZero:        true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	return d.issue(tmpl, pair{}, caFile, caKeyFile)
}

func (d *directory) newLeaf(ca pair) (pair, error) {
	serial, err := newSerial()
	if err != nil {
		return pair{}, err
	}
	tmpl := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: "ngmq development server"},
		NotBefore:             d.now.Add(-backdate),
		NotAfter:              earlier(d.now.Add(leafLife), ca.cert.NotAfter),
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, host := range d.hosts {
		if ip := net.ParseIP(host); ip != nil {
			tmpl.IPAddresses = append(tmpl.IPAddresses, ip)
		} else {
			tmpl.DNSNames = append(tmpl.DNSNames, host)
		}
	}
	return d.issue(tmpl, ca, certFile, keyFile)
}

// issue makes a key, has ca sign the certificate (itself when ca is empty), and
// writes the key before the certificate: a crash between leaves a pair that does
// not match, which the next call renews.
func (d *directory) issue(tmpl *x509.Certificate, ca pair, certName, keyName string) (pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return pair{}, fmt.Errorf("devcert: %w", err)
	}
	if ca.cert == nil {
		ca = pair{cert: tmpl, key: key}
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, ca.cert, &key.PublicKey, ca.key)
	if err != nil {
		return pair{}, fmt.Errorf("devcert: %w", err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return pair{}, fmt.Errorf("devcert: %w", err)
	}
	if err := errors.Join(
		writePEM(d.file(keyName), "PRIVATE KEY", keyDER, 0o600),
		writePEM(d.file(certName), "CERTIFICATE", der, 0o644),
	); err != nil {
		return pair{}, err
	}
	cert, err := x509.ParseCertificate(der)
	return pair{cert: cert, key: key}, err
}

func newSerial() (*big.Int, error) {
	b := make([]byte, 16)
	if _, err := rand.Read(b); err != nil {
		return nil, fmt.Errorf("devcert: serial number: %w", err)
	}
	b[0] = b[0]&0x7f | 0x40 // positive, and all 16 bytes used (RFC 5280, 4.1.2.2)
	return new(big.Int).SetBytes(b), nil
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// writePEM replaces path in one step, with the mode from the first byte on.
func writePEM(path, kind string, der []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".dev-*")
	if err != nil {
		return fmt.Errorf("devcert: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	if err = errors.Join(err, f.Chmod(mode), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("devcert: %w", err)
	}
	return nil
}

// read reads a certificate and its key as far as they are there.
func (d *directory) read(certName, keyName string) (pair, error) {
	var p pair
	err := d.parse(certName, func(der []byte) (err error) {
		p.cert, err = x509.ParseCertificate(der)
		return err
	})
	if err != nil {
		return pair{}, err
	}
	err = d.parse(keyName, func(der []byte) error {
		key, err := x509.ParsePKCS8PrivateKey(der)
		if err != nil {
			return err
		}
		ec, ok := key.(*ecdsa.PrivateKey)
		if !ok {
			return fmt.Errorf("a %T is not an ECDSA key", key)
		}
		p.key = ec
		return nil
	})
	return p, err
}

// parse hands the first PEM block of a file to f; an absent file is no error.
func (d *directory) parse(name string, f func(der []byte) error) error {
	text, err := os.ReadFile(d.file(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		if block, _ := pem.Decode(text); block == nil {
			err = errors.New("holds no PEM block")
		} else {
			err = f(block.Bytes)
		}
	}
	if err != nil {
		return fmt.Errorf("devcert %s: %w; repair it, or remove it to have a new one made", d.file(name), err)
	}
	return nil
}

func fingerprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return strings.ReplaceAll(fmt.Sprintf("% X", sum[:]), " ", ":")
}
