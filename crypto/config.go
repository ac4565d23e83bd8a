package crypto

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
)

// Role says which end of the handshake a [Context] makes SSL objects for.
type Role uint8

// The roles of RFC 8446.
const (
	Server Role = iota
	Client
)

// ClientAuth is what a server wants of its clients' certificates.
type ClientAuth uint8

const (
	// NoClientCert sends no CertificateRequest.
	NoClientCert ClientAuth = iota
	// RequestClientCert asks for a certificate; none is accepted, one that does
	// not verify against the client CAs ends the handshake.
	RequestClientCert
	// RequireClientCert ends the handshake (alert certificate_required) unless a
	// certificate that verifies is presented.
	RequireClientCert
)

const (
	// DefaultGroups is the key exchange of an empty [Config.Groups]. X25519 is
	// first, so a client of ours sends that key share alone. All stand in one
	// preference tuple, so on a server the client's own preference decides: one
	// that puts the post-quantum X25519MLKEM768 first gets it. That costs about half
	// as much server CPU again per handshake as X25519 (390 us against 265 us, by
	// scripts/bench/cbench), and 2.2 KB more in the first flights. Leave it out of
	// the list to refuse that cost.
	DefaultGroups = "*X25519:X25519MLKEM768:secp256r1:secp384r1"

	// DefaultCipherSuites is the order of an empty [Config.CipherSuites]; on a
	// server the client's order decides.
	DefaultCipherSuites = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"

	maxALPN        = 255   // bytes of one protocol name (RFC 7301, 3.1)
	maxALPNList    = 65535 // bytes of the whole list on the wire (RFC 7301, 3.1)
	alpnExample    = `[]string{"mqtt"}`
	suiteSeparator = ":"
)

// quicSuites are the cipher suites that RFC 9001, 5.3 allows; OpenSSL itself
// skips an unknown name without a word.
var quicSuites = []string{
	"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
	"TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_CCM_SHA256",
}

