package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/client"
	"github.com/ngmq/ngmq/mqtt/packet"
)

// asServer in the environment makes the test binary be ngmqd, so that processes are
// tested with what go test has built, race detector included.
const asServer = "NGMQD_TEST_IS_SERVER"

func TestMain(m *testing.M) {
	if os.Getenv(asServer) != "" {
		os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// patience bounds every wait: what takes a moment takes many on a machine that others load.
const patience = time.Minute

// within does something that takes a promised time, again when the machine was too busy for
// that once.
func within(t *testing.T, promised time.Duration, do func(t *testing.T) (took time.Duration)) {
	t.Helper()
	const tries = 3
	var took []time.Duration
	for range tries {
		if took = append(took, do(t)); took[len(took)-1] < promised {
			return
		}
	}
	assert.Fail(t, "not in time", "%v instead of %v", took, promised)
}

// process is a running ngmqd.
type process struct {
	*exec.Cmd
	stderr output
	stdout output
	exited chan struct{}
}

// output collects what a process writes; any goroutine may read it.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// command starts ngmqd with a data directory of its own and nothing of NGMQ_* in the
// environment but env.
func command(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	p := &process{Cmd: exec.Command(self, args...), exited: make(chan struct{})}
	// A binary made for coverage complains on stderr without GOCOVERDIR.
	p.Env = append([]string{asServer + "=1", "HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH"), "GOCOVERDIR=" + t.TempDir()}, env...)
	p.Dir = t.TempDir()
	p.Cmd.Stdout, p.Cmd.Stderr = &p.stdout, &p.stderr
	require.NoError(t, p.Start())
	go func() {
		p.Wait()
		close(p.exited)
	}()
	t.Cleanup(func() {
		p.Process.Kill()
		<-p.exited
	})
	return p
}

// status waits for the end of the process.
func (p *process) status(t *testing.T) int {
	t.Helper()
	select {
	case <-p.exited:
		return p.ProcessState.ExitCode()
	case <-time.After(patience):
		t.Fatalf("still running:\n%s", p.stderr.String())
		return -1
	}
}

// ready waits for the line that says ready and gives its attributes.
func (p *process) ready(t *testing.T) map[string]string {
	t.Helper()
	var entry map[string]string
	require.Eventually(t, func() bool {
		lines := bufio.NewScanner(strings.NewReader(p.stderr.String()))
		for lines.Scan() {
			e := map[string]any{}
			if json.Unmarshal(lines.Bytes(), &e) == nil && e["msg"] == "ready" {
				entry = map[string]string{}
				for k, v := range e {
					entry[k] = fmt.Sprint(v)
				}
				return true
			}
		}
		return false
	}, patience, 5*time.Millisecond, "no ready line")
	return entry
}

var anyPorts = append([]string{
	"--tcp", "127.0.0.1:0", "--tls", "127.0.0.1:0", "--ws", "127.0.0.1:0", "--wss", "127.0.0.1:0", "--unix", "mqtt.sock", "--log-format", "json",
}, anyQUIC...)

// connectWith sends a 5.0 CONNECT with properties over TCP.
func connectWith(t *testing.T, addr string, props packet.Properties) (net.Conn, *packet.Decoder) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	_, err = conn.Write((&packet.Connect{ClientID: "c", CleanStart: true, Properties: props}).AppendTo(nil, packet.V50))
	require.NoError(t, err)
	d := packet.NewDecoder(0)
	d.SetVersion(packet.V50)
	return conn, d
}

// connect does CONNECT and CONNACK over TCP.
func connect(t *testing.T, addr string, v packet.Version) (net.Conn, *packet.Decoder) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	_, err = conn.Write((&packet.Connect{ClientID: v.String(), CleanStart: true}).AppendTo(nil, v))
	require.NoError(t, err)
	d := packet.NewDecoder(0)
	d.SetVersion(v)
	p, err := d.ReadPacket(conn, make([]byte, 1024))
	require.NoError(t, err)
	require.IsType(t, &packet.Connack{}, p)
	return conn, d
}

func TestServesUntilSignal(t *testing.T) {
	for _, signal := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		t.Run(signal.String(), func(t *testing.T) {
			within(t, 5*time.Second, func(t *testing.T) time.Duration { return servesUntil(t, signal) })
		})
	}
}

