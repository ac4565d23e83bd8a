package crypto

import (
	"bytes"
	"crypto/x509"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// faults flattens a joined error.
func faults(err error) []*ConfigError {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []*ConfigError
		for _, e := range joined.Unwrap() {
			all = append(all, faults(e)...)
		}
		return all
	}
	var ce *ConfigError
	if errors.As(err, &ce) {
		return []*ConfigError{ce}
	}
	return nil
}

func requireFault(t *testing.T, err error, field, file, reason string) {
	t.Helper()
	require.Error(t, err)
	for _, f := range faults(err) {
		if f.Field == field && f.File == file && strings.Contains(f.Reason, reason) {
			assert.NotEmpty(t, f.Remedy)
			assert.Contains(t, f.Error(), field)
			assert.Contains(t, f.Error(), file)
			assert.Contains(t, f.Error(), f.Remedy)
			return
		}
	}
	require.Failf(t, "fault not found", "want %s %q %q in:\n%v", field, file, reason, err)
}

func TestConfigFields(t *testing.T) {
	server := Config{CertFile: "c", KeyFile: "k", ALPN: []string{"mqtt"}}
	client := Config{Role: Client, ALPN: []string{"mqtt"}}
	require.NoError(t, server.Validate())
	require.NoError(t, client.Validate())
	for name, c := range map[string]struct {
		base          Config
		edit          func(*Config)
		field, reason string
	}{
		"no certificate":              {server, func(c *Config) { c.CertFile, c.KeyFile = "", "" }, "CertFile", "needs a certificate"},
		"certificate without key":     {server, func(c *Config) { c.KeyFile = "" }, "KeyFile", "no private key"},
		"key without certificate":     {server, func(c *Config) { c.CertFile = "" }, "CertFile", "no certificate"},
		"certificate twice":           {server, func(c *Config) { c.CertPEM = []byte("x") }, "CertFile", "CertPEM is set"},
		"key twice":                   {server, func(c *Config) { c.KeyPEM = []byte("x") }, "KeyFile", "KeyPEM is set"},
		"no ALPN":                     {server, func(c *Config) { c.ALPN = nil }, "ALPN", "is empty"},
		"empty ALPN name":             {client, func(c *Config) { c.ALPN = []string{"mqtt", ""} }, "ALPN", "name 1 has 0 bytes"},
		"long ALPN name":              {client, func(c *Config) { c.ALPN = []string{strings.Repeat("x", 256)} }, "ALPN", "name 0 has 256 bytes"},
		"long ALPN list":              {client, func(c *Config) { c.ALPN = slicesRepeat(strings.Repeat("x", 255), 256) }, "ALPN", "65536 bytes"},
		"unknown role":                {server, func(c *Config) { c.Role = 7 }, "Role", "unknown value 7"},
		"unknown client auth":         {server, func(c *Config) { c.ClientAuth = 7 }, "ClientAuth", "unknown value 7"},
		"request without CA":          {server, func(c *Config) { c.ClientAuth = RequestClientCert }, "ClientCAFile", "no CA"},
		"require without CA":          {server, func(c *Config) { c.ClientAuth = RequireClientCert }, "ClientCAFile", "no CA"},
		"client CA without a request": {server, func(c *Config) { c.ClientCAPEM = []byte("x") }, "ClientCAFile", "asks for no certificate"},
		"server with CA":              {server, func(c *Config) { c.CAPEM = []byte("x") }, "CAFile", "client role"},
		"server insecure":             {server, func(c *Config) { c.InsecureSkipVerify = true }, "InsecureSkipVerify", "client role"},
		"client with client auth":     {client, func(c *Config) { c.ClientAuth = RequireClientCert }, "ClientAuth", "server role"},
		"client with client CA":       {client, func(c *Config) { c.ClientCAPEM = []byte("x") }, "ClientCAFile", "server role"},
		"client key alone":            {client, func(c *Config) { c.KeyPEM = []byte("x") }, "CertFile", "no certificate"},
		"unknown cipher suite":        {client, func(c *Config) { c.CipherSuites = "TLS_AES_128_GCM_SHA256:RC4" }, "CipherSuites", `"RC4"`},
		"cipher suite not for QUIC":   {client, func(c *Config) { c.CipherSuites = "TLS_AES_128_CCM_8_SHA256" }, "CipherSuites", "CCM_8"},
		"NUL in groups":               {client, func(c *Config) { c.Groups = "X25519\x00" }, "Groups", "NUL"},
		"NUL in key log file":         {client, func(c *Config) { c.KeyLogFile = "a\x00" }, "KeyLogFile", "NUL"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := c.base
			c.edit(&cfg)
			require.Len(t, faults(cfg.Validate()), 1)
			for _, f := range faults(cfg.Validate()) {
				requireFault(t, cfg.Validate(), c.field, f.File, c.reason)
			}
		})
	}
}

