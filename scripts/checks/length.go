package main

import (
	"bytes"
	"fmt"
	"go/ast"
)

const (
	// maxFunctionLines is the longest function, from its first line to its closing brace. Tests are exempt: a table
	// of cases is data.
	maxFunctionLines = 80
	// maxFileLines is the longest file of any kind, tests included.
	maxFileLines = 600
)

// checkFunctionLength returns the functions of one file that are too long.
func checkFunctionLength(src source) []string {
	if src.isTest() {
		return nil
	}
	var findings []string
	for _, declaration := range src.file.Decls {
		function, ok := declaration.(*ast.FuncDecl)
		if !ok {
			continue
		}
		lines := src.fset.Position(function.End()).Line - src.fset.Position(function.Pos()).Line + 1
		if lines > maxFunctionLines {
			findings = append(findings, src.finding(function.Pos(), "function %s has %d lines, at most %d", function.Name.Name, lines, maxFunctionLines))
		}
	}
	return findings
}

// checkFileLength returns a finding when the text has too many lines.
func checkFileLength(name string, text []byte) []string {
	lines := bytes.Count(text, []byte("\n"))
	if lines <= maxFileLines {
		return nil
	}
	return []string{fmt.Sprintf("%s:%d: the file has %d lines, at most %d", name, maxFileLines, lines, maxFileLines)}
}
