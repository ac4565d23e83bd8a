package keylog

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestOpenAppendsToAPrivateFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.log")
	for _, line := range []string{"first\n", "second\n"} {
		f, err := Open(path)
		require.NoError(t, err)
		_, err = f.WriteString(line)
		require.NoError(t, err)
		require.NoError(t, f.Close())
	}
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, "first\nsecond\n", string(text))
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	public := filepath.Join(dir, "public")
	require.NoError(t, os.WriteFile(public, nil, 0o600))
	require.NoError(t, os.Chmod(public, 0o644))
	for path, want := range map[string]string{
		public:                           "group or others",
		"/dev/null":                      "not a regular file",
		filepath.Join(dir, "no", "file"): "no such file",
		dir:                              "directory",
	} {
		_, err := Open(path)
		require.ErrorContains(t, err, want)
		assert.ErrorContains(t, err, path)
	}
}
