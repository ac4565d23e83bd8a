package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/crypto/devcert"
	"github.com/ngmq/ngmq/mqtt/client"
	"github.com/ngmq/ngmq/mqtt/packet"
)

// result is how a command ended.
type result struct {
	status         int
	stdout, stderr string
}

// ngmq runs a command line.
func ngmq(ctx context.Context, input string, args ...string) result {
	var out, err bytes.Buffer
	status := run(&console{ctx, strings.NewReader(input), &out, &err}, args)
	return result{status, out.String(), err.String()}
}

// longEnough tries values for -W that grow until ok says that something came about in
// that time.
func longEnough(t *testing.T, ok func(seconds string) bool) {
	t.Helper()
	for w := 0.05; !ok(fmt.Sprint(w)); w *= 2 {
		require.Less(t, w, patience.Seconds())
	}
}

// start runs a command line beside the test.
func start(t *testing.T, ctx context.Context, args ...string) <-chan result {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, patience)
	t.Cleanup(cancel)
	ch := make(chan result, 1)
	go func() { ch <- ngmq(ctx, "", args...) }()
	return ch
}

func TestPubPayloads(t *testing.T) {
	file := filepath.Join(t.TempDir(), "message")
	require.NoError(t, os.WriteFile(file, []byte("from\na file"), 0o600))
	for name, k := range map[string]struct {
		args []string
		want []string
	}{
		"message":         {[]string{"-m", "hello, world"}, []string{"hello, world"}},
		"negative number": {[]string{"-m", "-5"}, []string{"-5"}},
		"empty message":   {[]string{"-m", ""}, []string{""}},
		"file":            {[]string{"-f", file}, []string{"from\na file"}},
		"null":            {[]string{"-n"}, []string{""}},
		"whole input":     {[]string{"-s"}, []string{"one\ntwo\r\n\nlast"}},
		"lines":           {[]string{"-l"}, []string{"one", "two", "", "last"}},
		"repeat":          {[]string{"-m", "x", "--repeat", "3", "--repeat-delay", "0.001"}, []string{"x", "x", "x"}},
	} {
		for _, qos := range []string{"0", "1", "2"} {
			b := startLoopback(t)
			args := append([]string{"pub", "-t", "a/b", "-q", qos, "-r"}, append(b.host(), k.args...)...)
			got := ngmq(t.Context(), "one\ntwo\r\n\nlast", args...)
			assert.Equal(t, result{}, got, name)
			b.wait(func() bool { return len(b.messages) == len(k.want) })
			for i, m := range b.messages {
				assert.Equal(t, k.want[i], string(m.Payload), name)
				assert.Equal(t, "a/b", string(m.Topic))
				assert.True(t, m.Retain)
				assert.Equal(t, qos, string('0'+rune(m.QoS)))
			}
		}
	}
}

func TestPubLinesInOrder(t *testing.T) {
	b := startLoopback(t)
	input := strings.Repeat("0\n1\n2\n3\n4\n", 400)
	assert.Equal(t, result{}, ngmq(t.Context(), input, append([]string{"pub", "-t", "a", "-q", "1", "-l"}, b.host()...)...))
	require.Len(t, b.messages, 2000)
	for i, m := range b.messages {
		require.Equal(t, string('0'+rune(i%5)), string(m.Payload))
	}
}

