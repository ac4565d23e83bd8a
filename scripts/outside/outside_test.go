package outside

import (
	"bufio"
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const patience = time.Minute

// programs builds the server and the client as a user of this module would.
func programs(t *testing.T) (server, client string) {
	t.Helper()
	dir := t.TempDir()
	out, err := exec.Command("go", "build", "-o", dir, "./server", "./client").CombinedOutput()
	require.NoError(t, err, "%s\nWithout libraries in the system: eval \"$(make env)\" in the checkout of ngmq", out)
	return filepath.Join(dir, "server"), filepath.Join(dir, "client")
}

// echoServer is a running server.
type echoServer struct {
	*exec.Cmd
	addr, caFile string
}

func start(t *testing.T, program string) *echoServer {
	t.Helper()
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	s := &echoServer{Cmd: exec.CommandContext(ctx, program, "127.0.0.1:0", dir), caFile: filepath.Join(dir, "dev-ca.crt")}
	s.Stderr = os.Stderr
	out, err := s.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, s.Start())
	t.Cleanup(func() {
		cancel()
		s.Wait()
	})
	lines := bufio.NewScanner(out)
	require.True(t, lines.Scan(), "no address")
	s.addr = lines.Text()
	return s
}

func TestEcho(t *testing.T) {
	server, client := programs(t)
	s := start(t, server)
	for name, input := range map[string][]byte{
		"line":  []byte("hello over QUIC\n"),
		"empty": nil,
		"4 MiB": bytes.Repeat([]byte("0123456789abcdef"), 1<<18),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			cmd := exec.CommandContext(ctx, client, s.addr, s.caFile)
			cmd.Stdin, cmd.Stderr = bytes.NewReader(input), os.Stderr
			out, err := cmd.Output()
			require.NoError(t, err)
			assert.True(t, bytes.Equal(input, out), "%d bytes sent, %d came back", len(input), len(out))
		})
	}
	t.Cleanup(func() { // after the parallel ones
		require.NoError(t, s.Process.Signal(syscall.SIGTERM))
		assert.NoError(t, s.Wait(), "it ends in order")
	})
}

func TestClientTrustsNobodyElse(t *testing.T) {
	server, client := programs(t)
	s, other := start(t, server), start(t, server)
	out, err := exec.Command(client, s.addr, other.caFile).CombinedOutput()
	assert.Error(t, err)
	assert.Contains(t, string(out), "certificate")
}

// The programs stay as short as examples have to be.
func TestUnder80Lines(t *testing.T) {
	for _, file := range []string{"server/main.go", "client/main.go"} {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		assert.Less(t, bytes.Count(text, []byte("\n")), 80, file)
	}
}
