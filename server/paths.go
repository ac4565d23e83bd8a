package server

import (
	"errors"
	"net/netip"
)

// resolvePreferred reads PreferredAddrs, which are held to the same as those of QUIC.
func (c Config) resolvePreferred() ([]netip.AddrPort, error) {
	var all []netip.AddrPort
	var errs []error
	const field = "PreferredAddrs"
	for _, text := range c.PreferredAddrs {
		a, err := netip.ParseAddrPort(text)
		if err != nil || a.Addr().IsUnspecified() || a.Addr().Zone() != "" {
			errs = append(errs, &ConfigError{
				Field: field, Value: text, Problem: "not an address that clients can be sent to", Err: err,
				Remedy: "use ip:port with an address of this machine that its clients reach, such as 192.0.2.1:14567 (ngmqd: --preferred-address)",
			})
			continue
		}
		a = netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
		for _, other := range all {
			if other.Addr().Is4() == a.Addr().Is4() {
				errs = append(errs, &ConfigError{
					Field: field, Value: text, Problem: "the second one of its kind",
					Remedy: "name one IPv4 and one IPv6 address at most (ngmqd: --preferred-address)",
				})
			}
		}
		errs = append(errs, c.checkReach(field, text, tcpAddress{AddrPort: a}))
		all = append(all, a)
	}
	if len(c.PreferredAddrs) > 0 && len(c.QUIC) == 0 {
		errs = append(errs, withoutQUIC(field, "--preferred-address"))
	}
	return all, errors.Join(errs...)
}

// checkPaths checks NoMigration, which does nothing without QUIC.
func (c Config) checkPaths() error {
	if c.NoMigration && len(c.QUIC) == 0 {
		return withoutQUIC("NoMigration", "--no-migration")
	}
	return nil
}

func withoutQUIC(field, flag string) error {
	return &ConfigError{
		Field: field, Problem: "is for QUIC, which is off",
		Remedy: "give QUIC an address (ngmqd: --quic), or leave it out (ngmqd: " + flag + ")",
	}
}