func TestConnectFlags(t *testing.T) {
	b := startLoopback(t)
	args := append(b.host(), "-t", "a", "-m", "x", "-V", "5", "-i", "me", "-u", "name", "-P", "secret", "-k", "7", "-c",
		"--will-topic", "w", "--will-payload", "gone", "--will-qos", "2", "--will-retain")
	require.Equal(t, result{}, ngmq(t.Context(), "", append([]string{"pub"}, args...)...))
	p := b.connects[0]
	assert.Equal(t, "me", p.ClientID)
	assert.Equal(t, "name", *p.Username)
	assert.Equal(t, "secret", string(p.Password))
	assert.Equal(t, uint16(7), p.KeepAlive)
	assert.False(t, p.CleanStart)
	seconds, _ := p.Properties.Uint(packet.SessionExpiryInterval)
	assert.Equal(t, client.NeverExpires, seconds)
	assert.Equal(t, &packet.Will{Topic: "w", Payload: []byte("gone"), QoS: 2, Retain: true}, p.Will)

	for version, want := range map[string]packet.Version{"mqttv31": packet.V31, "311": packet.V311, "3.1.1": packet.V311, "mqttv5": packet.V50, "5.0": packet.V50} {
		require.Equal(t, result{}, ngmq(t.Context(), "", append([]string{"pub", "-V", version, "-I", "p-", "-t", "a", "-n"}, b.host()...)...))
		p := b.connects[len(b.connects)-1]
		assert.Equal(t, want, p.Version)
		assert.True(t, p.CleanStart)
		assert.Regexp(t, "^p-[0-9]+$", p.ClientID)
	}
}

func TestURLNamesTheTopic(t *testing.T) {
	b := startLoopback(t)
	sub := start(t, t.Context(), "sub", "--url", "mqtt://"+b.addr+"/a/#", "-C", "1", "-v")
	b.subscribers(1)
	require.Equal(t, result{}, ngmq(t.Context(), "", "pub", "-L", "mqtt://name:pw@"+b.addr+"/a/b", "-m", "hi"))
	assert.Equal(t, result{stdout: "a/b hi\n"}, <-sub)
	p := b.connects[len(b.connects)-1]
	assert.Equal(t, "name", *p.Username)
	assert.Equal(t, "pw", string(p.Password))
}

func TestSubPrints(t *testing.T) {
	for name, k := range map[string]struct{ args, want string }{
		"plain":       {"", "hello\nbye\n"},
		"verbose":     {"-v", "a/x hello\na/x (null)\na/y bye\n"},
		"no line end": {"-N", "hellobye"},
		"filter out":  {"-T a/x", "bye\n"},
	} {
		b := startLoopback(t)
		args := append([]string{"sub", "-t", "a/+", "-t", "end", "-q", "2", "-C", map[bool]string{true: "2", false: "4"}[name == "filter out"]}, b.host()...)
		sub := start(t, t.Context(), append(args, strings.Fields(k.args)...)...)
		b.subscribers(2)
		for _, m := range [][]string{{"a/x", "hello"}, {"a/x", ""}, {"a/y", "bye"}, {"end", ""}} {
			require.Equal(t, result{}, ngmq(t.Context(), "", append([]string{"pub", "-t", m[0], "-m", m[1], "-q", "1"}, b.host()...)...))
		}
		got := <-sub
		assert.Equal(t, strings.TrimSuffix(got.stdout, "end (null)\n"), k.want, name)
		assert.Equal(t, exitOK, got.status)
	}
}

func TestSubFlushesEachMessage(t *testing.T) {
	b := startLoopback(t)
	ctx, cancel := context.WithCancel(t.Context())
	out := make(lineWriter, 10)
	ended := make(chan int, 1)
	go func() {
		ended <- run(&console{ctx, strings.NewReader(""), out, os.Stderr}, append([]string{"sub", "-t", "a"}, b.host()...))
	}()
	b.subscribers(1)
	for _, text := range []string{"one", "two"} {
		require.Equal(t, result{}, ngmq(t.Context(), "", append([]string{"pub", "-t", "a", "-m", text}, b.host()...)...))
		assert.Equal(t, text+"\n", <-out)
	}
	cancel()
	assert.Equal(t, exitOK, <-ended, "a signal is a normal end")
}

type lineWriter chan string

func (w lineWriter) Write(b []byte) (int, error) { w <- string(b); return len(b), nil }

func TestSubTimeout(t *testing.T) {
	b := startLoopback(t)
	assert.Equal(t, result{status: exitTimeout}, ngmq(t.Context(), "", append([]string{"sub", "-t", "a", "-W", "0.05"}, b.host()...)...))
}