func slicesRepeat(s string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = s
	}
	return out
}

func TestNewContextFaults(t *testing.T) {
	ca := newTestCA(t, "ca")
	leaf, other := ca.leaf(t, "server", nil), ca.leaf(t, "other", nil)
	past := func(c *testCA) testLeaf { return c.leaf(t, "old", nil) }
	expiredCA := newTestCAUntil(t, "expired ca", time.Now().Add(-time.Minute))
	dir := t.TempDir()
	missing := filepath.Join(dir, "missing.pem")
	empty := write(t, "empty.pem", nil)
	garbage := write(t, "garbage.pem", []byte("no PEM here"))
	broken := write(t, "broken.pem", []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	brokenKey := write(t, "broken.key", []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"))
	encrypted := write(t, "encrypted.key", []byte("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"))
	oldStyle := write(t, "old.key", []byte("-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END EC PRIVATE KEY-----\n"))
	cert, key := write(t, "server.crt", leaf.cert), write(t, "server.key", leaf.key)
	otherKey := write(t, "other.key", other.key)
	expired := write(t, "expired.crt", ca.leafAt(t, -2*time.Hour, -time.Minute).cert)
	early := write(t, "early.crt", ca.leafAt(t, time.Minute, time.Hour).cert)
	chain := write(t, "chain.crt", append(append([]byte{}, past(expiredCA).cert...), expiredCA.pem...))
	badCA := write(t, "expired-ca.crt", expiredCA.pem)

	base := Config{CertFile: cert, KeyFile: key, ALPN: []string{"mqtt"}}
	for name, c := range map[string]struct {
		edit                func(*Config)
		field, file, reason string
	}{
		"certificate missing":       {func(c *Config) { c.CertFile = missing }, "CertFile", missing, "no such file"},
		"certificate a directory":   {func(c *Config) { c.CertFile = dir }, "CertFile", dir, "not a regular file"},
		"certificate empty":         {func(c *Config) { c.CertFile = empty }, "CertFile", empty, "is empty"},
		"certificate not PEM":       {func(c *Config) { c.CertFile = garbage }, "CertFile", garbage, "no PEM certificate"},
		"certificate broken":        {func(c *Config) { c.CertFile = broken }, "CertFile", broken, "certificate 1 cannot be parsed"},
		"certificate expired":       {func(c *Config) { c.CertFile = expired }, "CertFile", expired, "expired on"},
		"certificate not yet valid": {func(c *Config) { c.CertFile = early }, "CertFile", early, "is not valid before"},
		"intermediate expired":      {func(c *Config) { c.CertFile = chain }, "CertFile", chain, `"CN=expired ca" expired on`},
		"key in place of the chain": {func(c *Config) { c.CertFile = key }, "CertFile", key, "no PEM certificate"},
		"key missing":               {func(c *Config) { c.KeyFile = missing }, "KeyFile", missing, "no such file"},
		"key not PEM":               {func(c *Config) { c.KeyFile = garbage }, "KeyFile", garbage, "no PEM private key"},
		"key broken":                {func(c *Config) { c.KeyFile = brokenKey }, "KeyFile", brokenKey, "load private key"},
		"key encrypted":             {func(c *Config) { c.KeyFile = encrypted }, "KeyFile", encrypted, "encrypted"},
		"key encrypted, old form":   {func(c *Config) { c.KeyFile = oldStyle }, "KeyFile", oldStyle, "encrypted"},
		"key of another":            {func(c *Config) { c.KeyFile = otherKey }, "KeyFile", otherKey, "does not belong to the certificate of CertFile " + cert},
		"key of another, as bytes":  {func(c *Config) { c.KeyFile, c.KeyPEM = "", other.key }, "KeyPEM", "", "does not belong"},
		"certificate bytes not PEM": {func(c *Config) { c.CertFile, c.CertPEM = "", []byte("x") }, "CertPEM", "", "no PEM certificate"},
		"client CA missing":         {func(c *Config) { c.ClientAuth, c.ClientCAFile = RequireClientCert, missing }, "ClientCAFile", missing, "no such file"},
		"client CA expired":         {func(c *Config) { c.ClientAuth, c.ClientCAFile = RequireClientCert, badCA }, "ClientCAFile", badCA, "none of 1 CA certificates is valid now"},
		"groups unknown":            {func(c *Config) { c.Groups = "nonsense" }, "Groups", "", "SSL_CTX_set1_groups_list"},
		"key log in no directory":   {func(c *Config) { c.KeyLogFile = filepath.Join(dir, "no", "keys") }, "KeyLogFile", filepath.Join(dir, "no", "keys"), "No such file"},
		"key log a directory":       {func(c *Config) { c.KeyLogFile = dir }, "KeyLogFile", dir, "directory"},
		"key log not a file":        {func(c *Config) { c.KeyLogFile = "/dev/null" }, "KeyLogFile", "/dev/null", "not a regular file"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := base
			c.edit(&cfg)
			ctx, err := NewContext(cfg)
			require.Nil(t, ctx)
			requireFault(t, err, c.field, c.file, c.reason)
			require.Len(t, faults(err), 1+strings.Count(err.Error(), `"CN=old"`))
		})
	}
}

// leafAt issues a certificate with these dates, relative to now.
func (ca *testCA) leafAt(t *testing.T, from, to time.Duration) testLeaf {
	t.Helper()
	return ca.leaf(t, "dated", func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(from), time.Now().Add(to)
	})
}

