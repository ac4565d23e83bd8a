package process

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// shell is a server in shell script.
func shell(script string) func(string) (*exec.Cmd, error) {
	return func(dir string) (*exec.Cmd, error) {
		cmd := exec.Command("/bin/sh", "-c", script)
		cmd.Dir = dir
		return cmd, nil
	}
}

const (
	ready  = `echo '{"level":"INFO","msg":"ready","quic":"127.0.0.1:1","tls":"off"}' >&2;`
	begins = `trap 'exit 0' TERM;`
	serves = `touch here; while :; do sleep 0.01; done`
)

func TestServer(t *testing.T) {
	var lines []string
	s, err := Start(t.Context(), Config{Command: shell(begins + "echo hello >&2;" + ready + serves), Line: func(b []byte) { lines = append(lines, string(b)) }})
	require.NoError(t, err)
	assert.Equal(t, Addresses{QUIC: "127.0.0.1:1", TLS: "off"}, s.Addrs)
	assert.Positive(t, s.PID())
	assert.False(t, s.Ended())
	assert.Equal(t, filepath.Join(s.Dir, "dev-ca.crt"), s.CA())
	require.NoError(t, s.Stop())
	assert.True(t, s.Ended())
	assert.NoDirExists(t, s.Dir)
	assert.Contains(t, s.Tail(), "hello\n{")
	assert.Len(t, lines, 2)
	assert.Equal(t, "hello", lines[0])
}

// A server that crashes is started again in the same directory.
func TestKeptDirectory(t *testing.T) {
	dir := t.TempDir()
	for range 2 {
		s, err := Start(t.Context(), Config{Command: shell(begins + ready + serves), Dir: dir})
		require.NoError(t, err)
		assert.Equal(t, dir, s.Dir)
		s.Kill()
		assert.ErrorContains(t, s.Stop(), "killed")
	}
	assert.DirExists(t, dir)
}

func TestOtherSignOfLife(t *testing.T) {
	s, err := Start(t.Context(), Config{Command: shell(begins + serves), Ready: func(ctx context.Context, s *Server) error {
		for ctx.Err() == nil {
			if _, err := os.Stat(filepath.Join(s.Dir, "here")); err == nil {
				return nil
			}
		}
		return ctx.Err()
	}})
	require.NoError(t, err)
	require.NoError(t, s.Stop())
}

func TestServersThatDoNotStart(t *testing.T) {
	_, err := Start(t.Context(), Config{Command: shell("echo why >&2; exit 3")})
	assert.ErrorIs(t, err, ErrEnded)
	assert.ErrorContains(t, err, "why")

	refused := errors.New("refused")
	_, err = Start(t.Context(), Config{Command: shell(begins + serves), Ready: func(context.Context, *Server) error { return refused }})
	assert.ErrorIs(t, err, refused)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = Start(ctx, Config{Command: shell(begins + serves)})
	assert.ErrorIs(t, err, context.Canceled)

	_, err = Start(t.Context(), Config{Command: func(dir string) (*exec.Cmd, error) { return Ngmqd(filepath.Join(dir, "missing"), dir) }})
	assert.ErrorContains(t, err, "make build")
}

func TestEnvironmentIsNotForNgmqd(t *testing.T) {
	t.Setenv("NGMQ_QUIC", "off")
	cmd, err := Ngmqd("/bin/sh", "dir", "--quic", "127.0.0.1:0")
	require.NoError(t, err)
	assert.NotContains(t, cmd.Env, "NGMQ_QUIC=off")
	assert.NotEmpty(t, cmd.Env)
	assert.Equal(t, []string{"/bin/sh", "--data-dir", "dir", "--log-format", "json", "--quic", "127.0.0.1:0"}, cmd.Args)
}
