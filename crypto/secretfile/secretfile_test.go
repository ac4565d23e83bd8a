package secretfile

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// holds asserts that dir has one file, with text, for its owner alone.
func holds(t *testing.T, dir, text string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 1)
	info, err := entries[0].Info()
	require.NoError(t, err)
	assert.Equal(t, fs.FileMode(0o600), info.Mode())
	require.NoError(t, Check(info))
	got, err := os.ReadFile(filepath.Join(dir, entries[0].Name()))
	require.NoError(t, err)
	assert.Equal(t, text, string(got))
}

func TestReplace(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "secret")
	require.NoError(t, Replace(path, []byte("first")))
	holds(t, dir, "first")
	require.NoError(t, os.Chmod(path, 0o644))
	require.NoError(t, Replace(path, []byte("second")))
	holds(t, dir, "second")
	require.ErrorIs(t, Replace(filepath.Join(dir, "none", "secret"), nil), fs.ErrNotExist)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "folder"), 0o700))
	require.Error(t, Replace(filepath.Join(dir, "folder"), nil))
	require.NoError(t, os.Remove(filepath.Join(dir, "folder")))
	holds(t, dir, "second") // and nothing is left over
}

func TestMake(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "secret")
	require.NoError(t, Make(path, []byte("first")))
	require.ErrorIs(t, Make(path, []byte("second")), fs.ErrExist)
	holds(t, dir, "first")
}

func TestCheck(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	for _, mode := range []fs.FileMode{0o640, 0o604, 0o620} {
		require.NoError(t, os.Chmod(path, mode))
		info, err := os.Stat(path)
		require.NoError(t, err)
		assert.ErrorContains(t, Check(info), "chmod 600")
	}
	info, err := os.Stat(os.DevNull)
	require.NoError(t, err)
	assert.ErrorContains(t, Check(info), "not a regular file")
}
