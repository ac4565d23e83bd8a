package server

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
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
	quic, tcp, tls []netip.AddrPort
	certificate    *tls.Certificate // from CertFile and KeyFile, else nil
}

// resolve checks everything in c, which has its defaults.
func (c Config) resolve() (resolved, error) {
	var r resolved
	var errs [5]error
	if errs[0] = checkQUIC(c.QUIC); errs[0] == nil {
		r.quic, errs[0] = c.resolveAll("QUIC", c.QUIC)
	}
	r.tcp, errs[1] = c.resolveAll("TCP", c.TCP)
	r.tls, errs[2] = c.resolveAll("TLS", c.TLS)
	r.certificate, errs[3] = c.loadCertificate()
	errs[4] = c.checkNumbers()
	err := errors.Join(errs[:]...)
	if len(c.QUIC)+len(c.TCP)+len(c.TLS) == 0 {
		err = errors.Join(&ConfigError{
			Field: "QUIC, TCP, TLS", Problem: "all listeners are off",
			Remedy: "give at least one of them an address (ngmqd: --quic, --tcp, --tls)",
		}, err)
	}
	return r, err
}

// resolveAll turns the listen addresses of one transport into IP addresses, so that
// what is checked here is what is listened on later.
func (c Config) resolveAll(field string, list []string) ([]netip.AddrPort, error) {
	var all []netip.AddrPort
	var errs []error
	for _, address := range list {
		ap, err := resolveAddress(field, address)
		switch {
		case err != nil:
			errs = append(errs, err)
		case !ap.Addr().IsLoopback() && !c.AllowAnonymous && c.Handlers.Connect == nil:
			errs = append(errs, &ConfigError{
				Field: field, Value: address, Problem: "other machines can reach this address, and nothing checks who they are",
				Remedy: "listen on a loopback address such as 127.0.0.1, or set Handlers.Connect, or admit everybody with AllowAnonymous (ngmqd: --allow-anonymous or NGMQ_ALLOW_ANONYMOUS=1)",
			})
		default:
			all = append(all, ap)
		}
	}
	return all, errors.Join(errs...)
}

func resolveAddress(field, address string) (netip.AddrPort, error) {
	// The same look-up serves UDP: only the numbers matter.
	tcp, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return netip.AddrPort{}, &ConfigError{
			Field: field, Value: address, Problem: "not an address to listen on", Err: err,
			Remedy: `use "host:port" such as 127.0.0.1:1883 or [::1]:1883, or "off"`,
		}
	}
	ap := tcp.AddrPort()
	if !ap.Addr().IsValid() {
		return netip.AddrPortFrom(netip.IPv6Unspecified(), ap.Port()), nil
	}
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()), nil
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
	if c.Retry >= numRetryPolicies {
		errs = append(errs, &ConfigError{Field: "Retry", Value: c.Retry.String(), Problem: "unknown", Remedy: "use RetryAuto, RetryNever or RetryAlways"})
	}
	b := c.brokerConfig()
	if err := b.Validate(); err != nil {
		errs = append(errs, &ConfigError{Field: "Limits, Timeouts", Problem: "out of range", Err: err, Remedy: "see the documentation of these fields"})
	}
	return errors.Join(errs...)
}