// Config describes a [Context]. The zero value is a server; it still needs a
// certificate, its key and an ALPN list. A Config is copied by [NewContext].
type Config struct {
	// Role is the end of the handshake; default [Server].
	Role Role

	// CertFile and KeyFile name PEM files: the certificate chain, leaf first, and
	// the leaf's private key without a pass phrase. CertPEM and KeyPEM are the
	// same as bytes; give one form of each. Needed by a server; a client sets
	// them to present a certificate.
	CertFile, KeyFile string
	CertPEM, KeyPEM   []byte

	// ALPN lists protocol names of 1 to 255 bytes (RFC 7301), the preferred
	// first. On a server its order decides. Needed (RFC 9001, 8.1).
	ALPN []string

	// ClientAuth says whether a server asks for client certificates; default
	// [NoClientCert]. ClientCAFile or ClientCAPEM holds the CAs they are verified
	// against, and that are named in the CertificateRequest. A session is resumed only
	// where clients are verified by the same CAs, and no longer than the certificates
	// are valid by which its client was verified. Server role only.
	ClientAuth   ClientAuth
	ClientCAFile string
	ClientCAPEM  []byte

	// ClientCRLFile or ClientCRLPEM holds certificate revocation lists (RFC 5280). A client
	// certificate is then refused unless its issuer has a list there that is valid now
	// and does not name it. Other lists end all sessions: clients have to show their
	// certificates again. Server role, with ClientAuth. Default: nothing is revoked.
	ClientCRLFile string
	ClientCRLPEM  []byte

	// CAFile or CAPEM holds the CAs that a server's certificate is verified
	// against; neither: the roots of the system. Client role only.
	CAFile string
	CAPEM  []byte

	// InsecureSkipVerify turns off all verification of the server, chain and
	// host name, even when CAs are given: whoever is in the path can be the
	// server. For tests alone; announced in the log. Client role only.
	InsecureSkipVerify bool

	// EarlyData lets a server accept 0-RTT, and announce it in its tickets. An
	// attacker can replay 0-RTT data: use it only for what may happen twice, and
	// hold back the rest until the handshake is complete (RFC 9001, 9.2).
	// A ticket is good for any number of connections, on every server that has its
	// key, unless there is EarlyDataOnce; a copy of early data passes for 10 s, as
	// the age of the ticket that it names must be right. Early data of a ticket that
	// was made under other transport parameters is rejected. Default off. Server role
	// only.
	EarlyData bool

	// EarlyDataOnce, when not 0, has the early data of a ticket accepted once by this
	// Context (RFC 8446, 8). It is how many tickets are remembered within 12 s, by which
	// time a copy is refused by its age; when there are more, early data is rejected, and
	// their handshakes go on without it. So it is in the first 12 s of a Context with
	// TicketKeys for tickets that are older than the Context. Another Context or process
	// with the same keys has a memory of its own. 64 bytes each, for 4,194,304 at most;
	// see [DefaultEarlyDataOnce]. Default 0: not remembered.
	EarlyDataOnce int

	// TicketKeys encrypt the session tickets, each of [TicketKeyLen] random bytes:
	// the first makes new ones, the tickets of the others are still accepted. To
	// rotate, put a new one in front and call [Context.SetTicketKeys]; keep the others
	// for [TicketLifetime]. Servers behind one address share them. At most 16. Default: one random key
	// that lasts until the next reload. Server role only.
	TicketKeys [][]byte

	// Groups and CipherSuites are lists in OpenSSL's syntax with TLS 1.3 names
	// (SSL_CTX_set1_groups_list, SSL_CTX_set_ciphersuites). Empty:
	// [DefaultGroups], [DefaultCipherSuites].
	Groups, CipherSuites string

	// KeyLogFile collects the session secrets in the NSS key log format, to
	// decrypt captures with. Appended to; created with mode 0600; a file that
	// group or others can open is refused. Empty: off.
	KeyLogFile string

	// Logger gets the warnings about InsecureSkipVerify and KeyLogFile, which
	// each undo the protection of TLS. Nil: silent.
	Logger *slog.Logger
}

// ConfigError is one fault in a [Config] or in a file that it names.
type ConfigError struct {
	Field  string // field of Config
	File   string // file concerned, empty when the value did not come from one
	Reason string // what is wrong
	Remedy string // what to do about it
}

// Error returns "crypto: field file: reason; remedy".
func (e *ConfigError) Error() string {
	where := e.Field
	if e.File != "" {
		where += " " + e.File
	}
	return fmt.Sprintf("crypto: %s: %s; %s", where, e.Reason, e.Remedy)
}

// Validate checks the fields without opening a file. It returns every fault, a
// [*ConfigError] each, joined; nil when there is none.
func (c *Config) Validate() error {
	errs := c.validateIdentity()
	errs = append(errs, c.validateRole()...)
	errs = append(errs, c.validateALPN()...)
	errs = append(errs, c.validateSuites()...)
	errs = append(errs, c.validateTickets()...)
	for field, text := range map[string]string{"Groups": c.Groups, "KeyLogFile": c.KeyLogFile} {
		if strings.ContainsRune(text, 0) {
			errs = append(errs, &ConfigError{Field: field, Reason: "contains a NUL byte", Remedy: "remove it"})
		}
	}
	return errors.Join(errs...)
}

func (c *Config) validateIdentity() (errs []error) {
	cert := c.CertFile != "" || len(c.CertPEM) > 0
	key := c.KeyFile != "" || len(c.KeyPEM) > 0
	switch {
	case !cert && key:
		errs = append(errs, &ConfigError{Field: "CertFile", Reason: "a private key is set, but no certificate", Remedy: "set CertFile or CertPEM"})
	case cert && !key:
		errs = append(errs, &ConfigError{Field: "KeyFile", Reason: "a certificate is set, but no private key", Remedy: "set KeyFile or KeyPEM"})
	case !cert && c.Role == Server:
		errs = append(errs, &ConfigError{Field: "CertFile", Reason: "a server needs a certificate", Remedy: "set CertFile and KeyFile, or CertPEM and KeyPEM; GenerateDevCert makes a pair for development"})
	}
	errs = append(errs, oneForm("CertFile", c.CertFile, c.CertPEM)...)
	return append(errs, oneForm("KeyFile", c.KeyFile, c.KeyPEM)...)
}

