package main

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares text with testdata/NAME, or writes it there with -update.
func golden(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
		return
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err, "go test ./cmd/ngmq -update writes it")
	assert.Equal(t, string(want), text, "%s (go test ./cmd/ngmq -update writes it anew)", path)
}

// masked replaces what differs from run to run.
func masked(text string, masks ...[2]string) string {
	for _, m := range masks {
		text = regexp.MustCompile(m[0]).ReplaceAllString(text, m[1])
	}
	return text
}

func TestManuals(t *testing.T) {
	for _, command := range []string{"", "pub", "sub", "rr", "ping", "bench", "bench conn", "bench pub", "bench sub", "bench rtt", "bench compare", "shell", "gencert", "completion", "help", "version"} {
		got := ngmq(t.Context(), "", append([]string{"help"}, strings.Fields(command)...)...)
		assert.Equal(t, exitOK, got.status)
		for line := range strings.Lines(got.stdout) {
			if !strings.HasPrefix(line, "    ") {
				assert.LessOrEqual(t, len(line), textWidth+1, line)
			}
		}
		golden(t, "help/"+strings.TrimSpace("ngmq "+command)+".txt", got.stdout)
	}
	got := ngmq(t.Context(), "", "help", "frobnicate")
	assert.Equal(t, exitUsage, got.status)
	assert.Contains(t, got.stderr, "one of pub, sub")
}

func TestManPage(t *testing.T) {
	got := ngmq(t.Context(), "", "help", "--man")
	assert.Equal(t, exitOK, got.status)
	assert.Regexp(t, `^\.TH NGMQ 1 "" "ngmq [^"]+" "User Commands"\n\.SH NAME\n`, got.stdout)
	for line := range strings.Lines(got.stdout) {
		if strings.HasPrefix(line, ".") {
			assert.Regexp(t, `^\.(TH|SH|SS|PP|TP|EX|EE)\b`, line)
		}
	}
	assert.Contains(t, got.stdout, `ngmq sub \-t \(aq#\(aq \-F \(aq@H:@M:@S`)
}

func TestCompletionScripts(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		got := ngmq(t.Context(), "", "completion", shell)
		assert.Equal(t, exitOK, got.status)
		golden(t, "completion/ngmq."+shell, got.stdout)
	}
	assert.Equal(t, exitUsage, ngmq(t.Context(), "", "completion", "csh").status)
}

func TestGencert(t *testing.T) {
	dir := t.TempDir()
	mask := [][2]string{{regexp.QuoteMeta(dir), "DIR"}, {"[0-9A-F:]{95}", "SHA-256"}, {`\d{4}-\d\d-\d\d`, "DATE"}}
	first := ngmq(t.Context(), "", "gencert", "-o", dir, "broker.test", "--client", "meter-7")
	assert.Equal(t, exitOK, first.status)
	golden(t, "gencert.txt", masked(first.stdout+first.stderr, mask...))
	again := ngmq(t.Context(), "", "gencert", "-o", dir, "broker.test", "--client", "meter-7")
	assert.Equal(t, strings.ReplaceAll(first.stdout, "made", "kept"), again.stdout)
	assert.Equal(t, exitUsage, ngmq(t.Context(), "", "gencert", "-o", dir, "--client", "../x").status)
	assert.Contains(t, ngmq(t.Context(), "", "gencert", "-o", t.TempDir(), "::1").stdout, "--url quic://[::1] --cafile")
}
