package endpoint

import (
	"errors"
	"net/netip"
	"slices"

	"github.com/ngmq/ngmq/ngtcp2"
	"github.com/ngmq/ngmq/ngtcp2/endpoint/internal/udp"
)

// retiring is a socket that is closed at a time.
type retiring struct {
	socket *udp.Socket
	at     ngtcp2.Timestamp
}

// openLocal opens a socket for a migration on w and returns the local address of
// packets to remote. Worker only.
func (e *Endpoint) openLocal(w *worker, local, remote netip.AddrPort) (netip.AddrPort, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ending {
		return local, ErrClosed
	}
	s, err := e.openAt(local)
	if err != nil {
		return local, err
	}
	at := s.LocalAddr()
	if remote.Addr().Is6() && !s.DualStack() {
		err = errors.New("the new address has no IPv6")
	} else if at.Addr().IsUnspecified() {
		var ip netip.Addr
		ip, err = udp.Source(remote)
		at = netip.AddrPortFrom(numericZone(ip), at.Port())
	}
	if err != nil {
		e.closeSocket(s)
		return local, err
	}
	w.sockets = append(w.sockets, s)
	e.startReader(w, s)
	return at, nil
}

// openAt opens a socket at local; zero: any. Under mu.
func (e *Endpoint) openAt(local netip.AddrPort) (*udp.Socket, error) {
	if local.IsValid() {
		return e.open(udp.Config{Addr: local.String(), Errors: true})
	}
	return e.openAny()
}

// closeLocal closes the socket of local at a time, or now if that has passed.
// Worker only.
func (w *worker) closeLocal(local netip.AddrPort, at ngtcp2.Timestamp) {
	if s := w.socketFor(local); s != nil {
		w.retiring = append(w.retiring, retiring{s, at})
	}
}

// retire closes the sockets whose time has come.
func (w *worker) retire(now ngtcp2.Timestamp) {
	w.retiring = slices.DeleteFunc(w.retiring, func(r retiring) bool {
		if r.at > now {
			return false
		}
		w.sockets = slices.DeleteFunc(w.sockets, func(s *udp.Socket) bool { return s == r.socket })
		w.closeSocket(r.socket)
		return true
	})
}

// dropSocket closes a socket that is not used any more.
func (e *Endpoint) dropSocket(s *udp.Socket) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closeSocket(s)
}

// closeSocket is dropSocket under mu.
func (e *Endpoint) closeSocket(s *udp.Socket) {
	e.refused += s.Refused()
	e.sockets = slices.DeleteFunc(e.sockets, func(other *udp.Socket) bool { return other == s })
	_ = s.Close()
}
