package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// source is one parsed Go file.
type source struct {
	name string // path below the root, with slashes
	fset *token.FileSet
	file *ast.File
}

// dir is the folder of the file below the root: "." for the root package.
func (s source) dir() string { return path.Dir(s.name) }

func (s source) isTest() bool { return strings.HasSuffix(s.name, "_test.go") }

// finding formats one broken rule at a place in the file.
func (s source) finding(pos token.Pos, format string, args ...any) string {
	return fmt.Sprintf("%s:%d: %s", s.name, s.fset.Position(pos).Line, fmt.Sprintf(format, args...))
}

// checkTree applies all rules to the tree below root and returns what breaks them, in path order.
func checkTree(root string) ([]string, error) {
	module, err := modulePath(root)
	if err != nil {
		return nil, err
	}
	var findings []string
	err = filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return skipDir(root, file, entry, err)
		}
		name, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		found, err := checkFile(module, file, filepath.ToSlash(name))
		findings = append(findings, found...)
		return err
	})
	return findings, err
}

// skipDir leaves out what Go leaves out, and what this project did not write.
func skipDir(root, file string, entry fs.DirEntry, err error) error {
	if err != nil || file == root {
		return err
	}
	name := entry.Name()
	if strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") || slices.Contains([]string{"testdata", "third_party", "bin"}, name) {
		return filepath.SkipDir
	}
	return nil
}

// checkFile applies the rules for the kind of file that name tells.
func checkFile(module, file, name string) ([]string, error) {
	extension := path.Ext(name)
	if !slices.Contains([]string{".go", ".c", ".h", ".sh"}, extension) {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	findings := checkFileLength(name, text)
	if extension != ".go" {
		return findings, nil
	}
	fset := token.NewFileSet()
	parsed, err := parser.ParseFile(fset, file, text, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	src := source{name: name, fset: fset, file: parsed}
	findings = append(findings, checkImports(module, src)...)
	findings = append(findings, checkCalls(src)...)
	return append(findings, checkFunctionLength(src)...), nil
}

// modulePath reads the module line of root's go.mod.
func modulePath(root string) (string, error) {
	text, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		if module, ok := strings.CutPrefix(line, "module "); ok {
			return strings.TrimSpace(module), nil
		}
	}
	return "", fmt.Errorf("%s/go.mod has no module line", root)
}