// servesUntil returns how long the server took to end after the signal.
func servesUntil(t *testing.T, signal os.Signal) time.Duration {
	t.Helper()
	p := command(t, nil, anyPorts...)
	addrs := p.ready(t)
	for _, transport := range transports {
		if transport == "unix" {
			continue
		}
		_, port, err := net.SplitHostPort(addrs[transport])
		require.NoError(t, err)
		assert.NotEqual(t, "0", port)
	}
	v5, decoder := connect(t, addrs["tcp"], packet.V50)
	v3, decoder3 := connect(t, addrs["tcp"], packet.V311)

	begin := time.Now()
	require.NoError(t, p.Process.Signal(signal))
	last, err := decoder.ReadPacket(v5, make([]byte, 1024))
	require.NoError(t, err)
	require.IsType(t, &packet.Disconnect{}, last)
	assert.Equal(t, packet.ServerShuttingDown, last.(*packet.Disconnect).ReasonCode)
	_, err = decoder3.ReadPacket(v3, make([]byte, 1024))
	assert.ErrorIs(t, err, io.EOF)
	v5.Close()
	v3.Close()
	assert.Zero(t, p.status(t), p.stderr.String())
	return time.Since(begin)
}

// A client that does not read and does not close costs no more than the 5 seconds.
func TestStopsInTimeWithDeafClients(t *testing.T) {
	within(t, 5*time.Second, func(t *testing.T) time.Duration {
		p := command(t, nil, anyPorts...)
		addrs := p.ready(t)
		connect(t, addrs["tcp"], packet.V50)
		deaf, err := net.Dial("tcp", addrs["tls"])
		require.NoError(t, err)
		defer deaf.Close()
		begin := time.Now()
		require.NoError(t, p.Process.Signal(syscall.SIGTERM))
		assert.Zero(t, p.status(t), p.stderr.String())
		return time.Since(begin)
	})
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	p := command(t, nil, anyPorts...)
	addrs := p.ready(t)
	connect(t, addrs["tcp"], packet.V50) // keeps the server waiting for its end
	require.NoError(t, p.Process.Signal(syscall.SIGTERM))
	require.Eventually(t, func() bool { return strings.Contains(p.stderr.String(), "shutting down") }, patience, time.Millisecond)
	require.Eventually(t, func() bool {
		p.Process.Signal(syscall.SIGTERM)
		select {
		case <-p.exited:
			return true
		default:
			return false
		}
	}, patience, 10*time.Millisecond)
}

func TestRefusesToStart(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer busy.Close()
	garbage := filepath.Join(t.TempDir(), "garbage")
	require.NoError(t, os.WriteFile(garbage, []byte("not a certificate"), 0o600))

	public := filepath.Join(t.TempDir(), "public")
	require.NoError(t, os.WriteFile(public, nil, 0o600))
	require.NoError(t, os.Chmod(public, 0o644))

	off := []string{"--quic", "off", "--tcp", "off"}
	cases := map[string]struct {
		args []string
		want []string
	}{
		"all off":              {off, []string{"all listeners are off", "--quic"}},
		"address in use":       {append([]string{"--tls", "127.0.0.1:0", "--tcp", busy.Addr().String()}, anyQUIC...), []string{busy.Addr().String(), "in use", "--tcp"}},
		"no such certificate":  {[]string{"--cert", "/nowhere.crt", "--key", "/nowhere.key"}, []string{"/nowhere.crt", "no such file", "--cert"}},
		"bad certificate":      {[]string{"--cert", garbage, "--key", garbage}, []string{garbage, "--cert"}},
		"certificate alone":    {[]string{"--cert", garbage}, []string{garbage, "--key"}},
		"public":               {[]string{"--tcp", "0.0.0.0:0"}, []string{"0.0.0.0:0", "--allow-anonymous"}},
		"QUIC address":         {[]string{"--quic", ":0"}, []string{":0", badQUIC}},
		"bad address":          {[]string{"--tcp", "nonsense"}, []string{"nonsense", "host:port"}},
		"data dir is a file":   {[]string{"--data-dir", garbage, "--quic", "off", "--tcp", "off", "--tls", "127.0.0.1:0"}, []string{garbage, "--data-dir"}},
		"unknown flag":         {[]string{"--nonsense"}, []string{"--nonsense", "--help"}},
		"unknown level":        {[]string{"--log-level", "loud"}, []string{"--log-level", "debug"}},
		"unknown format":       {[]string{"--log-format", "xml"}, []string{"--log-format", "json"}},
		"unexpected argument":  {[]string{"start"}, []string{"start", "--help"}},
		"client CA is missing": {[]string{"--tcp", "127.0.0.1:0", "--cert-username", "cn"}, []string{"--client-ca"}},
		"unknown client-cert":  {[]string{"--client-cert", "maybe"}, []string{"maybe", "required", "optional"}},
		"unknown retry":        {[]string{"--retry", "sometimes"}, []string{"--retry", "sometimes", "auto, never or always"}},
		"no key log":           {[]string{"--tcp", "127.0.0.1:0", "--tls", "off", "--keylog-file", "/nowhere/keys"}, []string{"/nowhere/keys", "no such", "--keylog-file"}},
		"no qlog directory":    {[]string{"--tcp", "127.0.0.1:0", "--quic", "off", "--qlog-dir", garbage}, []string{garbage, "--qlog-dir"}},
		"--log-quic unseen":    {[]string{"--tcp", "127.0.0.1:0", "--log-quic"}, []string{"--log-level debug"}},
		"public key log":       {[]string{"--tcp", "127.0.0.1:0", "--keylog-file", public}, []string{public, "chmod 600", "--keylog-file"}},
		"two things at a time": {[]string{"--tcp", "0.0.0.0:0", "--cert", "/nowhere.crt", "--key", "x"}, []string{"--allow-anonymous", "/nowhere.crt"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			p := command(t, nil, c.args...)
			assert.Equal(t, 1, p.status(t))
			for _, text := range c.want {
				assert.Contains(t, p.stderr.String(), text)
			}
			assert.NotContains(t, p.stderr.String(), "msg=ready")
			assert.Empty(t, p.stdout.String())
		})
	}
}

