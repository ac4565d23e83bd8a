package client

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxALPN is the longest protocol name of RFC 7301, in bytes.
const maxALPN = 255

func (t *TLS) validate() error {
	var errs []error
	check := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf("client: Options.TLS"+format, args...))
		}
	}
	check((t.CertFile == "") != (t.KeyFile == ""), " needs both CertFile and KeyFile, or none")
	check(t.EarlyData > EarlyDataOn, ".EarlyData %d is unknown: use EarlyDataOff, EarlyDataAuto or EarlyDataOn", t.EarlyData)
	check(t.NoResumption && (t.EarlyData != EarlyDataOff || t.SessionFile != ""), ".EarlyData and SessionFile have no effect with NoResumption")
	check(t.MinVersion != 0 && t.MinVersion != tls.VersionTLS12 && t.MinVersion != tls.VersionTLS13,
		".MinVersion %#x: use tls.VersionTLS12 or tls.VersionTLS13", t.MinVersion)
	for _, id := range t.CipherSuites {
		check(!slices.ContainsFunc(tls.CipherSuites(), func(s *tls.CipherSuite) bool {
			return s.ID == id && slices.Contains(s.SupportedVersions, tls.VersionTLS12)
		}),
			".CipherSuites: %s is not one of TLS 1.2 in tls.CipherSuites", tls.CipherSuiteName(id))
	}
	for _, name := range t.ALPN {
		check(name == "" || len(name) > maxALPN, ".ALPN: a name has 1 to %d bytes", maxALPN)
	}
	return errors.Join(errs...)
}

// checkUsed refuses a CA or a certificate for servers that are all reached in clear text.
func (t *TLS) checkUsed(servers []string) error {
	if t.CAFile == "" && t.CADir == "" && t.CAPEM == nil && t.CertFile == "" {
		return nil
	}
	for _, server := range servers {
		if srv, err := parseURL(server); err != nil || srv.encrypted() || srv.scheme == "unix" {
			return nil
		}
	}
	plain, _, _ := strings.Cut(servers[0], ":")
	remedy := "mqtts"
	if plain == "ws" {
		remedy = "wss"
	}
	return fmt.Errorf("client: TLS names a CA or a certificate, but %s:// is not encrypted: use %s:// or quic:// with the port for that, or leave CAFile, CADir, CAPEM and CertFile out", plain, remedy)
}

// Config is what t means for TLS over TCP towards host, without ALPN, sessions and key log.
// The caller may change it.
func (t *TLS) Config(host string) (*tls.Config, error) {
	c := &tls.Config{ServerName: t.serverName(host), InsecureSkipVerify: t.Insecure, MinVersion: max(t.MinVersion, tls.VersionTLS12),
		CipherSuites: slices.Clone(t.CipherSuites)}
	roots, err := t.RootCAs()
	if err != nil {
		return nil, err
	}
	if roots != nil {
		c.RootCAs = x509.NewCertPool()
		c.RootCAs.AppendCertsFromPEM(roots) // RootCAs has seen that there are some
	}
	if t.CertFile != "" {
		cert, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("client: TLS.CertFile, TLS.KeyFile: %w", err)
		}
		c.Certificates = []tls.Certificate{cert}
	}
	return c, nil
}

// RootCAs are the certificates of CAFile, CADir and CAPEM in PEM; nil without them.
func (t *TLS) RootCAs() ([]byte, error) {
	all := slices.Clone(t.CAPEM)
	if all != nil && !hasCertificate(all) {
		return nil, errors.New("client: TLS.CAPEM holds no certificate in PEM format")
	}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("client: TLS.CAFile: %w", err)
		}
		if !hasCertificate(pem) {
			return nil, fmt.Errorf("client: TLS.CAFile %s holds no certificate in PEM format", t.CAFile)
		}
		all = append(append(all, '\n'), pem...)
	}
	if t.CADir == "" {
		return all, nil
	}
	pem, err := readCADir(t.CADir)
	return append(append(all, '\n'), pem...), err
}

func hasCertificate(pem []byte) bool { return x509.NewCertPool().AppendCertsFromPEM(pem) }

// readCADir reads the files of a directory that hold certificates.
func readCADir(dir string) ([]byte, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("client: TLS.CADir: %w", err)
	}
	var all []byte
	for _, entry := range entries {
		path := filepath.Join(dir, entry.Name())
		if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() { // a link may lead to a file
			continue
		}
		pem, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("client: TLS.CADir: %w", err)
		}
		if hasCertificate(pem) {
			all = append(append(all, pem...), '\n')
		}
	}
	if all == nil {
		return nil, fmt.Errorf("client: TLS.CADir: no file in %s holds a certificate in PEM format", dir)
	}
	return all, nil
}

func (t *TLS) serverName(host string) string {
	if t.ServerName != "" {
		return t.ServerName
	}
	return host
}