func TestNewContextReportsAllFaults(t *testing.T) {
	ca := newTestCA(t, "ca")
	leaf, other := ca.leaf(t, "server", nil), ca.leaf(t, "other", nil)
	_, err := NewContext(Config{
		CertPEM: leaf.cert, KeyPEM: other.key, ALPN: []string{"mqtt"}, Groups: "nonsense",
		ClientAuth: RequireClientCert, ClientCAFile: "/nowhere/ca.pem", KeyLogFile: "/nowhere/keys.log",
	})
	requireFault(t, err, "KeyPEM", "", "does not belong")
	requireFault(t, err, "Groups", "", "SSL_CTX_set1_groups_list")
	requireFault(t, err, "ClientCAFile", "/nowhere/ca.pem", "no such file")
	requireFault(t, err, "KeyLogFile", "/nowhere/keys.log", "No such file")

	_, err = NewContext(Config{CertFile: "/nowhere/server.crt", InsecureSkipVerify: true})
	requireFault(t, err, "CertFile", "/nowhere/server.crt", "no such file")
	requireFault(t, err, "KeyFile", "", "no private key")
	requireFault(t, err, "ALPN", "", "is empty")
	requireFault(t, err, "InsecureSkipVerify", "", "client role")
}

func TestKeyOfAnotherKindIsRefused(t *testing.T) {
	ca := newTestCA(t, "ca")
	_, err := NewContext(Config{CertPEM: ca.leaf(t, "server", nil).cert, KeyPEM: []byte(ed25519Key), ALPN: []string{"mqtt"}})
	requireFault(t, err, "KeyPEM", "", "does not belong")
}

// A key that is used nowhere else.
const ed25519Key = `-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g
-----END PRIVATE KEY-----
`

func TestKeyLogFileMustBePrivate(t *testing.T) {
	ca := newTestCA(t, "ca")
	cfg := Config{Role: Client, CAPEM: ca.pem, ALPN: []string{"mqtt"}}
	cfg.KeyLogFile = write(t, "keys.log", nil)
	require.NoError(t, os.Chmod(cfg.KeyLogFile, 0o644))
	_, err := NewContext(cfg)
	requireFault(t, err, "KeyLogFile", cfg.KeyLogFile, "group or others")
	require.NoError(t, os.Chmod(cfg.KeyLogFile, 0o600))
	open(t, cfg)
}

func TestWarnings(t *testing.T) {
	ca := newTestCA(t, "ca")
	var log bytes.Buffer
	cfg := Config{
		Role: Client, CAPEM: ca.pem, ALPN: []string{"mqtt"}, Logger: slog.New(slog.NewTextHandler(&log, nil)),
	}
	open(t, cfg)
	assert.Empty(t, log.String())
	cfg.InsecureSkipVerify, cfg.KeyLogFile = true, filepath.Join(t.TempDir(), "keys.log")
	open(t, cfg)
	assert.Contains(t, log.String(), "certificate is not verified")
	assert.Contains(t, log.String(), cfg.KeyLogFile)
	assert.Equal(t, 2, strings.Count(log.String(), "level=WARN"))
}

func TestSystemRoots(t *testing.T) {
	ctx := open(t, Config{Role: Client, ALPN: []string{"mqtt"}})
	ssl, err := ctx.NewSSL("localhost")
	require.NoError(t, err)
	freeSSL(ssl)
}

func TestOpenSSLVersion(t *testing.T) {
	assert.Regexp(t, `^OpenSSL (3\.([5-9]|\d\d)|[4-9])`, OpenSSLVersion())
}
