package server_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/server"
)

func TestZeroConfigIsValidAndStaysOnLoopback(t *testing.T) {
	require.NoError(t, server.Config{}.Validate())
	assertLoopback(t, server.DefaultTCP)
}

func assertLoopback(t *testing.T, addr string) {
	t.Helper()
	host, _, err := net.SplitHostPort(addr)
	require.NoError(t, err)
	assert.True(t, net.ParseIP(host).IsLoopback())
}

func TestValidate(t *testing.T) {
	off := []string{server.Off}
	expired, expiredKey := writeCertificate(t, time.Now().Add(-time.Hour))
	good, goodKey := writeCertificate(t, time.Now().Add(time.Hour))
	letIn := func(*server.ConnectEvent) error { return nil }
	cases := []struct {
		name   string
		config server.Config
		want   []string // in the error; none: valid
	}{
		{"all off", server.Config{QUIC: off, TCP: off, TLS: off}, []string{"all listeners are off", "--quic, --tcp, --tls"}},
		{"public", server.Config{TCP: []string{"0.0.0.0:1883"}}, []string{`TCP "0.0.0.0:1883"`, "other machines", "--allow-anonymous"}},
		{"public without a host", server.Config{TCP: []string{":1883"}}, []string{`TCP ":1883"`, "--allow-anonymous"}},
		{"public IPv6", server.Config{TLS: []string{"[2001:db8::1]:8883"}}, []string{"TLS", "--allow-anonymous"}},
		{"public and anonymous", server.Config{TCP: []string{"0.0.0.0:1883"}, AllowAnonymous: true}, nil},
		{"public with a Connect handler", server.Config{TCP: []string{"0.0.0.0:1883"}, Handlers: server.Handlers{Connect: letIn}}, nil},
		{"loopback IPv6", server.Config{TCP: []string{"[::1]:1883"}}, nil},
		{"loopback by name", server.Config{TCP: []string{"localhost:1883"}}, nil},
		{"several", server.Config{TCP: []string{"127.0.0.1:1883", "127.0.0.2:1883"}}, nil},
		{"no port", server.Config{TCP: []string{"127.0.0.1"}}, []string{`TCP "127.0.0.1"`, "host:port"}},
		{"bad port", server.Config{TLS: []string{"127.0.0.1:99999"}}, []string{"TLS", "99999", "host:port"}},
		{"certificate without key", server.Config{CertFile: good}, []string{"KeyFile", "only one", "--cert and --key"}},
		{"key without certificate", server.Config{KeyFile: goodKey}, []string{"CertFile", "only one", "--cert and --key"}},
		{"no such certificate", server.Config{CertFile: "/nowhere.crt", KeyFile: goodKey}, []string{"/nowhere.crt", "no such file", "--cert and --key"}},
		{"mismatch", server.Config{CertFile: good, KeyFile: expiredKey}, []string{good, "does not match", "--cert and --key"}},
		{"expired", server.Config{CertFile: expired, KeyFile: expiredKey}, []string{expired, "valid only", "renew"}},
		{"good certificate", server.Config{CertFile: good, KeyFile: goodKey}, nil},
		{"negative timeout", server.Config{Timeouts: server.Timeouts{Write: -1}}, []string{"Timeouts.Write", "negative", "0 for the default"}},
		{"negative workers", server.Config{Workers: -1}, []string{"Workers", "negative"}},
		{"limit", server.Config{Limits: server.Limits{MaxInflight: 1 << 20}}, []string{"Limits", "MaxInflight", "65535"}},
		{"several errors", server.Config{TCP: []string{"x"}, TLS: []string{"0.0.0.0:1"}, Workers: -1}, []string{"TCP", "TLS", "Workers"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			err := c.config.Validate()
			if c.want == nil {
				require.NoError(t, err)
				return
			}
			var one *server.ConfigError
			require.ErrorAs(t, err, &one)
			assert.NotEmpty(t, one.Field)
			assert.NotEmpty(t, one.Remedy)
			for _, text := range c.want {
				assert.ErrorContains(t, err, text)
			}
			_, err = server.New(c.config)
			assert.Error(t, err)
		})
	}
}

// writeCertificate writes a self-signed certificate and its key.
func writeCertificate(t *testing.T, notAfter time.Time) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, DNSNames: []string{"localhost"},
		NotBefore: notAfter.Add(-24 * time.Hour), NotAfter: notAfter,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "server.crt"), filepath.Join(dir, "server.key")
	require.NoError(t, os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), 0o600))
	require.NoError(t, os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600))
	return certFile, keyFile
}

func TestAddressInUseLeavesNothingOpen(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer busy.Close()
	free := freePort(t)
	cases := map[string]server.Config{
		"TCP": {TCP: []string{free, busy.Addr().String()}, QUIC: anyQUIC},
		"TLS": {TCP: []string{free}, TLS: []string{busy.Addr().String()}, QUIC: anyQUIC},
	}
	for field, cfg := range cases {
		t.Run(field, func(t *testing.T) { assertInUse(t, field, cfg) })
	}
}

// assertInUse proves that an address of cfg in field is found in use, and that the
// first TCP address is free afterwards.
func assertInUse(t *testing.T, field string, cfg server.Config) {
	t.Helper()
	_, err := server.New(cfg)
	var wrong *server.ConfigError
	require.ErrorAs(t, err, &wrong)
	assert.Equal(t, field, wrong.Field)
	assert.ErrorContains(t, err, "in use")
	assert.ErrorContains(t, err, "or choose another")
	l, err := net.Listen("tcp", cfg.TCP[0])
	require.NoError(t, err, "the other sockets are closed")
	l.Close()
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}
