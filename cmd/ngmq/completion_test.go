package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"os"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// complete is what bash offers for a command line whose last word is not finished.
func complete(t *testing.T, script string, line ...string) []string {
	t.Helper()
	const ask = `source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); compopt() { :; }; _ngmq; printf '%s\n' "${COMPREPLY[@]}"`
	out, err := exec.CommandContext(t.Context(), "bash", append([]string{"-c", ask, "bash", script}, line...)...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return strings.Fields(string(out))
}

func TestBashCompletes(t *testing.T) {
	dir := t.TempDir()
	script := filepath.Join(dir, "ngmq.bash")
	require.NoError(t, os.WriteFile(script, []byte(ngmq(t.Context(), "", "completion", "bash").stdout), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "ca.crt"), nil, 0o600))
	for line, want := range map[string]string{
		"ngmq p":                          "pub ping",
		"ngmq sub --retai":                "--retained-only --retain-as-published",
		"ngmq pub -q ?":                   "0 1 2",
		"ngmq pub --protocol-version":     "--protocol-version",
		"ngmq sub -V mqttv31":             "mqttv311 mqttv31",
		"ngmq rr -D p":                    "publish",
		"ngmq sub --url q":                "quic://",
		"ngmq completion z":               "zsh",
		"ngmq bench r":                    "rtt",
		"ngmq bench rtt --str":            "--streams",
		"ngmq bench rtt --format ?":       "text json csv",
		"ngmq help comp":                  "completion",
		"ngmq pub --cafile " + dir + "/c": dir + "/ca.crt",
		"ngmq pub -m ?":                   "",
	} {
		words := strings.Fields(strings.ReplaceAll(line, "?", ""))
		if strings.HasSuffix(line, "?") {
			words = append(words, "")
		}
		assert.Equal(t, strings.Fields(want), complete(t, script, words...), line)
	}
}
