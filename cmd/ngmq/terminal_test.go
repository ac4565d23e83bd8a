package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// asProgram has the test binary be ngmq.
const asProgram = "NGMQ_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	os.Exit(m.Run())
}

// patience bounds every wait: what takes a moment takes many on a machine that others load.
const patience = time.Minute

// terminal is ngmq at a terminal of its own, as a person sees it.
type terminal struct {
	t    *testing.T
	cmd  *exec.Cmd
	pty  *os.File
	mu   sync.Mutex
	out  bytes.Buffer
	seen int           // up to where expect has looked
	grew chan struct{} // capacity 1
	done chan struct{} // the output has ended
}

func program(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = append(os.Environ(), asProgram+"=1", "TERM=xterm")
	return cmd
}

func openTerminal(t *testing.T, args ...string) *terminal {
	t.Helper()
	term := &terminal{t: t, cmd: program(t, args...), grew: make(chan struct{}, 1), done: make(chan struct{})}
	var err error
	term.pty, err = pty.StartWithSize(term.cmd, &pty.Winsize{Rows: 24, Cols: 120})
	require.NoError(t, err)
	go func() {
		defer close(term.done)
		_, _ = io.Copy(term, term.pty) // it ends with EIO when the program does
	}()
	t.Cleanup(func() { term.pty.Close() })
	return term
}

// Write takes the program's output.
func (t *terminal) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case t.grew <- struct{}{}:
	default:
	}
	return t.out.Write(b)
}

// expect waits for text after what was expected before.
func (t *terminal) expect(text string) {
	t.t.Helper()
	limit := time.After(patience)
	for {
		t.mu.Lock()
		at := strings.Index(t.out.String()[t.seen:], text)
		if at >= 0 {
			t.seen += at + len(text)
		}
		t.mu.Unlock()
		if at >= 0 {
			return
		}
		select {
		case <-t.grew:
		case <-limit:
			require.FailNow(t.t, "the program did not show it", "%q in %q", text, t.out.String())
		}
	}
}

// enter types a line and waits for what the program says to it.
func (t *terminal) enter(line, answer string) {
	t.t.Helper()
	t.typed(line + "\r")
	t.expect(answer)
}

func (t *terminal) typed(keys string) {
	t.t.Helper()
	_, err := t.pty.WriteString(keys)
	require.NoError(t.t, err)
}

// end waits for the program and returns its exit status and all that it has shown.
func (t *terminal) end() (status int, text string) {
	t.t.Helper()
	_ = t.cmd.Wait() // ExitCode tells
	<-t.done
	return t.cmd.ProcessState.ExitCode(), plain(t.out.String())
}

var escapes = regexp.MustCompile(`\x1b\[[0-9;?]*[A-Za-z]|\r`)

func plain(text string) string { return escapes.ReplaceAllString(text, "") }

// session is a shell in which a person tries out everything.
func session(t *testing.T, name, url string, flags ...string) {
	s := openTerminal(t, append([]string{"shell"}, flags...)...)
	prompt := url + "> "
	s.expect("ngmq> ")
	s.enter("sub a/#", "not connected")
	s.expect("ngmq> ")
	s.enter("connect "+url, "connected as ")
	s.expect(prompt)
	s.enter("sub 'a b/#' 1", "subscribed to a b/# with QoS 1")
	s.expect(prompt)
	s.enter(`pub -q 1 "a b/c" hello there`, "a b/c hello there")
	s.expect(prompt)
	s.enter("pub -q 1 nobody/here x", "nobody is subscribed")
	s.expect(prompt)
	s.typed("unf\x7f") // backspace
	s.typed("\t")
	s.expect("unsub ")
	s.typed("a\t")
	s.expect("a b/#")
	s.typed("\x15") // Ctrl-U: a new line
	s.enter("format %t=%p", prompt)
	s.typed("\x1b[A\x1b[A\x1b[A") // the third line before
	s.expect("hello there")
	s.enter("", "a b/c=hello there")
	s.expect(prompt)
	s.enter("status", "a b/# with QoS 1")
	s.expect(prompt)
	s.enter("pub a/#", "error: ")
	s.expect(prompt)
	s.enter("frobnicate", "type help")
	s.expect(prompt)
	s.enter("disconnect", "ngmq> ")
	s.enter("help", "this list")
	s.expect("ngmq> ")
	s.typed("quit\r")
	status, text := s.end()
	assert.Equal(t, exitOK, status)
	for _, want := range []string{"a b/c hello there", "a b/c=hello there", "unsub a b/#"} {
		assert.Contains(t, text, want, name)
	}
}

func TestShellSession(t *testing.T) {
	b := startServer(t, nil)
	session(t, "tcp", "mqtt://"+b.addrs.TCP[0].String())
	session(t, "tls", "mqtts://"+b.addrs.TLS[0].String(), "--cafile", b.ca)
}

// The shell ends as other programs do, and gives the terminal back.
func TestShellEnds(t *testing.T) {
	b := startServer(t, nil)
	url := "mqtt://" + b.addrs.TCP[0].String()
	for name, key := range map[string]string{"Ctrl-D": "\x04", "Ctrl-C": "\x03"} {
		s := openTerminal(t, "shell", "--url", url)
		s.expect(url + "> ")
		s.typed(key)
		status, _ := s.end()
		assert.Equal(t, exitOK, status, name)
	}
	s := openTerminal(t, "shell", "--url", url)
	s.expect(url + "> ")
	require.NoError(t, s.cmd.Process.Signal(os.Interrupt))
	status, _ := s.end()
	assert.Equal(t, exitOK, status, "signal")
}

