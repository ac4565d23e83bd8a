package interop

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestOpenSSLClient: OpenSSL's own QUIC stack does CONNECT and CONNACK, then PINGREQ and PINGRESP.
func TestOpenSSLClient(t *testing.T) {
	proves(t, opensslClient, "CONNECT - CONNACK - PINGREQ - PINGRESP - DISCONNECT", func(t *testing.T) { sClient(t, broker.quic) })
	proves(t, opensslClient, "chacha20", func(t *testing.T) { sClient(t, broker.quic, "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256") })
	proves(t, opensslClient, "ipv6", func(t *testing.T) { sClient(t, startBroker6(t)) })
}

// sClient has a conversation with the server at addr through openssl s_client.
func sClient(t *testing.T, addr string, args ...string) {
	t.Helper()
	p := start(t, opensslApp(t), append([]string{"s_client", "-quic", "-alpn", "mqtt", "-quiet",
		"-connect", addr, "-servername", "localhost", "-CAfile", broker.ca, "-verify_return_error", "-verify_hostname", "localhost"}, args...)...)
	_, err := p.stdin.Write(append(rawConnect(unique("s-client")), pingreq...))
	require.NoError(t, err)
	out := p.waitOutput(t, func(out string) bool { return len(out) >= 6 })
	assert.Equal(t, "\x20\x02\x00\x00\xD0\x00", out)
	_, err = p.stdin.Write([]byte{0xE0, 0})
	require.NoError(t, err)
}

// opensslApp is an openssl program that knows -quic (3.5 or newer).
func opensslApp(t *testing.T) string {
	t.Helper()
	candidates := []string{os.Getenv("OPENSSL"), filepath.Join("..", "..", "third_party", "build", "native", "bin", "openssl"), "openssl"}
	for _, candidate := range candidates {
		if candidate == "" {
			continue
		}
		help, _ := exec.Command(candidate, "s_client", "-help").CombinedOutput()
		if strings.Contains(string(help), "-quic ") {
			return candidate
		}
	}
	require.FailNow(t, "no openssl program with s_client -quic", "run `make build`, or install openssl 3.5 or newer, or name it with OPENSSL")
	return ""
}
