package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/ngmq/ngmq/mqtt/client"
	"github.com/ngmq/ngmq/mqtt/packet"
)

// connection are the flags that pub and sub share.
type connection struct {
	URL      string `short:"L" placeholder:"URL" group:"Server" help:"quic://, mqtt:// or mqtts://[user[:password]@]host[:port][/topic]. Replaces -h, -p and -t. Without a topic ws:// or wss://host[:port][/mqtt] and unix:///path."`
	Host     string `short:"h" default:"localhost" group:"Server" help:"Host to connect to over TCP, or TLS with --cafile, --cert or --insecure."`
	Port     uint16 `short:"p" placeholder:"PORT" group:"Server" help:"Port; 1883, with TLS 8883."`
	Username string `short:"u" placeholder:"NAME" group:"Server" help:"User name."`
	Password string `short:"P" placeholder:"PASSWORD" group:"Server" help:"Password."`

	ID        string   `short:"i" placeholder:"ID" group:"Session" help:"Client id. Default: chosen by the broker."`
	IDPrefix  string   `short:"I" name:"id-prefix" placeholder:"PREFIX" group:"Session" help:"Client id is PREFIX and the process id."`
	Protocol  protocol `short:"V" name:"protocol-version" default:"mqttv5" placeholder:"VERSION" group:"Session" help:"mqttv5, mqttv311 or mqttv31; 5, 311 or 31. (${default})"`
	KeepAlive uint16   `short:"k" name:"keepalive" default:"60" placeholder:"SECONDS" group:"Session" help:"Keep alive; 0 turns it off. (${default})"`
	Persist   bool     `short:"c" name:"disable-clean-session" group:"Session" help:"Go on with the session that the broker kept, and have it kept again. Needs -i."`
	Expiry    expiry   `short:"x" name:"session-expiry-interval" placeholder:"SECONDS" group:"Session" help:"How long the broker keeps the session, -1 for ever (MQTT 5). With -c -1, else 0."`
	QoS       byte     `short:"q" name:"qos" default:"0" placeholder:"QOS" group:"Session" help:"Quality of service: 0, 1 or 2. (${default})"`

	WillTopic   string `placeholder:"TOPIC" group:"Will" help:"The broker publishes the will there when the connection is lost."`
	WillPayload string `placeholder:"TEXT" group:"Will" help:"Payload of the will."`
	WillQoS     byte   `name:"will-qos" default:"0" placeholder:"QOS" group:"Will" help:"Quality of service of the will."`
	WillRetain  bool   `group:"Will" help:"The broker keeps the will."`

	CAFile     string `name:"cafile" placeholder:"FILE" group:"TLS and QUIC" help:"CA certificates to trust, PEM. Default: those of the system."`
	Cert       string `placeholder:"FILE" group:"TLS and QUIC" help:"Client certificate, PEM."`
	Key        string `placeholder:"FILE" group:"TLS and QUIC" help:"Key of the client certificate, PEM."`
	ServerName string `name:"servername" placeholder:"NAME" group:"TLS and QUIC" help:"Name that the server's certificate must have. Default: the host."`
	Insecure   bool   `group:"TLS and QUIC" help:"Accept ANY server certificate. For tests only."`
	KeyLogFile string `name:"keylog-file" env:"SSLKEYLOGFILE" placeholder:"FILE" group:"TLS and QUIC" help:"Append the secrets of the connection to FILE, to decrypt a capture with."`

	QlogDir string `placeholder:"DIR" group:"Output" help:"Write a qlog file of a QUIC connection into DIR."`
	Debug   bool   `short:"d" group:"Output" help:"Show what happens."`
	Quiet   bool   `group:"Output" help:"Show no errors."`
}

// protocol is the value of -V.
type protocol packet.Version

