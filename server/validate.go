package server

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"time"

	"github.com/ngmq/ngmq/crypto/ticketkeys"
)

// ConfigError is one thing wrong with a Config. Validate and New give all of them,
// joined.
type ConfigError struct {
	Field   string // field of Config, e.g. "TCP" or "Limits.MaxQueued"
	Value   string // what it holds
	Problem string
	Remedy  string
	Err     error // cause, or nil
}

func (e *ConfigError) Error() string {
	text := e.Field
	if e.Value != "" {
		text += fmt.Sprintf(" %q", e.Value)
	}
	text += ": " + e.Problem
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text + "; " + e.Remedy
}

func (e *ConfigError) Unwrap() error { return e.Err }

// Validate looks for everything that is wrong with c and returns it joined, each a
// *ConfigError that names the field and the remedy. It resolves host names and
// reads the certificate files, but opens no socket and writes nothing.
func (c Config) Validate() error {
	_, err := c.withDefaults().resolve()
	return err
}

// resolved is a valid Config in the form that New works with.
type resolved struct {
	quic, preferred   []netip.AddrPort
	tcp, tls, ws, wss []tcpAddress
	unix              []unixAddress
	certificate       *tls.Certificate // from CertFile and KeyFile, else nil
	clientCAs         []byte           // PEM; nil: clients are asked for no certificate
	clientCRLs        []byte           // PEM; nil: none
	ticketKeys        ticketkeys.Keys  // of TicketKeysFile
	loadBalancer      *LoadBalancer    // with the key of LoadBalancerKeyFile
}

// resolve checks everything in c, which has its defaults.
func (c Config) resolve() (r resolved, err error) {
	var errs []error
	note := func(err error) { errs = append(errs, err) }
	r.quic, err = c.resolveQUIC()
	note(err)
	r.preferred, err = c.resolvePreferred()
	note(err)
	note(c.checkPaths())
	r.loadBalancer, err = c.resolveLoadBalancer()
	note(err)
	for _, list := range c.tcpLists(&r) {
		*list.to, err = c.resolveTCP(list.field, list.from)
		note(err)
	}
	r.unix, err = resolveUnix(c.Unix)
	note(err)
	r.certificate, err = c.loadCertificate()
	note(err)
	r.clientCAs, err = c.clientCAs()
	note(err)
	r.clientCRLs, err = c.loadCRLs()
	note(err)
	r.ticketKeys, err = c.loadTicketKeys()
	note(err)
	note(c.checkOrigins())
	note(c.checkNumbers())
	note(c.MQTTNext.check())
	err = errors.Join(errs...)
	if len(c.QUIC)+len(c.TCP)+len(c.TLS)+len(c.WS)+len(c.WSS)+len(c.Unix) == 0 {
		err = errors.Join(&ConfigError{
			Field: "QUIC, TCP, TLS, WS, WSS, Unix", Problem: "all listeners are off",
			Remedy: "give at least one of them an address (ngmqd: --quic, --tcp, --tls, --ws, --wss, --unix)",
		}, err)
	}
	return r, err
}

// tcpList is a list of addresses of the Config, and where it is resolved to.
type tcpList struct {
	field string
	from  []string
	to    *[]tcpAddress
}

func (c Config) tcpLists(r *resolved) []tcpList {
	return []tcpList{{"TCP", c.TCP, &r.tcp}, {"TLS", c.TLS, &r.tls}, {"WS", c.WS, &r.ws}, {"WSS", c.WSS, &r.wss}}
}

func (c Config) resolveQUIC() ([]netip.AddrPort, error) {
	if err := checkQUIC(c.QUIC); err != nil {
		return nil, err
	}
	list, err := c.resolveTCP("QUIC", c.QUIC)
	var all []netip.AddrPort
	for i, a := range list {
		if len(a.proxies) > 0 {
			err = errors.Join(err, &ConfigError{
				Field: "QUIC", Value: c.QUIC[i], Problem: "there is no PROXY protocol for QUIC",
				Remedy: "leave the option proxy away: with QUIC the client's own address comes through a load balancer that passes UDP on",
			})
		}
		all = append(all, a.AddrPort)
	}
	return all, err
}

