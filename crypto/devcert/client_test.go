package devcert

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestGenerateClient(t *testing.T) {
	dir := t.TempDir()
	_, err := GenerateClient(dir, "meter-7")
	assert.ErrorContains(t, err, "no CA")
	generate(t, dir)
	c, err := GenerateClient(dir, "meter-7")
	require.NoError(t, err)
	assert.True(t, c.Created)
	assert.Equal(t, filepath.Join(dir, "meter-7.crt"), c.CertFile)
	cert := readCert(t, c.CertFile)
	assert.Equal(t, "meter-7", cert.Subject.CommonName)
	roots := x509.NewCertPool()
	roots.AddCert(readCert(t, c.CAFile))
	_, err = cert.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	assert.NoError(t, err)
	info, err := os.Stat(c.KeyFile)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode())

	again, err := GenerateClient(dir, "meter-7")
	require.NoError(t, err)
	assert.False(t, again.Created)
	assert.Equal(t, c.Fingerprint, again.Fingerprint)

	require.NoError(t, os.Remove(filepath.Join(dir, caFile)))
	generate(t, dir) // another CA
	again, err = GenerateClient(dir, "meter-7")
	require.NoError(t, err)
	assert.True(t, again.Created, "the old CA has signed it")
}

func TestGenerateClientNames(t *testing.T) {
	dir := t.TempDir()
	generate(t, dir)
	for _, name := range []string{"", "dev", "dev-ca", "../x", "a/b", ".x", "a b", string(make([]byte, 65))} {
		_, err := GenerateClient(dir, name)
		assert.ErrorContains(t, err, "client name", name)
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "x.crt"), []byte("not PEM"), 0o600))
	_, err := GenerateClient(dir, "x")
	assert.ErrorContains(t, err, "repair it")
}