func TestSubEndsAfterSuback(t *testing.T) {
	b := startLoopback(t)
	assert.Equal(t, result{}, ngmq(t.Context(), "", append([]string{"sub", "-t", "a", "-U", "b", "-E"}, b.host()...)...))
}

func TestConnectionLost(t *testing.T) {
	b := startLoopback(t)
	sub := start(t, t.Context(), append([]string{"sub", "-t", "a"}, b.host()...)...)
	b.subscribers(1)
	b.update(func() {
		for c := range b.conns {
			c.nc.Close()
		}
	})
	got := <-sub
	assert.Equal(t, exitLost, got.status)
	assert.Contains(t, got.stderr, "connection lost")
}

func TestRefusals(t *testing.T) {
	b := startLoopback(t)
	b.refuse = packet.NotAuthorized
	got := ngmq(t.Context(), "", append([]string{"pub", "-t", "a", "-n"}, b.host()...)...)
	assert.Equal(t, exitRefused, got.status)
	assert.Contains(t, got.stderr, "Not authorized")
	assert.Contains(t, got.stderr, "-u and -P")

	b = startLoopback(t)
	b.refused = packet.QuotaExceeded
	for _, args := range []string{"pub -t a -q 1 -n", "pub -t a -q 2 -n", "sub -t a"} {
		got := ngmq(t.Context(), "", append(strings.Fields(args), b.host()...)...)
		assert.Equal(t, exitRefused, got.status, args)
		assert.Contains(t, got.stderr, "0x97", args)
	}
	got = ngmq(t.Context(), "", append([]string{"pub", "--quiet", "-t", "a", "-q", "1", "-n"}, b.host()...)...)
	assert.Equal(t, result{status: exitRefused}, got)
}

func TestCannotConnect(t *testing.T) {
	got := ngmq(t.Context(), "", "sub", "-t", "a", "-L", "mqtt://name:secret@"+deadPort(t))
	assert.Equal(t, exitNoServer, got.status)
	assert.Contains(t, got.stderr, "connection refused")
	assert.Contains(t, got.stderr, "is the server running")
	assert.NotContains(t, got.stderr, "secret")

	got = ngmq(t.Context(), "", "sub", "-t", "a", "--insecure", "-L", "mqtts://"+startLoopback(t).addr)
	assert.Equal(t, exitNoServer, got.status)
	assert.Contains(t, got.stderr, "not verified")
}

// A CA file does not make mqtt:// a TLS connection: nothing is sent in clear text to somebody who thinks so.
func TestCAFileWithoutTLS(t *testing.T) {
	cert, err := devcert.Generate(t.TempDir())
	require.NoError(t, err)
	for _, command := range []string{"pub -t a -m b", "sub -t a", "ping", "bench conn"} {
		got := ngmq(t.Context(), "", append(strings.Fields(command), "-L", "mqtt://127.0.0.1:1", "--cafile", cert.CAFile)...)
		assert.Equal(t, exitUsage, got.status, command)
		assert.Contains(t, got.stderr, "use mqtts://", command)
	}
	got := ngmq(t.Context(), "", "bench", "compare", "mqtt://127.0.0.1:1", "ws://127.0.0.1:1", "--cafile", cert.CAFile)
	assert.Equal(t, exitUsage, got.status, "a list with TLS may have clear text too, this has none")
	assert.Contains(t, got.stderr, "use mqtts://")
}

// Whatever is wrong with the certificate, over every TLS library in it ngmq says what to do.
func TestCertificateHints(t *testing.T) {
	cert, err := devcert.Generate(t.TempDir())
	require.NoError(t, err)
	other, err := devcert.Generate(t.TempDir())
	require.NoError(t, err)
	for _, server := range append(refuseQUIC(t, cert), "mqtts://"+refuseTLS(t, cert)) {
		for options, want := range map[string]string{
			"":                         "give the CA of the server with --cafile",
			"--cafile " + other.CAFile: other.CAFile + " does not hold the CA of this server",
			"--cafile " + cert.CAFile + " --servername elsewhere.example": "give it with --servername",
		} {
			got := ngmq(t.Context(), "", strings.Fields("sub -t a -L "+server+" "+options)...)
			assert.Equal(t, exitNoServer, got.status)
			assert.Contains(t, got.stderr, want, server)
		}
	}
}

