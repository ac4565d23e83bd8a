// Command ngmqd is the MQTT server: QUIC, TCP, TLS, WebSocket and Unix sockets on the
// addresses that its flags name. Everything that it does is in package server; here flags and
// environment variables become a server.Config.
//
//	flags, NGMQ_* -> server.Config -> server.New -> Server.Run(ctx until a signal)
//
// Exit status: 0 after a signal, 1 when something is wrong with the flags or a
// listener failed. The first SIGINT or SIGTERM shuts down within 5 seconds, the
// second one ends the process at once.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/ngmq/ngmq/cmd/internal/flagcheck"
	"github.com/ngmq/ngmq/mqtt/scram"
	"github.com/ngmq/ngmq/server"
)

// version is set by the linker (make build).
var version string

// cli is the command line. Each flag has a variable of the same name in the
// environment: --log-level is NGMQ_LOG_LEVEL. Other NGMQ_* variables are refused.
type cli struct {
	QUIC           []string            `name:"quic" placeholder:"ADDR" default:"${quic}" help:"Address for MQTT over QUIC, or off; may be repeated. Default: ${default}."`
	TCP            []string            `name:"tcp" placeholder:"ADDR" default:"${tcp}" help:"Address for MQTT over TCP, or off; may be repeated. Default: ${default}."`
	TLS            []string            `name:"tls" placeholder:"ADDR" default:"off" help:"Address for MQTT over TLS, or off; may be repeated. Default: ${default}."`
	WS             []string            `name:"ws" placeholder:"ADDR" default:"off" help:"Address for MQTT over WebSocket, path /mqtt, or off; may be repeated. Default: ${default}."`
	WSS            []string            `name:"wss" placeholder:"ADDR" default:"off" help:"Address for MQTT over secure WebSocket, path /mqtt, or off; may be repeated. Default: ${default}."`
	Unix           []string            `name:"unix" placeholder:"PATH" default:"off" help:"Unix socket for MQTT, or off; may be repeated. Its mode is 0600, or as in unix:///PATH?mode=0660. Default: ${default}."`
	Origins        []string            `name:"ws-origin" placeholder:"ORIGIN" help:"Web page that may connect over WebSocket, such as https://example.org; may be repeated. Default: all."`
	Cert           string              `placeholder:"FILE" help:"Certificate chain, PEM. Without it a development CA and certificate are made in the data directory."`
	Key            string              `placeholder:"FILE" help:"Private key of the certificate, PEM."`
	ClientCA       string              `name:"client-ca" placeholder:"FILE" help:"CA certificates, PEM, of clients over QUIC, TLS and secure WebSocket, which then have to show a certificate."`
	ClientCRL      string              `name:"client-crl" placeholder:"FILE" help:"With --client-ca: certificate revocation lists of these CAs, PEM; read again when it changes. A certificate is refused unless its issuer has a valid list there that does not name it. Default: nothing is revoked."`
	ClientCert     server.ClientCert   `placeholder:"WHEN" default:"required" help:"With --client-ca: required or optional. Default: ${default}."`
	CertUsername   server.CertUsername `placeholder:"WHAT" default:"off" help:"What of a client certificate becomes the user name in place of the one in CONNECT: cn (common name), san (DNS name, else mail address, else URI), dn (whole subject) or off. Default: ${default}."`
	DataDir        string              `placeholder:"DIR" default:"${datadir}" help:"Directory for what is kept: dev-ca.crt (for clients), dev-ca.key, dev.crt, dev.key. Default: ${default}."`
	AllowAnonymous bool                `help:"Serve clients without credentials on addresses that other machines can reach."`
	Retry          server.RetryPolicy  `placeholder:"WHEN" default:"auto" help:"When a QUIC client has to prove its address with one more round trip: never, always, or auto, while very many handshakes are under way. Default: ${default}."`
	EarlyData      server.EarlyData    `placeholder:"WHEN" default:"off" help:"Whether QUIC clients that have been here before may send before the handshake is complete (0-RTT): off, on, or single-use, which refuses copies of it. What they send has no effect but the answer to a CONNECT until it is complete. Default: ${default}."`
	TicketKeys     string              `placeholder:"FILE" help:"Keys of TLS session tickets, for servers that share them; made by ngmqd ticket-keys, and read again when it changes. Default: keys of this process alone."`
	KeyLogFile     string              `name:"keylog-file" env:"NGMQ_KEYLOG_FILE,SSLKEYLOGFILE" placeholder:"FILE" help:"Append the TLS secrets of all QUIC and TLS connections to FILE, to decrypt captures with. Who can read it can read the traffic."`
	QlogDir        string              `placeholder:"DIR" help:"Write a qlog file per QUIC connection into DIR, for tools such as qvis; 512 at a time. Costs time and space for each packet."`
	LogQUIC        bool                `name:"log-quic" help:"Log what the QUIC library says, several lines per packet; with --log-level debug."`
	LogLevel       string              `enum:"debug,info,warn,error" default:"info" placeholder:"LEVEL" help:"debug, info, warn or error. Default: ${default}."`
	LogFormat      string              `enum:"text,json" default:"text" placeholder:"FORMAT" help:"text or json. Default: ${default}."`

	Path     pathFlags     `embed:""`
	Protocol protocolFlags `embed:""`
	Limits   limitFlags    `embed:"" group:"Limits"`

	InjectFault         []server.Fault `env:"-" placeholder:"FAULT" help:"For tests of clients alone: misbehave towards all of them: connack=CODE, wrong-version, wrong-packet, remaining-length, malformed-length, short-publish or publish-before-suback; may be repeated."`
	InjectFaultInPublic bool           `env:"-" help:"Allow that on addresses that other machines can reach."`

	ShowVersion versionFlag `name:"version" env:"-" help:"The same as the command version."`

	Serve          serve       `cmd:"" default:"1" help:"Serve MQTT until a signal; the default command."`
	Health         health      `cmd:"" help:"Connect to a running server that was started with the same flags and environment; exit status 0 when it answers on all its addresses."`
	Credential     credential  `cmd:"" help:"Read a password from standard input and print the line of a user for --scram-users."`
	TicketKeysFile ticketKeys  `cmd:"" name:"ticket-keys" help:"Make or extend the file of --ticket-keys."`
	Version        showVersion `cmd:"" help:"Show the versions of ngmqd, ngtcp2 and OpenSSL, or that QUIC is not in this build."`
}

