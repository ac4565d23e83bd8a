package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
)

func TestWrongUseNamesTheCommand(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none.pem")
	require.NoError(t, os.WriteFile(none, []byte("no certificate"), 0o600))
	for line, want := range map[string]string{
		"pub -t a -m x --psk 00":               "ngmq: unknown flag --psk: mosquitto has it, ngmq has not; TLS is Go's crypto/tls here, which has no pre-shared keys",
		"pub -t a -m x --tls-engine e":         "takes no engines of OpenSSL",
		"pub a x":                              "unexpected argument a: the topic is given with -t, the message with -m (see ngmq pub --help)",
		"sub a":                                "unexpected argument a: topics are given with -t (see",
		"ping localhost":                       "unexpected argument localhost: the server is given with --url or -h (see",
		"bench rtt localhost":                  "the server is given with --url or -h",
		"frobnicate":                           "ngmq: unexpected argument frobnicate (see ngmq --help)",
		"sub -t a -h localhost:1883":           "-h localhost:1883: the port has a flag of its own: -h localhost -p 1883",
		"sub -t a -h mqtt://localhost":         "-h mqtt://localhost: this is a URL: give it with --url",
		"sub -t a --url quic:localhost":        "it stands behind //, e.g. quic://localhost",
		"sub -t a -J":                          "ngmq: unknown flag -J (see ngmq sub --help)\n",
		"bench conn --cout 1":                  "(see ngmq bench conn --help)\n",
		"pub -t a -m x --cafile " + none:       "--cafile: " + none + " has no certificate in PEM form",
		"pub -t a -m x --cafile " + none + "x": "--cafile: open " + none + "x",
		"pub -t a -m x --url 127.0.0.1":        `--url: "127.0.0.1" says not which protocol: put quic://`,
	} {
		got := ngmq(t.Context(), "", strings.Fields(line)...)
		assert.Equal(t, exitUsage, got.status, line)
		assert.Contains(t, got.stderr, want, line)
	}
}

func TestVersionFlag(t *testing.T) {
	assert.Equal(t, ngmq(t.Context(), "", "version"), ngmq(t.Context(), "", "--version"))
	assert.Equal(t, ngmq(t.Context(), "", "version"), ngmq(t.Context(), "", "pub", "--version"))
}

// sub -W says so when it has not even connected.
func TestTimeoutWithoutConnection(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer silent.Close()
	got := ngmq(t.Context(), "", "sub", "-t", "a", "-W", "0.05", "--url", "mqtt://"+silent.Addr().String())
	assert.Equal(t, exitTimeout, got.status)
	assert.Contains(t, got.stderr, "no connection in time")
}

// -d names the server that was reached, without its password.
func TestDebugNamesTheServer(t *testing.T) {
	b := startLoopback(t)
	got := ngmq(t.Context(), "", "pub", "-d", "-m", "x", "--url", "mqtt://me:secret@"+b.addr+"/a")
	assert.Equal(t, exitOK, got.status)
	assert.Contains(t, got.stderr, "msg=connected server=mqtt://me:xxxxx@"+b.addr)
}

func TestWrongUseIsToldAtOnce(t *testing.T) {
	got := ngmq(t.Context(), "", strings.Fields("pub -t a --early-data=perhaps -V 7 -x soon -D nothing at all -D publish nothing here --keyform engine -q 3")...)
	assert.Equal(t, exitUsage, got.status)
	golden(t, "wronguse.txt", got.stderr)
	got = ngmq(t.Context(), "", strings.Fields("bench rtt --format xml --netem loss=lots -v")...)
	for _, want := range []string{`--format must be one of "text","json","csv"`, "--netem: ", "unknown flag -v (see ngmq bench rtt --help)"} {
		assert.Contains(t, got.stderr, want)
	}
	got = ngmq(t.Context(), "", "pub", "--help")
	assert.Contains(t, got.stdout, "Usage: ngmq pub [flags]\n")
}

func TestShellFromAPipe(t *testing.T) {
	b := startLoopback(t)
	for input, want := range map[string]int{
		"pub a hello\nquit\n":                                  exitOK,
		"help\n\nstatus":                                       exitOK,
		"pub a hello\nfrobnicate\nsub a 5\n":                   exitUsage,
		"connect mqtt://127.0.0.1:1\npub a":                    exitUsage,
		"disconnect\nconnect mqtt://127.0.0.1:1\nfrobnicate\n": exitNoServer,
	} {
		got := ngmq(t.Context(), input, append([]string{"shell"}, b.host()...)...)
		assert.Equal(t, want, got.status, "%q: %s", input, got.stdout)
	}
	got := ngmq(t.Context(), "quit\n", "shell", "-L", "mqtt://127.0.0.1:1")
	assert.Equal(t, exitNoServer, got.status)
	b.refuse = packet.NotAuthorized
	got = ngmq(t.Context(), "", append([]string{"shell"}, b.host()...)...)
	assert.Equal(t, exitRefused, got.status)
	assert.Contains(t, got.stdout, "error: connection refused")
}

// shell -h connects at once, to localhost too.
func TestShellConnectsAtOnce(t *testing.T) {
	b := startLoopback(t)
	_, port, err := net.SplitHostPort(b.addr)
	require.NoError(t, err)
	for _, flags := range [][]string{{"-h", "localhost", "-p", port}, {"-h", "127.0.0.1", "-p", port}, {"-p", port}} {
		got := ngmq(t.Context(), "pub a x\n", append([]string{"shell"}, flags...)...)
		assert.Equal(t, exitOK, got.status, got.stderr)
	}
	got := ngmq(t.Context(), "quit\n", "shell", "-h", "localhost", "-u", "me")
	assert.NotContains(t, got.stdout, "connect URL to connect", "it has tried")
	got = ngmq(t.Context(), "connect mqtt://a --cafile b\n", "shell")
	assert.Contains(t, got.stdout, "stand on the command line of ngmq shell")
}
