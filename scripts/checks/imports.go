package main

import (
	"strconv"
	"strings"
)

// layers lists the packages of the root module from top to bottom. A package imports its own group and what stands
// below it, never above:
//
//	cmd -> server -> {mqtt/*, ngtcp2/endpoint} -> ngtcp2 -> crypto
//
// mqtt stands above ngtcp2/endpoint because mqtt/client dials quic:// addresses. The longest matching prefix counts.
var layers = []string{
	"examples",
	"cmd",
	"server",
	"mqtt",
	"ngtcp2/internal/sim",
	"ngtcp2/endpoint",
	"ngtcp2",
	"crypto",
}

// standardOnly names the packages whose non-test files import the standard library alone, so that anyone can use
// them without the rest.
var standardOnly = []string{"mqtt/packet", "mqtt/topic"}

// confined says which folders may import a package, tests included; the others must not.
var confined = map[string]struct {
	folders []string
	exact   bool // the folder itself, not what is below it
	why     string
}{
	"C":      {[]string{"ngtcp2", "crypto", "crypto/internal/ssltest"}, true, "C is called through ngtcp2 and crypto alone"},
	"unsafe": {[]string{"ngtcp2", "crypto", "crypto/internal/ssltest", "ngtcp2/endpoint/internal/udp"}, true, "memory is handled in ngtcp2, crypto and the udp package alone"},
}

// shippedOnly says which folders may import a package in non-test files.
var shippedOnly = map[string]struct {
	folders []string
	why     string
}{
	"log":                         {nil, "libraries are handed a *slog.Logger"},
	"github.com/alecthomas/kong":  {[]string{"cmd"}, "command lines are parsed in cmd alone"},
	"github.com/stretchr/testify": {nil, "testify belongs to tests"},
}

// checkImports returns the imports of one file that break the rules.
func checkImports(module string, src source) []string {
	if isTool(src.dir()) {
		return nil
	}
	var findings []string
	for _, spec := range src.file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue
		}
		if why := brokenRule(module, src, imported); why != "" {
			findings = append(findings, src.finding(spec.Pos(), "%s must not import %q: %s", src.dir(), imported, why))
		}
	}
	return findings
}

// brokenRule says which rule the import breaks, or "".
func brokenRule(module string, src source, imported string) string {
	dir := src.dir()
	if rule, ok := confined[imported]; ok && !inFolders(dir, rule.folders, rule.exact) {
		return rule.why
	}
	if src.isTest() {
		return ""
	}
	for prefix, rule := range shippedOnly {
		inModule := under(imported, prefix) && !isStandard(prefix) // "log" is one package, not log/slog
		if (imported == prefix || inModule) && !inFolders(dir, rule.folders, false) {
			return rule.why
		}
	}
	if inFolders(dir, standardOnly, false) && !isStandard(imported) && !under(imported, module+"/"+dir) {
		return "it imports the standard library alone"
	}
	if local, ok := strings.CutPrefix(imported, module+"/"); ok {
		return brokenDirection(dir, local)
	}
	return ""
}

// brokenDirection says what is wrong with an import between two folders of the root module, or "".
func brokenDirection(from, to string) string {
	switch a, b := layer(from), layer(to); {
	case a < 0:
		return from + " has no layer; add it to layers in scripts/checks/imports.go"
	case b < 0:
		return to + " has no layer; add it to layers in scripts/checks/imports.go"
	case a > b:
		return "imports run one way: " + strings.Join(layers, " -> ")
	case a == b && layers[a] == "cmd" && !under(to, firstTwo(from)) && !under(to, "cmd/internal"):
		return "a command does not import another command: what they share is in cmd/internal"
	}
	return ""
}

// layer is the index in layers of the longest prefix of dir, or -1.
func layer(dir string) int {
	best := -1
	for i, prefix := range layers {
		if under(dir, prefix) && (best < 0 || len(prefix) > len(layers[best])) {
			best = i
		}
	}
	return best
}

// isTool tells the development tools, which are modules of their own and free in what they import.
func isTool(dir string) bool { return under(dir, "scripts") }

func inFolders(dir string, folders []string, exact bool) bool {
	for _, folder := range folders {
		if dir == folder || !exact && under(dir, folder) {
			return true
		}
	}
	return false
}

// under reports whether p is folder or stands below it.
func under(p, folder string) bool {
	return p == folder || strings.HasPrefix(p, folder+"/")
}

// isStandard tells a standard library path: no dot in its first element.
func isStandard(imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	return !strings.Contains(first, ".")
}

// firstTwo is the first two elements of a path: "cmd/ngmqd" of "cmd/ngmqd/x".
func firstTwo(dir string) string {
	parts := strings.SplitN(dir, "/", 3)
	return strings.Join(parts[:min(2, len(parts))], "/")
}
