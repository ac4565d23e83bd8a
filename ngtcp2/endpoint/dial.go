package endpoint

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/ngmq/ngmq/ngtcp2"
	"github.com/ngmq/ngmq/ngtcp2/endpoint/internal/udp"
)

// attemptDelay is the time after which the next address of a host is tried
// beside the ones before it (RFC 8305 section 5).
const attemptDelay = 250 * time.Millisecond

// Dial connects to addr, "host:port", and returns when the handshake has
// completed or failed; with early data when it may be used. Of a host with several addresses the first one that
// answers is taken. It starts the Endpoint if that has not been done. When ctx
// ends first the attempt is given up.
func (e *Endpoint) Dial(ctx context.Context, addr string, cfg DialConfig) (*Conn, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if err := e.Start(); err != nil {
		return nil, err
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("endpoint: Dial %q: use host:port: %w", addr, err)
	}
	if cfg.ServerName == "" {
		cfg.ServerName = host
	}
	remotes, err := resolve(ctx, addr)
	if err != nil {
		return nil, &DialError{addr, err}
	}
	cfg.addr = addr
	if cfg.EarlyData && len(cfg.Session) > 0 {
		remotes = remotes[:1] // the application gets one connection to work with
	}
	conn, err := e.dialAny(ctx, remotes, cfg)
	if err != nil {
		return nil, &DialError{addr, err}
	}
	return conn, nil
}

// DialError is why a Dial did not connect.
type DialError struct {
	// Addr is what was dialled, "host:port".
	Addr string
	// Err is the cause; when Addr stands for other addresses it names them, one a line.
	Err error
}

// Error names address and cause.
func (e *DialError) Error() string { return "endpoint: Dial " + e.Addr + ": " + e.Err.Error() }

// Unwrap gives the cause.
func (e *DialError) Unwrap() error { return e.Err }

// resolve finds the addresses of "host:port".
func resolve(ctx context.Context, addr string) ([]netip.AddrPort, error) {
	host, service, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	port, err := net.DefaultResolver.LookupPort(ctx, "udp", service)
	if err != nil {
		return nil, err
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	list := make([]netip.AddrPort, 0, len(ips))
	for _, ip := range ips {
		list = append(list, netip.AddrPortFrom(numericZone(ip.Unmap()), uint16(port)))
	}
	return list, nil
}

// numericZone gives link-local addresses the form of zone that the binding wants.
func numericZone(ip netip.Addr) netip.Addr {
	if ip.Zone() == "" {
		return ip
	}
	if ifi, err := net.InterfaceByName(ip.Zone()); err == nil {
		return ip.WithZone(strconv.Itoa(ifi.Index))
	}
	return ip
}

type dialResult struct {
	conn *Conn
	err  error
}

// dialAny tries remotes one after the other, the next when one has failed or
// attemptDelay has passed, until one handshake completes.
func (e *Endpoint) dialAny(ctx context.Context, remotes []netip.AddrPort, cfg DialConfig) (*Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var won atomic.Bool
	cfg.claim = func() bool { return won.CompareAndSwap(false, true) }
	results := make(chan dialResult, len(remotes))
	var errs []error
	for next := 0; len(errs) < len(remotes); {
		var delay <-chan time.Time
		if next < len(remotes) {
			remote := remotes[next]
			next++
			go func() {
				conn, err := e.dialOne(ctx, remote, cfg)
				results <- dialResult{conn, err}
			}()
			delay = time.After(attemptDelay)
		}
		select {
		case r := <-results:
			if r.err == nil {
				return r.conn, nil
			}
			errs = append(errs, r.err)
		case <-delay:
		}
	}
	return nil, errors.Join(errs...)
}

// dialOne makes one attempt on the worker with the fewest connections.
func (e *Endpoint) dialOne(ctx context.Context, remote netip.AddrPort, cfg DialConfig) (*Conn, error) {
	w := e.leastLoaded()
	local, err := e.localFor(w, remote)
	if err != nil {
		return nil, err
	}
	var conn *Conn
	ended := make(chan error, 1)
	w.core.inbox.post(func() {
		var err error
		path := ngtcp2.Path{Local: local, Remote: remote}
		conn, err = w.core.Connect(path, cfg, w.core.now, func(err error) { ended <- err })
		if err != nil {
			ended <- err
		}
	})
	select {
	case err = <-ended:
	case <-e.done:
		err = ErrClosed
	case <-ctx.Done():
		w.core.inbox.post(func() { conn.abandon() })
		err = ctx.Err()
	}
	if err != nil && remote.String() != cfg.addr {
		err = fmt.Errorf("%s: %w", remote, err)
	}
	if err != nil {
		return nil, err
	}
	return conn, nil
}

// abandon closes a connection whose Dial was given up; it may be nil.
func (c *Conn) abandon() {
	if c != nil {
		c.Close(0, "")
	}
}

func (e *Endpoint) leastLoaded() *worker {
	best := e.workers[0]
	for _, w := range e.workers[1:] {
		if w.core.Live() < best.core.Live() {
			best = w
		}
	}
	return best
}

// localFor is the local address of a new connection: the one that the system
// routes from, at the port of w's socket.
func (e *Endpoint) localFor(w *worker, remote netip.AddrPort) (netip.AddrPort, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ending {
		return netip.AddrPort{}, ErrClosed
	}
	s, err := e.clientSocket(w)
	if err != nil {
		return netip.AddrPort{}, err
	}
	if at := s.LocalAddr(); !at.Addr().IsUnspecified() {
		return at, sameFamily(at.Addr(), remote.Addr())
	}
	if remote.Addr().Is6() && !s.DualStack() {
		return netip.AddrPort{}, errors.New("this system has no IPv6")
	}
	ip, err := udp.Source(remote)
	return netip.AddrPortFrom(numericZone(ip), s.LocalAddr().Port()), err
}

// sameFamily refuses a remote address that cannot be reached from local.
func sameFamily(local, remote netip.Addr) error {
	if local.Unmap().Is4() == remote.Is4() {
		return nil
	}
	return fmt.Errorf("Config.LocalAddr %s is of another address family", local)
}
