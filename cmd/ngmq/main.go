// Command ngmq is the MQTT client tool, over QUIC, TCP, TLS, WebSocket and Unix sockets:
// pub, sub and rr with the flags of mosquitto's clients, ping, bench, shell, gencert.
//
//	pub, sub, rr, shell: flags -> client.Options -> client.Client -> internal/output -> stdout
//	ping:                flags -> internal/probe -> phases of connections
//	bench:               flags -> internal/bench (internal/netem in between) -> Report
//
// Every command has its file; help texts beyond the flags are in manual.go. Golden files
// are in testdata: go test ./cmd/ngmq -update writes them anew.
//
// Exit status: see the exit constants; ngmq --help shows them.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/ngmq/ngmq/cmd/internal/flagcheck"
)

// version is set by the linker (make build).
var version string

// Exit statuses, where mosquitto_pub and mosquitto_sub have one the same.
const (
	exitOK       = 0
	exitUsage    = 1  // wrong flags, unreadable file, anything not listed here
	exitRefused  = 5  // the broker refused the connection, a subscription or a message
	exitLost     = 7  // the connection was lost
	exitNoServer = 14 // no connection: name, network, TLS
	exitTimeout  = 27 // sub -W
)

const description = `MQTT client for QUIC, TCP, TLS, WebSocket and Unix sockets.

Exit status: 0 done, 1 wrong use, 5 refused by the broker, 7 connection lost, 14 cannot connect, 27 timeout (sub -W). ngmq help COMMAND tells more.`

// cli is the command line.
type cli struct {
	Pub        pubCommand        `cmd:"" help:"Publish messages."`
	Sub        subCommand        `cmd:"" help:"Subscribe and print messages."`
	RR         rrCommand         `cmd:"" name:"rr" help:"Publish a request and print the response."`
	Ping       pingCommand       `cmd:"" help:"Time how a connection comes about, phase by phase."`
	Bench      benchCommand      `cmd:"" help:"Load a broker and measure: conn, pub, sub, rtt, compare."`
	Shell      shellCommand      `cmd:"" help:"Connect, subscribe and publish interactively."`
	Gencert    gencertCommand    `cmd:"" help:"Make certificates for test set-ups: CA, server, clients."`
	Completion completionCommand `cmd:"" help:"Print a completion script for bash, zsh or fish."`
	Manual     helpCommand       `cmd:"" name:"help" help:"Show the manual of a command: description, flags, examples, exit status."`
	Version    showVersion       `cmd:"" help:"Show the versions of ngmq, ngtcp2 and OpenSSL, or that QUIC is not in this build."`
	Help       helpFlag          `help:"Show help (-h is the host)."`
	AskVersion versionFlag       `name:"version" help:"The same as the command version."`
}

// helpFlag is kong's help flag without its short form: -h is the host, as
// mosquitto_pub has it.
type helpFlag bool

// BeforeReset shows the help of the command that is selected.
func (helpFlag) BeforeReset(ctx *kong.Context) error {
	if err := ctx.PrintUsage(false); err != nil {
		return err
	}
	ctx.Exit(exitOK)
	return nil
}

// versionFlag is --version of mosquitto's clients, for every command.
type versionFlag bool

// BeforeReset shows the versions instead of running a command.
func (versionFlag) BeforeReset(ctx *kong.Context) error {
	defer ctx.Exit(exitOK)
	return showVersion{}.Run(&console{stdout: ctx.Stdout})
}

// console is what a command talks to.
type console struct {
	context.Context // ends with SIGINT or SIGTERM
	stdin           io.Reader
	stdout, stderr  io.Writer
}

func (c *console) warnf(format string, args ...any) {
	fmt.Fprintf(c.stderr, "ngmq: "+format+"\n", args...)
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the second signal ends the process at once
	os.Exit(run(&console{ctx, os.Stdin, os.Stdout, os.Stderr}, os.Args[1:]))
}

// run is main with its surroundings as parameters. It returns the exit status.
func run(c *console, args []string) int {
	var commands cli
	exit := -1
	parser := kong.Must(&commands,
		kong.Name("ngmq"), kong.Description(description), kong.NoDefaultHelp(),
		kong.WithHyphenPrefixedParameters(true), // -m -5 is a message
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Writers(c.stdout, c.stderr), kong.Exit(func(status int) { exit = status }),
	)
	wrong := flagcheck.Collect(parser.Model)
	ctx, err := parser.Parse(args)
	if exit >= 0 { // --help
		return exit
	}
	if err != nil || len(wrong.Errors()) > 0 {
		c.warnf("%s", wrongUse(c, ctx, wrong.Errors(), err))
		return exitUsage
	}
	return status(c, ctx.Run(c))
}

// failed is an error that has an exit status.
type failed struct {
	status int
	error
}

func (f *failed) Unwrap() error { return f.error }

// status tells the error to the user and chooses the exit status.
func status(c *console, err error) int {
	if err == nil {
		return exitOK
	}
	var f *failed
	if !errors.As(err, &f) {
		f = &failed{exitUsage, err}
	}
	if f.error != nil {
		c.warnf("%v", f.error)
	}
	return f.status
}

type showVersion struct{}

// Run prints the versions.
func (showVersion) Run(c *console) error {
	_, err := fmt.Fprintf(c.stdout, "ngmq %s\n%s\n", ownVersion(), libraries())
	return err
}

func ownVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}