// deadPort is a TCP port where nobody listens until the end of the test: a connection holds it.
func deadPort(t *testing.T) string {
	t.Helper()
	c, err := net.Dial("tcp", startLoopback(t).addr)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return c.LocalAddr().String()
}

func refuseTLS(t *testing.T, cert devcert.Cert) string {
	pair, err := tls.LoadX509KeyPair(cert.CertFile, cert.KeyFile)
	require.NoError(t, err)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}})
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.(*tls.Conn).Handshake()
			c.Close()
		}
	}()
	return l.Addr().String()
}

func TestWrongUse(t *testing.T) {
	for args, want := range map[string]string{
		"":                                     "expected one of",
		"pub":                                  "--message",
		"pub -m x":                             "-t",
		"pub -t a -m x -n":                     "can't be used together",
		"pub -t a/# -m x":                      "wildcard",
		"sub -t a/#/b":                         "a/#/b",
		"sub -t a -h 127.0.0.1 -p 1":           "cannot connect",
		"pub -t a -f /does/not/exist":          "/does/not/exist",
		"pub -t a -m x -q 3":                   "-q must be 0, 1 or 2",
		"pub -t a -m x -V 4":                   "mqttv311",
		"pub -t a -m x -x soon":                "not a number of seconds",
		"pub -t a -m x -x 5 -V 311":            "-x needs MQTT 5",
		"pub -t a -m x -L mqtt://h -p 5":       "belongs into the URL",
		"pub -t a -m x -L http://h":            "scheme",
		"pub -t a -m x --cert /dev/null":       "go together",
		"pub -t a -m x --will-payload p":       "--will-topic",
		"sub":                                  "-t",
		"sub -t a -c":                          "-i",
		"sub -t a -W -1":                       "not a number of seconds",
		"sub -t a --follow-reference -V 311":   "--follow-reference needs MQTT 5",
		"sub -t a -R --retained-only":          "can't be used together",
		"sub -t a --cafile /does/not/exist":    "/does/not/exist",
		"sub -t a -i x -I y":                   "not both",
		"frobnicate":                           "unexpected argument",
		"sub -t a --will-topic w --will-qos 3": "--will-qos",
	} {
		got := ngmq(t.Context(), "", strings.Fields(args)...)
		assert.NotEqual(t, exitOK, got.status, args)
		assert.Contains(t, got.stderr, want, args)
	}
}

func TestHelpAndVersion(t *testing.T) {
	got := ngmq(t.Context(), "", "--help")
	assert.Equal(t, exitOK, got.status)
	assert.Contains(t, got.stdout, "27 timeout")
	got = ngmq(t.Context(), "", "sub", "--help")
	assert.Equal(t, exitOK, got.status)
	assert.Contains(t, got.stdout, "-W, --timeout")
	got = ngmq(t.Context(), "", "version")
	assert.Equal(t, exitOK, got.status)
	assert.Regexp(t, versionLines, got.stdout)
}

func TestSubReconnects(t *testing.T) {
	b := startLoopback(t)
	sub := start(t, t.Context(), append([]string{"sub", "-t", "a", "-C", "1", "--reconnect"}, b.host()...)...)
	b.subscribers(1)
	b.update(func() {
		for c := range b.conns {
			c.nc.Close()
			delete(b.conns, c)
		}
	})
	b.subscribers(1)
	require.Equal(t, result{}, ngmq(t.Context(), "", append([]string{"pub", "-t", "a", "-m", "again"}, b.host()...)...))
	got := <-sub
	assert.Equal(t, exitOK, got.status)
	assert.Equal(t, "again\n", got.stdout)
	assert.Contains(t, got.stderr, "connection lost")
}
