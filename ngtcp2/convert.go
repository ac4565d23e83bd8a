package ngtcp2

// #include "shim_api.h"
import "C"

import (
	"fmt"
	"net/netip"
	"strconv"
	"unsafe"
)

// Values of shim_addr.family.
const (
	familyNone = 0
	familyV4   = 4
	familyV6   = 6
)

// addrToC fails for an invalid address and for a zone that is no number.
func addrToC(out *C.shim_addr, a netip.AddrPort) error {
	ip := a.Addr()
	dst := (*[16]byte)(unsafe.Pointer(&out.ip))
	switch {
	case ip.Is4():
		b := ip.As4()
		copy(dst[:4], b[:])
		out.family = familyV4
	case ip.Is6():
		*dst = ip.As16()
		out.family = familyV6
	default:
		return fmt.Errorf("ngtcp2: address %v is not valid", a)
	}
	out.port = C.uint16_t(a.Port())
	out.scope = 0
	if z := ip.Zone(); z != "" {
		scope, err := strconv.ParseUint(z, 10, 32)
		if err != nil {
			return fmt.Errorf("ngtcp2: zone of %v must be a numeric scope id", a)
		}
		out.scope = C.uint32_t(scope)
	}
	return nil
}

// addrFromC is the zero AddrPort for familyNone.
func addrFromC(a *C.shim_addr) netip.AddrPort {
	b := *(*[16]byte)(unsafe.Pointer(&a.ip))
	switch a.family {
	case familyV4:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[:4])), uint16(a.port))
	case familyV6:
		ip := netip.AddrFrom16(b)
		if a.scope != 0 {
			ip = ip.WithZone(strconv.FormatUint(uint64(a.scope), 10))
		}
		return netip.AddrPortFrom(ip, uint16(a.port))
	}
	return netip.AddrPort{}
}

func pathToC(out *C.shim_path, p Path) error {
	if err := addrToC(&out.local, p.Local); err != nil {
		return err
	}
	return addrToC(&out.remote, p.Remote)
}

func pathFromC(p *C.shim_path) Path {
	return Path{Local: addrFromC(&p.local), Remote: addrFromC(&p.remote)}
}

func cidToC(c ConnectionID) C.shim_cid   { return *(*C.shim_cid)(unsafe.Pointer(&c)) }
func cidFromC(c C.shim_cid) ConnectionID { return *(*ConnectionID)(unsafe.Pointer(&c)) }

// nativeCID and cidFromNative convert to and from ngtcp2_cid.
func nativeCID(c ConnectionID) (n C.ngtcp2_cid) {
	n.datalen = C.size_t(c.n)
	*(*[MaxCIDLen]byte)(unsafe.Pointer(&n.data)) = c.b
	return n
}

// cidFromNative leaves out what ngtcp2 has behind the length: ConnectionIDs are
// compared as a whole.
func cidFromNative(n *C.ngtcp2_cid) (c ConnectionID) {
	data := (*[MaxCIDLen]byte)(unsafe.Pointer(&n.data))
	c.n = uint8(copy(c.b[:], data[:n.datalen]))
	return c
}

func boolToC(b bool) C.uint8_t {
	if b {
		return 1
	}
	return 0
}