func TestEnvironment(t *testing.T) {
	dir := t.TempDir()
	p := command(t, []string{
		"NGMQ_QUIC=off", "NGMQ_TCP=127.0.0.1:0,127.0.0.2:0", "NGMQ_TLS=0.0.0.0:0", "NGMQ_ALLOW_ANONYMOUS=true",
		"NGMQ_DATA_DIR=" + dir, "NGMQ_LOG_FORMAT=json", "NGMQ_LOG_LEVEL=info",
	})
	addrs := p.ready(t)
	assert.Equal(t, "off", addrs["quic"])
	assert.Len(t, strings.Split(addrs["tcp"], ","), 2)
	assert.FileExists(t, filepath.Join(dir, "dev-ca.crt"))
	assert.FileExists(t, filepath.Join(dir, "dev.crt"))
	assert.FileExists(t, filepath.Join(dir, "dev.key"))
	assert.Regexp(t, `([0-9A-F]{2}:){31}[0-9A-F]{2}`, p.stderr.String(), "the fingerprint is logged")
}

func TestFlagBeatsEnvironment(t *testing.T) {
	p := command(t, []string{"NGMQ_TCP=nonsense"}, anyPorts...)
	assert.NotEqual(t, "off", p.ready(t)["tcp"])
}

func TestLogLevelAndTextFormat(t *testing.T) {
	p := command(t, nil, "--quic", "off", "--tcp", "127.0.0.1:0")
	require.Eventually(t, func() bool { return strings.Contains(p.stderr.String(), "msg=ready") }, patience, 5*time.Millisecond)
	quiet := command(t, nil, "--quic", "off", "--tcp", "off", "--unix", "mqtt.sock", "--log-level", "error")
	require.Eventually(t, func() bool {
		conn, err := net.Dial("unix", filepath.Join(quiet.Dir, "mqtt.sock"))
		if err == nil {
			conn.Close()
		}
		return err == nil
	}, patience, 5*time.Millisecond)
	require.NoError(t, quiet.Process.Signal(syscall.SIGTERM))
	assert.Zero(t, quiet.status(t))
	assert.Empty(t, quiet.stderr.String())
}

