//go:build !noquic

package server

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The secret is kept, for this user alone; one that others could read is not used.
func TestResetSecretIsKept(t *testing.T) {
	file := filepath.Join(t.TempDir(), "data", resetSecretFile)
	secret, err := keptSecret(file)
	require.NoError(t, err)
	assert.Len(t, secret, resetSecretLen)
	require.NoError(t, makeSecret(file), "another process was faster")
	again, err := keptSecret(file)
	require.NoError(t, err)
	assert.Equal(t, secret, again)

	require.NoError(t, os.Chmod(file, 0o644))
	_, err = keptSecret(file)
	assert.ErrorContains(t, err, "chmod 600")
	require.NoError(t, os.Chmod(file, 0o600))
	require.NoError(t, os.WriteFile(file, secret[1:], 0o600))
	_, err = keptSecret(file)
	assert.ErrorContains(t, err, "31 bytes")
}
