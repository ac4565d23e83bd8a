package main

import (
	"errors"

	"github.com/alecthomas/kong"
)

// printHelp is kong's help. Commands that neither start a server nor look for one show
// their own flags alone.
func printHelp(options kong.HelpOptions, ctx *kong.Context) error {
	if node := ctx.Selected(); node != nil {
		switch node.Name {
		case "credential", "ticket-keys", "version":
			for _, flag := range ctx.Model.Flags {
				flag.Hidden = flag.Name != "help"
			}
		}
	}
	return kong.DefaultHelpPrinter(options, ctx)
}

// selected is the command in which the command line is wrong, "" for the default one.
func selected(err error) string {
	var parsing *kong.ParseError
	if !errors.As(err, &parsing) || parsing.Context.Selected() == nil {
		return ""
	}
	if name := parsing.Context.Selected().Name; name != "serve" {
		return name
	}
	return ""
}
