package main

import (
	"crypto/tls"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/ngmq/ngmq/cmd/ngmq/internal/remote"
	"github.com/ngmq/ngmq/mqtt/client"
)

// networkFlags are flags of mosquitto's clients that say how to connect: from where, and
// what TLS offers.
type networkFlags struct {
	Bind       string     `short:"A" name:"bind" placeholder:"ADDRESS" group:"Server" help:"Connect from this address of this machine. Default: the system chooses."`
	Proxy      string     `placeholder:"URL" group:"Server" help:"Lead there through this SOCKS5 proxy: socks5h://[user[:password]@]host[:1080]. It looks the host up. For TCP, TLS and WebSocket: QUIC is UDP, and needs --fallback to do without."`
	CAPath     string     `name:"capath" placeholder:"DIR" group:"TLS and QUIC" help:"Directory with CA certificates to trust, beside --cafile; PEM, under any names."`
	TLSVersion tlsVersion `placeholder:"VERSION" group:"TLS and QUIC" help:"Oldest version to accept: tlsv1.2 or tlsv1.3. QUIC has tlsv1.3. (tlsv1.2)"`
	Ciphers    ciphers    `placeholder:"LIST" group:"TLS and QUIC" help:"Cipher suites of TLS 1.2 to offer, OpenSSL's names with colons between. Those of TLS 1.3, and so of QUIC, are not for choosing."`
	ALPN       []string   `name:"tls-alpn" sep:"none" placeholder:"PROTOCOL" group:"TLS and QUIC" help:"Application protocol to offer. May be repeated. Default: mqtt over QUIC, none over TLS. Not for WebSocket."`
	KeyForm    string     `name:"keyform" default:"pem" enum:"pem" placeholder:"FORM" group:"TLS and QUIC" help:"Form of --key: pem, the only one here: there are no engines. (${default})"`
}

// tlsVersion is the value of --tls-version.
type tlsVersion uint16

// UnmarshalText takes mosquitto's names.
func (v *tlsVersion) UnmarshalText(text []byte) error {
	switch string(text) {
	case "tlsv1.2":
		*v = tls.VersionTLS12
	case "tlsv1.3":
		*v = tls.VersionTLS13
	case "tlsv1.1", "tlsv1.0", "tlsv1":
		return fmt.Errorf("%s is not safe any more (RFC 8996): tlsv1.2 or tlsv1.3", text)
	default:
		return fmt.Errorf("%q is not tlsv1.2 or tlsv1.3", text)
	}
	return nil
}

// ciphers is the value of --ciphers.
type ciphers []uint16

// suites are those of TLS 1.2 that crypto/tls has and that are safe, by OpenSSL's names.
var suites = map[string]uint16{
	"ECDHE-ECDSA-AES128-GCM-SHA256": tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
	"ECDHE-ECDSA-AES256-GCM-SHA384": tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
	"ECDHE-ECDSA-CHACHA20-POLY1305": tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
	"ECDHE-ECDSA-AES128-SHA":        tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA,
	"ECDHE-ECDSA-AES256-SHA":        tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA,
	"ECDHE-RSA-AES128-GCM-SHA256":   tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	"ECDHE-RSA-AES256-GCM-SHA384":   tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	"ECDHE-RSA-CHACHA20-POLY1305":   tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
	"ECDHE-RSA-AES128-SHA":          tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA,
	"ECDHE-RSA-AES256-SHA":          tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA,
}

// UnmarshalText takes names with colons between.
func (c *ciphers) UnmarshalText(text []byte) error {
	for name := range strings.SplitSeq(string(text), ":") {
		id, ok := suites[name]
		if !ok {
			return fmt.Errorf("%q is no cipher suite here: one of %s", name, sortedKeys(suites))
		}
		*c = append(*c, id)
	}
	return nil
}

// validate finds what kong cannot know.
func (f *networkFlags) validate(wrong *problems) {
	if f.Bind != "" {
		_, err := netip.ParseAddr(f.Bind)
		wrong.check(err != nil, "-A: "+f.Bind+" is not an address of this machine, such as 192.0.2.7")
	}
	if f.CAPath != "" {
		_, err := os.ReadDir(f.CAPath)
		wrong.check(err != nil, "--capath: "+fmt.Sprint(err))
	}
	if f.Proxy != "" {
		_, err := remote.Parse("mqtt://localhost", client.Options{Proxy: f.Proxy})
		wrong.check(err != nil, strings.Replace(fmt.Sprint(err), "client: Options.Proxy", "--proxy", 1))
	}
	wrong.check(slices.Contains(f.ALPN, ""), "--tls-alpn: a protocol has a name")
}

// apply gives the flags to the client library.
func (f *networkFlags) apply(o *client.Options) {
	if f.Bind != "" {
		o.LocalAddr, _ = netip.ParseAddr(f.Bind) // validate has seen it
	}
	o.Proxy = f.Proxy
	o.TLS.CADir, o.TLS.MinVersion, o.TLS.CipherSuites, o.TLS.ALPN = f.CAPath, uint16(f.TLSVersion), f.Ciphers, f.ALPN
}
