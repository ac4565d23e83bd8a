package main

import (
	"cmp"
	"crypto/x509"
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
	"time"

	"github.com/ngmq/ngmq/mqtt/client"
)

// target are the flags that every command with a connection has: where to, and whom to trust.
type target struct {
	URL      string `short:"L" placeholder:"URL" group:"Server" help:"quic://, mqtt:// or mqtts://[user[:password]@]host[:port][/topic]. Replaces -h, -p and -t. Without a topic ws:// or wss://host[:port][/mqtt] and unix:///path."`
	Host     string `short:"h" placeholder:"HOST" group:"Server" help:"Host to connect to over TCP, or TLS with --cafile, --capath, --cert, --tls-use-os-certs or --insecure. (localhost)"`
	Port     uint16 `short:"p" placeholder:"PORT" group:"Server" help:"Port; 1883, with TLS 8883."`
	Unix     string `placeholder:"PATH" group:"Server" help:"Connect through this Unix socket."`
	Username string `short:"u" placeholder:"NAME" group:"Server" help:"User name."`
	Password string `short:"P" aliases:"pw" placeholder:"PASSWORD" group:"Server" help:"Password."`
	NoDelay  bool   `name:"nodelay" group:"Server" help:"Send small packets at once: this is always so here, as mosquitto does when asked."`

	CAFile            string                   `name:"cafile" placeholder:"FILE" group:"TLS and QUIC" help:"CA certificates to trust, PEM. Default: those of the system."`
	OSCerts           bool                     `name:"tls-use-os-certs" group:"TLS and QUIC" help:"Use TLS and trust the CA certificates of the system."`
	Cert              string                   `placeholder:"FILE" group:"TLS and QUIC" help:"Client certificate, PEM."`
	Key               string                   `placeholder:"FILE" group:"TLS and QUIC" help:"Key of the client certificate, PEM."`
	ServerName        string                   `name:"servername" placeholder:"NAME" group:"TLS and QUIC" help:"Name that the server's certificate must have. Default: the host."`
	Insecure          bool                     `group:"TLS and QUIC" help:"Accept ANY server certificate. For tests only."`
	KeyLogFile        string                   `name:"keylog-file" env:"SSLKEYLOGFILE" placeholder:"FILE" group:"TLS and QUIC" help:"Append the secrets of the connection to FILE, to decrypt a capture with."`
	CongestionControl client.CongestionControl `placeholder:"HOW" default:"cubic" group:"TLS and QUIC" help:"How to send over QUIC paths that may be full: cubic, bbr (faster where packets are lost for other reasons, but loses more itself on slow paths with short queues), or reno. The server has its own. (${default})"`

	networkFlags

	QlogDir string `placeholder:"DIR" group:"Output" help:"Write a qlog file of a QUIC connection into DIR."`
	Debug   bool   `short:"d" group:"Output" help:"Show what happens; pub, sub, rr and shell: and each packet, as mosquitto does, without payloads and secrets."`
	Quiet   bool   `group:"Output" help:"Show no errors."`
}

// problems collects what is wrong with flags.
type problems []error

func (p *problems) check(wrong bool, text string) {
	if wrong {
		*p = append(*p, errors.New(text))
	}
}

// readable finds a file that cannot be opened.
func (p *problems) readable(flag, file string) (text []byte) {
	if file == "" {
		return nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		*p = append(*p, fmt.Errorf("%s: %w", flag, err))
	}
	return text
}

// certificates finds a file that can be opened and has none.
func (p *problems) certificates(flag, file string) {
	text := p.readable(flag, file)
	p.check(text != nil && !x509.NewCertPool().AppendCertsFromPEM(text),
		flag+": "+file+" has no certificate in PEM form (-----BEGIN CERTIFICATE-----)")
}

// validate finds what kong cannot know.
func (f *target) validate(c *console) problems {
	if f.Quiet {
		c.stderr = io.Discard
	} else if f.Debug {
		c.stderr = &lockedWriter{w: c.stderr}
	}
	var wrong problems
	f.networkFlags.validate(&wrong)
	wrong.check((f.Cert == "") != (f.Key == ""), "--cert and --key go together")
	wrong.certificates("--cafile", f.CAFile)
	wrong.certificates("--cert", f.Cert)
	wrong.readable("--key", f.Key)
	host, port, err := net.SplitHostPort(f.Host)
	wrong.check(err == nil, fmt.Sprintf("-h %s: the port has a flag of its own: -h %s -p %s", f.Host, host, port))
	wrong.check(strings.Contains(f.Host, "://"), "-h "+f.Host+": this is a URL: give it with --url (-L)")
	wrong.check(f.URL != "" && f.Port != 0, "the port belongs into the URL: leave -p out")
	wrong.check(f.Proxy != "" && f.Unix != "", "a Unix socket is on this machine: leave --proxy out")
	wrong.check(f.URL != "" && f.Unix != "", "use --url or --unix, not both")
	wrong.check(f.namesCertificates() && plaintext(f.URL), forTLS)
	return wrong
}