// UnmarshalText takes mosquitto's names and plain numbers.
func (p *protocol) UnmarshalText(text []byte) error {
	switch strings.TrimPrefix(strings.ReplaceAll(string(text), ".", ""), "mqttv") {
	case "31":
		*p = protocol(packet.V31)
	case "311":
		*p = protocol(packet.V311)
	case "5", "50":
		*p = protocol(packet.V50)
	default:
		return fmt.Errorf("%q is not mqttv31, mqttv311 or mqttv5", text)
	}
	return nil
}

// expiry is the value of -x.
type expiry struct {
	set     bool
	seconds uint32
}

// UnmarshalText takes a number of seconds, or -1 or the infinity sign for ever.
func (e *expiry) UnmarshalText(text []byte) error {
	e.set = true
	if s := string(text); s == "-1" || s == "∞" {
		e.seconds = client.NeverExpires
		return nil
	}
	n, err := strconv.ParseUint(string(text), 10, 32)
	e.seconds = uint32(n)
	if err != nil {
		return fmt.Errorf("%q is not a number of seconds, or -1", text)
	}
	return nil
}

// validate finds what kong cannot know.
func (f *connection) validate(c *console) error {
	if f.Quiet {
		c.stderr = io.Discard
	}
	var errs []error
	check := func(wrong bool, text string) {
		if wrong {
			errs = append(errs, errors.New(text))
		}
	}
	check(f.QoS > 2, "-q must be 0, 1 or 2")
	check(f.WillQoS > 2, "--will-qos must be 0, 1 or 2")
	check(f.Persist && f.ID == "", "-c needs a client id: give one with -i")
	check(f.ID != "" && f.IDPrefix != "", "use -i or -I, not both")
	check(f.WillTopic == "" && (f.WillPayload != "" || f.WillQoS > 0 || f.WillRetain), "a will needs --will-topic")
	check((f.Cert == "") != (f.Key == ""), "--cert and --key go together")
	for _, file := range []string{f.CAFile, f.Cert, f.Key} {
		if _, err := os.Stat(file); file != "" && err != nil {
			errs = append(errs, err)
		}
	}
	check(f.URL != "" && f.Port != 0, "the port belongs into the URL: leave -p out")
	check(f.Expiry.set && f.Expiry.seconds > 0 && packet.Version(f.Protocol) != packet.V50, "-x needs MQTT 5: -V mqttv5")
	return errors.Join(errs...)
}

// server is the URL to connect to, without the topic in its path.
func (f *connection) server() (address, topic string, err error) {
	if f.URL == "" {
		return f.hostURL(), "", nil
	}
	u, err := url.Parse(f.URL)
	if err != nil {
		return "", "", fmt.Errorf("--url: %w", err)
	}
	if pathScheme(u.Scheme) {
		return f.URL, "", nil
	}
	topic = strings.TrimPrefix(u.Path, "/")
	u.Path, u.RawPath = "", ""
	return u.String(), topic, nil
}

// pathScheme says whether the path of a URL is part of the server's address.
func pathScheme(scheme string) bool { return scheme == "ws" || scheme == "wss" || scheme == "unix" }

// hostURL is -h and -p as a URL.
func (f *connection) hostURL() string {
	scheme, port := "mqtt", "1883"
	if f.CAFile != "" || f.Cert != "" || f.Insecure {
		scheme, port = "mqtts", "8883"
	}
	if f.Port != 0 {
		port = strconv.Itoa(int(f.Port))
	}
	return (&url.URL{Scheme: scheme, Host: net.JoinHostPort(strings.Trim(f.Host, "[]"), port)}).String()
}

