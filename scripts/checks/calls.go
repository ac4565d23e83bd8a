package main

import (
	"go/ast"
	"slices"
)

// environmentCalls read the environment, which only commands may do: a library is configured by its Config.
var environmentCalls = []string{"Getenv", "LookupEnv", "Environ", "ExpandEnv"}

// skipCalls end a test that could not run. Such a test must fail instead.
var skipCalls = []string{"Skip", "Skipf", "SkipNow"}

// checkCalls returns the calls of one file that the rules forbid.
func checkCalls(src source) []string {
	var findings []string
	ast.Inspect(src.file, func(node ast.Node) bool {
		call, ok := node.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		receiver, ok := call.X.(*ast.Ident)
		if !ok {
			return true
		}
		if why := forbiddenCall(src, receiver.Name, call.Sel.Name); why != "" {
			findings = append(findings, src.finding(call.Pos(), "%s.%s: %s", receiver.Name, call.Sel.Name, why))
		}
		return true
	})
	return findings
}

func forbiddenCall(src source, receiver, name string) string {
	switch {
	case src.isTest():
		if slices.Contains([]string{"t", "b", "f", "tb"}, receiver) && slices.Contains(skipCalls, name) {
			return "a test that cannot run fails, it does not skip"
		}
	case receiver == "os" && slices.Contains(environmentCalls, name) && !under(src.dir(), "cmd") && !isTool(src.dir()):
		return "only commands read the environment"
	}
	return ""
}
