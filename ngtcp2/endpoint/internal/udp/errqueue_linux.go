//go:build linux

package udp

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	// maxErrors bounds the ICMP errors that are read at once.
	maxErrors = 64
	// quoteSize is how much of the quoted datagram is kept, in bytes: enough for
	// a QUIC long header with both Connection IDs (RFC 9000 section 17.2).
	quoteSize = 64
	// extendedErr is the size of struct sock_extended_err (recverr in ip(7)).
	extendedErr = 16
)

// setupErrors asks for ICMP errors. The kernel then also fails the next call on
// the socket, whatever its destination: WriteBatch sends again.
func (s *Socket) setupErrors(fd int) error {
	err := unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_RECVERR, 1)
	if s.is6 {
		err = errors.Join(err, unix.SetsockoptInt(fd, unix.SOL_IPV6, unix.IPV6_RECVERR, 1))
	}
	return err
}

// pending tells errors that may be an ICMP answer to an earlier datagram.
func pending(e syscall.Errno) bool {
	switch e {
	case unix.ECONNREFUSED, unix.EHOSTUNREACH, unix.ENETUNREACH, unix.EHOSTDOWN, unix.ENONET,
		unix.EPROTO, unix.ENOPROTOOPT, unix.EACCES, unix.EMSGSIZE:
		return true
	}
	return false
}

// drainErrors appends the ICMP errors that wait to list.
func (s *Socket) drainErrors(list []Unreachable) []Unreachable {
	_ = s.raw.Control(func(fd uintptr) {
		for range maxErrors {
			quote, oob := make([]byte, quoteSize), make([]byte, controlSpace)
			n, oobn, _, to, err := unix.Recvmsg(int(fd), quote, oob, unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
			if err != nil {
				return
			}
			if e := icmpError(oob[:oobn]); e != 0 {
				list = append(list, Unreachable{Remote: destination(to), Err: e, Quote: quote[:n]})
			}
		}
	})
	return list
}

// icmpError is the error in a control message of the error queue; 0 when it does
// not come from ICMP.
func icmpError(oob []byte) syscall.Errno {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return 0
	}
	for _, m := range msgs {
		v4 := m.Header.Level == unix.SOL_IP && m.Header.Type == unix.IP_RECVERR
		v6 := m.Header.Level == unix.SOL_IPV6 && m.Header.Type == unix.IPV6_RECVERR
		if !v4 && !v6 || len(m.Data) < extendedErr {
			continue
		}
		if origin := m.Data[4]; origin == unix.SO_EE_ORIGIN_ICMP || origin == unix.SO_EE_ORIGIN_ICMP6 {
			return syscall.Errno(binary.NativeEndian.Uint32(m.Data))
		}
	}
	return 0
}

func destination(sa unix.Sockaddr) netip.AddrPort {
	switch a := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(address6(a.Addr, a.ZoneId), uint16(a.Port))
	}
	return netip.AddrPort{}
}