const overProxy = "--proxy leads TCP, and QUIC is UDP (SOCKS5 would need UDP ASSOCIATE, which ngmq does not use): use mqtts:// or wss:// in place of quic://"

const forTLS = "--cafile, --capath and --cert are for TLS, which mqtt://, tcp:// and ws:// do without: use mqtts://, wss:// or quic:// and the port for that, or leave them out"

// namesCertificates says whether the user expects TLS.
func (f *target) namesCertificates() bool { return f.CAFile != "" || f.CAPath != "" || f.Cert != "" }

// server is the URL to connect to, without the topic in its path.
func (f *target) server() (address, topic string, err error) {
	switch {
	case f.Unix != "":
		return (&url.URL{Scheme: "unix", Path: f.Unix}).String(), "", nil
	case f.URL == "":
		return f.hostURL(), "", nil
	}
	return splitTopic(f.URL)
}

// inTopics are characters that mean nothing special in the URLs of mosquitto's clients:
// # is a wildcard.
var inTopics = strings.NewReplacer("#", "%23", "?", "%3F")

// splitTopic takes the topic out of the path of a URL.
func splitTopic(address string) (server, topic string, err error) {
	if scheme, _, _ := strings.Cut(address, ":"); pathScheme(scheme) {
		return address, "", nil
	}
	u, err := url.Parse(inTopics.Replace(address))
	if err != nil {
		return "", "", fmt.Errorf("--url: %w", err)
	}
	if u.Scheme == "" {
		return "", "", fmt.Errorf("--url: %q says not which protocol: put quic://, mqtt:// or mqtts:// before it", address)
	}
	topic = strings.TrimPrefix(u.Path, "/")
	u.Path, u.RawPath = "", ""
	return u.String(), topic, nil
}

// pathScheme says whether the path of a URL is part of the server's address.
func pathScheme(scheme string) bool { return scheme == "ws" || scheme == "wss" || scheme == "unix" }

// hostURL is -h and -p as a URL.
func (f *target) hostURL() string {
	scheme, port := "mqtt", "1883"
	if f.namesCertificates() || f.Insecure || f.OSCerts || f.Port == 8883 {
		scheme, port = "mqtts", "8883"
	}
	if f.Port != 0 {
		port = strconv.Itoa(int(f.Port))
	}
	return (&url.URL{Scheme: scheme, Host: net.JoinHostPort(strings.Trim(cmp.Or(f.Host, "localhost"), "[]"), port)}).String()
}

// encrypted says whether a URL leads to a server with TLS.
func encrypted(address string) bool {
	scheme, _, _ := strings.Cut(address, ":")
	return slices.Contains([]string{"quic", "mqtts", "ssl", "wss"}, scheme)
}

// quicURL says whether a URL leads to a server over QUIC.
func quicURL(address string) bool { return strings.HasPrefix(address, "quic:") }

// plaintext says whether a URL leads through a network in clear text.
func plaintext(address string) bool {
	scheme, _, _ := strings.Cut(address, ":")
	return slices.Contains([]string{"mqtt", "tcp", "ws"}, scheme)
}

// options are the flags as the client library wants them.
func (f *target) options(c *console) client.Options {
	o := client.Options{
		Username: f.Username,
		TLS: client.TLS{CAFile: f.CAFile, CertFile: f.Cert, KeyFile: f.Key, ServerName: f.ServerName,
			Insecure: f.Insecure, KeyLogFile: f.KeyLogFile},
		CongestionControl: f.CongestionControl, QlogDir: f.QlogDir,
	}
	if f.Password != "" {
		o.Password = []byte(f.Password)
	}
	f.networkFlags.apply(&o)
	if f.Debug {
		o.Logger = f.log(c)
	}
	return o
}

// log is where -d shows what happens.
func (f *target) log(c *console) *slog.Logger {
	if !f.Debug {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(c.stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// warn tells what the user should know about the flags.
func (f *target) warn(c *console, address string) {
	if f.Insecure {
		c.warnf("--insecure: the server's certificate is not verified, anybody can be in between")
	}
	if f.KeyLogFile != "" && encrypted(address) {
		c.warnf("--keylog-file: whoever reads %s can decrypt this connection", f.KeyLogFile)
	}
}

// secondsOption is a number of seconds, with a fraction or not.
type secondsOption time.Duration

// UnmarshalText reads e.g. 2 or 0.25.
func (s *secondsOption) UnmarshalText(text []byte) error {
	d, err := time.ParseDuration(string(text) + "s")
	if err != nil || d < 0 {
		return fmt.Errorf("%q is not a number of seconds", text)
	}
	*s = secondsOption(d)
	return nil
}

// redactedURL is a URL without its password.
func redactedURL(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	return u.Redacted()
}
