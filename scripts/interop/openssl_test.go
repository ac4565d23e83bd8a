package interop

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/ngtcp2/endpoint"
)

// TestOpenSSLClient: OpenSSL's own QUIC stack does CONNECT and CONNACK, then PINGREQ and PINGRESP.
func TestOpenSSLClient(t *testing.T) {
	proves(t, "openssl s_client -quic (QUIC)", "CONNECT - CONNACK - PINGREQ - PINGRESP - DISCONNECT", func(t *testing.T) {
		c := dialProcess(t, opensslApp(t), sClientArgs(broker.quic, "mqtt", broker.ca)...)
		_, err := c.Write(append(rawConnect(unique("s-client")), pingreq...))
		require.NoError(t, err)
		answer := make([]byte, 6)
		readFull(t, c, answer)
		assert.Equal(t, "\x20\x02\x00\x00\xD0\x00", string(answer))
		_, err = c.Write([]byte{0xE0, 0})
		require.NoError(t, err)
	})
}

func sClientArgs(addr, alpn, ca string) []string {
	return []string{"s_client", "-quic", "-alpn", alpn, "-quiet", "-connect", addr, "-servername", "localhost",
		"-CAfile", ca, "-verify_return_error", "-verify_hostname", "localhost"}
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

// What s_client does not do.
const (
	noteSClientStream = "s_client opens one stream"
	noteOpenSSLEarly  = "OpenSSL's QUIC client has no 0-RTT"
	noteOpenSSLProbes = "10 %, and one datagram of a direction at most: OpenSSL probes with bare PINGs, in intervals that double, and gives up after 30 s"
	noteOpenSSLV1     = "OpenSSL speaks version 1 only"
)

func opensslColumns() []column {
	return []column{{
		name:  "OpenSSL -> ngmq",
		dial:  func(t *testing.T, addr string) conn { return sClient(t, addr) },
		serve: serveEchoOurs,
		cells: map[string]cell{
			"multiplexing": cannot(noteSClientStream),
			"handshakeloss": {note: noteOpenSSLProbes, run: func(t *testing.T) {
				anyHandshakes(t, opensslColumns()[0], Damage{Drop: 0.1, MaxTotal: 1})
			}},
			"handshakecorruption": {note: noteOpenSSLProbes, run: func(t *testing.T) {
				anyHandshakes(t, opensslColumns()[0], Damage{Corrupt: 0.1, MaxTotal: 1})
			}},
			"chacha20":            {run: opensslChacha20},
			"retry":               {run: opensslRetry},
			"NEW_TOKEN":           cannot("a process of s_client makes one connection and takes its token with it"),
			"resumption":          {run: opensslResumption},
			"zerortt":             cannot(noteOpenSSLEarly),
			"zerortt rejected":    cannot(noteOpenSSLEarly),
			"keyupdate":           {run: opensslKeyUpdate, note: "ours only: s_client has no command for its own"},
			"ecn":                 cannot("OpenSSL marks no packets"),
			"v2":                  cannot(noteOpenSSLV1),
			"versionnegotiation":  {run: opensslVersionNegotiation, note: noteVersionEnds},
			"connectionmigration": cannot("OpenSSL's QUIC client has no migration"),
			"preferred address":   {run: func(t *testing.T) { staysAtAddress(t, opensslColumns()[0]) }, note: noteStays},
			"datagrams":           cannot("OpenSSL has no QUIC datagrams"),
			"stateless reset": {run: func(t *testing.T) {
				restart(t, opensslColumns()[0], echoOurs(t, serverOptions{}, keepResets).addr(), echoOurs(t, serverOptions{}, keepResets).addr())
			}},
		},
	}}
}

// sClient is openssl s_client with a stream to an echo server.
func sClient(t *testing.T, addr string, args ...string) processMux {
	t.Helper()
	return dialProcess(t, opensslApp(t), append(sClientArgs(addr, echoALPN, certFile(caName+".crt")), args...)...)
}

func opensslChacha20(t *testing.T) {
	for _, suite := range []string{chacha20, "TLS_AES_256_GCM_SHA384"} {
		s := echoOurs(t, serverOptions{})
		echoes(t, openStream(t, sClient(t, s.addr(), "-ciphersuites", suite)), 100_000)
		assert.Equal(t, suite, serverTLSState(t, s.conn(t)).CipherSuite)
	}
}

func opensslRetry(t *testing.T) {
	s := echoOurs(t, serverOptions{}, alwaysRetry)
	opensslColumns()[0].exchange(t, s.addr(), 100)
	assert.NotZero(t, s.count(t, endpoint.Retries))
}

// opensslResumption: the session goes from one process to the next in a file.
func opensslResumption(t *testing.T) {
	s := echoOurs(t, serverOptions{})
	file := filepath.Join(t.TempDir(), "session.pem")
	first := sClient(t, s.addr(), "-sess_out", file)
	echoes(t, openStream(t, first), 100)
	require.Eventually(t, func() bool {
		b, err := os.ReadFile(file)
		return err == nil && strings.Contains(string(b), "-----END SSL SESSION")
	}, patience, pollStep)
	echoes(t, openStream(t, sClient(t, s.addr(), "-sess_in", file)), 100)
	assert.Equal(t, 1, s.count(t, endpoint.HandshakesResumed))
}

func opensslKeyUpdate(t *testing.T) { ourKeyUpdates(t, opensslColumns()[0]) }

// ourKeyUpdates: the server changes the keys some times.
func ourKeyUpdates(t *testing.T, c column) {
	s := echoOurs(t, serverOptions{})
	st := openStream(t, c.dial(t, s.addr()))
	echoes(t, st, 100)
	ours := s.conn(t)
	for i := range 3 {
		updateKeys(t, ours)
		require.Eventually(t, func() bool {
			echoes(t, st, 10)
			return s.count(t, endpoint.KeyUpdates) > i
		}, patience, pollStep)
	}
}

func opensslVersionNegotiation(t *testing.T) {
	s := echoOurs(t, serverOptions{}, onlyV2)
	c := sClient(t, s.addr())
	awaited(t, c.ended)
	assert.NotZero(t, c.cmd.ProcessState.ExitCode())
	assert.NotZero(t, s.count(t, endpoint.VersionNegotiations))
}