// oneForm refuses a file and bytes for the same thing.
func oneForm(field, file string, pem []byte) []error {
	if file == "" || len(pem) == 0 {
		return nil
	}
	other := strings.TrimSuffix(field, "File") + "PEM"
	return []error{&ConfigError{Field: field, File: file, Reason: other + " is set as well", Remedy: "leave one of the two empty"}}
}

func (c *Config) validateRole() []error {
	switch c.Role {
	case Server:
		return c.validateServer()
	case Client:
		return c.validateClient()
	}
	return []error{&ConfigError{Field: "Role", Reason: fmt.Sprintf("unknown value %d", c.Role), Remedy: "use Server or Client"}}
}

func (c *Config) validateServer() (errs []error) {
	if c.CAFile != "" || len(c.CAPEM) > 0 {
		errs = append(errs, &ConfigError{Field: "CAFile", File: c.CAFile, Reason: "is for the client role", Remedy: "a server takes the CAs of its clients in ClientCAFile"})
	}
	if c.InsecureSkipVerify {
		errs = append(errs, &ConfigError{Field: "InsecureSkipVerify", Reason: "is for the client role", Remedy: "a server sets ClientAuth"})
	}
	cas := c.ClientCAFile != "" || len(c.ClientCAPEM) > 0
	switch {
	case c.ClientAuth > RequireClientCert:
		errs = append(errs, &ConfigError{Field: "ClientAuth", Reason: fmt.Sprintf("unknown value %d", c.ClientAuth), Remedy: "use NoClientCert, RequestClientCert or RequireClientCert"})
	case c.ClientAuth != NoClientCert && !cas:
		errs = append(errs, &ConfigError{Field: "ClientCAFile", Reason: "client certificates are asked for, but there is no CA to verify them", Remedy: "set ClientCAFile or ClientCAPEM"})
	case c.ClientAuth == NoClientCert && cas:
		errs = append(errs, &ConfigError{Field: "ClientCAFile", File: c.ClientCAFile, Reason: "is set, but ClientAuth asks for no certificate", Remedy: "set ClientAuth to RequestClientCert or RequireClientCert, or leave the CAs out"})
	}
	if (c.ClientCRLFile != "" || len(c.ClientCRLPEM) > 0) && c.ClientAuth == NoClientCert {
		errs = append(errs, &ConfigError{Field: "ClientCRLFile", File: c.ClientCRLFile, Reason: "is set, but ClientAuth asks for no certificate", Remedy: "set ClientAuth and ClientCAFile, or leave the lists out"})
	}
	errs = append(errs, oneForm("ClientCRLFile", c.ClientCRLFile, c.ClientCRLPEM)...)
	return append(errs, oneForm("ClientCAFile", c.ClientCAFile, c.ClientCAPEM)...)
}

func (c *Config) validateClient() (errs []error) {
	if c.ClientAuth != NoClientCert {
		errs = append(errs, &ConfigError{Field: "ClientAuth", Reason: "is for the server role", Remedy: "leave it out; a client presents CertFile when asked"})
	}
	if c.ClientCAFile != "" || len(c.ClientCAPEM) > 0 {
		errs = append(errs, &ConfigError{Field: "ClientCAFile", File: c.ClientCAFile, Reason: "is for the server role", Remedy: "a client takes the CAs of its server in CAFile"})
	}
	if c.ClientCRLFile != "" || len(c.ClientCRLPEM) > 0 {
		errs = append(errs, &ConfigError{Field: "ClientCRLFile", File: c.ClientCRLFile, Reason: "is for the server role", Remedy: "leave it out"})
	}
	return append(errs, oneForm("CAFile", c.CAFile, c.CAPEM)...)
}

