package interop

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// processConn is a process that carries a stream between its stdin and stdout.
type processConn struct {
	cmd     *exec.Cmd
	in, out *os.File
	stderr  bytes.Buffer // to be read after the end
	ended   chan struct{}
}

func startProcess(name string, args ...string) (*processConn, error) {
	c := &processConn{cmd: exec.Command(name, args...), ended: make(chan struct{})}
	childIn, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	out, childOut, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	c.in, c.out = in, out
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = childIn, childOut, &c.stderr
	err = c.cmd.Start()
	childIn.Close()
	childOut.Close()
	if err != nil {
		return nil, err
	}
	go func() {
		c.cmd.Wait()
		close(c.ended)
	}()
	return c, nil
}

func (c *processConn) Read(p []byte) (int, error)         { return c.out.Read(p) }
func (c *processConn) Write(p []byte) (int, error)        { return c.in.Write(p) }
func (c *processConn) LocalAddr() net.Addr                { return &net.UDPAddr{} }
func (c *processConn) RemoteAddr() net.Addr               { return &net.UDPAddr{} }
func (c *processConn) SetReadDeadline(t time.Time) error  { return c.out.SetReadDeadline(t) }
func (c *processConn) SetWriteDeadline(t time.Time) error { return c.in.SetWriteDeadline(t) }
func (c *processConn) SetDeadline(t time.Time) error {
	c.SetWriteDeadline(t)
	return c.SetReadDeadline(t)
}

// Close sends FIN and gives the other side a moment to end the connection.
func (c *processConn) Close() error {
	c.in.Close()
	select {
	case <-c.ended:
	case <-time.After(time.Second):
	}
	c.abort()
	return nil
}

func (c *processConn) abort() {
	c.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-c.ended:
	case <-time.After(2 * time.Second):
		c.cmd.Process.Kill()
	}
	c.in.Close()
	c.out.Close()
}

// processMux is a process as a connection: it has one stream.
type processMux struct{ *processConn }

// dialProcess starts a client until the test ends.
func dialProcess(t *testing.T, name string, args ...string) processMux {
	t.Helper()
	c, err := startProcess(name, args...)
	require.NoError(t, err)
	t.Cleanup(func() {
		c.abort()
		<-c.ended
		if t.Failed() {
			t.Logf("%s: %.2000s", c.cmd, c.stderr.String())
		}
	})
	return processMux{c}
}

var errOneStream = errors.New("this client opens one stream")

func (m processMux) open(context.Context) (stream, error) { return processStream(m), nil }

func (m processMux) close() { m.abort() }

// processStream does not tell a FIN from the end of the process.
type processStream struct{ *processConn }

func (processStream) Close() error { return errOneStream }