// options are the flags as the client library wants them.
func (f *connection) options(c *console) client.Options {
	o := client.Options{
		Version: packet.Version(f.Protocol), ClientID: f.clientID(), ResumeSession: f.Persist, SessionExpiry: f.sessionExpiry(),
		Username: f.Username, KeepAlive: time.Duration(f.KeepAlive) * time.Second,
		TLS:     client.TLS{CAFile: f.CAFile, CertFile: f.Cert, KeyFile: f.Key, ServerName: f.ServerName, Insecure: f.Insecure, KeyLogFile: f.KeyLogFile},
		QlogDir: f.QlogDir,
	}
	if f.Password != "" {
		o.Password = []byte(f.Password)
	}
	if f.KeepAlive == 0 {
		o.KeepAlive = client.NoKeepAlive
	}
	if f.WillTopic != "" {
		o.Will = &packet.Will{Topic: f.WillTopic, Payload: []byte(f.WillPayload), QoS: f.WillQoS, Retain: f.WillRetain}
	}
	if f.Debug {
		o.Logger = slog.New(slog.NewTextHandler(c.stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return o
}

func (f *connection) clientID() string {
	if f.IDPrefix != "" {
		return f.IDPrefix + strconv.Itoa(os.Getpid())
	}
	return f.ID
}

func (f *connection) sessionExpiry() uint32 {
	if f.Persist && !f.Expiry.set {
		return client.NeverExpires
	}
	return f.Expiry.seconds
}

// connect makes the client and connects it.
func (f *connection) connect(c *console, address string, o client.Options) (*client.Client, error) {
	o.Servers = []string{address}
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if f.Insecure {
		c.warnf("--insecure: the server's certificate is not verified, anybody can be in between")
	}
	if f.KeyLogFile != "" && encrypted(address) {
		c.warnf("--keylog-file: whoever reads %s can decrypt this connection", f.KeyLogFile)
	}
	conn, err := client.Dial(c, address, o)
	switch {
	case err == nil:
		return conn, nil
	case c.Err() != nil:
		return nil, errInterrupted
	}
	var refused *client.ReasonError
	if errors.As(err, &refused) {
		return nil, &failed{exitRefused, fmt.Errorf("connection refused: %w%s", err, refusalHint(refused.Code))}
	}
	return nil, &failed{exitNoServer, fmt.Errorf("cannot connect: %w%s", err, f.connectHint(err))}
}

// encrypted says whether a URL leads to a server with TLS.
func encrypted(address string) bool {
	scheme, _, _ := strings.Cut(address, ":")
	return slices.Contains([]string{"quic", "mqtts", "ssl", "wss"}, scheme)
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
func (f *connection) connectHint(err error) string {
	text := strings.ToLower(err.Error())
	if f.Cert == "" && (strings.Contains(text, "certificate required") || strings.Contains(text, "tls alert 116")) {
		return "\n  the server wants a client certificate: give one with --cert FILE and --key FILE"
	}
	if strings.Contains(text, "certificate") && !f.Insecure {
		return f.certificateHint(text)
	}
	switch {
	case handshakeTimeout(err), errors.Is(err, context.DeadlineExceeded) && strings.HasPrefix(f.URL, "quic:"):
		return "\n  nobody answers: does the server listen for QUIC on this port, and is UDP open all the way?"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "\n  is the server running, and is this its port?"
	case errors.Is(err, io.EOF):
		return "\n  the server hung up: does it speak this protocol on this port (mqtts:// and --cafile are TLS, mqtt:// is not)?"
	}
	return ""
}

// certificateHint knows the words of OpenSSL (QUIC) and of crypto/x509 (TLS).
func (f *connection) certificateHint(text string) string {
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

// disconnect ends the connection politely, even after a signal.
func disconnect(conn *client.Client) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	conn.Disconnect(ctx)
}

// errInterrupted: a signal came before the work was done.
var errInterrupted = errors.New("interrupted")

// explain gives an error of a publish or subscribe its exit status.
func explain(err error) error {
	var refused *client.ReasonError
	var lost *client.ConnectionLostError
	switch {
	case errors.As(err, &lost), errors.Is(err, client.ErrNotConnected):
		return &failed{exitLost, err}
	case errors.As(err, &refused):
		return &failed{exitRefused, err}
	case errors.Is(err, context.Canceled):
		return errInterrupted
	}
	return err
}