func (c *Config) validateALPN() (errs []error) {
	if len(c.ALPN) == 0 {
		return []error{&ConfigError{Field: "ALPN", Reason: "is empty, and QUIC needs it (RFC 9001, 8.1)", Remedy: "list the protocols, such as " + alpnExample}}
	}
	total := 0
	for i, name := range c.ALPN {
		if len(name) == 0 || len(name) > maxALPN {
			errs = append(errs, &ConfigError{Field: "ALPN", Reason: fmt.Sprintf("name %d has %d bytes", i, len(name)), Remedy: "use names of 1 to 255 bytes, such as " + alpnExample})
		}
		total += 1 + len(name)
	}
	if total > maxALPNList {
		errs = append(errs, &ConfigError{Field: "ALPN", Reason: fmt.Sprintf("the list takes %d bytes on the wire", total), Remedy: "list fewer names: 65535 bytes is the limit"})
	}
	return errs
}

func (c *Config) validateSuites() (errs []error) {
	if c.CipherSuites == "" {
		return nil
	}
	for name := range strings.SplitSeq(c.CipherSuites, suiteSeparator) {
		if !slices.Contains(quicSuites, name) {
			errs = append(errs, &ConfigError{Field: "CipherSuites", Reason: fmt.Sprintf("%q is not a cipher suite of QUIC", name), Remedy: "use names out of " + strings.Join(quicSuites, suiteSeparator)})
		}
	}
	return errs
}

func (c *Config) validateTickets() (errs []error) {
	if c.Role == Client && (c.EarlyData || len(c.TicketKeys) > 0) {
		errs = append(errs, &ConfigError{Field: "TicketKeys", Reason: "TicketKeys and EarlyData are for the server role", Remedy: "leave them out"})
	}
	if c.EarlyDataOnce < 0 || c.EarlyDataOnce > maxEarlyDataOnce || c.EarlyDataOnce > 0 && !c.EarlyData {
		errs = append(errs, &ConfigError{Field: "EarlyDataOnce", Reason: fmt.Sprintf("is %d", c.EarlyDataOnce), Remedy: fmt.Sprintf("use 0 to %d, and more than 0 with EarlyData alone", maxEarlyDataOnce)})
	}
	if len(c.TicketKeys) > maxTicketKeys {
		errs = append(errs, &ConfigError{Field: "TicketKeys", Reason: fmt.Sprintf("holds %d keys", len(c.TicketKeys)), Remedy: fmt.Sprintf("keep at most %d", maxTicketKeys)})
	}
	for i, k := range c.TicketKeys {
		if len(k) != TicketKeyLen {
			errs = append(errs, &ConfigError{Field: "TicketKeys", Reason: fmt.Sprintf("key %d has %d bytes", i, len(k)), Remedy: fmt.Sprintf("use %d random bytes", TicketKeyLen)})
		}
	}
	return errs
}

// alpnWire is the list as the ClientHello has it: length byte, name, and again.
func (c *Config) alpnWire() []byte {
	var wire []byte
	for _, name := range c.ALPN {
		wire = append(wire, byte(len(name)))
		wire = append(wire, name...)
	}
	return wire
}

// clone copies what the caller could still change.
func (c *Config) clone() Config {
	out := *c
	out.ALPN = slices.Clone(c.ALPN)
	out.TicketKeys = nil
	for _, k := range c.TicketKeys {
		out.TicketKeys = append(out.TicketKeys, slices.Clone(k))
	}
	for _, p := range []*[]byte{&out.CertPEM, &out.KeyPEM, &out.ClientCAPEM, &out.ClientCRLPEM, &out.CAPEM} {
		*p = slices.Clone(*p)
	}
	return out
}