func TestCountersAreLogged(t *testing.T) {
	p := command(t, nil, append([]string{"--log-level", "debug"}, anyPorts...)...)
	addrs := p.ready(t)
	connect(t, addrs["tcp"], packet.V50)
	require.NoError(t, p.Process.Signal(syscall.SIGUSR1))
	mqtt := p.counters(t, "mqtt", "INFO")
	assert.EqualValues(t, 1, mqtt["clients"])
	assert.NotZero(t, mqtt["bytes_received"])
	memory := p.counters(t, "memory", "INFO")
	assert.NotZero(t, memory["go_heap"])
	assert.NotZero(t, memory["goroutines"])
	assert.Contains(t, memory, "native_heap")
	require.NoError(t, p.Process.Signal(syscall.SIGTERM))
	assert.Zero(t, p.status(t))
	mqtt = p.counters(t, "mqtt", "DEBUG")
	assert.EqualValues(t, 0, mqtt["clients"])
	assert.EqualValues(t, 1, mqtt["clients_total"])
}

// counters waits for a line of counters and gives its attributes.
func (p *process) counters(t *testing.T, group, level string) (attrs map[string]any) {
	t.Helper()
	require.Eventually(t, func() bool {
		lines := bufio.NewScanner(strings.NewReader(p.stderr.String()))
		for lines.Scan() {
			e := map[string]any{}
			if json.Unmarshal(lines.Bytes(), &e) == nil && e["msg"] == "counters "+group && e["level"] == level {
				attrs = e
			}
		}
		return attrs != nil
	}, patience, 5*time.Millisecond, "no such line")
	return attrs
}

func TestHintsUnderMake(t *testing.T) {
	p := command(t, []string{"MAKELEVEL=1"}, anyPorts...)
	addrs := p.ready(t)
	require.Eventually(t, func() bool { return strings.Contains(p.stdout.String(), "Ctrl-C") }, patience, 5*time.Millisecond)
	hints := p.stdout.String()
	assert.Equal(t, slices.Contains(transports, "quic"), strings.Contains(hints, "--url quic://"+strings.TrimSuffix(addrs["quic"], "off")))
	assert.Contains(t, hints, "dev-ca.crt")
	_, port, _ := net.SplitHostPort(addrs["tcp"])
	assert.Contains(t, hints, "mosquitto_sub -h 127.0.0.1 -p "+port)
	_, port, _ = net.SplitHostPort(addrs["tls"])
	assert.Contains(t, hints, "-p "+port+" --cafile")
	assert.Contains(t, hints, "--url ws://"+addrs["ws"]+"/mqtt -t")
	assert.Contains(t, hints, "--url wss://"+addrs["wss"]+"/mqtt --cafile")
	assert.Contains(t, hints, "--url unix://"+addrs["unix"])
}

func TestErrorsUnderMakeSayWhereFlagsGo(t *testing.T) {
	p := command(t, []string{"MAKELEVEL=1"}, "--quic", "off", "--tcp", "off")
	assert.Equal(t, 1, p.status(t))
	assert.Contains(t, p.stderr.String(), "make run ARGS=")
	p = command(t, nil, "--quic", "off", "--tcp", "off")
	assert.Equal(t, 1, p.status(t))
	assert.NotContains(t, p.stderr.String(), "make run")
}

// Lines to paste work in a terminal that stands elsewhere.
func TestHintsAreForAnyFolder(t *testing.T) {
	defer func(args []string) { os.Args = args }(os.Args)
	here, err := os.Getwd()
	require.NoError(t, err)
	for called, want := range map[string]string{
		"ngmqd": "ngmq", "bin/ngmqd": here + "/bin/ngmq", "./ngmqd": here + "/ngmq",
		"/opt/ngmqd": "/opt/ngmq", "/my tools/ngmqd": "'/my tools/ngmq'", "/it's/ngmqd": `'/it'\''s/ngmq'`,
	} {
		os.Args = []string{called}
		assert.Equal(t, want, sibling("ngmq"), called)
	}
	assert.Equal(t, " --cafile "+here+"/data/dev-ca.crt", trust("data/dev-ca.crt"))
}

func TestVersion(t *testing.T) {
	for _, args := range [][]string{{"version"}, {"--version"}, {"serve", "--version"}} {
		p := command(t, []string{"NGMQ_NONSENSE=1"}, args...)
		assert.Zero(t, p.status(t))
		assert.Regexp(t, versionLines, p.stdout.String())
		assert.Empty(t, p.stderr.String())
	}
}

