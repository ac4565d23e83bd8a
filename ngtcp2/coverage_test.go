package ngtcp2

import (
	"go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What the binding covers is written in coverage.tsv, and held here against the
// headers that this package was compiled with and against its own sources.

const coverageFile = "coverage.tsv"

// coveredHeaders lie in the folder ngtcp2 of each module's include path.
var coveredHeaders = []struct{ module, file string }{
	{"libngtcp2", "ngtcp2.h"},
	{"libngtcp2_crypto_ossl", "ngtcp2_crypto.h"},
	{"libngtcp2_crypto_ossl", "ngtcp2_crypto_ossl.h"},
}

var coveredStructs = []string{"callbacks", "settings", "transport_params", "preferred_addr", "version_info", "conn_info"}

// symbol is a function or a struct's field: kind is "func" or the struct.
type symbol struct{ kind, name string }

// coverage is one row of the table.
type coverage struct{ status, detail string }

var (
	cComment  = regexp.MustCompile(`(?s)/\*.*?\*/|//[^\n]*`)
	cDefine   = regexp.MustCompile(`(?m)^[ \t]*#([^\\\n]|\\(?s:.))*`)
	cExtern   = regexp.MustCompile(`(?s)\bNGTCP2_EXTERN\b[^;]*?\b(ngtcp2_\w+)\s*\(`)
	cField    = regexp.MustCompile(`(\w+)\s*(\[[^\]]*\])?\s*;`)
	cWord     = regexp.MustCompile(`\w+`)
	versioned = "_versioned"
)

// readC is a C file without comments and preprocessor lines.
func readC(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return cDefine.ReplaceAllString(cComment.ReplaceAllString(string(text), ""), "")
}

// symbolsOf lists what a header declares.
func symbolsOf(text string) (all []symbol) {
	for _, m := range cExtern.FindAllStringSubmatch(text, -1) {
		all = append(all, symbol{"func", m[1]})
	}
	for _, name := range coveredStructs {
		body := regexp.MustCompile(`(?s)typedef struct ngtcp2_` + name + ` \{(.*?)\n\} ngtcp2_` + name + `;`).FindStringSubmatch(text)
		if body == nil {
			continue
		}
		for _, m := range cField.FindAllStringSubmatch(body[1], -1) {
			all = append(all, symbol{name, m[1]})
		}
	}
	return all
}

func pkgConfig(t *testing.T, variable, module string) string {
	t.Helper()
	tool := "pkg-config"
	if other := os.Getenv("PKG_CONFIG"); other != "" {
		tool = other
	}
	out, err := exec.Command(tool, "--variable="+variable, module).Output()
	require.NoError(t, err, "%s --variable=%s %s: PKG_CONFIG_PATH must be as for the build", tool, variable, module)
	return strings.TrimSpace(string(out))
}

// installed lists what the installed headers declare.
func installed(t *testing.T) map[symbol]bool {
	t.Helper()
	all := map[symbol]bool{}
	for _, h := range coveredHeaders {
		found := symbolsOf(readC(t, filepath.Join(pkgConfig(t, "includedir", h.module), "ngtcp2", h.file)))
		require.NotEmpty(t, found, h.file)
		for _, s := range found {
			all[s] = true
		}
	}
	for _, kind := range coveredStructs {
		require.True(t, slices.ContainsFunc(keys(all), func(s symbol) bool { return s.kind == kind }), "struct ngtcp2_%s", kind)
	}
	return all
}

func keys(m map[symbol]bool) (all []symbol) {
	for s := range m {
		all = append(all, s)
	}
	return all
}

// table reads coverage.tsv and the version that it describes.
func table(t *testing.T) (rows map[symbol]coverage, version string) {
	t.Helper()
	text, err := os.ReadFile(coverageFile)
	require.NoError(t, err)
	rows = map[symbol]coverage{}
	for line := range strings.Lines(string(text)) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		switch {
		case strings.HasPrefix(line, "#"):
		case len(f) == 2 && f[0] == "version":
			version = f[1]
		default:
			require.Len(t, f, 4, line)
			s := symbol{f[0], f[1]}
			require.NotContains(t, rows, s, "a row twice")
			rows[s] = coverage{f[2], f[3]}
		}
	}
	return rows, version
}

// sources are the words that each file of the package uses, comments and
// preprocessor lines left out, and the Go names that it declares.
type sources struct {
	words    map[string]map[string]bool
	declared map[string]bool
}

func readSources(t *testing.T) sources {
	t.Helper()
	s := sources{map[string]map[string]bool{}, map[string]bool{}}
	files, err := filepath.Glob("*.[cgh]*")
	require.NoError(t, err)
	for _, file := range files {
		switch {
		case strings.HasSuffix(file, "_test.go"):
		case strings.HasSuffix(file, ".go"):
			s.words[file] = goWords(t, file)
			s.declare(t, file)
		case strings.HasSuffix(file, ".c"), strings.HasSuffix(file, ".h"):
			s.words[file] = map[string]bool{}
			for _, w := range cWord.FindAllString(readC(t, file), -1) {
				s.words[file][w] = true
			}
		}
	}
	return s
}

