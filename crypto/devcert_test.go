package crypto

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"testing"

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

func TestDevCertServes(t *testing.T) {
	c, err := GenerateDevCert(t.TempDir())
	require.NoError(t, err)
	ctx := open(t, Config{CertFile: c.CertFile, KeyFile: c.KeyFile, ALPN: []string{"mqtt"}})
	ca := &testCA{cert: readCert(t, c.CAFile)}
	out := handshake(t, ctx, "", goClient(clientTLS(ca)))
	require.NoError(t, out.ours)
	require.NoError(t, out.theirs)
}
