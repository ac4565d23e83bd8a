//go:build quiche

package interop

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestQuiche: quiche, in the npm package @matrixai/quic, carries paho.golang. Every connection is a
// process of its own.
func TestQuiche(t *testing.T) {
	installQuiche(t)
	s := onQUIC("quiche + paho.golang 5.0 (QUIC)", quicheTo, newPaho5, broker.quic)
	for _, c := range []struct {
		name string
		run  func(*testing.T, stack)
	}{
		{"connect", caseConnect},
		{"QoS 0/1/2 x 0/1/2", caseQoS},
		{"retained", caseRetained},
		{"will", caseWill},
		{"1 MB messages", caseLarge},
		{"NAT rebinding", caseRebinding},
		{"QoS 1 over a bad path", func(t *testing.T, s stack) { lossy(t, s.via(startProxy(t, s.addr).Addr()), 1) }},
	} {
		proves(t, s.name, c.name, func(t *testing.T) { c.run(t, s) })
	}
}

// installQuiche has npm install what quiche/package-lock.json names, once. Not npm ci: that wants the
// builds for other systems in the lock file, which the registry does not have of this version.
func installQuiche(t *testing.T) {
	t.Helper()
	npm, lock := needTool(t, "npm", "npm"), filepath.Join("quiche", "package-lock.json")
	wanted, err := os.Stat(lock)
	require.NoError(t, err)
	installed, err := os.Stat(filepath.Join("quiche", "node_modules", ".package-lock.json"))
	if err == nil && !installed.ModTime().Before(wanted.ModTime()) {
		return
	}
	cmd := exec.CommandContext(within(t, 2*time.Minute), npm, "install", "--no-save", "--prefer-offline", "--ignore-scripts", "--no-audit", "--no-fund")
	cmd.Dir = "quiche"
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "npm install: %s", out)
}

// quicheTo dials with quiche.
func quicheTo(addr string) dialer {
	return func(context.Context) (abortableConn, error) {
		host, port, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		c := &quicheConn{cmd: exec.Command("node", filepath.Join("quiche", "client.mjs"), host, port, broker.ca), ended: make(chan struct{})}
		return c, c.start()
	}
}

// quicheConn is a process that carries a stream between its stdin and stdout.
type quicheConn struct {
	cmd     *exec.Cmd
	in, out *os.File
	ended   chan struct{}
}

func (c *quicheConn) start() error {
	childIn, in, err := os.Pipe()
	if err != nil {
		return err
	}
	out, childOut, err := os.Pipe()
	if err != nil {
		return err
	}
	c.in, c.out = in, out
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = childIn, childOut, os.Stderr
	err = c.cmd.Start()
	childIn.Close()
	childOut.Close()
	if err != nil {
		return err
	}
	go func() {
		c.cmd.Wait()
		close(c.ended)
	}()
	return nil
}

func (c *quicheConn) Read(p []byte) (int, error)         { return c.out.Read(p) }
func (c *quicheConn) Write(p []byte) (int, error)        { return c.in.Write(p) }
func (c *quicheConn) LocalAddr() net.Addr                { return &net.UDPAddr{} }
func (c *quicheConn) RemoteAddr() net.Addr               { return &net.UDPAddr{} }
func (c *quicheConn) SetReadDeadline(t time.Time) error  { return c.out.SetReadDeadline(t) }
func (c *quicheConn) SetWriteDeadline(t time.Time) error { return c.in.SetWriteDeadline(t) }
func (c *quicheConn) SetDeadline(t time.Time) error {
	c.SetWriteDeadline(t)
	return c.SetReadDeadline(t)
}

// Close sends FIN and gives the broker a moment to end the connection.
func (c *quicheConn) Close() error {
	c.in.Close()
	select {
	case <-c.ended:
	case <-time.After(time.Second):
	}
	c.abort()
	return nil
}

func (c *quicheConn) abort() {
	c.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-c.ended:
	case <-time.After(2 * time.Second):
		c.cmd.Process.Kill()
	}
	c.in.Close()
	c.out.Close()
}