func goWords(t *testing.T, file string) map[string]bool {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	var sc scanner.Scanner
	set := token.NewFileSet()
	sc.Init(set.AddFile(file, -1, len(text)), text, nil, 0)
	words := map[string]bool{}
	for {
		_, tok, lit := sc.Scan()
		if tok == token.EOF {
			return words
		}
		words[lit] = true
	}
}

// declare adds "Name", "Type.Method" and "Type.Field".
func (s *sources) declare(t *testing.T, file string) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	require.NoError(t, err)
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			s.declared[receiver(d)+d.Name.Name] = true
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				s.declareSpec(spec)
			}
		}
	}
}

func receiver(d *ast.FuncDecl) string {
	if d.Recv == nil {
		return ""
	}
	typ := d.Recv.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	return typ.(*ast.Ident).Name + "."
}

func (s *sources) declareSpec(spec ast.Spec) {
	switch spec := spec.(type) {
	case *ast.ValueSpec:
		for _, n := range spec.Names {
			s.declared[n.Name] = true
		}
	case *ast.TypeSpec:
		s.declared[spec.Name.Name] = true
		st, ok := spec.Type.(*ast.StructType)
		if !ok {
			return
		}
		for _, field := range st.Fields.List {
			for _, n := range field.Names {
				s.declared[spec.Name.Name+"."+n.Name] = true
			}
		}
	}
}

func (s *sources) uses(word string) bool {
	for _, words := range s.words {
		if words[word] {
			return true
		}
	}
	return false
}

// fault says what is wrong with a row; empty: nothing.
func (s *sources) fault(sym symbol, row coverage) string {
	word := strings.TrimSuffix(sym.name, versioned)
	switch row.status {
	case "bound":
		switch {
		case !ast.IsExported(row.detail) || !s.declared[row.detail]:
			return "bound as a name that Go does not declare"
		case !s.uses(word):
			return "bound, but not in the sources"
		}
	case "used":
		if !s.words[row.detail][word] {
			return "used, but not in that file"
		}
	case "out":
		switch {
		case len(row.detail) == 0:
			return "left out without a reason"
		case sym.kind == "func" && s.uses(word):
			return "left out, but in the sources"
		}
	default:
		return "status must be bound, used or out"
	}
	return ""
}

// Every function of the library, and every field of its structs that a program
// fills or reads, is bound, used inside, or left out for a reason. A new library
// that adds one fails here.
func TestCoverage(t *testing.T) {
	have := installed(t)
	rows, version := table(t)
	src := readSources(t)
	for sym := range have {
		assert.Contains(t, rows, sym, "add a row to "+coverageFile)
	}
	for sym, row := range rows {
		assert.Empty(t, src.fault(sym, row), "%s: %v %v", coverageFile, sym, row)
		// Only an older library may lack what the table has.
		if Version() == version {
			assert.Contains(t, have, sym, "take the row out of "+coverageFile)
		}
	}
	assert.NotEmpty(t, version)
}

// The check itself finds what it is there for.
func TestCoverageFindsFaults(t *testing.T) {
	found := symbolsOf("NGTCP2_EXTERN int ngtcp2_new_one(int a);\nNGTCP2_EXTERN const char *\nngtcp2_other_versioned(void);\n" +
		"typedef struct ngtcp2_settings {\n  void *(*none)(int);\n  ngtcp2_x a;\n  uint8_t b[16];\n} ngtcp2_settings;\n")
	assert.Subset(t, found, []symbol{{"func", "ngtcp2_new_one"}, {"func", "ngtcp2_other_versioned"}, {"settings", "a"}, {"settings", "b"}})
	src := readSources(t)
	for _, c := range []struct {
		name, status, detail, want string
	}{
		{"ngtcp2_conn_del", "bound", "Conn.Free", ""},
		{"ngtcp2_conn_del", "bound", "Conn.Gone", "does not declare"},
		{"ngtcp2_conn_gone", "bound", "Conn.Free", "not in the sources"},
		{"ngtcp2_conn_del", "used", "shim_conn.c", ""},
		{"ngtcp2_conn_del", "used", "shim_io.c", "not in that file"},
		{"ngtcp2_conn_del", "out", "why", "but in the sources"},
		{"ngtcp2_conn_gone", "out", "", "without a reason"},
		{"ngtcp2_conn_del", "", "", "status"},
	} {
		fault := src.fault(symbol{"func", c.name}, coverage{c.status, c.detail})
		assert.Equal(t, c.want == "", fault == "", "%v: %s", c, fault)
		assert.Contains(t, fault, c.want)
	}
}