type (
	serve       struct{}
	showVersion struct{}
	versionFlag bool
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

const description = `MQTT server over QUIC, TCP, TLS, WebSocket and Unix sockets.

An address for TCP, TLS or WebSocket may name the networks of proxies, which begin each connection with a PROXY protocol header: 0.0.0.0:1883?proxy=10.0.0.0/8&proxy=192.168.1.2.

SIGINT and SIGTERM end it within 5 seconds, a second one at once. SIGUSR1 logs all counters and what memory is in use, a line per group; at the end the counters are logged at debug level.`

// flagDefaults are the defaults that help texts show.
var flagDefaults = kong.Vars{
	"quic": server.DefaultQUIC, "tcp": server.DefaultTCP, "datadir": defaultDataDir(),
	"iterations":  strconv.Itoa(scram.DefaultIterations),
	"sysinterval": server.DefaultSysInterval.String(),
}

// run is main with its surroundings as parameters. It returns the exit status.
func run(args []string, stdout, stderr io.Writer) int {
	var c cli
	exit := -1
	parser := kong.Must(&c,
		kong.Name("ngmqd"),
		kong.Description(description),
		flagDefaults,
		kong.DefaultEnvars("NGMQ"),
		kong.Help(printHelp),
		kong.Writers(stdout, stderr),
		kong.Exit(func(status int) { exit = status }),
		kong.BindTo(stdout, (*io.Writer)(nil)),
		kong.BindTo(os.Stdin, (*io.Reader)(nil)),
		kong.Bind(&c, logOutput{stderr}),
	)
	wrong := flagcheck.Collect(parser.Model)
	cmd, err := parser.Parse(args)
	if exit >= 0 { // --help has been shown
		return exit
	}
	if all := errors.Join(append(wrong.Errors(), betterFlag(err))...); all != nil {
		fmt.Fprintf(stderr, "ngmqd: %s; see %s --help\n", all, strings.TrimSpace("ngmqd "+selected(err)))
		return 1
	}
	if cmd.Command() == "serve" {
		err = checkEnvironment(parser.Model, os.Environ())
	}
	if err == nil {
		err = cmd.Run()
	}
	if err != nil {
		fmt.Fprintf(stderr, "ngmqd: %s\n", err)
		return 1
	}
	return 0
}

// logOutput tells the log's writer from that of what is printed for people.
type logOutput struct{ io.Writer }

// Run implements the serve command.
func (serve) Run(c *cli, stdout io.Writer, out logOutput) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // the next signal has its usual effect
	log, err := c.logger(out)
	if err != nil {
		return err
	}
	if c.LogQUIC && !log.Enabled(ctx, slog.LevelDebug) {
		return errors.New("--log-quic logs at debug level: add --log-level debug")
	}
	workers, done := quicWorkers(c.QUIC)
	defer done()
	cfg := server.Config{
		QUIC: c.QUIC, Workers: workers, TCP: c.TCP, TLS: c.TLS, WS: c.WS, WSS: c.WSS, Unix: c.Unix, Origins: c.Origins,
		CertFile: c.Cert, KeyFile: c.Key, DataDir: c.DataDir,
		ClientCAFile: c.ClientCA, ClientCRLFile: c.ClientCRL, ClientCert: c.ClientCert, CertUsername: c.CertUsername,
		AllowAnonymous: c.AllowAnonymous, Retry: c.Retry, KeyLogFile: c.KeyLogFile,
		EarlyData: c.EarlyData, TicketKeysFile: c.TicketKeys,
		QlogDir: c.QlogDir, LogQUIC: c.LogQUIC, Logger: log,
		Limits: c.Limits.limits(),
		Faults: c.InjectFault, FaultsInPublic: c.InjectFaultInPublic,
		Version: "ngmqd " + ownVersion(),
	}
	if err := errors.Join(c.Path.apply(&cfg), c.Protocol.apply(&cfg)); err != nil {
		return fmt.Errorf("cannot start:\n%w%s", errors.Join(err, cfg.Validate()), flagsUnderMake())
	}
	srv, err := server.New(cfg)
	if err != nil {
		return fmt.Errorf("cannot start:\n%w%s", err, flagsUnderMake())
	}
	if forPeople(stdout) {
		go func() {
			<-srv.Ready()
			printHints(stdout, srv)
		}()
	}
	stopLogging := logOnSignal(log, srv)
	err = srv.Run(ctx)
	stopLogging()
	logCounters(log, slog.LevelDebug, srv)
	return err
}

func (c *cli) logger(w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		return nil, err
	}
	options := &slog.HandlerOptions{Level: level}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, options)), nil
	}
	return slog.New(slog.NewTextHandler(w, options)), nil
}

// Run implements the version command.
func (showVersion) Run(stdout io.Writer) error {
	_, err := fmt.Fprintf(stdout, "ngmqd %s\n%s\n", ownVersion(), libraries())
	return err
}

// BeforeReset prints the versions instead of running a command.
func (versionFlag) BeforeReset(app *kong.Kong) error {
	defer app.Exit(0)
	return showVersion{}.Run(app.Stdout)
}

// ownVersion is what the linker was told, else what the go command knows.
func ownVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

// defaultDataDir is the ngmq directory in the user's data directory (XDG Base
// Directory Specification), or ngmq-data here for a user without a home.
func defaultDataDir() string {
	if dir := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "ngmq")
	}
	home, err := os.UserHomeDir()
	if err != nil || errors.Is(err, os.ErrNotExist) {
		return "ngmq-data"
	}
	return filepath.Join(home, ".local", "share", "ngmq")
}
