//go:build linux

package udp

import (
	"encoding/binary"
	"net"
	"net/netip"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// controlSpace is room for the control messages of one datagram: packet info
// (the IPv6 one is the larger), traffic class and segment size, both ways.
const controlSpace = 128

// received is what the control messages of one received message say.
type received struct {
	dst     netip.Addr // destination address; invalid when absent
	tos     uint8      // TOS or traffic class octet
	segment int        // GRO segment size; 0 = not coalesced
}

// parseControl reads the control messages in b. Unknown and short ones are skipped.
func parseControl(b []byte) (r received) {
	for len(b) >= unix.SizeofCmsghdr {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
		n := int(h.Len)
		if n < unix.SizeofCmsghdr || n > len(b) {
			return r
		}
		r.add(h.Level, h.Type, b[unix.CmsgLen(0):max(n, unix.CmsgLen(0))])
		b = b[min(unix.CmsgSpace(n-unix.CmsgLen(0)), len(b)):]
	}
	return r
}

func (r *received) add(level, typ int32, data []byte) {
	switch {
	case level == unix.SOL_IP && typ == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
		info := (*unix.Inet4Pktinfo)(unsafe.Pointer(&data[0]))
		r.dst = netip.AddrFrom4(info.Addr)
	case level == unix.SOL_IPV6 && typ == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
		info := (*unix.Inet6Pktinfo)(unsafe.Pointer(&data[0]))
		r.dst = address6(info.Addr, info.Ifindex)
	case level == unix.SOL_IP && typ == unix.IP_TOS && len(data) >= 1:
		r.tos = data[0]
	case level == unix.SOL_IPV6 && typ == unix.IPV6_TCLASS && len(data) >= 4:
		r.tos = uint8(binary.NativeEndian.Uint32(data))
	case level == unix.SOL_UDP && typ == unix.UDP_GRO && len(data) >= 4:
		r.segment = int(int32(binary.NativeEndian.Uint32(data)))
	}
}

// putControl writes the control messages of t into b and returns their length.
func putControl(b []byte, t *Transmit) int {
	n := 0
	v4 := t.Remote.Addr().Unmap().Is4()
	if src := t.Local.Addr().Unmap(); src.IsValid() && !src.IsUnspecified() {
		if v4 && src.Is4() {
			n += putCmsg(b[n:], unix.SOL_IP, unix.IP_PKTINFO, unix.Inet4Pktinfo{Spec_dst: src.As4()})
		} else if !v4 && src.Is6() {
			n += putCmsg(b[n:], unix.SOL_IPV6, unix.IPV6_PKTINFO,
				unix.Inet6Pktinfo{Addr: src.As16(), Ifindex: scope(src.Zone())})
		}
	}
	if t.ECN != 0 {
		level, typ := int32(unix.SOL_IPV6), int32(unix.IPV6_TCLASS)
		if v4 {
			level, typ = unix.SOL_IP, unix.IP_TOS
		}
		n += putCmsg(b[n:], level, typ, int32(t.ECN))
	}
	if !t.single() {
		n += putCmsg(b[n:], unix.SOL_UDP, unix.UDP_SEGMENT, uint16(t.SegmentSize))
	}
	return n
}

func putCmsg[T any](b []byte, level, typ int32, v T) int {
	h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
	h.Level, h.Type = level, typ
	h.SetLen(unix.CmsgLen(int(unsafe.Sizeof(v))))
	*(*T)(unsafe.Pointer(&b[unix.CmsgLen(0)])) = v
	return unix.CmsgSpace(int(unsafe.Sizeof(v)))
}

// sockaddr reads the address that recvmmsg stored in sa.
func sockaddr(sa *unix.RawSockaddrInet6) netip.AddrPort {
	switch sa.Family {
	case unix.AF_INET:
		sa4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(sa))
		return netip.AddrPortFrom(netip.AddrFrom4(sa4.Addr), port(&sa4.Port))
	case unix.AF_INET6:
		return netip.AddrPortFrom(address6(sa.Addr, sa.Scope_id), port(&sa.Port))
	}
	return netip.AddrPort{}
}

// putSockaddr writes a as the socket's family wants it and returns its length.
func putSockaddr(sa *unix.RawSockaddrInet6, a netip.AddrPort, is6 bool) uint32 {
	if !is6 {
		sa4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(sa))
		*sa4 = unix.RawSockaddrInet4{Family: unix.AF_INET}
		if ip := a.Addr().Unmap(); ip.Is4() {
			sa4.Addr = ip.As4()
		}
		putPort(&sa4.Port, a.Port())
		return unix.SizeofSockaddrInet4
	}
	*sa = unix.RawSockaddrInet6{Family: unix.AF_INET6, Addr: a.Addr().As16(), Scope_id: scope(a.Addr().Zone())}
	putPort(&sa.Port, a.Port())
	return unix.SizeofSockaddrInet6
}

// port and putPort convert network byte order.
func port(p *uint16) uint16 { return binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(p))[:]) }

func putPort(p *uint16, v uint16) { binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(p))[:], v) }

// address6 gives IPv4-mapped addresses as IPv4, and link-local ones their zone.
func address6(b [16]byte, index uint32) netip.Addr {
	a := netip.AddrFrom16(b).Unmap()
	if index != 0 && a.Is6() && a.IsLinkLocalUnicast() {
		a = a.WithZone(strconv.FormatUint(uint64(index), 10))
	}
	return a
}

// scope is the interface index of a zone; 0 when it has none or is unknown.
func scope(zone string) uint32 {
	if zone == "" {
		return 0
	}
	if n, err := strconv.ParseUint(zone, 10, 32); err == nil {
		return uint32(n)
	}
	ifi, err := net.InterfaceByName(zone)
	if err != nil {
		return 0
	}
	return uint32(ifi.Index)
}
