package netns

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// patience bounds every wait, generous for a loaded machine.
const patience = 2 * time.Minute

// tick is how often something is looked at that tells nothing by itself.
const tick = 10 * time.Millisecond

// process is a program in a namespace whose output is read line by line.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	in     io.WriteCloser
	errors output

	mu    sync.Mutex
	lines []string
	more  chan struct{} // closed and replaced with each line, and at the end
	ended bool
}

// output collects what a program says; any goroutine may look at it.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// start runs a program of bin in ns.
func start(t *testing.T, ns, program string, args ...string) *process {
	t.Helper()
	bin, err := filepath.Abs("../../bin/" + program)
	require.NoError(t, err)
	return run(t, ns, bin, args...)
}

// run runs a program in ns; it is stopped with the test.
func run(t *testing.T, ns, bin string, args ...string) *process {
	t.Helper()
	var err error
	p := &process{t: t, more: make(chan struct{})}
	p.cmd = exec.Command("ip", append([]string{"netns", "exec", ns, bin}, args...)...)
	p.cmd.Stderr = &p.errors
	p.in, err = p.cmd.StdinPipe()
	require.NoError(t, err)
	out, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	go p.read(out)
	t.Cleanup(p.stop)
	return p
}

func (p *process) read(out io.Reader) {
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		p.update(func() { p.lines = append(p.lines, lines.Text()) })
	}
	p.update(func() { p.ended = true })
}

func (p *process) update(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
	close(p.more)
	p.more = make(chan struct{})
}

// received waits for n lines of output and returns them.
func (p *process) received(n int) []string {
	p.t.Helper()
	limit := time.After(patience)
	for {
		p.mu.Lock()
		lines, more, ended := p.lines, p.more, p.ended
		p.mu.Unlock()
		if len(lines) >= n {
			return lines
		}
		require.False(p.t, ended, "%v ended after %d of %d lines", p.cmd.Args, len(lines), n)
		select {
		case <-more:
		case <-limit:
			require.FailNow(p.t, "too slow", "%v: %d of %d lines", p.cmd.Args, len(lines), n)
		}
	}
}

// find waits for a line of output and returns how many there are up to it.
func (p *process) find(line string) int {
	p.t.Helper()
	for n := 1; ; n++ {
		if lines := p.received(n); lines[n-1] == line {
			return n
		}
	}
}

// forget drops the output so far.
func (p *process) forget() { p.update(func() { p.lines = nil }) }

// finish waits for the end of a program that has to succeed.
func (p *process) finish() {
	p.t.Helper()
	p.ends(patience)
}

// ends is finish for a program that may take longer.
func (p *process) ends(limit time.Duration) {
	p.t.Helper()
	p.in.Close()
	done := make(chan error, 1)
	go func() { done <- p.cmd.Wait() }()
	select {
	case err := <-done:
		require.NoError(p.t, err, "%v: %s", p.cmd.Args, p.errors.String())
	case <-time.After(limit):
		require.FailNow(p.t, "does not end", "%v", p.cmd.Args)
	}
}

// stop ends the program, which may have ended.
func (p *process) stop() {
	if p.cmd.ProcessState != nil {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	kill := time.AfterFunc(patience, func() { _ = p.cmd.Process.Kill() })
	_ = p.cmd.Wait()
	kill.Stop()
	if p.t.Failed() {
		p.t.Logf("%v:\n%s", p.cmd.Args, p.errors.String())
	}
}

// flow is a publisher and a subscriber, and the broker between them.
type flow struct {
	*network
	pub, sub *process
	sent     int
}

// messageSize is the length of each message.
const messageSize = 1000

// startFlow starts a broker, a subscriber and a publisher towards host. The first
// message is retained: when the subscriber prints it, it is subscribed.
func (n *network) startFlow(host string) *flow {
	n.t.Helper()
	dir := n.startBroker()
	to := []string{"--url", "quic://" + host + ":" + quicPort, "--servername", "localhost",
		"--cafile", filepath.Join(dir, "dev-ca.crt"), "-q", "1", "-t", "flow"}
	f := &flow{network: n, sent: 1}
	start(n.t, n.client, "ngmq", append([]string{"pub", "-r", "-m", message(0)}, to...)...).finish()
	f.sub = start(n.t, n.client, "ngmq", append([]string{"sub"}, to...)...)
	f.arrived(1)
	f.pub = start(n.t, n.client, "ngmq", append([]string{"pub", "-l"}, to...)...)
	return f
}

// startBroker starts a broker and gives the directory of its certificate.
func (n *network) startBroker() (dir string) {
	n.t.Helper()
	dir = n.t.TempDir()
	broker := start(n.t, n.server, "ngmqd", "--quic", "[::]:"+quicPort, "--tcp", "off", "--data-dir", dir,
		"--allow-anonymous", "--log-level", "info")
	broker.ready()
	return dir
}

// ready waits until the broker has made its certificates and listens.
func (p *process) ready() {
	p.t.Helper()
	require.Eventually(p.t, func() bool { return strings.Contains(p.errors.String(), "msg=ready") }, patience, tick)
}

func message(i int) string {
	text := fmt.Sprintf("%d ", i)
	return text + strings.Repeat("x", messageSize-len(text))
}

// send publishes n messages, each with its number.
func (f *flow) send(n int) {
	f.t.Helper()
	var b strings.Builder
	for range n {
		b.WriteString(message(f.sent) + "\n")
		f.sent++
	}
	go func() { _, _ = io.WriteString(f.pub.in, b.String()) }() // the pipe is shorter than that
}

// arrived waits for n messages in all.
func (f *flow) arrived(n int) []string { f.t.Helper(); return f.sub.received(n) }

// complete ends the publisher, which then knows all its messages acknowledged, and
// proves that every message came once and in order.
func (f *flow) complete() {
	f.t.Helper()
	lines := f.arrived(f.sent)
	f.pub.finish()
	require.Len(f.t, lines, f.sent)
	for i, line := range lines {
		require.Equal(f.t, message(i), line)
	}
}