// A script of commands gives the same text every time.
func TestShellScript(t *testing.T) {
	b := startLoopback(t)
	script := strings.Join([]string{"help", "pub a b", "connect mqtt://" + b.addr, "connect", "sub a/# 3", "sub a/# 2", "status", `pub 'a/b`, "pub -x a",
		"pub -q 2 a/b 'one  two' three", "unsub a/#", "format %Q", "disconnect", "status", "connect mqtt://127.0.0.1:1", "quit", "help"}, "\n")
	got := ngmq(t.Context(), script, "shell", "-i", "me")
	assert.Equal(t, exitUsage, got.status, "that of the first command that failed")
	assert.Empty(t, got.stderr)
	// The message comes when it comes: it has a line of its own.
	text := strings.Replace(got.stdout, "a/b one  two three\n", "", 1)
	assert.NotEqual(t, got.stdout, text)
	golden(t, "shell.txt", masked(text, [2]string{regexp.QuoteMeta(b.addr), "HOST"}))
}

func TestSplitWords(t *testing.T) {
	for line, want := range map[string][]string{
		"": nil, "  a  b ": {"a", "b"}, `"a b" c`: {"a b", "c"}, `'a "b' c`: {`a "b`, "c"}, `a\ b \\`: {"a b", `\`},
		`"" ''`: {"", ""}, `a"b"'c'`: {"abc"}, `"a\"b"`: {`a"b`}, `'a\b'`: {`a\b`},
	} {
		words, err := splitWords(line)
		assert.NoError(t, err, line)
		assert.Equal(t, want, words, line)
	}
	for _, line := range []string{`"a`, `'`, `a\`} {
		_, err := splitWords(line)
		assert.Error(t, err, line)
	}
}

// A person subscribes in one terminal, publishes in another one and ends with Ctrl-C.
func TestSubAtTerminal(t *testing.T) {
	b := startLoopback(t)
	sub := openTerminal(t, append([]string{"sub", "-t", "a/#", "-v"}, b.host()...)...)
	b.subscribers(1)
	out, err := program(t, append([]string{"pub", "-t", "a/b", "-m", "hi"}, b.host()...)...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	sub.expect("a/b hi\r\n")
	sub.typed("\x03")
	status, text := sub.end()
	assert.Equal(t, exitOK, status)
	assert.Equal(t, "a/b hi\n", strings.TrimSuffix(text, "^C"))
}

// The state of a benchmark stands in one line, which is gone at the end.
func TestBenchAtTerminal(t *testing.T) {
	b := startServer(t, nil)
	s := openTerminal(t, "bench", "rtt", "-L", "mqtt://"+b.addrs.TCP[0].String(), "-r", "100", "--duration", "50s", "--progress", "100ms")
	s.expect("\rrtt: 1/1 connected, ")
	s.expect(" of 50s")
	s.typed("\x03") // that is enough
	status, _ := s.end()
	assert.Equal(t, exitOK, status)
	assert.Contains(t, s.out.String(), "\r\x1b[Krtt           over tcp, 1 client,")
}

// Errors of the program reach the terminal with their exit status.
func TestStatusAtTerminal(t *testing.T) {
	s := openTerminal(t, "pub", "-t", "a", "-m", "x", "-L", "mqtt://127.0.0.1:1")
	status, text := s.end()
	assert.Equal(t, exitNoServer, status)
	assert.Equal(t, "ngmq: cannot connect: mqtt://127.0.0.1:1: dial tcp 127.0.0.1:1: connect: connection refused\n"+
		"  is the server running, and is this its port?\n", text)
	s = openTerminal(t, "sub", "-t", "a/#/b")
	status, text = s.end()
	assert.Equal(t, exitUsage, status)
	assert.Contains(t, text, `ngmq: filter "a/#/b": `)
}

// A connection that is lost shows, and connect brings it back.
func TestShellLosesItsConnection(t *testing.T) {
	b := startLoopback(t)
	url := "mqtt://" + b.addr
	s := openTerminal(t, "shell", "--url", url, "-i", "me")
	s.expect(url + "> ")
	b.update(func() {
		for c := range b.conns {
			c.nc.Close()
		}
	})
	s.expect("connection lost: ")
	s.enter("status", "connection lost as me")
	s.enter("connect", "connected as me")
	s.enter("connect", "connected already")
	s.typed("\x04")
	status, _ := s.end()
	assert.Equal(t, exitOK, status)
	assert.Len(t, b.connects, 2)
}

// Messages cannot do anything to the terminal.
func TestShellShowsControlCharacters(t *testing.T) {
	b := startLoopback(t)
	url := "mqtt://" + b.addr
	s := openTerminal(t, "shell", "--url", url)
	s.expect(url + "> ")
	s.enter("sub a", "subscribed")
	require.Equal(t, result{}, ngmq(t.Context(), "\x1b]0;title\x07\x9bx\xff", append([]string{"pub", "-t", "a", "-s"}, b.host()...)...))
	s.expect("a .]0;title.")
	s.typed("\x04")
	s.end()
	assert.NotContains(t, s.out.String(), "title\x07")
}

// A line may be as long as a message, and the lines after it count.
func TestShellLongLine(t *testing.T) {
	got := ngmq(t.Context(), "pub a "+strings.Repeat("x", 100_000)+"\nhelp\n", "shell")
	assert.Equal(t, exitUsage, got.status, "that of pub without a connection")
	assert.Contains(t, got.stdout+got.stderr, errNoConnection.Error())
	assert.Contains(t, got.stdout, "subscribe and show what comes")
}
