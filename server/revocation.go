package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"sync/atomic"
	"time"
)

// revocations keeps the certificate revocation lists of Config.ClientCRLFile up to date.
type revocations struct {
	watchedFile
	pem   []byte // its content; run's alone once that has begun
	lists atomic.Pointer[[]*x509.RevocationList]
	users []func(pem []byte) error
}

func newRevocations(file string, text []byte, log *slog.Logger) *revocations {
	r := &revocations{watchedFile: newWatchedFile(file, log), pem: text}
	lists, _ := parseCRLs(text) // loadCRLs has seen them
	r.lists.Store(&lists)
	return r
}

// run reads the file again when it has changed, until ctx ends.
func (r *revocations) run(ctx context.Context) {
	if r.file != "" {
		r.watchedFile.run(ctx, r.step)
	}
}

func (r *revocations) step() (pause time.Duration) {
	r.look(r.read, "certificate revocation lists cannot be used; those that there are stay in use")
	return r.poll
}

// read takes the lists of the file into use.
func (r *revocations) read() error {
	text, err := readCRLs(r.file)
	if err != nil || bytes.Equal(text, r.pem) {
		return err
	}
	for _, use := range r.users {
		if err := use(text); err != nil {
			return err
		}
	}
	lists, err := parseCRLs(text)
	if err != nil {
		return err
	}
	r.lists.Store(&lists)
	r.pem = text
	r.log.Info("certificate revocation lists have changed", "file", r.file, "lists", len(lists))
	return nil
}

// watch has TLS over TCP refuse what the lists name, also when a session goes on. A client
// without a certificate is not their business.
func (r *revocations) watch(c *tls.Config) {
	if c == nil || r.file == "" {
		return
	}
	c.VerifyConnection = func(cs tls.ConnectionState) error {
		if len(cs.PeerCertificates) == 0 {
			return nil
		}
		return r.check(cs.PeerCertificates[0], cs.VerifiedChains, time.Now())
	}
}

// check refuses leaf unless its issuer has a list that is valid and does not name it.
func (r *revocations) check(leaf *x509.Certificate, chains [][]*x509.Certificate, now time.Time) error {
	vouched := false
	for _, list := range *r.lists.Load() {
		if !bytes.Equal(list.RawIssuer, leaf.RawIssuer) || now.Before(list.ThisUpdate) || now.After(list.NextUpdate) || !signed(list, chains) {
			continue
		}
		if slices.ContainsFunc(list.RevokedCertificateEntries, func(e x509.RevocationListEntry) bool { return e.SerialNumber.Cmp(leaf.SerialNumber) == 0 }) {
			return errors.New("client certificate is revoked")
		}
		vouched = true
	}
	if !vouched {
		return errors.New("no valid certificate revocation list of the issuer of the client certificate")
	}
	return nil
}

// signed reports whether the issuer of a leaf has signed list.
func signed(list *x509.RevocationList, chains [][]*x509.Certificate) bool {
	return slices.ContainsFunc(chains, func(chain []*x509.Certificate) bool {
		return list.CheckSignatureFrom(chain[min(1, len(chain)-1)]) == nil
	})
}

// loadCRLs is the content of ClientCRLFile; nil without one.
func (c Config) loadCRLs() ([]byte, error) {
	switch {
	case c.ClientCRLFile == "":
		return nil, nil
	case c.ClientCAFile == "":
		return nil, &ConfigError{
			Field: "ClientCRLFile", Value: c.ClientCRLFile, Problem: "clients are asked for no certificate",
			Remedy: "name their CA in ClientCAFile (ngmqd: --client-ca), or leave the lists out",
		}
	}
	text, err := readCRLs(c.ClientCRLFile)
	if err != nil {
		return nil, &ConfigError{
			Field: "ClientCRLFile", Value: c.ClientCRLFile, Problem: "no usable certificate revocation lists", Err: err,
			Remedy: "name a readable PEM file with a list of each CA that issues client certificates (ngmqd: --client-crl)",
		}
	}
	return text, nil
}

func readCRLs(file string) ([]byte, error) {
	text, err := os.ReadFile(file)
	var path *fs.PathError
	if errors.As(err, &path) {
		return nil, path.Err
	}
	if _, err := parseCRLs(text); err != nil {
		return nil, err
	}
	return text, nil
}

// parseCRLs reads the lists in PEM text; there must be one, unless text is empty for none.
func parseCRLs(text []byte) (lists []*x509.RevocationList, err error) {
	if text == nil {
		return nil, nil
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "X509 CRL" {
			continue
		}
		list, err := x509.ParseRevocationList(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("list %d: %w", len(lists)+1, err)
		}
		lists = append(lists, list)
	}
	if len(lists) == 0 {
		return nil, errors.New("holds no list in PEM form (-----BEGIN X509 CRL-----)")
	}
	return lists, nil
}