func TestUnknownVariableIsRefused(t *testing.T) {
	for variable, want := range map[string]string{
		"NGMQ_LOG_LEVL=debug": "NGMQ_LOG_LEVL: did you mean NGMQ_LOG_LEVEL?",
		"NGMQ_QUICK=off":      "NGMQ_QUICK: did you mean NGMQ_QUIC?",
		"NGMQ_NONSENSE=":      "NGMQ_NONSENSE: unset it",
		"NGMQ_FOO=1":          "NGMQ_FOO: unset it",
		"NGMQ_VERSION=true":   "NGMQ_VERSION: unset it",
	} {
		p := command(t, []string{variable}, anyPorts...)
		assert.Equal(t, 1, p.status(t))
		assert.Contains(t, p.stderr.String(), want)
		assert.NotContains(t, p.stderr.String(), "ready")
	}
}

// The key log holds the secrets of TLS over TCP, and is announced.
func TestKeyLog(t *testing.T) {
	for _, form := range []string{"flag", "NGMQ_KEYLOG_FILE", "SSLKEYLOGFILE"} {
		t.Run(form, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "keys.log")
			args, env := anyPorts, []string{form + "=" + file}
			if form == "flag" {
				args, env = append([]string{"--keylog-file", file}, args...), nil
			}
			p := command(t, env, args...)
			conn, err := tls.Dial("tcp", p.ready(t)["tls"], &tls.Config{InsecureSkipVerify: true})
			require.NoError(t, err)
			conn.Close()
			require.Eventually(t, func() bool {
				keys, err := os.ReadFile(file)
				return err == nil && strings.Contains(string(keys), "SERVER_TRAFFIC_SECRET_0 ")
			}, patience, 5*time.Millisecond)
			assert.Equal(t, 1, strings.Count(p.stderr.String(), "INSECURE"))
			assert.Contains(t, p.stderr.String(), file)
			info, err := os.Stat(file)
			require.NoError(t, err)
			assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
		})
	}
}

func TestHelp(t *testing.T) {
	p := command(t, nil, "--help")
	assert.Zero(t, p.status(t))
	for _, flag := range []string{"--quic=", "--tcp=", "--tls=", "--ws=", "--wss=", "--unix=", "--ws-origin=", "--client-ca=", "--client-cert=", "--cert-username=", "--cert=", "--key=", "--data-dir=", "--log-level", "--log-format", "--allow-anonymous", "NGMQ_QUIC", "version", "--retry=", "--keylog-file=", "--qlog-dir=", "--log-quic", "SIGUSR1", "SSLKEYLOGFILE", "--version"} {
		assert.Contains(t, p.stdout.String(), flag)
	}
}

// A client with the right certificate is let in from the command line too.
func TestClientCertificateFlags(t *testing.T) {
	dir := t.TempDir()
	maker := command(t, nil, "--data-dir", dir, "--quic", "off", "--tcp", "off", "--tls", "127.0.0.1:0", "--log-format", "json")
	maker.ready(t)
	p := command(t, nil, append([]string{"--client-ca", filepath.Join(dir, "dev-ca.crt"), "--client-cert", "required"}, anyPorts...)...)
	id := client.TLS{Insecure: true, CertFile: filepath.Join(dir, "dev.crt"), KeyFile: filepath.Join(dir, "dev.key")}
	for _, url := range []string{"mqtts://" + p.ready(t)["tls"], "wss://" + p.ready(t)["wss"]} {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		_, err := client.Dial(ctx, url, client.Options{TLS: client.TLS{Insecure: true}})
		assert.ErrorContains(t, err, "certificate required")
		_, err = client.Dial(ctx, url, client.Options{TLS: id})
		assert.ErrorContains(t, err, "bad certificate", "it is one for servers") // extended key usage
	}
}

func TestWrongFlagsAtOnce(t *testing.T) {
	p := command(t, []string{"NGMQ_LOG_FORMAT=xml"}, "--log-level", "loud", "--retry", "perhaps")
	assert.Equal(t, 1, p.status(t))
	for _, want := range []string{`--log-level must be one of "debug","info","warn","error" but got "loud"`, "--retry: ",
		`(from envar NGMQ_LOG_FORMAT="xml")`, "see ngmqd --help"} {
		assert.Contains(t, p.stderr.String(), want)
	}
	p = command(t, nil, "-v")
	assert.Equal(t, 1, p.status(t))
	assert.Equal(t, "ngmqd: unknown flag -v: flags have whole names here, such as --version and --log-level debug; see ngmqd --help\n", p.stderr.String())
}
