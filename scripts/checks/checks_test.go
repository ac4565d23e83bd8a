package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const module = "example.org/m"

// tree writes files into a new folder with a go.mod and returns the findings.
func tree(t *testing.T, files map[string]string) []string {
	t.Helper()
	root := t.TempDir()
	files["go.mod"] = "module " + module + "\n"
	for name, text := range files {
		file := filepath.Join(root, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
	}
	findings, err := checkTree(root)
	require.NoError(t, err)
	return findings
}

func importing(paths ...string) string {
	return "package p\n\nimport (\n\t\"" + strings.Join(paths, "\"\n\t\"") + "\"\n)\n"
}

func TestImports(t *testing.T) {
	cases := []struct {
		file, imports, want string // want "" = allowed
	}{
		{"cmd/ngmqd/main.go", module + "/server", ""},
		{"cmd/ngmqd/main.go", module + "/cmd/ngmqd/internal/flags", ""},
		{"cmd/ngmqd/main.go", module + "/cmd/ngmq", "another command"},
		{"cmd/ngmqd/main.go", module + "/crypto", ""},
		{"cmd/ngmqd/main.go", "github.com/alecthomas/kong", ""},
		{"server/a.go", "github.com/alecthomas/kong", "in cmd alone"},
		{"server/a.go", module + "/mqtt/packet", ""},
		{"server/a.go", module + "/server/internal/broker", ""},
		{"server/a.go", module + "/cmd/ngmqd", "one way"},
		{"server/internal/broker/a.go", module + "/ngtcp2/endpoint", ""},
		{"server/a.go", "log", "slog.Logger"},
		{"server/a.go", "log/slog", ""},
		{"server/a_test.go", "log", ""},
		{"server/a.go", "github.com/stretchr/testify/assert", "belongs to tests"},
		{"server/a_test.go", "github.com/stretchr/testify/assert", ""},
		{"server/a.go", "unsafe", "alone"},
		{"server/a.go", "C", "alone"},
		{"mqtt/client/a.go", module + "/ngtcp2/endpoint", ""},
		{"mqtt/client/a.go", module + "/mqtt/packet", ""},
		{"mqtt/client/a.go", module + "/server", "one way"},
		{"mqtt/packet/a.go", "golang.org/x/sys/unix", "standard library alone"},
		{"mqtt/packet/a.go", module + "/mqtt/topic", "standard library alone"},
		{"mqtt/packet/a.go", module + "/mqtt/packet/internal/x", ""},
		{"mqtt/packet/a_test.go", "github.com/stretchr/testify/require", ""},
		{"mqtt/topic/a.go", "strings", ""},
		{"ngtcp2/endpoint/a.go", module + "/ngtcp2", ""},
		{"ngtcp2/endpoint/a.go", module + "/mqtt/packet", "one way"},
		{"ngtcp2/endpoint/a.go", "unsafe", "alone"},
		{"ngtcp2/endpoint/a_test.go", module + "/ngtcp2/internal/sim", ""},
		{"ngtcp2/endpoint/internal/udp/a.go", "unsafe", ""},
		{"ngtcp2/internal/sim/a.go", module + "/ngtcp2/endpoint", ""},
		{"ngtcp2/a.go", "C", ""},
		{"ngtcp2/a.go", module + "/crypto", ""},
		{"ngtcp2/a.go", module + "/ngtcp2/endpoint", "one way"},
		{"crypto/a.go", "unsafe", ""},
		{"crypto/a.go", module + "/ngtcp2", "one way"},
		{"metrics/a.go", module + "/crypto", "no layer"},
		{"server/a.go", module + "/metrics", "no layer"},
		{"scripts/interop/a.go", module + "/cmd/ngmqd", ""},
		{"third_party/build/src/a.go", "unsafe", ""},
	}
	for _, c := range cases {
		t.Run(c.file+" "+c.imports, func(t *testing.T) {
			findings := tree(t, map[string]string{c.file: importing(c.imports)})
			if c.want == "" {
				assert.Empty(t, findings)
				return
			}
			require.Len(t, findings, 1)
			assert.Contains(t, findings[0], c.file+":4: ")
			assert.Contains(t, findings[0], c.want)
		})
	}
}

func TestLength(t *testing.T) {
	function := func(lines int) string {
		return "package p\n\nfunc f() {\n" + strings.Repeat("\tg()\n", lines-2) + "}\n"
	}
	assert.Empty(t, tree(t, map[string]string{"server/a.go": function(80)}))
	assert.Len(t, tree(t, map[string]string{"server/a.go": function(81)}), 1)
	assert.Empty(t, tree(t, map[string]string{"server/a_test.go": function(81)}))
	for _, name := range []string{"server/a_test.go", "ngtcp2/a.c", "ngtcp2/a.h", "scripts/a.sh"} {
		text := "// " + strings.Repeat("\n// ", 598) + "\npackage p\n"
		assert.Empty(t, tree(t, map[string]string{name: text}), name)
		assert.Len(t, tree(t, map[string]string{name: "//\n" + text}), 1, name)
	}
	assert.Empty(t, tree(t, map[string]string{"server/testdata/a.go": function(900)}))
}

func TestCalls(t *testing.T) {
	reads := "package p\n\nimport \"os\"\n\nvar v = os.Getenv(\"V\")\n"
	assert.Empty(t, tree(t, map[string]string{"cmd/ngmq/a.go": reads, "server/a_test.go": reads, "scripts/x/a.go": reads}))
	findings := tree(t, map[string]string{"server/a.go": reads})
	require.Len(t, findings, 1)
	assert.Equal(t, "server/a.go:5: os.Getenv: only commands read the environment", findings[0])

	skips := "package p\n\nimport \"testing\"\n\nfunc TestX(t *testing.T) { t." + "Skip(\"no\") }\n"
	findings = tree(t, map[string]string{"server/a_test.go": skips})
	require.Len(t, findings, 1)
	assert.Contains(t, findings[0], "does not skip")
}

func TestErrors(t *testing.T) {
	_, err := checkTree(t.TempDir())
	assert.ErrorIs(t, err, os.ErrNotExist, "no go.mod")

	root := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(root, "go.mod"), []byte("go 1.26\n"), 0o644))
	_, err = checkTree(root)
	assert.ErrorContains(t, err, "no module line")

	require.NoError(t, os.WriteFile(filepath.Join(root, "go.mod"), []byte("module m\n"), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(root, "a.go"), []byte("package"), 0o644))
	_, err = checkTree(root)
	assert.ErrorContains(t, err, "expected")
}
