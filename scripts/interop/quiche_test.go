//go:build quiche

package interop

import (
	"context"
	"net"
	"os"
	"os/exec"

	"path/filepath"
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

// TestQuicheMatrix: the usual QUIC interop cases with quiche.
func TestQuicheMatrix(t *testing.T) {
	installQuiche(t)
	runColumns(t, quicheColumns())
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
		c, err := startProcess("node", filepath.Join("quiche", "client.mjs"), host, port, broker.ca, "mqtt")
		if err != nil {
			return nil, err
		}
		return c, nil
	}
}