// checkOrigins refuses what can never be the Origin of a request (RFC 6454 section 7).
func (c Config) checkOrigins() error {
	var errs []error
	for _, origin := range c.Origins {
		u, err := url.Parse(origin)
		if err != nil || u.Scheme == "" || u.Host == "" || u.Path != "" {
			errs = append(errs, &ConfigError{
				Field: "Origins", Value: origin, Problem: "not the origin of a web page", Err: err,
				Remedy: "use scheme and host, with the port if it is not the usual one, such as https://example.org (ngmqd: --ws-origin)",
			})
		}
	}
	return errors.Join(errs...)
}

// loadCertificate reads CertFile and KeyFile; nil without error when both are empty.
func (c Config) loadCertificate() (*tls.Certificate, error) {
	if c.CertFile == "" && c.KeyFile == "" {
		return nil, nil
	}
	if c.CertFile == "" || c.KeyFile == "" {
		return nil, &ConfigError{
			Field: "CertFile, KeyFile", Value: c.CertFile + c.KeyFile, Problem: "only one of the two is set",
			Remedy: "set both (ngmqd: --cert and --key), or none for a development certificate",
		}
	}
	cert, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
	if err != nil {
		return nil, &ConfigError{
			Field: "CertFile, KeyFile", Value: c.CertFile + ", " + c.KeyFile, Problem: "not a usable certificate and key", Err: err,
			Remedy: "name readable PEM files of a chain and its private key (ngmqd: --cert and --key), or none for a development certificate",
		}
	}
	return &cert, checkValidity(c.CertFile, cert.Leaf)
}

func checkValidity(file string, leaf *x509.Certificate) error {
	now := time.Now()
	if now.Before(leaf.NotAfter) && !now.Before(leaf.NotBefore) {
		return nil
	}
	return &ConfigError{
		Field: "CertFile", Value: file,
		Problem: fmt.Sprintf("valid only from %s until %s", leaf.NotBefore.Format(time.RFC3339), leaf.NotAfter.Format(time.RFC3339)),
		Remedy:  "renew the certificate, or set this machine's clock",
	}
}

// maxStreams is the largest Limits.MaxStreams: each takes memory of its own.
const maxStreams = 1 << 16

// checkNumbers refuses what is out of range.
func (c Config) checkNumbers() error {
	var errs []error
	negative := func(field string, v int64) {
		if v < 0 {
			errs = append(errs, &ConfigError{Field: field, Value: fmt.Sprint(v), Problem: "negative", Remedy: "use a positive value, or 0 for the default"})
		}
	}
	negative("Limits.MaxConnections", int64(c.Limits.MaxConnections))
	negative("Workers", int64(c.Workers))
	negative("Timeouts.Handshake", int64(c.Timeouts.Handshake))
	negative("Timeouts.Write", int64(c.Timeouts.Write))
	negative("Timeouts.Idle", int64(c.Timeouts.Idle))
	negative("Timeouts.Shutdown", int64(c.Timeouts.Shutdown))
	for field, v := range map[string]int{"Limits.MaxStreams": c.Limits.MaxStreams, "Limits.MaxUniStreams": c.Limits.MaxUniStreams} {
		if v > maxStreams {
			errs = append(errs, &ConfigError{Field: field, Value: fmt.Sprint(v), Problem: "too many", Remedy: "use at most 65536, 0 for the default, or -1 for none but the control stream"})
		}
	}
	if c.Retry >= numRetryPolicies {
		errs = append(errs, &ConfigError{Field: "Retry", Value: c.Retry.String(), Problem: "unknown", Remedy: "use RetryAuto, RetryNever or RetryAlways"})
	}
	if !c.CongestionControl.Known() {
		errs = append(errs, &ConfigError{Field: "CongestionControl", Value: c.CongestionControl.String(), Problem: "unknown", Remedy: "use CongestionCubic, CongestionBBR or CongestionReno"})
	}
	if c.EarlyData >= numEarlyData {
		errs = append(errs, &ConfigError{Field: "EarlyData", Value: c.EarlyData.String(), Problem: "unknown", Remedy: "use EarlyDataOff, EarlyDataOn or EarlyDataSingleUse"})
	}
	b := c.brokerConfig()
	if err := b.Validate(); err != nil {
		errs = append(errs, &ConfigError{Field: "Limits, Timeouts", Problem: "out of range", Err: err, Remedy: "see the documentation of these fields"})
	}
	return errors.Join(errs...)
}
