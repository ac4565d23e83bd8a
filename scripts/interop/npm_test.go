//go:build quiche || mqttjs

package interop

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// npmInstall has npm install what the package-lock.json in a folder names, once. Not npm ci: that wants the
// builds for other systems in the lock file, which the registry does not have of every version.
func npmInstall(t *testing.T, folder string) {
	t.Helper()
	npm, lock := needTool(t, "npm", "npm"), filepath.Join(folder, "package-lock.json")
	wanted, err := os.Stat(lock)
	require.NoError(t, err)
	installed, err := os.Stat(filepath.Join(folder, "node_modules", ".package-lock.json"))
	if err == nil && !installed.ModTime().Before(wanted.ModTime()) {
		return
	}
	var out []byte
	for range tries { // the network may be away for a moment
		cmd := exec.CommandContext(within(t, 2*time.Minute), npm, "install", "--no-save", "--prefer-offline", "--ignore-scripts", "--no-audit", "--no-fund")
		cmd.Dir = folder
		if out, err = cmd.CombinedOutput(); err == nil {
			return
		}
	}
	require.NoError(t, err, "npm install: %s", out)
}
