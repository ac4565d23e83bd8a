package client

import (
	"crypto/tls"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// handshakes is a TLS server that tells how each of its handshakes has ended, and hangs up.
func handshakes(t *testing.T, config *tls.Config) (url string, states <-chan tls.ConnectionState) {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", config)
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	ch := make(chan tls.ConnectionState, 10)
	go func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			if nc.(*tls.Conn).Handshake() == nil {
				ch <- nc.(*tls.Conn).ConnectionState()
			}
			nc.Close()
		}
	}()
	return "mqtts://" + l.Addr().String(), ch
}

func TestWhatTLSOffers(t *testing.T) {
	cert, file := selfSigned(t)
	url, states := handshakes(t, &tls.Config{Certificates: []tls.Certificate{cert}, MaxVersion: tls.VersionTLS12, NextProtos: []string{"x-mqtt"}})
	o := TLS{CAFile: file, ServerName: "broker.test", CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384}, ALPN: []string{"other", "x-mqtt"}}
	_, err := Dial(within(t), url, Options{TLS: o})
	assert.Error(t, err, "the server hangs up after the handshake")
	state := receive(t, states)
	assert.Equal(t, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, state.CipherSuite)
	assert.Equal(t, "x-mqtt", state.NegotiatedProtocol)
	_, err = Dial(within(t), url, Options{TLS: TLS{CAFile: file, ServerName: "broker.test", MinVersion: tls.VersionTLS13}})
	assert.ErrorContains(t, err, "version")
}

func TestCADir(t *testing.T) {
	cert, file := selfSigned(t)
	dir := filepath.Dir(file)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "README"), []byte("none here"), 0o600))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "more"), 0o700))
	url, states := handshakes(t, &tls.Config{Certificates: []tls.Certificate{cert}})
	_, other := selfSigned(t)
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	for _, o := range []TLS{{CADir: dir}, {CADir: dir, CAFile: other}, {CAPEM: text}, {CAPEM: text, CAFile: other}} {
		o.ServerName = "broker.test"
		_, err := Dial(within(t), url, Options{TLS: o})
		assert.Error(t, err)
		assert.True(t, receive(t, states).HandshakeComplete)
	}
	_, err = Dial(within(t), url, Options{TLS: TLS{CAPEM: []byte("none")}})
	assert.ErrorContains(t, err, "TLS.CAPEM")
	for _, dir := range []string{filepath.Join(dir, "more"), file} {
		_, err := Dial(within(t), url, Options{TLS: TLS{CADir: dir}})
		assert.ErrorContains(t, err, "TLS.CADir")
	}
}

func TestLocalAddr(t *testing.T) {
	url, accept := listen(t)
	_, err := Dial(within(t), url, Options{LocalAddr: netip.MustParseAddr("192.0.2.1")})
	assert.ErrorContains(t, err, "assign requested address")
	_, err = Dial(within(t), "mqtts"+strings.TrimPrefix(url, "mqtt"), Options{LocalAddr: netip.MustParseAddr("192.0.2.1")})
	assert.ErrorContains(t, err, "assign requested address")

	local := netip.MustParseAddr("127.0.0.1")
	result := async(func() error {
		_, err := Dial(within(t), url, Options{LocalAddr: local})
		return err
	})
	s := accept()
	assert.Equal(t, local, netip.MustParseAddrPort(s.nc.RemoteAddr().String()).Addr())
	s.nc.Close()
	assert.Error(t, receive(t, result))
}

func TestTLSValidate(t *testing.T) {
	o := TLS{MinVersion: tls.VersionTLS10, CipherSuites: []uint16{tls.TLS_AES_128_GCM_SHA256}, ALPN: []string{""}, CertFile: "x"}
	for _, want := range []string{"MinVersion 0x301", "TLS_AES_128_GCM_SHA256 is not one of TLS 1.2", "1 to 255 bytes", "KeyFile"} {
		assert.ErrorContains(t, o.validate(), want)
	}
}
