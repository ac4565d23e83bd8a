package devcert

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func readCert(t *testing.T, path string) *x509.Certificate {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	block, rest := pem.Decode(text)
	require.NotNil(t, block)
	require.Empty(t, rest)
	cert, err := x509.ParseCertificate(block.Bytes)
	require.NoError(t, err)
	return cert
}

func generate(t *testing.T, dir string, hosts ...string) Cert {
	t.Helper()
	c, err := Generate(dir, hosts...)
	require.NoError(t, err)
	requireTrusted(t, c, "localhost")
	return c
}

// requireTrusted holds the pair against crypto/x509.
func requireTrusted(t *testing.T, c Cert, host string) {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(readCert(t, c.CAFile))
	_, err := readCert(t, c.CertFile).Verify(x509.VerifyOptions{
		Roots: roots, DNSName: host, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	require.NoError(t, err)
}

func TestGenerate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	c := generate(t, dir, "broker.example", "192.0.2.7", "")
	assert.True(t, c.Created)
	assert.True(t, c.CACreated)
	name, err := os.Hostname()
	require.NoError(t, err)
	for _, host := range []string{"localhost", "127.0.0.1", "::1", name, "broker.example", "192.0.2.7"} {
		requireTrusted(t, c, host)
	}
	leaf := readCert(t, c.CertFile)
	sum := sha256.Sum256(leaf.Raw)
	assert.Equal(t, hex.EncodeToString(sum[:]), strings.ToLower(strings.ReplaceAll(c.Fingerprint, ":", "")))
	assert.Equal(t, leaf.NotAfter, c.NotAfter)
	assert.WithinDuration(t, time.Now().Add(825*24*time.Hour), leaf.NotAfter, time.Minute)
	assert.WithinDuration(t, time.Now().Add(3650*24*time.Hour), readCert(t, c.CAFile).NotAfter, time.Minute)
	assert.LessOrEqual(t, leaf.NotAfter.Sub(leaf.NotBefore), 826*24*time.Hour)
	requireModes(t, dir)
}

func requireModes(t *testing.T, dir string) {
	t.Helper()
	for file, mode := range map[string]os.FileMode{
		"dev-ca.crt": 0o644, "dev-ca.key": 0o600, "dev.crt": 0o644, "dev.key": 0o600, "": 0o700 | os.ModeDir,
	} {
		info, err := os.Stat(filepath.Join(dir, file))
		require.NoError(t, err)
		assert.Equal(t, mode, info.Mode(), file)
	}
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Len(t, entries, 4)
}

func TestIsUsedAgain(t *testing.T) {
	dir := t.TempDir()
	first := generate(t, dir)
	require.NoError(t, os.Remove(filepath.Join(dir, "dev-ca.key")), "not needed as long as the certificate is good")
	again := generate(t, dir)
	assert.False(t, again.Created)
	assert.False(t, again.CACreated)
	assert.Equal(t, first.Fingerprint, again.Fingerprint)
}

func TestIsRenewed(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(t *testing.T, dir string)
		hosts []string
		ca    bool // the CA has to be made again too
	}{
		"host added":             {spoil: func(*testing.T, string) {}, hosts: []string{"new.example"}},
		"host added, no CA key":  {spoil: remove("dev-ca.key"), hosts: []string{"new.example"}, ca: true},
		"certificate lost":       {spoil: remove("dev.crt")},
		"key lost":               {spoil: remove("dev.key")},
		"CA lost":                {spoil: remove("dev-ca.crt"), ca: true},
		"key of another":         {spoil: swapKeys},
		"certificate of another": {spoil: foreignLeaf},
		"certificate expired":    {spoil: madeAt(-826*24*time.Hour, false)},
		"certificate ends soon":  {spoil: madeAt(-820*24*time.Hour, false)},
		"CA expired":             {spoil: madeAt(-3651*24*time.Hour, true), ca: true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			first := generate(t, dir)
			c.spoil(t, dir)
			again := generate(t, dir, c.hosts...)
			assert.True(t, again.Created)
			assert.Equal(t, c.ca, again.CACreated)
			assert.NotEqual(t, first.Fingerprint, again.Fingerprint)
			third := generate(t, dir, c.hosts...)
			assert.False(t, third.Created)
		})
	}
}

func remove(name string) func(*testing.T, string) {
	return func(t *testing.T, dir string) { require.NoError(t, os.Remove(filepath.Join(dir, name))) }
}

func swapKeys(t *testing.T, dir string) {
	text, err := os.ReadFile(filepath.Join(dir, "dev-ca.key"))
	require.NoError(t, err)
	overwrite(t, filepath.Join(dir, "dev.key"), text)
}

func foreignLeaf(t *testing.T, dir string) {
	other := t.TempDir()
	generate(t, other)
	for _, name := range []string{"dev.crt", "dev.key"} {
		require.NoError(t, os.Rename(filepath.Join(other, name), filepath.Join(dir, name)))
	}
}

// madeAt makes the certificates as if it had been done at another time.
func madeAt(by time.Duration, withCA bool) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		d := directory{path: dir, hosts: allHosts(nil), now: time.Now().Add(by)}
		ca, err := d.read(caFile, caKeyFile)
		require.NoError(t, err)
		if withCA {
			ca, err = d.newCA()
			require.NoError(t, err)
		}
		_, err = d.newLeaf(ca)
		require.NoError(t, err)
	}
}

func TestLeavesBrokenFilesAlone(t *testing.T) {
	for _, name := range []string{"dev-ca.crt", "dev-ca.key", "dev.crt", "dev.key"} {
		for kind, text := range map[string]string{
			"text":   "not PEM",
			"broken": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
		} {
			t.Run(name+" "+kind, func(t *testing.T) {
				dir := t.TempDir()
				path := filepath.Join(dir, name)
				overwrite(t, path, []byte(text))
				_, err := Generate(dir)
				require.ErrorContains(t, err, path)
				require.ErrorContains(t, err, "remove it")
				left, err := os.ReadFile(path)
				require.NoError(t, err)
				assert.Equal(t, text, string(left))
			})
		}
	}
}

func TestWithoutDirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	overwrite(t, file, []byte("x"))
	_, err := Generate(filepath.Join(file, "data"))
	require.Error(t, err)
}

func overwrite(t *testing.T, path string, text []byte) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, text, 0o600))
}
