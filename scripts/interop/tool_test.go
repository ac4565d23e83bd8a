package interop

import (
	"bytes"
	"context"
	"io"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// needTool finds a program in PATH or fails the test naming the Debian package that has it.
func needTool(t *testing.T, name, pkg string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil { // daemons live in sbin, which the PATH of a user may not have
		path, err = exec.LookPath("/usr/sbin/" + name)
	}
	require.NoError(t, err, "%s is missing: apt-get install %s (or `make deps`)", name, pkg)
	return path
}

// process is a running command whose output can be waited for.
type process struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	done  chan struct{}
	err   error

	mu     sync.Mutex
	out    bytes.Buffer
	grown  chan struct{}
	stderr bytes.Buffer
}

// start runs a command until it ends or the test does.
func start(t *testing.T, name string, args ...string) *process {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	p := &process{cmd: exec.CommandContext(ctx, name, args...), done: make(chan struct{}), grown: make(chan struct{}, 1)}
	p.cmd.Stdout, p.cmd.Stderr = p, &p.stderr
	var err error
	p.stdin, err = p.cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start(), "%s %s", name, strings.Join(args, " "))
	go func() { p.err = p.cmd.Wait(); close(p.done) }()
	t.Cleanup(func() { cancel(); <-p.done })
	return p
}

// Write takes the process' output.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case p.grown <- struct{}{}:
	default:
	}
	return p.out.Write(b)
}

func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// waitOutput waits until the output satisfies enough.
func (p *process) waitOutput(t *testing.T, enough func(string) bool) string {
	t.Helper()
	limit := time.After(patience)
	for {
		if out := p.output(); enough(out) {
			return out
		}
		select {
		case <-p.grown:
		case <-p.done:
			out := p.output()
			require.True(t, enough(out), "%s ended (%v) with output %.300q and %s", p.cmd, p.err, out, p.stderr.String())
			return out
		case <-limit:
			require.FailNow(t, "not enough output", "%s: %.300q %s", p.cmd, p.output(), "")
		}
	}
}

// finish waits for the end of the process and returns its output; a status other than 0 fails the test.
func (p *process) finish(t *testing.T) string {
	t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		require.FailNow(t, "still running", "%s", p.cmd)
	}
	require.NoError(t, p.err, "%s: %s", p.cmd, p.stderr.String())
	return p.output()
}

// runTool runs a command to its end, giving it input.
func runTool(t *testing.T, input, name string, args ...string) string {
	t.Helper()
	p := start(t, name, args...)
	if input != "" {
		_, err := io.WriteString(p.stdin, input)
		require.NoError(t, err)
	}
	p.stdin.Close()
	return p.finish(t)
}
