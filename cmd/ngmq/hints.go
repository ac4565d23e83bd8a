package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/ngmq/ngmq/mqtt/packet"
)

const (
	noPSK    = "TLS is Go's crypto/tls here, which has no pre-shared keys: use --cert and --key, or -u and -P"
	noEngine = "TLS is Go's crypto/tls here, which takes no engines of OpenSSL: give the key as a file with --key"
)

// mosquittoOnly are flags of mosquitto's clients that ngmq has not, and why.
var mosquittoOnly = map[string]string{
	"--psk": noPSK, "--psk-identity": noPSK, "--tls-engine": noEngine, "--tls-engine-kpass-sha1": noEngine,
}

// unknownShort is what kong says about a short flag: its suggestions are all there are.
var unknownShort = regexp.MustCompile(`^(unknown flag (-\w)), did you mean .*`)

// wrongUse is all that is wrong with a command line, with the way out: values, what kong
// stopped at, and what the command finds in what is left.
func wrongUse(c *console, ctx *kong.Context, values []error, stop error) string {
	var parsing *kong.ParseError
	if errors.As(stop, &parsing) {
		ctx = parsing.Context
	}
	all := slices.Clone(values)
	command := "ngmq"
	if node := selected(ctx); node != nil {
		command += " " + manualName(node)
		all = append(all, validation(c, node, stop))
	}
	if stop != nil {
		text, final := unknownFlag(stop.Error())
		if strings.HasPrefix(text, "unexpected argument ") {
			text += argumentHint(command)
		}
		if len(values) == 0 && final {
			return text
		}
		all = append(all, errors.New(text))
	}
	return fmt.Sprintf("%v (see %s --help)", errors.Join(all...), command)
}

func selected(ctx *kong.Context) *kong.Node {
	if ctx == nil {
		return nil
	}
	return ctx.Selected()
}

// validation asks the command, if kong has read the whole line.
func validation(c *console, node *kong.Node, stop error) error {
	command, ok := node.Target.Addr().Interface().(interface{ validate(*console) error })
	if !ok || stop != nil {
		return nil
	}
	return command.validate(c)
}

// unknownFlag improves what kong says about a flag that is not there; final: there is no need
// to point to the help.
func unknownFlag(text string) (better string, final bool) {
	text = unknownShort.ReplaceAllString(text, "$1")
	flag, unknown := strings.CutPrefix(text, "unknown flag ")
	flag, _, _ = strings.Cut(flag, ",")
	if why, known := mosquittoOnly[flag]; unknown && known {
		return "unknown flag " + flag + ": mosquitto has it, ngmq has not; " + why, true
	}
	return text, false
}

// argumentHint says where what stands alone belongs.
func argumentHint(command string) string {
	switch command {
	case "ngmq pub", "ngmq rr":
		return ": the topic is given with -t, the message with -m"
	case "ngmq sub":
		return ": topics are given with -t"
	case "ngmq ping", "ngmq shell", "ngmq bench conn", "ngmq bench pub", "ngmq bench sub", "ngmq bench rtt":
		return ": the server is given with --url or -h"
	}
	return ""
}

// refusalHint says what to do about a refused connection.
func refusalHint(code packet.ReasonCode) string {
	switch code {
	case packet.UnsupportedProtocolVersion:
		return "\n  try another version: -V mqttv311"
	case packet.BadUserNameOrPassword, packet.NotAuthorized:
		return "\n  give user name and password with -u and -P"
	case packet.ClientIdentifierNotValid:
		return "\n  give another client id with -i"
	}
	return ""
}

// connectHint says what to do about a failed connection.
func (f *target) connectHint(err error) string {
	text := strings.ToLower(err.Error())
	if f.Cert == "" && (strings.Contains(text, "certificate required") || strings.Contains(text, "tls alert 116")) {
		return "\n  the server wants a client certificate: give one with --cert FILE and --key FILE"
	}
	if strings.Contains(text, "certificate") && !f.Insecure {
		return f.certificateHint(text)
	}
	var name *net.DNSError
	var malformed *packet.Error
	var op *net.OpError
	switch {
	case errors.As(err, &op) && op.Op == "socks connect":
		return proxyHint(op.Err)
	case handshakeTimeout(err), errors.Is(err, context.DeadlineExceeded) && strings.HasPrefix(f.URL, "quic:"):
		return "\n  nobody answers: does the server listen for QUIC on this port, and is UDP open all the way?"
	case errors.As(err, &name):
		return "\n  is " + name.Name + " the right name, and does this machine have a network?"
	case errors.As(err, &malformed):
		return "\n  what answers does not speak MQTT: is this the port of the server, and the protocol of this port?"
	case strings.Contains(text, "404 not found"):
		return "\n  most servers, ngmqd too, have MQTT at the path /mqtt"
	case errors.Is(err, syscall.EMFILE):
		return "\n  the system allows this process no more sockets: raise the limit with ulimit -n"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "\n  is the server running, and is this its port?"
	case errors.Is(err, io.EOF):
		return "\n  the server hung up: does it speak this protocol on this port (mqtts:// and --cafile are TLS, mqtt:// is not)?"
	}
	return ""
}

// proxyHint knows the words of golang.org/x/net/proxy.
func proxyHint(err error) string {
	var network *net.OpError
	text := err.Error()
	switch {
	case errors.As(err, &network):
		return "\n  the proxy is not there: is it running, and is this its port?"
	case strings.Contains(text, "authentication"):
		return "\n  give the user and the password that the proxy wants: --proxy socks5h://USER:PASSWORD@HOST"
	case strings.HasPrefix(text, "unknown error"):
		return "\n  the proxy answers, but does not get to the server: is that running, and may the proxy go there?"
	}
	return "\n  what answers is no SOCKS5 proxy: is this its port?"
}

// certificateHint knows the words of OpenSSL (QUIC) and of crypto/x509 (TLS).
func (f *target) certificateHint(text string) string {
	says := func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(text, w) })
	}
	switch {
	case says("hostname mismatch", "ip address mismatch", "certificate is valid for", "any ip sans"):
		return "\n  the certificate has another name than the host: connect by that name, or give it with --servername NAME"
	case f.CAFile == "":
		return "\n  give the CA of the server with --cafile FILE (a development ngmqd writes dev-ca.crt into its data directory)"
	case says("local issuer", "unknown authority", "self-signed", "certificate signature failure"):
		return "\n  " + f.CAFile + " does not hold the CA of this server, or the server has a new one since"
	}
	return ""
}
