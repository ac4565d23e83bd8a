package server

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// tcpAddress is an address of Config.TCP, TLS, WS or WSS.
type tcpAddress struct {
	netip.AddrPort
	proxies []netip.Prefix // who begins with a PROXY protocol header
}

// unixAddress is an address of Config.Unix.
type unixAddress struct {
	path string
	mode fs.FileMode
}

// DefaultUnixMode is the mode of a Unix socket whose address names none: its owner alone
// connects, as on loopback addresses everybody of this machine can.
const DefaultUnixMode fs.FileMode = 0o600

// resolveTCP turns the listen addresses of one transport into IP addresses, so that what
// is checked here is what is listened on later.
func (c Config) resolveTCP(field string, list []string) ([]tcpAddress, error) {
	var all []tcpAddress
	var errs []error
	for _, address := range list {
		a, err := parseTCP(field, address)
		if err == nil {
			err = c.checkReach(field, address, a)
		}
		errs = append(errs, err)
		all = append(all, a)
	}
	return all, errors.Join(errs...)
}

// parseTCP reads host:port[?proxy=NETWORK[&proxy=NETWORK...]].
func parseTCP(field, address string) (tcpAddress, error) {
	hostPort, options, found := strings.Cut(address, "?")
	ap, err := resolveAddress(field, address, hostPort)
	if err != nil || !found {
		return tcpAddress{AddrPort: ap}, err
	}
	a := tcpAddress{AddrPort: ap}
	query, err := url.ParseQuery(options)
	if len(query) != 1 || query["proxy"] == nil {
		err = errors.Join(err, fmt.Errorf("unknown option in %q", options))
	}
	for _, network := range query["proxy"] {
		prefix, bad := parseNetwork(network)
		err = errors.Join(err, bad)
		a.proxies = append(a.proxies, prefix)
	}
	if err != nil {
		return a, &ConfigError{
			Field: field, Value: address, Problem: "wrong options of an address", Err: err,
			Remedy: "after a question mark name the networks whose PROXY protocol headers are believed, such as 0.0.0.0:1883?proxy=10.0.0.0/8&proxy=192.168.1.2",
		}
	}
	return a, nil
}

// parseNetwork reads a prefix, or an address that stands for itself alone.
func parseNetwork(text string) (netip.Prefix, error) {
	if ip, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(ip.Unmap(), ip.Unmap().BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	return p.Masked(), err
}

// checkReach refuses an address that other machines can reach while nothing checks who
// they are. Behind a proxy that is any address.
func (c Config) checkReach(field, address string, a tcpAddress) error {
	local := a.Addr().IsLoopback() && len(a.proxies) == 0
	switch {
	case !local && len(c.Faults) > 0 && !c.FaultsInPublic:
		return &ConfigError{
			Field: field, Value: address, Problem: "other machines can reach this address, and the server is to misbehave (Faults)",
			Remedy: "listen on a loopback address such as 127.0.0.1, or set FaultsInPublic (ngmqd: --inject-fault-in-public), or leave the faults out",
		}
	case local || c.checksClients(field):
		return nil
	}
	return &ConfigError{
		Field: field, Value: address, Problem: "other machines can reach this address, and nothing checks who they are",
		Remedy: "listen on a loopback address such as 127.0.0.1, or set Handlers.Connect or Authenticators, or admit everybody with AllowAnonymous (ngmqd: --allow-anonymous or NGMQ_ALLOW_ANONYMOUS=1)",
	}
}

// checksClients says whether strangers may knock on the addresses in field.
func (c Config) checksClients(field string) bool {
	certificates := c.ClientCAFile != "" && c.ClientCert == ClientCertRequired && slices.Contains([]string{"QUIC", "PreferredAddrs", "TLS", "WSS"}, field)
	return c.AllowAnonymous || c.Handlers.Connect != nil || len(c.Authenticators) > 0 || certificates
}

// resolveAddress resolves the host:port of address.
func resolveAddress(field, address, hostPort string) (netip.AddrPort, error) {
	// The same look-up serves UDP: only the numbers matter.
	tcp, err := net.ResolveTCPAddr("tcp", hostPort)
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

// resolveUnix reads the addresses of Unix sockets.
func resolveUnix(list []string) ([]unixAddress, error) {
	var all []unixAddress
	var errs []error
	for _, address := range list {
		a, err := parseUnix(address)
		if err != nil {
			errs = append(errs, &ConfigError{
				Field: "Unix", Value: address, Problem: "not an address of a Unix socket", Err: err,
				Remedy: "use a path such as /run/ngmq.sock, or with a mode unix:///run/ngmq.sock?mode=0660, or off",
			})
		}
		all = append(all, a)
	}
	return all, errors.Join(errs...)
}

// parseUnix reads a path or unix://path[?mode=OCTAL]. A path is made one from the root.
func parseUnix(address string) (a unixAddress, err error) {
	a = unixAddress{path: address, mode: DefaultUnixMode}
	if strings.HasPrefix(address, "unix:") {
		if a, err = parseUnixURL(address); err != nil {
			return a, err
		}
	}
	if a.path == "" {
		return a, errors.New("no path")
	}
	if a.path, err = filepath.Abs(a.path); err != nil {
		return a, err
	}
	if len(a.path) > maxUnixPath {
		return a, fmt.Errorf("path of more than %d bytes", maxUnixPath)
	}
	return a, nil
}

// maxUnixPath is what fits into sockaddr_un on all systems, in bytes.
const maxUnixPath = 103

func parseUnixURL(address string) (a unixAddress, err error) {
	a.mode = DefaultUnixMode
	u, err := url.Parse(address)
	if err != nil {
		return a, err
	}
	a.path = u.Host + u.Path
	query := u.Query()
	for option := range query {
		if option != "mode" {
			return a, fmt.Errorf("unknown option %q", option)
		}
	}
	if text := query.Get("mode"); text != "" {
		mode, err := strconv.ParseUint(text, 8, 32)
		if err != nil || mode > 0o777 {
			return a, fmt.Errorf("mode %q is not an octal number up to 0777", text)
		}
		a.mode = fs.FileMode(mode)
	}
	return a, nil
}
